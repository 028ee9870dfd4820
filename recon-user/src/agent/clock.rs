//! The agent's clock, which nobody sets.
//!
//! In: the kernel's clock of the time since boot, the wall clock, and the clock of an earlier
//! process. Out: the time of windows and incidents, and how far the wall clock is from it.
//! The decisions held here: windows measure time that has passed. If somebody sets the wall clock,
//! a window over it would forget a scan, or never end. So the agent counts on from the wall clock
//! of its start, and what it writes is shifted to the wall clock as it is now. It counts the time
//! of a suspended machine too, since connections may outlast that. A process that goes on with a
//! saved state goes on with its clock, too, if the machine has not booted since. After a boot only
//! the wall clock knows how much time has passed, and it can't have been less than none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::boot;
use crate::duration::text;
use crate::row::Row;

/// A wall clock that is less wrong was not set: the two clocks are read one after the other.
const SET: SignedDuration = SignedDuration::from_secs(1);

/// Where the clock began to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentClock {
    /// The boot. Empty if /proc does not say.
    boot: String,
    #[serde(with = "crate::saved::time")]
    wall: Timestamp,
    since_boot: Duration,
}

static START: OnceLock<AgentClock> = OnceLock::new();

/// The last offset of the wall clock that was logged, in milliseconds.
static LOGGED: AtomicI64 = AtomicI64::new(0);

impl AgentClock {
    /// A clock that begins now.
    fn begin() -> Self {
        Self {
            boot: boot::id().unwrap_or_default(),
            wall: Timestamp::now(),
            since_boot: boot::elapsed().unwrap_or_default(),
        }
    }

    /// The clock of this process.
    pub(super) fn current() -> &'static Self {
        START.get_or_init(Self::begin)
    }

    /// Goes on with the clock of an earlier process, whose last poll was at `last`. To be called
    /// before any other function here. Returns whether the machine has not booted since.
    pub(super) fn resume(earlier: &Self, last: Timestamp) -> bool {
        let begun = Self::begin();
        let is_same_boot = earlier.is_of_boot(&begun);
        let is_first = START.set(earlier.after(begun, last)).is_ok();
        debug_assert!(is_first, "the clock runs already");
        is_same_boot
    }

    /// Whether it is of the boot in which the other one began later.
    fn is_of_boot(&self, later: &Self) -> bool {
        !self.boot.is_empty() && self.boot == later.boot && self.since_boot <= later.since_boot
    }

    /// The clock of a process that has `begun` when this one had come to `last`.
    fn after(&self, begun: Self, last: Timestamp) -> Self {
        match self.is_of_boot(&begun) {
            true => self.clone(),
            false => Self {
                wall: begun.wall.max(last),
                ..begun
            },
        }
    }

    /// The time at which the machine runs for so long.
    fn at(&self, since_boot: Duration) -> Timestamp {
        let passed = since_boot.saturating_sub(self.since_boot);
        let time = self.wall.checked_add(passed).unwrap_or(Timestamp::MAX);
        Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
    }
}

/// The time of windows, in whole milliseconds: finer than polls, and as fine as the dates of
/// Elastic. It never goes back.
pub(super) fn now() -> Timestamp {
    AgentClock::current().at(boot::elapsed().unwrap_or_default())
}

/// How far the wall clock is ahead of [`now`]. Zero unless somebody has set it.
pub(super) fn wall_offset() -> SignedDuration {
    offset(now(), Timestamp::now())
}

fn offset(now: Timestamp, wall: Timestamp) -> SignedDuration {
    let offset = wall.as_millisecond() - now.as_millisecond();
    let offset = SignedDuration::from_millis(offset);
    match offset.abs() < SET {
        true => SignedDuration::ZERO,
        false => offset,
    }
}

/// A time of [`now`] on the wall clock.
pub(super) fn to_wall(time: Timestamp, offset: SignedDuration) -> Timestamp {
    time.checked_add(offset).unwrap_or(time)
}

