//! The text of a time, which stands in a line several times.
//!
//! In: a time. Out: its text as RFC 3339 has it.
//! The decision held here: what begins and is reported in one poll has one time in three fields.
//! To write it costs as much as two addresses.

use std::fmt::Write as _;

use arrayvec::ArrayString;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// The longest: a year before Christ, and nanoseconds.
const LONGEST: usize = "-009999-12-31T23:59:59.123456789Z".len();

#[derive(Clone, Copy)]
pub(super) struct TimeText(ArrayString<LONGEST>);

impl TimeText {
    pub(super) fn of(time: Timestamp) -> Self {
        let mut text = ArrayString::new();
        // There is room for any time.
        let _ = write!(text, "{time}");
        Self(text)
    }

    /// The same as [`Self::of`], if the text of another time is known.
    pub(super) fn of_or(time: Timestamp, (known, text): (Timestamp, Self)) -> Self {
        match time == known {
            true => text,
            false => Self::of(time),
        }
    }
}

impl Serialize for TimeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_that_of_the_time() {
        let times = [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX];
        let known = Timestamp::UNIX_EPOCH;
        for time in times {
            let texts = [
                TimeText::of(time),
                TimeText::of_or(time, (known, TimeText::of(known))),
            ];
            for text in texts {
                assert_eq!(text.0.as_str(), time.to_string());
            }
        }
    }
}
