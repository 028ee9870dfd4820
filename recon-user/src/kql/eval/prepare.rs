//! A condition prepared for many rows.
//!
//! In: a condition. Out: the same condition, with [`Expr::Prepared`] in place of some parts.
//! The decision held here: what the rules of a scan ask of every row allocates no memory. A test
//! whether an address begins with whole octets, is private, in a range or in a list looks at its
//! bits, not at its text, and a port is looked up in a sorted list.

use std::net::IpAddr;

use jiff::Timestamp;

use super::address::AddressBlock;
use super::{Columns, Evaluation, Value};
use crate::address::{RFC_1918, ipv4_range};
use crate::kql::{Column, Comparison, Expr, Field, Function, Literal, Slot, TextTest, Type};

/// A condition that was prepared for many rows.
#[derive(Clone, Debug)]
pub struct Predicate(Expr);

impl Predicate {
    /// Prepares a condition.
    pub fn new(condition: &Expr) -> Self {
        Self(prepare(condition))
    }

    /// Whether the condition holds.
    pub fn holds(&self, columns: &dyn Columns, now: Timestamp) -> bool {
        Evaluation { columns, now }.truth(&self.0) == Some(true)
    }
}

/// A test of one column that formats no address and searches no list.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The original condition. It is evaluated for columns without an address.
    pub(crate) written: Expr,
    slot: Slot,
    set: Set,
    is_negated: bool,
}

/// What a column is looked up in. Lists are sorted.
#[derive(Clone, Debug, PartialEq)]
enum Set {
    Blocks(Box<[AddressBlock]>),
    Addresses(Box<[IpAddr]>),
    Numbers(Box<[i64]>),
}

/// Replaces the parts of a condition that have a faster test.
fn prepare(expr: &Expr) -> Expr {
    let prepare_all = |operands: &[Expr]| operands.iter().map(prepare).collect();
    match expr {
        Expr::And(operands) => Expr::And(prepare_all(operands)),
        Expr::Or(operands) => Expr::Or(prepare_all(operands)),
        Expr::Call(Function::Not, operands) => Expr::Call(Function::Not, prepare_all(operands)),
        _ => match Prepared::of(expr) {
            Some(prepared) => Expr::Prepared(Box::new(prepared)),
            None => expr.clone(),
        },
    }
}

impl Prepared {
    fn of(expr: &Expr) -> Option<Self> {
        let (column, set, is_negated) = match expr {
            // Digits have no case.
            Expr::Text(operator, operands) if operator.test == TextTest::StartsWith => {
                let [Expr::Column(column), Expr::Literal(Literal::String(octets))] = &**operands
                else {
                    return None;
                };
                let blocks = [AddressBlock::of_octets(octets)?];
                (column, Set::Blocks(blocks.into()), operator.is_negated)
            }
            Expr::Compare(comparison @ (Comparison::Equal | Comparison::NotEqual), operands) => {
                let [Expr::Column(column), Expr::Literal(literal)] = &**operands else {
                    return None;
                };
                let set = Set::of(column, std::slice::from_ref(literal))?;
                (column, set, *comparison == Comparison::NotEqual)
            }
            Expr::In {
                value,
                list,
                is_negated,
                is_case_sensitive,
            } => match &**value {
                Expr::Column(column) if *is_case_sensitive || column.kind.is_number() => {
                    (column, Set::of(column, list)?, *is_negated)
                }
                _ => return None,
            },
            Expr::Call(function, arguments) => {
                let (column, blocks) = match (function, arguments.as_slice()) {
                    (Function::Ipv4IsPrivate, [Expr::Column(column)]) => {
                        (column, RFC_1918.map(AddressBlock::from).into())
                    }
                    (
                        Function::Ipv4IsInRange,
                        [Expr::Column(column), Expr::Literal(Literal::String(range))],
                    ) => (column, [ipv4_range(range)?.into()].into()),
                    _ => return None,
                };
                (column, Set::Blocks(blocks), false)
            }
            _ => return None,
        };
        let is_known = matches!(set, Set::Numbers(_)) || is_address(column);
        is_known.then(|| Self {
            written: expr.clone(),
            slot: column.slot,
            set,
            is_negated,
        })
    }

    /// Whether the condition holds. None if it is null.
    #[inline]
    pub(super) fn truth<'a>(&'a self, scope: &Evaluation<'a>) -> Option<bool> {
        let is_in_set = match &self.set {
            Set::Numbers(numbers) => match scope.columns.value(self.slot) {
                Value::Long(number) => numbers.binary_search(&number).is_ok(),
                _ => false,
            },
            Set::Blocks(blocks) => match scope.columns.address(self.slot) {
                Some(IpAddr::V4(address)) => blocks.iter().any(|block| block.contains(address)),
                Some(IpAddr::V6(_)) => false,
                None => return scope.written_truth(&self.written),
            },
            Set::Addresses(addresses) => match scope.columns.address(self.slot) {
                Some(address) => addresses.binary_search(&address).is_ok(),
                None => return scope.written_truth(&self.written),
            },
        };
        Some(is_in_set != self.is_negated)
    }
}

fn is_address(column: &Column) -> bool {
    matches!(column.slot, Slot::Field(Field::RemoteIp | Field::LocalIp))
}

impl Set {
    /// The set of those constants. None if the column has no faster test.
    fn of(column: &Column, literals: &[Literal]) -> Option<Self> {
        match column.kind {
            Type::Int | Type::Long => {
                let numbers = literals.iter().map(|literal| match literal {
                    Literal::Long(number) => Some(*number),
                    _ => None,
                });
                let mut numbers = numbers.collect::<Option<Box<[_]>>>()?;
                numbers.sort_unstable();
                Some(Self::Numbers(numbers))
            }
            Type::String if is_address(column) => {
                // An address's text is in canonical form, so a constant in another form matches
                // none.
                let addresses = literals.iter().filter_map(|literal| match literal {
                    Literal::String(text) => {
                        let address: IpAddr = text.parse().ok()?;
                        (address.to_string() == **text).then_some(address)
                    }
                    _ => None,
                });
                let mut addresses: Box<[_]> = addresses.collect();
                addresses.sort_unstable();
                Some(Self::Addresses(addresses))
            }
            _ => None,
        }
    }
}
