//! What a condition comes to where only some columns of a row are known.
//!
//! In: a condition and the columns that are known. Out: whether it holds, where that does not depend on the others.
//! The decision held here: `Some(false)` says that no row of these columns is met, so that whoever asks for each kind of row can leave
//! out those that a rule never reads. `None` is always right.

use jiff::Timestamp;

use super::super::function::Function;
use super::super::plan::{Expr, Slot};
use super::super::schema::Field;
use super::{Columns, Scope, Value};

/// The columns that are known.
type Known<'a> = &'a dyn Fn(Field) -> Option<Value<'static>>;

/// Whether a condition holds where only some columns are known: None where that depends on the others.
#[must_use]
pub fn partial(expr: &Expr, known: &dyn Fn(Field) -> Option<Value<'static>>) -> Option<bool> {
    // Null neither holds nor does its negation, so it is enough to ask for either.
    Some(match truth(expr, known) {
        Truths {
            can_hold: false, ..
        } => false,
        Truths {
            can_fail: false,
            can_be_null: false,
            ..
        } => true,
        _ => return None,
    })
}

/// Which of the three truths a condition may come to.
#[derive(Clone, Copy)]
struct Truths {
    can_hold: bool,
    can_fail: bool,
    can_be_null: bool,
}

impl Truths {
    const ANY: Self = Self {
        can_hold: true,
        can_fail: true,
        can_be_null: true,
    };

    fn negated(self) -> Self {
        Self {
            can_hold: self.can_fail,
            can_fail: self.can_hold,
            ..self
        }
    }

    /// Of both: it holds where both do, and fails where one does.
    fn and(self, other: Self) -> Self {
        let is_open = |truths: Self| truths.can_hold || truths.can_be_null;
        Self {
            can_hold: self.can_hold && other.can_hold,
            can_fail: self.can_fail || other.can_fail,
            can_be_null: (self.can_be_null && is_open(other))
                || (other.can_be_null && is_open(self)),
        }
    }
}

fn truth(expr: &Expr, known: Known<'_>) -> Truths {
    let conjunction = |operands: &[Expr], of: fn(Truths) -> Truths| {
        let truths = operands.iter().map(|operand| of(truth(operand, known)));
        truths.reduce(Truths::and).unwrap_or(Truths::ANY)
    };
    match expr {
        Expr::And(operands) => conjunction(operands, |truths| truths),
        Expr::Or(operands) => conjunction(operands, Truths::negated).negated(),
        Expr::Call(Function::Not, arguments) => conjunction(arguments, Truths::negated),
        _ if is_known(expr, known) => {
            let columns = KnownColumns(known);
            // A known expression does not ask for the time.
            let scope = Scope {
                columns: &columns,
                now: Timestamp::UNIX_EPOCH,
            };
            let value = scope.truth(expr);
            Truths {
                can_hold: value == Some(true),
                can_fail: value == Some(false),
                can_be_null: value.is_none(),
            }
        }
        _ => Truths::ANY,
    }
}

/// Whether all that an expression refers to is known.
fn is_known(expr: &Expr, known: Known<'_>) -> bool {
    let all = |operands: &[Expr]| operands.iter().all(|operand| is_known(operand, known));
    match expr {
        Expr::Literal(_) => true,
        Expr::Now(_) => false,
        Expr::Column(column) => match column.slot {
            Slot::Field(field) => known(field).is_some(),
            _ => false,
        },
        Expr::And(operands) | Expr::Or(operands) | Expr::Call(_, operands) => all(operands),
        Expr::Negate(operand) | Expr::In { value: operand, .. } => is_known(operand, known),
        Expr::Compare(_, operands) | Expr::Arithmetic(_, operands) | Expr::Text(_, operands) => {
            all(operands.as_slice())
        }
        Expr::Between { parts, .. } => all(parts.as_slice()),
    }
}

struct KnownColumns<'a>(Known<'a>);

impl Columns for KnownColumns<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Field(field) => (self.0)(field).unwrap_or(Value::Null),
            _ => Value::Null,
        }
    }
}
