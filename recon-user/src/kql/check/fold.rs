//! Arithmetic of constants, done when a query is checked.
//!
//! The decision held here: constants are computed by the evaluator, so both come to the same.

use super::super::eval::Value;
use super::super::eval::number::{arithmetic, whole};
use super::super::operator::Arithmetic::{self, Divide, Remainder};
use super::super::plan::Expr;
use super::super::value::Literal::{self, DateTime, Long, Real, Timespan};

/// Arithmetic, computed if both operands are constant.
///
/// # Errors
/// Why there is no result.
pub(super) fn fold(operator: Arithmetic, left: Expr, right: Expr) -> Result<Expr, &'static str> {
    const OVERFLOW: &str = "this is too large";
    const ZERO: &str = "this divides by zero";
    let is_zero = matches!(&right, Expr::Literal(Long(0) | Timespan(0)))
        || matches!(&right, Expr::Literal(Real(value)) if *value == 0.0);
    if is_zero && matches!(operator, Divide | Remainder) {
        return Err(ZERO);
    }
    let folded = match (&left, &right) {
        (Expr::Now(left), Expr::Literal(Timespan(right)))
        | (Expr::Literal(Timespan(left)), Expr::Now(right)) => {
            whole(operator, *left, *right).map(Expr::Now)
        }
        (Expr::Literal(left), Expr::Literal(right)) => {
            let value = arithmetic(operator, &Value::of(left), &Value::of(right));
            constant(&value).map(Expr::Literal)
        }
        _ => return Ok(Expr::Arithmetic(operator, Box::new([left, right]))),
    };
    folded.ok_or(OVERFLOW)
}

/// The constant of a number or a time.
fn constant(value: &Value<'_>) -> Option<Literal> {
    Some(match value {
        Value::Long(value) => Long(*value),
        Value::Real(value) => Real(*value),
        Value::DateTime(time) => DateTime(*time),
        Value::Timespan(ticks) => Timespan(*ticks),
        _ => return None,
    })
}
