//! Values as JSON: times as RFC 3339, timespans as KQL writes them, null as null. And as snapshots
//! have them, with their types.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Value;
use crate::duration::Ticks;

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return SavedValue::of(self).serialize(serializer);
        }
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Long(value) => serializer.serialize_i64(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::DateTime(time) => time.serialize(serializer),
            Self::Timespan(ticks) => serializer.collect_str(&Ticks(*ticks)),
            Self::String(text) => serializer.serialize_str(text),
            Self::List(values) => serializer.collect_seq(values),
        }
    }
}

/// JSON has no such types, so that only a snapshot can be read.
impl<'de> Deserialize<'de> for Value<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(SavedValue::deserialize(deserializer)?.into_value())
    }
}

/// A value with its type.
#[derive(Serialize, Deserialize)]
enum SavedValue<'a> {
    Null,
    Bool(bool),
    Long(i64),
    Real(f64),
    DateTime(#[serde(with = "crate::saved::time")] Timestamp),
    Timespan(i64),
    String(Cow<'a, str>),
    List(Vec<Self>),
}

impl<'a> SavedValue<'a> {
    fn of(value: &'a Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Long(value) => Self::Long(*value),
            Value::Real(value) => Self::Real(*value),
            Value::DateTime(time) => Self::DateTime(*time),
            Value::Timespan(ticks) => Self::Timespan(*ticks),
            Value::String(text) => Self::String(Cow::Borrowed(text)),
            Value::List(values) => Self::List(values.iter().map(Self::of).collect()),
        }
    }

    fn into_value(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Long(value) => Value::Long(value),
            Self::Real(value) => Value::Real(value),
            Self::DateTime(time) => Value::DateTime(time),
            Self::Timespan(ticks) => Value::Timespan(ticks),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::List(values) => Value::List(values.into_iter().map(Self::into_value).collect()),
        }
    }
}
