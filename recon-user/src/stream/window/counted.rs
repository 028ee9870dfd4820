//! The sum of counts in a window.
//!
//! In: counts, a slice at a time. Out: their sum. The decision held here: the newest slice is a part of the window itself, so that what was
//! seen once takes no heap.

use std::collections::VecDeque;

use super::{Slice, allocated};

/// The sum of counts in a window.
#[derive(Clone, Debug)]
pub struct Counted {
    /// [`Slice::NEVER`] where nothing is held.
    newest: Slice,
    /// What the newest slice holds.
    count: u64,
    older: Option<Box<Older>>,
}

/// Slices before the newest that hold something, oldest first.
#[derive(Clone, Debug, Default)]
struct Older {
    slices: VecDeque<(Slice, u64)>,
    total: u64,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            newest: Slice::NEVER,
            count: 0,
            older: None,
        }
    }
}

impl Counted {
    /// Adds `count` at `now`, after dropping what has left the window. A clock that was set back counts into the newest slice. Returns
    /// whether all of it stays for the whole window: where a slice would take more memory and `may_grow` is false, the newest one takes it,
    /// which leaves earlier.
    pub fn add(&mut self, now: Slice, count: u64, may_grow: bool) -> bool {
        self.expire(now);
        if now > self.newest {
            if self.count > 0 {
                if !may_grow && !self.has_room_for(now) {
                    self.count = self.count.saturating_add(count);
                    return false;
                }
                let older = self.older.get_or_insert_default();
                older.slices.push_back((self.newest, self.count));
                older.total = older.total.saturating_add(self.count);
                self.count = 0;
            }
            self.newest = now;
        }
        self.count = self.count.saturating_add(count);
        true
    }

    /// Whether what is added at `now` takes no more memory.
    pub(super) fn has_room_for(&self, now: Slice) -> bool {
        let older = self.older.as_ref();
        now <= self.newest
            || self.count == 0
            || older.is_some_and(|older| older.slices.len() < older.slices.capacity())
    }

    /// Drops what has left the window at `now`.
    pub fn expire(&mut self, now: Slice) {
        let oldest = now.oldest();
        if let Some(older) = &mut self.older {
            while let Some(&(slice, count)) = older.slices.front()
                && slice < oldest
            {
                older.total = older.total.saturating_sub(count);
                older.slices.pop_front();
            }
            if older.slices.is_empty() {
                self.older = None;
            }
        }
        if self.newest < oldest {
            *self = Self::default();
        }
    }

    /// What the window holds.
    #[must_use]
    pub fn total(&self) -> u64 {
        let older = self.older.as_ref().map_or(0, |older| older.total);
        older.saturating_add(self.count)
    }

    /// The bytes of heap that it takes.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.older.as_ref().map_or(0, |older| {
            let slices = older.slices.capacity() * size_of::<(Slice, u64)>();
            allocated(size_of::<Older>()) + allocated(slices)
        })
    }

    /// The newest slice that holds something, or did.
    pub(super) fn newest(&self) -> Slice {
        self.newest
    }

    /// The oldest slice that is held.
    pub(super) fn oldest(&self) -> Slice {
        let older = self.older.as_ref();
        let oldest = older.and_then(|older| older.slices.front());
        oldest.map_or(self.newest, |&(slice, _)| slice)
    }

    /// Takes one event out of `slice`, where it is counted.
    pub(super) fn take_one(&mut self, slice: Slice) {
        if slice == self.newest {
            self.count -= 1;
        } else if let Some(older) = &mut self.older
            && let Ok(place) = older
                .slices
                .binary_search_by_key(&slice, |&(slice, _)| slice)
        {
            older.slices[place].1 -= 1;
            older.total -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::slice;
    use super::*;

    #[test]
    fn the_window_slides() {
        // (second, count added, total after)
        let mut window = Counted::default();
        for (second, count, total) in [
            (0, 5, 5),
            (59, 1, 6),
            (60, 1, 7),
            (30, 1, 8),
            (3599, 1, 9),
            (3600, 0, 3),
            (3659, 0, 3),
            (3660, 0, 1),
            (90_000, 0, 0),
        ] {
            assert!(window.add(slice(second), count, true));
            assert_eq!(window.total(), total, "at {second} s");
        }
        assert_eq!(window.heap(), 0, "empty");
    }

    #[test]
    fn one_slice_takes_no_heap_and_another_waits_for_memory() {
        let mut window = Counted::default();
        // (second, may grow, held, takes heap, total)
        for (second, may_grow, held, takes_heap, total) in [
            (0, false, true, false, 1),
            (59, false, true, false, 2),
            (60, false, false, false, 3),
            (60, true, true, true, 4),
            (120, false, true, true, 5),
            // Three were counted in the first minute, as it was said that they might leave early.
            (3600, false, true, true, 3),
        ] {
            let found = window.add(slice(second), 1, may_grow);
            assert_eq!(
                (found, window.heap() > 0, window.total()),
                (held, takes_heap, total),
                "at {second} s"
            );
        }
    }
}
