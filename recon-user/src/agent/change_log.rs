//! Log lines on interfaces that come and go.
//!
//! In: a line for each change. Out: the first lines of each minute, and one that counts the rest.
//! The decision held here: a host that starts a thousand containers must not lose its other log
//! lines among theirs. `-v` logs each.

use std::fmt::Arguments;
use std::time::{Duration, Instant};

/// Lines of a period.
const LINES: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);

/// What was logged of this period.
#[derive(Debug)]
pub(super) struct ChangeLog {
    began: Instant,
    lines: u32,
    suppressed: u32,
}

impl ChangeLog {
    /// Nothing is logged yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            lines: 0,
            suppressed: 0,
        }
    }

    /// Logs one more line, which only `-v` shows if there are too many.
    pub(super) fn log(&mut self, line: Arguments<'_>) {
        match self.admits() {
            true => tracing::info!("{line}"),
            false => tracing::debug!("{line}"),
        }
    }

    /// Counts one more line. Returns whether it is among the first of the period.
    fn admits(&mut self) -> bool {
        let is_admitted = self.lines < LINES;
        match is_admitted {
            true => self.lines += 1,
            false => self.suppressed += 1,
        }
        is_admitted
    }

    /// Ends the period if it is over. Returns how many lines it has suppressed.
    pub(super) fn end_period(&mut self, now: Instant) -> Option<u32> {
        if now.duration_since(self.began) < PERIOD {
            return None;
        }
        let suppressed = self.suppressed;
        *self = Self::new(now);
        (suppressed > 0).then_some(suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_few_lines_and_a_count_of_the_rest() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut changes = ChangeLog::new(start);
        // (seconds, changes, lines among them, suppressed at the end of a period)
        for (seconds, count, lines, ended) in [
            (1, 5, 5, None),
            (2, 100, 15, None),
            (60, 1, 1, Some(85)),
            (120, 0, 0, None),
            (180, 21, 20, None),
            (240, 0, 0, Some(1)),
        ] {
            assert_eq!(changes.end_period(at(seconds)), ended, "{seconds} s");
            let logged = (0..count).filter(|_| changes.admits()).count();
            assert_eq!(logged, lines, "{seconds} s");
        }
    }
}
