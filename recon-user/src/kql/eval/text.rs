//! Tests of strings, and values as strings.
//!
//! The decision held here: a term, as `has` looks for it, ends where a letter or digit meets
//! anything else. A test that ignores case compares letters in lower case, one by one.

use std::borrow::Cow;

use super::Value;
use crate::duration;
use crate::kql::{TextOperator, TextTest};

const TICKS_PER_SECOND: u64 = duration::TICKS_PER_SECOND.unsigned_abs();

/// The operator's test, before it is negated.
pub(super) fn test(operator: TextOperator, left: &str, right: &str) -> bool {
    let (left, right) = match operator.is_case_sensitive {
        true => (Cow::Borrowed(left), Cow::Borrowed(right)),
        false => (folded(left), folded(right)),
    };
    let right = right.as_ref();
    match operator.test {
        TextTest::Equals => left == right,
        TextTest::StartsWith => left.starts_with(right),
        TextTest::EndsWith => left.ends_with(right),
        TextTest::Contains => left.contains(right),
        TextTest::Has => has(&left, right),
    }
}

/// In lower case.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    let is_folded = |letter: char| match letter.is_ascii() {
        true => !letter.is_ascii_uppercase(),
        false => letter.to_lowercase().eq([letter]),
    };
    match text.chars().all(is_folded) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
    }
}

/// Whether `text` has the term with no letter or digit next to it.
fn has(text: &str, term: &str) -> bool {
    let (Some(first), Some(last)) = (term.chars().next(), term.chars().next_back()) else {
        return true;
    };
    let goes_on = |edge: char, next: Option<char>| {
        edge.is_alphanumeric() && next.is_some_and(char::is_alphanumeric)
    };
    let mut from = 0;
    while let Some(found) = text[from..].find(term) {
        let start = from + found;
        let end = start + term.len();
        let is_whole = !goes_on(first, text[..start].chars().next_back())
            && !goes_on(last, text[end..].chars().next());
        if is_whole {
            return true;
        }
        // Occurrences may overlap.
        from = start + first.len_utf8();
    }
    false
}

/// `tostring`: null is the empty string.
pub(super) fn string(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::String(text) => text,
        Value::Null | Value::List(_) => Cow::Borrowed(""),
        Value::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Value::Long(value) => Cow::Owned(value.to_string()),
        Value::Real(value) => Cow::Owned(value.to_string()),
        // To the tick.
        Value::DateTime(time) => Cow::Owned(format!("{time:.7}")),
        Value::Timespan(ticks) => Cow::Owned(timespan(ticks)),
    }
}

/// `[-][days.]hours:minutes:seconds[.ticks]`
fn timespan(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let ticks = ticks.unsigned_abs();
    let (seconds, rest) = (ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
    let (minutes, second) = (seconds / 60, seconds % 60);
    let (hours, minute) = (minutes / 60, minutes % 60);
    let days = match hours / 24 {
        0 => String::new(),
        days => format!("{days}."),
    };
    let fraction = match rest {
        0 => String::new(),
        rest => format!(".{rest:07}"),
    };
    format!(
        "{sign}{days}{:02}:{minute:02}:{second:02}{fraction}",
        hours % 24
    )
}