/// A row with the time of the wall clock.
pub(super) fn on_wall(row: Row<'_>, offset: SignedDuration) -> Row<'_> {
    Row {
        time: to_wall(row.time, offset),
        ..row
    }
}

/// Logs that somebody has set the wall clock since the last call. Returns [`wall_offset`].
pub(super) fn report_offset() -> SignedDuration {
    let offset = wall_offset();
    let millis = i64::try_from(offset.as_millis()).unwrap_or(i64::MAX);
    let before = LOGGED.load(Ordering::Relaxed);
    let step = SignedDuration::from_millis(millis.saturating_sub(before));
    if step.abs() >= SET {
        LOGGED.store(millis, Ordering::Relaxed);
        let way = if step.is_positive() {
            "forward"
        } else {
            "back"
        };
        let seconds = step.unsigned_abs().as_secs_f64().round() as u64;
        tracing::warn!(
            "the wall clock was set {way} by {}: windows and incidents go on, and times in lines are those of the clock as it is now",
            text(Duration::from_secs(seconds))
        );
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_has_an_offset() {
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().expect("a time");
        for (wall, seconds) in [
            ("2026-01-31T10:00:00Z", 0),
            ("2026-01-31T10:00:00.999Z", 0),
            ("2026-01-31T09:59:59.001Z", 0),
            ("2026-01-31T15:00:00Z", 5 * 3600),
            ("2026-01-31T05:00:00Z", -5 * 3600),
            ("1970-01-01T00:00:00Z", -1_769_853_600),
        ] {
            let wall: Timestamp = wall.parse().expect("a time");
            let offset = offset(now, wall);
            assert_eq!(offset, SignedDuration::from_secs(seconds), "{wall}");
            if seconds != 0 {
                assert_eq!(to_wall(now, offset), wall);
            }
        }
    }

    #[test]
    fn a_clock_goes_on_in_the_next_process() {
        let clock = |boot: &str, wall: &str, since_boot| AgentClock {
            boot: boot.to_owned(),
            wall: wall.parse().expect("a time"),
            since_boot: Duration::from_secs(since_boot),
        };
        let earlier = clock("a", "2026-01-31T10:00:00Z", 1000);
        let last = "2026-01-31T10:10:00Z".parse().expect("a time");
        // (what happened, boot, the wall clock and the time since boot at the start of the next
        // process, its time a minute after that)
        for (what, boot, wall, since_boot, expected) in [
            (
                "nothing",
                "a",
                "2026-01-31T10:20:00Z",
                2200,
                "2026-01-31T10:21:00Z",
            ),
            (
                "set forward",
                "a",
                "2026-01-31T15:20:00Z",
                2200,
                "2026-01-31T10:21:00Z",
            ),
            (
                "set back",
                "a",
                "2026-01-31T05:20:00Z",
                2200,
                "2026-01-31T10:21:00Z",
            ),
            (
                "a boot",
                "b",
                "2026-01-31T10:20:00Z",
                5,
                "2026-01-31T10:21:00Z",
            ),
            (
                "a boot, later than before",
                "b",
                "2026-01-31T10:20:00Z",
                2200,
                "2026-01-31T10:21:00Z",
            ),
            (
                "a boot without a clock",
                "b",
                "1970-01-01T00:00:05Z",
                5,
                "2026-01-31T10:11:00Z",
            ),
            (
                "another namespace of time",
                "a",
                "2026-01-31T10:20:00Z",
                5,
                "2026-01-31T10:21:00Z",
            ),
            (
                "no boot id",
                "",
                "2026-01-31T10:20:00Z",
                2200,
                "2026-01-31T10:21:00Z",
            ),
        ] {
            let next = earlier.after(clock(boot, wall, since_boot), last);
            let time = next.at(Duration::from_secs(since_boot + 60));
            assert_eq!(time, expected.parse().expect("a time"), "{what}");
        }
    }
}
