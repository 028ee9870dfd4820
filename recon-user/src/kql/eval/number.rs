//! Arithmetic of numbers and times.
//!
//! The decision held here: values are computed as constants are when a query is checked. What has
//! no result is null.

use jiff::{SignedDuration, Timestamp};

use super::super::operator::Arithmetic;
use super::Value;
use crate::duration::{TICK_NANOS, TICKS_PER_SECOND};

/// Days from the start of Kusto's calendar, 0001-01-01, to that of Unix time.
const UNIX_DAY: i128 = 719_162;
/// 2^63, the smallest real that is too large for a whole number.
const LIMIT: f64 = i64::MAX as f64;
const DAY_TICKS: i128 = 86_400 * TICKS_PER_SECOND as i128;

/// A time plus ticks.
pub(super) fn later(time: Timestamp, ticks: i64) -> Value<'static> {
    arithmetic(
        Arithmetic::Add,
        &Value::DateTime(time),
        &Value::Timespan(ticks),
    )
}

/// The result of an operator. Null if it overflows or is undefined.
pub(in crate::kql) fn arithmetic(
    operator: Arithmetic,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Value<'static> {
    computed(operator, left, right).unwrap_or(Value::Null)
}

fn computed(operator: Arithmetic, left: &Value<'_>, right: &Value<'_>) -> Option<Value<'static>> {
    use Value::{DateTime, Long, Real, Timespan};
    Some(match (left, right) {
        (Long(left), Long(right)) => Long(whole(operator, *left, *right)?),
        (Timespan(left), Timespan(right)) if operator == Arithmetic::Divide => {
            let quotient = *left as f64 / *right as f64;
            Real((*right != 0).then_some(quotient)?)
        }
        (Timespan(left), Timespan(right) | Long(right)) | (Long(left), Timespan(right)) => {
            Timespan(whole(operator, *left, *right)?)
        }
        (Timespan(ticks), Real(number)) | (Real(number), Timespan(ticks)) => {
            let ticks = fraction(operator, *ticks as f64, *number)?;
            Timespan((ticks.abs() < LIMIT).then_some(ticks as i64)?)
        }
        (DateTime(left), DateTime(right)) => {
            let nanos = left.as_nanosecond() - right.as_nanosecond();
            Timespan(i64::try_from(nanos / TICK_NANOS).ok()?)
        }
        (DateTime(time), Timespan(ticks)) | (Timespan(ticks), DateTime(time)) => {
            let ticks = match operator {
                Arithmetic::Subtract => ticks.checked_neg()?,
                _ => *ticks,
            };
            let span = SignedDuration::from_nanos_i128(i128::from(ticks) * TICK_NANOS);
            DateTime(time.checked_add(span).ok()?)
        }
        _ => Real(fraction(operator, real(left)?, real(right)?)?),
    })
}

pub(in crate::kql) fn whole(operator: Arithmetic, left: i64, right: i64) -> Option<i64> {
    let value = match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    };
    // The smallest number can't be written: its digits are read before its sign.
    value.filter(|&value| value != i64::MIN)
}

fn fraction(operator: Arithmetic, left: f64, right: f64) -> Option<f64> {
    let value = match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    };
    value.is_finite().then_some(value)
}

/// The multiple of `size` at or below. For a time it counts from the start of the calendar.
pub(super) fn bin(value: &Value<'_>, size: &Value<'_>) -> Value<'static> {
    let result = match (value, size) {
        (Value::Long(value), Value::Long(size)) => below(*value, *size).map(Value::Long),
        (Value::Timespan(value), Value::Timespan(size)) => {
            below(*value, *size).map(Value::Timespan)
        }
        (Value::DateTime(time), Value::Timespan(size)) => {
            bin_of_time(*time, *size).map(Value::DateTime)
        }
        _ => real(value)
            .zip(real(size))
            .map(|(value, size)| (value / size).floor() * size)
            .filter(|value| value.is_finite())
            .map(Value::Real),
    };
    result.unwrap_or(Value::Null)
}

fn below(value: i64, size: i64) -> Option<i64> {
    value.checked_div_euclid(size)?.checked_mul(size)
}

fn bin_of_time(time: Timestamp, size: i64) -> Option<Timestamp> {
    let ticks = calendar_ticks(time);
    let rest = ticks.checked_rem_euclid(i128::from(size))?;
    let unix_ticks = ticks - rest - UNIX_DAY * DAY_TICKS;
    Timestamp::from_nanosecond(unix_ticks * TICK_NANOS).ok()
}

/// Ticks from the start of the calendar.
fn calendar_ticks(time: Timestamp) -> i128 {
    time.as_nanosecond().div_euclid(TICK_NANOS) + UNIX_DAY * DAY_TICKS
}

pub(super) fn real(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Long(value) => Some(*value as f64),
        Value::Real(value) => Some(*value),
        _ => None,
    }
}

/// `tolong`: a real is truncated, a time becomes its ticks. Null for a string that is not a whole
/// number.
pub(super) fn long(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Long(value) | Value::Timespan(value) => Some(*value),
        Value::Real(value) => (value.abs() < LIMIT).then_some(*value as i64),
        Value::DateTime(time) => i64::try_from(calendar_ticks(*time)).ok(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::List(_) => None,
    }
}
