//! The agent's clock, which nobody sets.
//!
//! In: the kernel's clock of the time since boot, and the wall clock. Out: the time of windows and
//! incidents, and how far the wall clock is from it.
//! The decisions held here: windows measure time that has passed. If somebody sets the wall clock,
//! a window over it would forget a scan, or never end. So the agent counts on from the wall clock
//! of its start, and what it writes is shifted to the wall clock as it is now. It counts the time
//! of a suspended machine too, since connections may outlast that.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

use crate::duration::text;
use crate::row::Row;

/// A wall clock that is less wrong was not set: the two clocks are read one after the other.
const SET: SignedDuration = SignedDuration::from_secs(1);

/// Where this process began to count.
struct Start {
    wall: Timestamp,
    since_boot: Duration,
}

static START: LazyLock<Start> = LazyLock::new(|| Start {
    wall: Timestamp::now(),
    since_boot: since_boot(),
});

/// The last offset of the wall clock that was logged, in milliseconds.
static LOGGED: AtomicI64 = AtomicI64::new(0);

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// The time of windows, in whole milliseconds: finer than polls, and as fine as the dates of
/// Elastic. It never goes back.
pub(super) fn now() -> Timestamp {
    let passed = since_boot().saturating_sub(START.since_boot);
    let now = START.wall.checked_add(passed).unwrap_or(Timestamp::MAX);
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
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
        log::warn!(
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
}
