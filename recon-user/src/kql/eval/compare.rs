//! Comparisons.
//!
//! The decision held here, as in Kusto: null is not equal to any value, and whether it equals null,
//! or its order to anything, is null.

use std::cmp::Ordering;

use super::super::operator::Comparison;
use super::{Value, all};

/// Compares two values. None for null.
pub(crate) fn compare(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    if left.is_null() && right.is_null() {
        return None;
    }
    let order = order(left, right);
    match comparison {
        Comparison::Equal => Some(order == Some(Ordering::Equal)),
        Comparison::NotEqual => Some(order != Some(Ordering::Equal)),
        Comparison::Less => order.map(Ordering::is_lt),
        Comparison::LessOrEqual => order.map(Ordering::is_le),
        Comparison::Greater => order.map(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.map(Ordering::is_ge),
    }
}

pub(super) fn is_equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    compare(Comparison::Equal, left, right) == Some(true)
}

/// Whether a value is within bounds. None for null.
pub(super) fn between(value: &Value<'_>, least: &Value<'_>, greatest: &Value<'_>) -> Option<bool> {
    let bounds = [
        compare(Comparison::GreaterOrEqual, value, least),
        compare(Comparison::LessOrEqual, value, greatest),
    ];
    all(bounds.into_iter())
}

/// The order of two values of one kind. None if one is null or not a number.
fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Long(left), Value::Long(right))
        | (Value::Timespan(left), Value::Timespan(right)) => Some(left.cmp(right)),
        (Value::Long(left), Value::Real(right)) => (*left as f64).partial_cmp(right),
        (Value::Real(left), Value::Long(right)) => left.partial_cmp(&(*right as f64)),
        (Value::Real(left), Value::Real(right)) => left.partial_cmp(right),
        (Value::DateTime(left), Value::DateTime(right)) => Some(left.cmp(right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// An order of any values: as KQL compares values of one kind, and text by its letters.
pub(crate) fn total_order(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    order(one, other).unwrap_or(Ordering::Equal)
}
