//! Sliding windows: how much of a group lies in the last hour or minute.
//!
//! In: counts with the time they were drained at. Out: a sum ([`Counted`]) or a number of distinct members ([`Distinct`]).
//! The decision held here: a window is 60 slices that are dropped as they age, created when they are needed. A scan that
//! straddles the edge of a fixed bin is seen whole; the price is that the window looks back between 59/60 of its length and
//! all of it, never further, so what is older than the window never adds to an alert.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use jiff::Timestamp;

/// Slices of a window: one minute of an hour, one second of a minute.
const SLICES: i128 = 60;

/// A slice's number: the time divided by the slice's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice(i128);

impl Slice {
    /// The slice of a window of that length in which `time` lies.
    #[must_use]
    pub fn of(time: Timestamp, window: Duration) -> Self {
        Self(time.as_nanosecond().div_euclid(Self::width(window)))
    }

    /// The width of a slice, in nanoseconds.
    fn width(window: Duration) -> i128 {
        (window.as_nanos() as i128 / SLICES).max(1)
    }

    /// The oldest slice that is still in the window when this one is the newest.
    #[must_use]
    pub fn oldest(self) -> Self {
        Self(self.0 - (SLICES - 1))
    }
}

/// When a window of that length begins whose newest slice is that of `time`.
#[must_use]
pub fn begin(time: Timestamp, window: Duration) -> Timestamp {
    let Slice(oldest) = Slice::of(time, window).oldest();
    Timestamp::from_nanosecond(oldest.saturating_mul(Slice::width(window)))
        .unwrap_or(Timestamp::MIN)
}

/// The sum of counts in a window.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Slices that hold something, oldest first.
    slices: VecDeque<(Slice, u64)>,
    total: u64,
}

impl Counted {
    /// Adds `count` at `now`, after dropping what has left the window. A clock that was set back counts into the newest slice.
    pub fn add(&mut self, now: Slice, count: u64) {
        self.expire(now);
        self.total += count;
        match self.slices.back_mut() {
            Some((slice, sum)) if *slice >= now => *sum += count,
            _ => self.slices.push_back((now, count)),
        }
    }

    /// Drops what has left the window at `now`.
    pub fn expire(&mut self, now: Slice) {
        while let Some(&(slice, count)) = self.slices.front() {
            if slice >= now.oldest() {
                break;
            }
            self.total -= count;
            self.slices.pop_front();
        }
    }

    /// What the window holds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Takes one event out of `slice`, where it is counted.
    fn take_one(&mut self, slice: Slice) {
        if let Ok(place) = self
            .slices
            .binary_search_by_key(&slice, |&(slice, _)| slice)
        {
            self.slices[place].1 -= 1;
            self.total -= 1;
        }
    }
}

/// How many different members were seen in a window.
#[derive(Clone, Debug)]
pub struct Distinct<M> {
    /// The slice in which each member was last seen.
    last: HashMap<M, Slice>,
    /// How many members were last seen in each slice.
    counted: Counted,
}

impl<M> Default for Distinct<M> {
    fn default() -> Self {
        Self {
            last: HashMap::new(),
            counted: Counted::default(),
        }
    }
}

impl<M: Eq + Hash> Distinct<M> {
    /// Notes that `member` was seen at `now`. Returns whether it could be held: a new one can't where there are `limit` already.
    pub fn add(&mut self, now: Slice, member: M, limit: usize) -> bool {
        self.counted.expire(now);
        let held = self.last.len();
        if let Some(last) = self.last.get_mut(&member) {
            if *last >= now {
                return true;
            }
            self.counted.take_one(*last);
            *last = now;
        } else {
            if held >= limit {
                return false;
            }
            self.last.insert(member, now);
        }
        self.counted.add(now, 1);
        // Members that have left the window go in bulk, so that each costs the same however many there are.
        const SPARE: u64 = 64;
        if self.last.len() as u64 > 2 * self.counted.total() + SPARE {
            self.last.retain(|_, last| *last >= now.oldest());
        }
        true
    }

    /// Drops what has left the window at `now`.
    pub fn expire(&mut self, now: Slice) {
        self.counted.expire(now);
    }

    /// How many members the window holds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counted.total()
    }

    /// The members that the window holds, in no order.
    pub fn members(&self) -> impl Iterator<Item = &M> {
        let oldest = self.counted.slices.front().map(|&(slice, _)| slice);
        let is_held = move |last: Slice| oldest.is_some_and(|oldest| last >= oldest);
        self.last
            .iter()
            .filter_map(move |(member, &last)| is_held(last).then_some(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn slice(second: i64) -> Slice {
        Slice::of(Timestamp::from_second(second).expect("in range"), HOUR)
    }

    #[test]
    fn the_window_slides() {
        // (second, count added, total after)
        let mut window = Counted::default();
        for (second, count, total) in [
            (0, 5, 5),
            (59, 1, 6),
            (60, 1, 7),
            (3599, 1, 8),
            (3600, 0, 2),
            (3659, 0, 2),
            (3660, 0, 1),
            (90_000, 0, 0),
        ] {
            window.add(slice(second), count);
            assert_eq!(window.total(), total, "at {second} s");
        }
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
    fn members_count_once_and_leave() {
        let mut window = Distinct::default();
        for (second, member, total) in [
            (0, 1, 1),
            (0, 1, 1),
            (60, 2, 2),
            (120, 1, 2),
            (3659, 3, 3),
            (3660, 3, 2),
            (3720, 3, 1),
        ] {
            assert!(window.add(slice(second), member, 10));
            assert_eq!(window.total(), total, "at {second} s");
        }
    }

    #[test]
    fn members_are_bounded_and_room_comes_back() {
        let mut window = Distinct::default();
        assert!(window.add(slice(0), 1, 2) && window.add(slice(0), 2, 2));
        assert!(!window.add(slice(0), 3, 2));
        assert!(
            window.add(slice(0), 1, 2),
            "a member that is held is still seen"
        );
        assert_eq!(window.total(), 2);
    }

    proptest! {
        #[test]
        fn sums_equal_those_of_a_full_history(steps in prop::collection::vec((0_i64..400, 0_u64..9, 0_u16..20), 1..200)) {
            let mut now = 0;
            let mut history = Vec::new();
            let mut counted = Counted::default();
            let mut distinct = Distinct::default();
            for (ahead, count, member) in steps {
                now += ahead;
                counted.add(slice(now), count);
                distinct.add(slice(now), member, usize::MAX);
                history.push((slice(now), count, member));
                let live = || history.iter().filter(|(then, ..)| *then >= slice(now).oldest());
                prop_assert_eq!(counted.total(), live().map(|(_, count, _)| count).sum::<u64>());
                let members: std::collections::HashSet<u16> = live().map(|&(_, _, member)| member).collect();
                prop_assert_eq!(&distinct.members().copied().collect::<std::collections::HashSet<u16>>(), &members);
                prop_assert_eq!(distinct.total(), members.len() as u64);
            }
        }
    }
}
