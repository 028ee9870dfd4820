//! The value of an expression.
//!
//! In: an expression of a plan, and the columns of a row or a group. Out: a [`Value`], or whether a
//! condition holds.
//! The decisions held here:
//! - Null is as in Kusto: what is computed from it is null, and so is its order to others; but it
//!   is not equal to any value. `and`, `or` and `not` have three truth values. A condition that is
//!   null does not hold.
//! - A constant compared with `InitiatingProcessFileName` also matches without its `.exe`: rules
//!   are written for Windows.
//! - No value is an error: what can't be computed is null.

mod address;
mod call;
mod compare;
pub(super) mod number;
mod prepare;
mod program;
mod serialize;
mod text;
mod value;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use jiff::Timestamp;

use crate::kql::{Arithmetic, Comparison, Expr, Function, Literal, Slot, TextOperator};

pub(crate) use compare::{compare, total_order};
pub use prepare::{Predicate, Prepared};
pub use value::Value;

/// The columns that an expression reads.
pub trait Columns {
    /// The value of a column; null if it has none.
    fn value(&self, slot: Slot) -> Value<'_>;

    /// The address whose text a column is, if it is known to be one. It can be tested without being
    /// formatted.
    fn address(&self, _slot: Slot) -> Option<IpAddr> {
        None
    }
}

/// The value of an expression at the time `now`.
pub fn eval<'a>(expr: &'a Expr, columns: &'a dyn Columns, now: Timestamp) -> Value<'a> {
    Evaluation { columns, now }.eval(expr)
}

/// Whether a condition holds.
pub fn holds(expr: &Expr, columns: &dyn Columns, now: Timestamp) -> bool {
    Evaluation { columns, now }.truth(expr) == Some(true)
}

/// What an expression is evaluated in.
#[derive(Clone, Copy)]
struct Evaluation<'a> {
    columns: &'a dyn Columns,
    now: Timestamp,
}

impl<'a> Evaluation<'a> {
    fn eval(&self, expr: &'a Expr) -> Value<'a> {
        match expr {
            Expr::Literal(literal) => Value::of(literal),
            Expr::Now(ticks) => number::later(self.now, *ticks),
            Expr::Column(column) => self.columns.value(column.slot),
            Expr::Negate(operand) => {
                number::arithmetic(Arithmetic::Multiply, &Value::Long(-1), &self.eval(operand))
            }
            Expr::Arithmetic(operator, operands) => {
                let [left, right] = operands.each_ref().map(|operand| self.eval(operand));
                number::arithmetic(*operator, &left, &right)
            }
            Expr::Call(function, arguments) if *function != Function::Not => {
                call::call(*function, arguments, self)
            }
            Expr::Call(..)
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Compare(..)
            | Expr::Text(..)
            | Expr::In { .. }
            | Expr::Between { .. }
            | Expr::Prepared(_) => Value::truth(self.truth(expr)),
        }
    }

    /// Whether a condition holds. None if it is null.
    fn truth(&self, expr: &'a Expr) -> Option<bool> {
        match expr {
            Expr::And(operands) => all(operands.iter().map(|operand| self.truth(operand))),
            Expr::Or(operands) => any(operands.iter().map(|operand| self.truth(operand))),
            Expr::Call(Function::Not, operands) => {
                let operand = operands.first()?;
                self.truth(operand).map(|truth| !truth)
            }
            Expr::Prepared(prepared) => prepared.truth(self),
            _ => self.written_truth(expr),
        }
    }

    /// Whether a condition without a fast test holds. Apart from [`Self::truth`] so that its frame
    /// stays small: most conditions of rows are prepared.
    #[inline(never)]
    fn written_truth(&self, expr: &'a Expr) -> Option<bool> {
        match expr {
            Expr::Compare(comparison, operands) => self.compare(*comparison, operands),
            Expr::Text(operator, operands) => self.text(*operator, operands),
            Expr::In {
                value,
                list,
                is_negated,
                is_case_sensitive,
            } => Some(self.is_in(value, list, *is_case_sensitive) != *is_negated),
            Expr::Between { parts, is_negated } => {
                let [value, least, greatest] = parts.each_ref().map(|part| self.eval(part));
                let is_between = compare::between(&value, &least, &greatest)?;
                Some(is_between != *is_negated)
            }
            _ => match self.eval(expr) {
                Value::Bool(truth) => Some(truth),
                _ => None,
            },
        }
    }

    fn compare(&self, comparison: Comparison, operands: &'a [Expr; 2]) -> Option<bool> {
        let values = operands.each_ref().map(|operand| self.eval(operand));
        // Strings are compared by `==` and `!=` only.
        match program::holds_without_exe(operands, &values, compare::is_equal) {
            true => Some(comparison == Comparison::Equal),
            false => compare::compare(comparison, &values[0], &values[1]),
        }
    }

    /// None if an operand is not a string, which no checked expression has.
    fn text(&self, operator: TextOperator, operands: &'a [Expr; 2]) -> Option<bool> {
        let values = operands.each_ref().map(|operand| self.eval(operand));
        let is_met = |left: &Value<'_>, right: &Value<'_>| match (left, right) {
            (Value::String(left), Value::String(right)) => Some(text::test(operator, left, right)),
            _ => None,
        };
        let is_met = is_met(&values[0], &values[1])?
            || program::holds_without_exe(operands, &values, |left, right| {
                is_met(left, right) == Some(true)
            });
        Some(is_met != operator.is_negated)
    }

    fn is_in(&self, expr: &'a Expr, list: &'a [Literal], is_case_sensitive: bool) -> bool {
        let value = self.eval(expr);
        let is_program = program::is_program(expr);
        let is_same = |other: &Value<'_>| match (&value, other) {
            (Value::String(left), Value::String(right)) if !is_case_sensitive => {
                text::folded(left) == text::folded(right)
            }
            _ => compare::is_equal(&value, other),
        };
        list.iter().any(|literal| {
            let other = program::without_exe(literal).filter(|_| is_program);
            is_same(&Value::of(literal)) || other.is_some_and(|name| is_same(&Value::text(name)))
        })
    }
}

/// Whether all hold: false if one does not, else null if one is. Stops at the first that does not
/// hold.
fn all(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(truths.map(|truth| truth.map(|truth| !truth))).map(|truth| !truth)
}

/// Whether one holds, else null if one is.
fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut is_known = true;
    for truth in truths {
        match truth {
            Some(true) => return Some(true),
            Some(false) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(false)
}
