//! Types and constants.
//!
//! The decision held here: Kusto's int, long and real are three types and one kind of number: they
//! can be compared and added, and the result has the wider type. A timespan is a number of ticks of
//! 100 ns, as in Kusto.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::operator::named;

named! {
    /// The type of an expression.
    pub Type: Bool = "bool",
    /// 32 bits.
    Int = "int",
    /// 64 bits.
    Long = "long",
    /// A double.
    Real = "real",
    DateTime = "datetime", Timespan = "timespan", String = "string",
    /// Only lists are supported.
    List = "dynamic";
}

impl Type {
    /// Whether it is int, long or real.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Long | Self::Real)
    }

    /// Whether its values have an order for `<` and `max`.
    pub(super) const fn is_ordered(self) -> bool {
        self.is_number() || matches!(self, Self::DateTime | Self::Timespan)
    }

    /// The type that holds values of both.
    pub(super) fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if self == other => Some(self),
            _ if !self.is_number() || !other.is_number() => None,
            (Self::Real, _) | (_, Self::Real) => Some(Self::Real),
            _ => Some(Self::Long),
        }
    }
}

/// A constant. Strings and lists are shared, since a `let` may be used often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Literal {
    /// `true`
    Bool(bool),
    /// `22`: every whole number is a long.
    Long(i64),
    /// `0.5`, always finite.
    Real(f64),
    /// `datetime(2026-01-31)`
    DateTime(Timestamp),
    /// `1h`, in ticks.
    Timespan(i64),
    /// `"nmap"`
    String(Arc<str>),
    /// `dynamic([22, 23])`
    List(Arc<[Literal]>),
}

impl Literal {
    /// Its type.
    pub const fn kind(&self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::Long(_) => Type::Long,
            Self::Real(_) => Type::Real,
            Self::DateTime(_) => Type::DateTime,
            Self::Timespan(_) => Type::Timespan,
            Self::String(_) => Type::String,
            Self::List(_) => Type::List,
        }
    }
}
