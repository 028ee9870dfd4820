//! The sum of counts in a window.
//!
//! In: counts, one pane at a time. Out: their sum.
//! The decision held here: the newest pane is part of the window itself, so that a single event
//! takes no heap.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Pane, allocated};

/// The sum of counts in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// The newest pane, [`Pane::NEVER`] if the window is empty.
    newest: Pane,
    /// The count of the newest pane.
    count: u64,
    older: Option<Box<Older>>,
}

/// The earlier panes that are not empty, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Older {
    panes: VecDeque<(Pane, u64)>,
    total: u64,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            newest: Pane::NEVER,
            count: 0,
            older: None,
        }
    }
}

impl Counted {
    /// Adds `count` at `now`, after dropping expired panes. After the clock was set back, the
    /// newest pane takes the count. Returns whether the count stays for the whole window: if a new
    /// pane would take more memory and `may_grow` is false, the newest pane takes it and expires
    /// earlier.
    pub fn add(&mut self, now: Pane, count: u64, may_grow: bool) -> bool {
        self.expire(now);
        if now > self.newest {
            if self.count > 0 {
                if !may_grow && !self.has_room_for(now) {
                    self.count = self.count.saturating_add(count);
                    return false;
                }
                let older = self.older.get_or_insert_default();
                older.panes.push_back((self.newest, self.count));
                older.total = older.total.saturating_add(self.count);
                self.count = 0;
            }
            self.newest = now;
        }
        self.count = self.count.saturating_add(count);
        true
    }

    /// Whether adding at `now` takes no more memory.
    pub(super) fn has_room_for(&self, now: Pane) -> bool {
        let older = self.older.as_ref();
        now <= self.newest
            || self.count == 0
            || older.is_some_and(|older| older.panes.len() < older.panes.capacity())
    }

    /// Drops the panes that have left the window at `now`.
    #[inline]
    pub fn expire(&mut self, now: Pane) {
        // The first count of a pane has dropped them.
        if now != self.newest {
            self.drop_before(now.oldest());
        }
    }

    fn drop_before(&mut self, oldest: Pane) {
        if let Some(older) = &mut self.older {
            while let Some(&(pane, count)) = older.panes.front()
                && pane < oldest
            {
                older.total = older.total.saturating_sub(count);
                older.panes.pop_front();
            }
            if older.panes.is_empty() {
                self.older = None;
            }
        }
        if self.newest < oldest {
            *self = Self::default();
        }
    }

    /// The sum over the window.
    #[must_use]
    pub fn total(&self) -> u64 {
        let older = self.older.as_ref().map_or(0, |older| older.total);
        older.saturating_add(self.count)
    }

    /// The bytes of heap that the window takes.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.older.as_ref().map_or(0, |older| {
            let panes = older.panes.capacity() * size_of::<(Pane, u64)>();
            allocated(size_of::<Older>()) + allocated(panes)
        })
    }

    /// The newest pane that has been counted into.
    pub(super) fn newest(&self) -> Pane {
        self.newest
    }

    /// The oldest pane in the window.
    pub(super) fn oldest(&self) -> Pane {
        let older = self.older.as_ref();
        let oldest = older.and_then(|older| older.panes.front());
        oldest.map_or(self.newest, |&(pane, _)| pane)
    }

    /// Removes one event from `pane`, which has counted it.
    pub(super) fn take_one(&mut self, pane: Pane) {
        if pane == self.newest {
            self.count -= 1;
        } else if let Some(older) = &mut self.older
            && let Ok(place) = older.panes.binary_search_by_key(&pane, |&(pane, _)| pane)
        {
            older.panes[place].1 -= 1;
            older.total -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pane;
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
            assert!(window.add(pane(second), count, true));
            assert_eq!(window.total(), total, "at {second} s");
        }
        assert_eq!(window.heap(), 0, "empty");
    }

    #[test]
    fn one_pane_takes_no_heap_and_a_second_must_be_allowed_to_grow() {
        let mut window = Counted::default();
        // (second, may grow, stays for the whole window, takes heap, total)
        for (second, may_grow, held, takes_heap, total) in [
            (0, false, true, false, 1),
            (59, false, true, false, 2),
            (60, false, false, false, 3),
            (60, true, true, true, 4),
            (120, false, true, true, 5),
            // The pane of the first minute took three of them, which therefore expire early.
            (3600, false, true, true, 3),
        ] {
            let found = window.add(pane(second), 1, may_grow);
            assert_eq!(
                (found, window.heap() > 0, window.total()),
                (held, takes_heap, total),
                "at {second} s"
            );
        }
    }
}
