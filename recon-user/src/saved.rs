//! The saved form of what other crates define.
//!
//! In: times. Out: their form in a snapshot or a journal.
//! The decision held here: a time is its nanoseconds since 1970, in nine bytes. As text, which is
//! what jiff writes by itself, it would take 25 or more, and be parsed again.

/// A time.
pub(crate) mod time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        time.as_nanosecond().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let nanoseconds = i128::deserialize(from)?;
        Timestamp::from_nanosecond(nanoseconds).map_err(de::Error::custom)
    }
}
