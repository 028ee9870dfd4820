//! Sliding windows: how much of a group lies in the last hour or minute.
//!
//! In: counts with the time they were drained at. Out: a sum ([`Counted`]), a number of distinct members ([`Distinct`]) or of sources
//! ([`Sources`]), and the heap that each takes.
//! The decisions held here:
//! - A window is 60 slices that are dropped as they age, created when they are needed. A scan that straddles the edge of a fixed bin is seen
//!   whole; the price is that the window looks back between 59/60 of its length and all of it, never further, so what is older than the
//!   window never adds to an alert.
//! - What a flood makes most, windows with one event, takes no heap: a second slice or member does.
//! - Whoever keeps windows says whether they may grow. One that may not takes what it can without any more memory, and says what it could not:
//!   the count is a lower bound then.

mod counted;
mod distinct;
mod sources;

use std::time::Duration;

use jiff::Timestamp;

pub use counted::Counted;
pub use distinct::{Distinct, Member};
pub use sources::Sources;

/// Slices of a window: one minute of an hour, one second of a minute.
const SLICES: i64 = 60;

/// A slice's number: the time divided by the slice's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice(i64);

impl Slice {
    /// Before any other.
    const NEVER: Self = Self(i64::MIN);

    /// The slice of a window of that length in which `time` lies.
    #[must_use]
    pub fn of(time: Timestamp, window: Duration) -> Self {
        let number = time.as_nanosecond().div_euclid(Self::width(window));
        // Only windows of microseconds have numbers that are greater.
        let bounded = number.clamp(i64::MIN.into(), i64::MAX.into());
        Self(bounded as i64)
    }

    /// The width of a slice, in nanoseconds.
    fn width(window: Duration) -> i128 {
        (window.as_nanos() as i128 / i128::from(SLICES)).max(1)
    }

    /// The oldest slice that is still in the window when this one is the newest.
    #[must_use]
    pub fn oldest(self) -> Self {
        Self(self.0.saturating_sub(SLICES - 1))
    }
}

/// When a window of that length begins whose newest slice is that of `time`.
#[must_use]
pub fn begin(time: Timestamp, window: Duration) -> Timestamp {
    let Slice(oldest) = Slice::of(time, window).oldest();
    Timestamp::from_nanosecond(i128::from(oldest).saturating_mul(Slice::width(window)))
        .unwrap_or(Timestamp::MIN)
}

/// What an allocation of so many bytes takes of the heap: glibc puts a word before each and rounds to two.
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

    pub(super) fn slice(second: i64) -> Slice {
        Slice::of(Timestamp::from_second(second).expect("in range"), HOUR)
    }

    #[test]
    fn a_window_begins_where_its_oldest_slice_does() {
        let minute = Duration::from_secs(60);
        for (second, window, expected) in [
            (7200, HOUR, 3660),
            (7259, HOUR, 3660),
            (7260, HOUR, 3720),
            (7200, minute, 7141),
        ] {
            let time = Timestamp::from_second(second).expect("in range");
            assert_eq!(begin(time, window).as_second(), expected, "at {second} s");
        }
    }

    #[test]
    fn slices_of_the_shortest_window_and_the_longest_time_have_numbers() {
        for (time, expected) in [
            (Timestamp::MAX, Slice(i64::MAX)),
            (Timestamp::UNIX_EPOCH, Slice(0)),
            (Timestamp::MIN, Slice(i64::MIN)),
        ] {
            assert_eq!(Slice::of(time, Duration::from_nanos(1)), expected);
            assert!(expected.oldest() <= expected);
        }
    }

    proptest! {
        #[test]
        fn sums_equal_those_of_a_full_history(steps in prop::collection::vec((0_i64..400, 0_u64..9, 0_u16..40), 1..200)) {
            let mut now = 0;
            let mut history = Vec::new();
            let mut counted = Counted::default();
            let mut distinct = Distinct::default();
            for (ahead, count, member) in steps {
                now += ahead;
                prop_assert!(counted.add(slice(now), count, true));
                prop_assert!(distinct.add(slice(now), member, usize::MAX, true));
                history.push((slice(now), count, member));
                let live = || history.iter().filter(|(then, ..)| *then >= slice(now).oldest());
                prop_assert_eq!(counted.total(), live().map(|(_, count, _)| count).sum::<u64>());
                let members: std::collections::HashSet<u16> = live().map(|&(_, _, member)| member).collect();
                prop_assert_eq!(&distinct.members().copied().collect::<std::collections::HashSet<u16>>(), &members);
                prop_assert_eq!(distinct.total(), members.len() as u64);
            }
        }

        #[test]
        fn what_may_not_grow_takes_no_more_heap_and_counts_no_more_than_there_was(
            steps in prop::collection::vec((0_i64..400, 0_u16..40, any::<bool>()), 1..200)
        ) {
            let mut now = 0;
            let mut history = Vec::new();
            let mut counted = Counted::default();
            let mut distinct = Distinct::default();
            for (ahead, member, may_grow) in steps {
                now += ahead;
                let before = (counted.heap(), distinct.heap());
                counted.add(slice(now), 1, may_grow);
                distinct.add(slice(now), member, usize::MAX, may_grow);
                let after = (counted.heap(), distinct.heap());
                prop_assert!(may_grow || after.0 <= before.0 && after.1 <= before.1, "{before:?} {after:?}");
                history.push((slice(now), member));
                let live = || history.iter().filter(|(then, _)| *then >= slice(now).oldest());
                let members: std::collections::HashSet<u16> = live().map(|&(_, member)| member).collect();
                prop_assert!(counted.total() <= live().count() as u64);
                prop_assert!(distinct.members().all(|member| members.contains(member)));
            }
        }
    }
}
