//! A condition made ready to be asked of many rows.
//!
//! In: a condition. Out: [`Predicate`], which holds where the condition does.
//! The decision held here: what the rules of a scan ask of every row costs no memory: whether an address begins with whole octets, is
//! private, in a range or among others is asked of its bits, not of its text, and a port is looked up in a sorted list.

use std::net::IpAddr;

use jiff::Timestamp;

use super::super::function::Function;
use super::super::operator::{Comparison, TextTest};
use super::super::plan::{Column, Expr, Slot};
use super::super::schema::Field;
use super::super::value::{Literal, Type};
use super::address::{Block, private_blocks};
use super::{Columns, Scope, Value, all, any};
use crate::address::ipv4_range;

/// A condition made ready.
#[derive(Clone, Debug)]
pub struct Predicate(Test);

#[derive(Clone, Debug)]
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// Of the bits of an address.
    Address {
        slot: Slot,
        matches: Addresses,
        is_negated: bool,
        /// The condition, for columns that have no bits.
        written: Expr,
    },
    /// Whether a whole number is among these, which are sorted.
    Number {
        slot: Slot,
        among: Box<[i64]>,
        is_negated: bool,
    },
    /// What is asked for as it is written.
    Other(Expr),
}

#[derive(Clone, Debug)]
enum Addresses {
    Blocks(Box<[Block]>),
    /// Sorted.
    Among(Box<[IpAddr]>),
}

impl Predicate {
    /// Makes a condition ready.
    #[must_use]
    pub fn new(condition: &Expr) -> Self {
        Self(Test::new(condition))
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn holds(&self, columns: &dyn Columns, now: Timestamp) -> bool {
        self.0.truth(Scope { columns, now }) == Some(true)
    }
}

impl Test {
    fn new(expr: &Expr) -> Self {
        match expr {
            Expr::And(operands) => Self::All(operands.iter().map(Self::new).collect()),
            Expr::Or(operands) => Self::Any(operands.iter().map(Self::new).collect()),
            Expr::Call(Function::Not, arguments) if arguments.len() == 1 => {
                Self::Not(Box::new(Self::new(&arguments[0])))
            }
            _ => Self::of_address(expr)
                .or_else(|| Self::of_number(expr))
                .unwrap_or_else(|| Self::Other(expr.clone())),
        }
    }

    /// A test that can be asked of an address's bits.
    fn of_address(expr: &Expr) -> Option<Self> {
        let (value, matches, is_negated) = match expr {
            Expr::Text(operator, operands) => {
                let [value, Expr::Literal(Literal::String(octets))] = operands.as_ref() else {
                    return None;
                };
                // Digits have no case.
                let is_start = operator.test == TextTest::StartsWith;
                let block = Block::of_octets(octets).filter(|_| is_start)?;
                (value, Addresses::blocks(&[block]), operator.is_negated)
            }
            Expr::Compare(comparison @ (Comparison::Equal | Comparison::NotEqual), operands) => {
                let [value, Expr::Literal(literal)] = operands.as_ref() else {
                    return None;
                };
                let is_negated = *comparison == Comparison::NotEqual;
                (
                    value,
                    Addresses::among(std::slice::from_ref(literal)),
                    is_negated,
                )
            }
            Expr::In {
                value,
                list,
                is_negated,
                is_case_sensitive: true,
            } => (value.as_ref(), Addresses::among(list), *is_negated),
            Expr::Call(function, arguments) => match (function, arguments.as_slice()) {
                (Function::Ipv4IsPrivate, [value]) => {
                    (value, Addresses::blocks(&private_blocks()), false)
                }
                (Function::Ipv4IsInRange, [value, Expr::Literal(Literal::String(range))]) => (
                    value,
                    Addresses::blocks(&[ipv4_range(range)?.into()]),
                    false,
                ),
                _ => return None,
            },
            _ => return None,
        };
        let slot = match value {
            Expr::Column(Column { slot, .. }) => *slot,
            _ => return None,
        };
        let is_address = matches!(slot, Slot::Field(Field::RemoteIp | Field::LocalIp));
        is_address.then(|| Self::Address {
            slot,
            matches,
            is_negated,
            written: expr.clone(),
        })
    }

    /// A test whether a whole number is among others.
    fn of_number(expr: &Expr) -> Option<Self> {
        let Expr::In {
            value,
            list,
            is_negated,
            ..
        } = expr
        else {
            return None;
        };
        let slot = match value.as_ref() {
            Expr::Column(Column {
                slot,
                kind: Type::Int | Type::Long,
                ..
            }) => *slot,
            _ => return None,
        };
        let numbers = list.iter().map(|literal| match literal {
            Literal::Long(number) => Some(*number),
            _ => None,
        });
        let mut among = numbers.collect::<Option<Box<[_]>>>()?;
        among.sort_unstable();
        Some(Self::Number {
            slot,
            among,
            is_negated: *is_negated,
        })
    }

    /// Whether it holds. None where it is null.
    fn truth(&self, scope: Scope<'_>) -> Option<bool> {
        match self {
            Self::All(tests) => all(tests.iter().map(|test| test.truth(scope))),
            Self::Any(tests) => any(tests.iter().map(|test| test.truth(scope))),
            Self::Not(test) => test.truth(scope).map(|truth| !truth),
            Self::Address {
                slot,
                matches,
                is_negated,
                written,
            } => match scope.columns.address(*slot) {
                Some(address) => Some(matches.contain(address) != *is_negated),
                None => written_truth(written, scope),
            },
            Self::Number {
                slot,
                among,
                is_negated,
            } => {
                let is_among = match scope.columns.value(*slot) {
                    Value::Long(number) => among.binary_search(&number).is_ok(),
                    _ => false,
                };
                Some(is_among != *is_negated)
            }
            Self::Other(expr) => written_truth(expr, scope),
        }
    }
}

/// The expression lives for as long as the scope is used, and no longer.
fn written_truth<'a>(expr: &'a Expr, scope: Scope<'a>) -> Option<bool> {
    scope.truth(expr)
}

impl Addresses {
    fn blocks(blocks: &[Block]) -> Self {
        Self::Blocks(blocks.into())
    }

    /// Those whose text is one of these. What is no address, or not as addresses are written, is no address's text.
    fn among(literals: &[Literal]) -> Self {
        let addresses = literals.iter().filter_map(|literal| match literal {
            Literal::String(text) => {
                let address: IpAddr = text.parse().ok()?;
                (address.to_string() == **text).then_some(address)
            }
            _ => None,
        });
        let mut among: Box<[_]> = addresses.collect();
        among.sort_unstable();
        Self::Among(among)
    }

    fn contain(&self, address: IpAddr) -> bool {
        match self {
            Self::Blocks(blocks) => blocks.iter().any(|block| block.contains(address)),
            Self::Among(among) => among.binary_search(&address).is_ok(),
        }
    }
}
