//! When a group is told of again.
//!
//! In: the count of a group at a poll that changed it. Out: whether to alert.
//! The decision held here: one alert when the threshold is crossed, another when the count has grown tenfold since the last one, and
//! anew after a quiet hour, so that one nmap run does not print sixty lines, and tomorrow's is told of again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A group has to stay at or under its threshold for this long before it starts anew: the longest window of the catalogue.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
const ESCALATION: u64 = 10;

/// The alarm of one group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alarm {
    sounded: Option<Sounded>,
    suppressed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sounded {
    /// When the group was last seen over its threshold.
    over_at: Timestamp,
    /// The count that is told of next.
    next: u64,
}

impl Alarm {
    /// Notes the count at `now`. Returns, where it has to be told, how many polls were kept quiet before.
    pub(super) fn note(&mut self, count: u64, threshold: u64, now: Timestamp) -> Option<u64> {
        if count <= threshold {
            return None;
        }
        let due = match self.sounded {
            Some(Sounded { over_at, next }) => count >= next || now.duration_since(over_at) > QUIET,
            None => true,
        };
        let next = match self.sounded {
            Some(Sounded { next, .. }) if !due => next,
            _ => count.saturating_mul(ESCALATION),
        };
        self.sounded = Some(Sounded { over_at: now, next });
        if due {
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed += 1;
        None
    }

    /// Whether it has sounded, and the count was over the threshold at `since` or later.
    pub(super) fn was_over(&self, since: Timestamp) -> bool {
        self.sounded
            .is_some_and(|Sounded { over_at, .. }| over_at >= since)
    }
}

// The rule above is stated for the catalogue's windows.
const _: () = {
    let mut next = 0;
    while next < crate::rule::CATALOGUE.len() {
        let window: Duration = crate::rule::CATALOGUE[next].window;
        assert!(window.as_secs() <= QUIET.as_secs() as u64);
        next += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossing_tenfold_and_anew() {
        let mut alarm = Alarm::default();
        // (minute, count, told with that many kept quiet)
        for (minute, count, told) in [
            (0, 20, None),
            (1, 21, Some(0)),
            (2, 22, None),
            (3, 209, None),
            (4, 210, Some(2)),
            (5, 211, None),
            (6, 5, None),
            (60, 100, None),
            (120, 100, None),
            (181, 21, Some(3)),
            (182, 2_000, Some(0)),
        ] {
            let now = Timestamp::from_second(minute * 60).expect("in range");
            assert_eq!(alarm.note(count, 20, now), told, "at minute {minute}");
        }
    }
}
