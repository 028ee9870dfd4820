//! The result of an expression.
//!
//! The decisions held here: int and long are one kind of value. Two values are equal if they would
//! be one group: reals are compared by their bits, so that values can be hashed; all NaNs are one
//! value, and so are both zeros.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;

use super::super::value::Literal;

/// A value of one row or group.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Unknown. No string is null.
    Null,
    /// `bool`
    Bool(bool),
    /// `int` and `long`
    Long(i64),
    /// `real`
    Real(f64),
    /// `datetime`
    DateTime(Timestamp),
    /// `timespan`, in ticks.
    Timespan(i64),
    /// `string`
    String(Cow<'a, str>),
    /// `dynamic`
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The value of a constant.
    pub fn of(literal: &'a Literal) -> Self {
        match literal {
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Long(value) => Self::Long(*value),
            Literal::Real(value) => Self::Real(*value),
            Literal::DateTime(time) => Self::DateTime(*time),
            Literal::Timespan(ticks) => Self::Timespan(*ticks),
            Literal::String(text) => Self::text(text),
            Literal::List(items) => Self::List(items.iter().map(Self::of).collect()),
        }
    }

    /// A borrowed string.
    pub const fn text(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }

    /// A number that may be unknown.
    pub fn number(number: Option<impl Into<i64>>) -> Self {
        number.map_or(Self::Null, |number| Self::Long(number.into()))
    }

    /// The truth of a condition, which may be unknown.
    pub(super) fn truth(truth: Option<bool>) -> Self {
        truth.map_or(Self::Null, Self::Bool)
    }

    /// The value without borrows.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Long(value) => Value::Long(value),
            Self::Real(value) => Value::Real(value),
            Self::DateTime(time) => Value::DateTime(time),
            Self::Timespan(ticks) => Value::Timespan(ticks),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
        }
    }

    /// Whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// The bits that reals are compared by.
fn bits(value: f64) -> u64 {
    match value {
        _ if value.is_nan() => f64::NAN.to_bits(),
        // Both zeros.
        0.0 => 0,
        _ => value.to_bits(),
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Long(left), Self::Long(right)) => left == right,
            (Self::Real(left), Self::Real(right)) => bits(*left) == bits(*right),
            (Self::DateTime(left), Self::DateTime(right)) => left == right,
            (Self::Timespan(left), Self::Timespan(right)) => left == right,
            (Self::String(left), Self::String(right)) => left == right,
            (Self::List(left), Self::List(right)) => left == right,
            _ => false,
        }
    }
}

impl Eq for Value<'_> {}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Long(value) | Self::Timespan(value) => value.hash(state),
            Self::Real(value) => bits(*value).hash(state),
            Self::DateTime(time) => time.hash(state),
            Self::String(text) => text.hash(state),
            Self::List(items) => items.hash(state),
        }
    }
}
