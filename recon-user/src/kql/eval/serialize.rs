//! Values as JSON: times as RFC 3339, timespans as KQL writes them, null as null.

use serde::{Serialize, Serializer};

use super::Value;
use crate::duration::Ticks;

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
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
