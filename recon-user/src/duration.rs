//! Durations as text, as KQL writes timespans: `1h`, `90s`, `500ms`.
//!
//! In: text, or a number of ticks of 100 ns. Out: a [`Duration`], and text again.
//! The decision held here: rules, settings and the command line read the same units, and a duration
//! is written in the longest unit that divides it.

use std::fmt;
use std::time::Duration;

use crate::diagnostic::Wrong;

/// Ticks of a second.
pub(crate) const TICKS_PER_SECOND: i64 = 10_000_000;
/// Nanoseconds of a tick.
pub(crate) const TICK_NANOS: i128 = 100;

/// The names of units, first the one that is written, and their ticks. The longest unit is first.
const UNITS: [(&str, &str, i64); 7] = [
    ("d", "day days", 86_400 * TICKS_PER_SECOND),
    ("h", "hr hrs hour hours", 3_600 * TICKS_PER_SECOND),
    ("m", "min minute minutes", 60 * TICKS_PER_SECOND),
    ("s", "sec second seconds", TICKS_PER_SECOND),
    (
        "ms",
        "milli millis millisec millisecond milliseconds",
        TICKS_PER_SECOND / 1_000,
    ),
    (
        "microsecond",
        "micro micros microsec microseconds",
        TICKS_PER_SECOND / 1_000_000,
    ),
    ("tick", "ticks", 1),
];

/// The ticks of a unit.
pub(crate) fn unit(name: &str) -> Option<i64> {
    let is_meant = |names: &str| names.split(' ').any(|other| other == name);
    let mut units = UNITS.into_iter();
    let found = units.find(|(written, others, _)| *written == name || is_meant(others));
    found.map(|(_, _, size)| size)
}

/// The ticks of a decimal number of a unit, rounded down.
pub(crate) fn ticks(digits: &str, unit: i64) -> Option<i64> {
    /// Further digits of a day's fraction are less than a tick.
    const MAX_FRACTION: usize = 12;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(MAX_FRACTION)];
    let divisor = 10_i128.pow(fraction.len() as u32);
    let scaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let ticks = scaled.checked_mul(i128::from(unit))? / divisor;
    i64::try_from(ticks).ok()
}

/// A number of ticks as text.
pub(crate) struct Ticks(pub(crate) i64);

impl Ticks {
    /// Those of a duration.
    pub(crate) fn of(duration: Duration) -> Self {
        let ticks = duration.as_nanos() / TICK_NANOS.unsigned_abs();
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ticks) = self;
        let divides = |size: i64| ticks % size == 0 && *ticks != 0;
        match UNITS.iter().find(|(_, _, size)| divides(*size)) {
            Some((name, _, size)) => {
                formatter.write_str(itoa::Buffer::new().format(ticks / size))?;
                formatter.write_str(name)
            }
            None => formatter.write_str("0s"),
        }
    }
}

/// The duration of a number of ticks. Negative ones give zero; 584 years are the most.
pub(crate) fn of_ticks(ticks: i64) -> Duration {
    let ticks = u64::try_from(ticks).unwrap_or(0);
    Duration::from_nanos(ticks.saturating_mul(TICK_NANOS as u64))
}

/// A duration as text.
pub(crate) fn text(duration: Duration) -> String {
    Ticks::of(duration).to_string()
}

/// The durations that are accepted somewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
    /// One of them, for the hint.
    pub(crate) example: &'static str,
}

impl Range {
    pub(crate) fn contains(&self, duration: Duration) -> bool {
        (self.least..=self.most).contains(&duration)
    }

    /// Reads a duration, or returns what is wrong and a hint.
    pub(crate) fn parse(&self, written: &str) -> Result<Duration, Wrong> {
        let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
        let (digits, name) = written.split_at(written.find(|letter| !is_part(letter)).unwrap_or(0));
        let duration = unit(name)
            .and_then(|unit| ticks(digits, unit))
            .map(of_ticks);
        duration
            .filter(|duration| self.contains(*duration))
            .ok_or_else(|| {
                let (least, most) = (text(self.least), text(self.most));
                let hint = format!(
                    "use a time from {least} to {most}, such as {}",
                    self.example
                );
                (format!("`{written}` is not a valid time"), Some(hint))
            })
    }

    /// Reads a duration of the command line, or returns what is wrong in one line.
    pub(crate) fn parse_flag(&self, written: &str) -> Result<Duration, String> {
        let parsed = self.parse(written);
        parsed.map_err(|(message, hint)| format!("{message}: {}", hint.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range {
        least: Duration::from_millis(10),
        most: Duration::from_secs(30 * 86_400),
        example: "10m",
    };

    #[test]
    fn durations_are_read_and_written() {
        for (written, millis, again) in [
            ("10ms", Some(10), "10ms"),
            ("1s", Some(1_000), "1s"),
            ("1.5s", Some(1_500), "1500ms"),
            ("90s", Some(90_000), "90s"),
            ("60s", Some(60_000), "1m"),
            ("0.5h", Some(1_800_000), "30m"),
            ("24hours", Some(86_400_000), "1d"),
            ("30d", Some(30 * 86_400_000), "30d"),
            ("31d", None, ""),
            ("9ms", None, ""),
            ("0s", None, ""),
            ("-1s", None, ""),
            ("+1s", None, ""),
            ("1", None, ""),
            ("1 s", None, ""),
            ("s", None, ""),
            (".5s", None, ""),
            ("1.2.3s", None, ""),
            ("1h30m", None, ""),
            ("99999999999999999999d", None, ""),
            ("soon", None, ""),
            ("", None, ""),
        ] {
            let read = RANGE.parse(written);
            assert_eq!(
                read.as_ref().ok(),
                millis.map(Duration::from_millis).as_ref(),
                "{written}"
            );
            match read {
                Ok(duration) => assert_eq!(text(duration), again, "{written}"),
                Err((message, hint)) => {
                    assert_eq!(message, format!("`{written}` is not a valid time"));
                    assert_eq!(
                        hint.as_deref(),
                        Some("use a time from 10ms to 30d, such as 10m")
                    );
                }
            }
        }
        assert_eq!(text(Duration::ZERO), "0s");
        assert_eq!(Ticks(-1).to_string(), "-1tick");
    }
}
