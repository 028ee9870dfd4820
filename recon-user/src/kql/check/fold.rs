//! The types of arithmetic, and its result for constants.

use jiff::SignedDuration;

use super::super::operator::Arithmetic::{self, Add, Divide, Multiply, Remainder, Subtract};
use super::super::plan::Expr;
use super::super::value::Literal::{self, DateTime, Long, Real, Timespan};
use super::super::value::Type;
use crate::duration::TICK_NANOS;

/// The type of a result. None if the operator does not take such operands.
pub(in crate::kql) fn result(operator: Arithmetic, left: Type, right: Type) -> Option<Type> {
    if left.is_number() && right.is_number() {
        return left.common(right);
    }
    match (left, operator, right) {
        (Type::DateTime, Subtract, Type::DateTime)
        | (Type::Timespan, Add | Subtract | Remainder, Type::Timespan) => Some(Type::Timespan),
        (Type::DateTime, Add | Subtract, Type::Timespan)
        | (Type::Timespan, Add, Type::DateTime) => Some(Type::DateTime),
        (Type::Timespan, Divide, Type::Timespan) => Some(Type::Real),
        (Type::Timespan, Multiply | Divide, number) | (number, Multiply, Type::Timespan)
            if number.is_number() =>
        {
            Some(Type::Timespan)
        }
        _ => None,
    }
}

/// The result of constants; None if an operand is not constant.
///
/// # Errors
/// Why there is no result.
pub(super) fn fold(
    operator: Arithmetic,
    left: &Expr,
    right: &Expr,
) -> Result<Option<Expr>, &'static str> {
    const OVERFLOW: &str = "this is too large";
    const ZERO: &str = "this divides by zero";
    let is_zero = matches!(right, Expr::Literal(Long(0) | Timespan(0)))
        || matches!(right, Expr::Literal(Real(value)) if *value == 0.0);
    if is_zero && matches!(operator, Divide | Remainder) {
        return Err(ZERO);
    }
    let folded = match (left, right) {
        (Expr::Now(left), Expr::Literal(Timespan(right))) => {
            whole(operator, *left, *right).map(Expr::Now)
        }
        (Expr::Literal(Timespan(left)), Expr::Now(right)) => {
            whole(operator, *left, *right).map(Expr::Now)
        }
        (Expr::Literal(left), Expr::Literal(right)) => {
            literals(operator, left, right).map(Expr::Literal)
        }
        _ => return Ok(None),
    };
    folded.map(Some).ok_or(OVERFLOW)
}

/// The result of two constants. None if it overflows or is undefined.
pub(in crate::kql) fn literals(
    operator: Arithmetic,
    left: &Literal,
    right: &Literal,
) -> Option<Literal> {
    Some(match (left, right) {
        (Long(left), Long(right)) => Long(whole(operator, *left, *right)?),
        (Timespan(left), Timespan(right)) if operator == Divide => {
            Real(*left as f64 / *right as f64)
        }
        (Timespan(left), Timespan(right) | Long(right)) | (Long(left), Timespan(right)) => {
            Timespan(whole(operator, *left, *right)?)
        }
        (Timespan(ticks), Real(number)) | (Real(number), Timespan(ticks)) => {
            let ticks = real(operator, *ticks as f64, *number)?;
            const LIMIT: f64 = i64::MAX as f64;
            Timespan((ticks.abs() < LIMIT).then_some(ticks as i64)?)
        }
        (DateTime(left), DateTime(right)) => Timespan(
            i64::try_from((left.as_nanosecond() - right.as_nanosecond()) / TICK_NANOS).ok()?,
        ),
        (DateTime(time), Timespan(ticks)) | (Timespan(ticks), DateTime(time)) => {
            let ticks = if operator == Subtract {
                ticks.checked_neg()?
            } else {
                *ticks
            };
            let span = SignedDuration::from_nanos_i128(i128::from(ticks) * TICK_NANOS);
            DateTime(time.checked_add(span).ok()?)
        }
        (left, right) => Real(real(operator, number(left)?, number(right)?)?),
    })
}

fn number(literal: &Literal) -> Option<f64> {
    match literal {
        Long(value) => Some(*value as f64),
        Real(value) => Some(*value),
        _ => None,
    }
}

fn whole(operator: Arithmetic, left: i64, right: i64) -> Option<i64> {
    let value = match operator {
        Add => left.checked_add(right),
        Subtract => left.checked_sub(right),
        Multiply => left.checked_mul(right),
        Divide => left.checked_div(right),
        Remainder => left.checked_rem(right),
    };
    // The smallest number can't be written: its digits are read before its sign.
    value.filter(|&value| value != i64::MIN)
}

fn real(operator: Arithmetic, left: f64, right: f64) -> Option<f64> {
    let value = match operator {
        Add => left + right,
        Subtract => left - right,
        Multiply => left * right,
        Divide => left / right,
        Remainder => left % right,
    };
    value.is_finite().then_some(value)
}
