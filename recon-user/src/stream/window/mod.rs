//! Sliding windows: how much of a group lies in the last hour or minute.
//!
//! In: counts with the time at which they were drained. Out: a sum ([`Counted`]), the number of
//! distinct members ([`Distinct`]) or of sources ([`Sources`]), and the heap that each takes.
//! The decisions held here:
//! - A window is 60 panes, which are created when needed and dropped as they age. A scan that
//!   straddles the edge of a fixed bin is seen whole. The price: the window looks back between
//!   59/60 of its length and its full length, never further, so that events older than the window
//!   never add to an alert.
//! - Windows with one event, which a flood creates most, take no heap. A second pane or member
//!   does.
//! - The owner of a window says whether it may grow. A window that may not grow takes what it can
//!   without more memory and reports what it could not take; its count is then a lower bound.

mod counted;
mod distinct;
mod owned;
mod ranks;
mod sources;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use counted::Counted;
pub use distinct::{Distinct, Member};
pub(crate) use owned::OwnedPorts;
pub use sources::Sources;

/// Panes of a window: a minute each for an hour, a second each for a minute.
const PANES: i64 = 60;

/// The number of a pane: the time divided by the width of a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pane(i64);

impl Pane {
    /// Before any pane.
    const NEVER: Self = Self(i64::MIN);

    /// The pane in which `time` lies, for a window of length `window`.
    #[must_use]
    pub fn of(time: Timestamp, window: Duration) -> Self {
        let number = time.as_nanosecond().div_euclid(Self::width(window));
        // Only windows of microseconds reach these bounds.
        let bounded = number.clamp(i64::MIN.into(), i64::MAX.into());
        Self(bounded as i64)
    }

    /// The width of a pane, in nanoseconds.
    fn width(window: Duration) -> i128 {
        (window.as_nanos() as i128 / i128::from(PANES)).max(1)
    }

    /// The oldest pane that is still in the window when this pane is the newest.
    #[must_use]
    pub fn oldest(self) -> Self {
        Self(self.0.saturating_sub(PANES - 1))
    }
}

/// The begin of a window of length `window` whose newest pane contains `time`.
#[must_use]
pub fn window_start(time: Timestamp, window: Duration) -> Timestamp {
    let Pane(oldest) = Pane::of(time, window).oldest();
    Timestamp::from_nanosecond(i128::from(oldest).saturating_mul(Pane::width(window)))
        .unwrap_or(Timestamp::MIN)
}

/// The heap that an allocation of `bytes` takes: glibc adds a word and rounds up to two words.
#[must_use]
pub(crate) const fn allocated(bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    match bytes {
        0 => 0,
        _ => (bytes + WORD).next_multiple_of(2 * WORD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    pub(super) fn pane(second: i64) -> Pane {
        Pane::of(Timestamp::from_second(second).expect("in range"), HOUR)
    }

    #[test]
    fn a_window_begins_with_its_oldest_pane() {
        let minute = Duration::from_secs(60);
        for (second, window, expected) in [
            (7200, HOUR, 3660),
            (7259, HOUR, 3660),
            (7260, HOUR, 3720),
            (7200, minute, 7141),
        ] {
            let time = Timestamp::from_second(second).expect("in range");
            assert_eq!(
                window_start(time, window).as_second(),
                expected,
                "at {second} s"
            );
        }
    }

    #[test]
    fn pane_numbers_are_bounded_for_the_shortest_window() {
        for (time, expected) in [
            (Timestamp::MAX, Pane(i64::MAX)),
            (Timestamp::UNIX_EPOCH, Pane(0)),
            (Timestamp::MIN, Pane(i64::MIN)),
        ] {
            assert_eq!(Pane::of(time, Duration::from_nanos(1)), expected);
            assert!(expected.oldest() <= expected);
        }
    }

    proptest! {
        #[test]
        fn windows_equal_a_full_history(steps in prop::collection::vec((0_i64..400, 0_u64..9, 0_u16..40), 1..200)) {
            let mut now = 0;
            let mut history = Vec::new();
            let mut counted = Counted::default();
            let mut distinct = Distinct::default();
            for (ahead, count, member) in steps {
                now += ahead;
                prop_assert!(counted.add(pane(now), count, true));
                prop_assert!(distinct.add(pane(now), member, usize::MAX, true));
                history.push((pane(now), count, member));
                let live = || history.iter().filter(|(then, ..)| *then >= pane(now).oldest());
                prop_assert_eq!(counted.total(), live().map(|(_, count, _)| count).sum::<u64>());
                let members: std::collections::HashSet<u16> = live().map(|&(_, _, member)| member).collect();
                prop_assert_eq!(&distinct.members().copied().collect::<std::collections::HashSet<u16>>(), &members);
                prop_assert_eq!(distinct.total(), members.len() as u64);
            }
        }

        #[test]
        fn windows_that_may_not_grow_take_no_more_heap_and_never_overcount(
            steps in prop::collection::vec((0_i64..400, 0_u16..40, any::<bool>()), 1..200)
        ) {
            let mut now = 0;
            let mut history = Vec::new();
            let mut counted = Counted::default();
            let mut distinct = Distinct::default();
            for (ahead, member, may_grow) in steps {
                now += ahead;
                let before = (counted.heap(), distinct.heap());
                counted.add(pane(now), 1, may_grow);
                distinct.add(pane(now), member, usize::MAX, may_grow);
                let after = (counted.heap(), distinct.heap());
                prop_assert!(may_grow || after.0 <= before.0 && after.1 <= before.1, "{before:?} {after:?}");
                history.push((pane(now), member));
                let live = || history.iter().filter(|(then, _)| *then >= pane(now).oldest());
                let members: std::collections::HashSet<u16> = live().map(|&(_, member)| member).collect();
                prop_assert!(counted.total() <= live().count() as u64);
                prop_assert!(distinct.members().all(|member| members.contains(member)));
            }
        }
    }
}
