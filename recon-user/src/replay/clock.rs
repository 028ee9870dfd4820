//! The clock of a capture.
//!
//! In: the times of packets. Out: a time that never goes back, and how far the capture's own time
//! is from it.
//! The decisions held here: as the agent's clock, it measures time that passes. Packets that are a
//! little late count at the time of those before them. A leap counts once a second packet confirms
//! it: one packet with a broken time stamp must neither end all windows nor stop the clock. A
//! confirmed leap ahead is time that has passed, such as between two files. A leap back is a clock
//! that was set, or files in the wrong order: the time goes on, and alerts have the capture's.

use jiff::{SignedDuration, Timestamp};

/// Packets may be late by so much: captures of several processors are not quite in order.
const LATE: SignedDuration = SignedDuration::from_secs(60);
/// A leap ahead that needs no confirmation.
const QUIET: SignedDuration = SignedDuration::from_hours(24);

/// What was wrong with the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeFaults {
    /// Packets that were older than those before them, by up to a minute.
    pub(super) late: u64,
    /// Packets with a time far from those before and behind them.
    pub(super) broken: u64,
    /// How often the time went back by more than a minute.
    pub(super) back: u64,
    /// How often it went ahead by more than a day.
    pub(super) ahead: u64,
}

/// The clock.
#[derive(Debug, Default)]
pub(super) struct CaptureClock {
    /// The time of the latest packet.
    now: Option<Timestamp>,
    /// How far the capture's time is ahead of that.
    offset: SignedDuration,
    /// Where a leap leads to that nothing has confirmed.
    leap: Option<Timestamp>,
    pub(super) faults: TimeFaults,
}

impl CaptureClock {
    /// The time at which a packet counts. Without a time of its own it is that of the one before.
    pub(super) fn advance(&mut self, time: Option<Timestamp>) -> Timestamp {
        let Some(time) = time else {
            return self.now.unwrap_or(Timestamp::UNIX_EPOCH);
        };
        let Some(now) = self.now else {
            self.now = Some(time);
            return time;
        };
        // Most captures have no leap back, and subtracting nothing takes as long as a look-up.
        let time = match self.offset.is_zero() {
            true => time,
            false => time.checked_sub(self.offset).unwrap_or(time),
        };
        // Most packets follow soon, which whole seconds show.
        if time >= now && time.as_second() - now.as_second() < QUIET.as_secs() {
            self.leap = None;
            self.now = Some(time);
            return time;
        }
        let passed = time.duration_since(now);
        let now = if passed > QUIET || passed < -LATE {
            self.leap(now, time)
        } else {
            self.leap = None;
            self.faults.late += u64::from(passed < SignedDuration::ZERO);
            now.max(time)
        };
        self.now = Some(now);
        now
    }

    fn leap(&mut self, now: Timestamp, time: Timestamp) -> Timestamp {
        let is_confirmed = |leap: Timestamp| time.duration_since(leap).abs() <= LATE;
        if !self.leap.is_some_and(is_confirmed) {
            self.leap = Some(time);
            self.faults.broken += 1;
            return now;
        }
        self.leap = None;
        // The first packet behind the leap was not broken.
        self.faults.broken -= 1;
        if time > now {
            self.faults.ahead += 1;
            return time;
        }
        self.faults.back += 1;
        let back = time.duration_since(now);
        self.offset = self.offset.checked_add(back).unwrap_or(self.offset);
        now
    }

    /// How far the capture's time is ahead of this clock's.
    pub(super) const fn offset(&self) -> SignedDuration {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_never_goes_back() {
        const DAY: i64 = 86_400;
        let none = TimeFaults::default();
        // (times of packets, when they count, what was wrong, seconds that the capture's time is
        // ahead at the end)
        for (times, expected, faults, offset) in [
            (&[0, 1, 60][..], &[0, 1, 60][..], none, 0),
            (&[9, 8, 10], &[9, 9, 10], TimeFaults { late: 1, ..none }, 0),
            // One broken time stamp.
            (
                &[0, 99 * DAY, 1],
                &[0, 0, 1],
                TimeFaults { broken: 1, ..none },
                0,
            ),
            (
                &[100, -DAY, 101],
                &[100, 100, 101],
                TimeFaults { broken: 1, ..none },
                0,
            ),
            // Two that do not agree.
            (
                &[0, 99 * DAY, 55 * DAY, 1],
                &[0, 0, 0, 1],
                TimeFaults { broken: 2, ..none },
                0,
            ),
            // The next file.
            (
                &[0, 3 * DAY, 3 * DAY + 1, 3 * DAY + 2],
                &[0, 0, 3 * DAY + 1, 3 * DAY + 2],
                TimeFaults { ahead: 1, ..none },
                0,
            ),
            // A clock that was set back by an hour.
            (
                &[3600, 0, 1, 2, 3],
                &[3600, 3600, 3600, 3601, 3602],
                TimeFaults { back: 1, ..none },
                -3599,
            ),
        ] {
            let mut clock = CaptureClock::default();
            let at = |second| Timestamp::from_second(second).expect("a time");
            let found: Vec<i64> = times
                .iter()
                .map(|&time| clock.advance(Some(at(time))).as_second())
                .collect();
            assert_eq!(found, expected, "{times:?}");
            assert_eq!(clock.faults, faults, "{times:?}");
            assert_eq!(clock.offset().as_secs(), offset, "{times:?}");
        }
    }
}
