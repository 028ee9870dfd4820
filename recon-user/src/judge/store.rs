//! Where the groups of a rule lie, and how much memory they take.
//!
//! In: groups. Out: their positions, and the bytes of all of them.
//! The decisions held here:
//! - Groups lie side by side, and an index has their positions: a hash table of the groups themselves would be half empty, and twice as
//!   large whenever it grows.
//! - What a group holds on the heap is accounted for when it has changed, as the difference to what it held before.

use hashbrown::HashTable;

use super::group::Group;
use super::key::Wanted;
use crate::window::allocated;

/// Slots are added by this share of those that there are, or by the least number; a quarter of that will do at the bound.
const GROWN_SHARE: usize = 8;
const LEAST_GROWTH: usize = 8;
const AT_THE_BOUND: usize = 4;
/// An index that is used less than this share goes to a smaller one.
const USED_SHARE: usize = 4;
/// Where a group went that is gone.
const GONE: u32 = u32::MAX;

/// A group's hash, and where it is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    position: u32,
}

impl Entry {
    /// The table takes its bucket from the low bits and its tag from the high ones.
    fn hash(&self) -> u64 {
        widened(self.hash)
    }
}

fn widened(hash: u32) -> u64 {
    u64::from(hash) << u32::BITS | u64::from(hash)
}

/// Where groups went, by where they were.
#[derive(Debug)]
pub(super) struct Moved(Vec<u32>);

impl Moved {
    /// Follows the group that was there. Returns whether it still is.
    pub(super) fn follow(&self, position: &mut u32) -> bool {
        *position = self.0[*position as usize];
        *position != GONE
    }
}

/// The groups of one rule.
#[derive(Debug, Default)]
pub(super) struct Store {
    slots: Vec<Group>,
    index: HashTable<Entry>,
    /// The bytes that groups hold on the heap.
    heap: usize,
}

impl Store {
    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The bytes that the groups take.
    pub(super) fn bytes(&self) -> usize {
        allocated(self.slots.capacity() * size_of::<Group>())
            + allocated(self.index.allocation_size())
            + self.heap
    }

    /// The bytes that one more takes beside its heap.
    pub(super) fn growth(&self) -> usize {
        let mut growth = 0;
        if self.is_full() {
            growth += self.least_growth() * size_of::<Group>();
        }
        if self.index.len() == self.index.capacity() {
            // While the groups go to a larger one both are there.
            growth += 2 * self.index.allocation_size();
        }
        growth
    }

    fn is_full(&self) -> bool {
        self.slots.len() == self.slots.capacity()
    }

    /// By how many slots to grow.
    fn best_growth(&self) -> usize {
        (self.slots.len() / GROWN_SHARE).max(LEAST_GROWTH)
    }

    fn least_growth(&self) -> usize {
        (self.best_growth() / AT_THE_BOUND).max(1)
    }

    /// Where the group is.
    pub(super) fn find(&self, wanted: &Wanted<'_>, hash: u32) -> Option<u32> {
        let is_it =
            |entry: &Entry| entry.hash == hash && self.slots[entry.position as usize].is(wanted);
        let found = self.index.find(widened(hash), is_it);
        found.map(|entry| entry.position)
    }

    /// Adds a group that is not there, and returns where. There have to be as many bytes as it takes beside `spare` ones.
    pub(super) fn insert(&mut self, group: Group, hash: u32, spare: usize) -> u32 {
        if self.is_full() {
            let fit = self.least_growth() + spare / size_of::<Group>();
            self.slots.reserve_exact(self.best_growth().min(fit));
        }
        let position = self.slots.len() as u32;
        self.slots.push(group);
        let entry = Entry { hash, position };
        self.index.insert_unique(entry.hash(), entry, Entry::hash);
        self.account(position);
        position
    }

    pub(super) fn get(&self, position: u32) -> &Group {
        &self.slots[position as usize]
    }

    /// To be accounted for after that.
    pub(super) fn get_mut(&mut self, position: u32) -> &mut Group {
        &mut self.slots[position as usize]
    }

    /// Notes what a group takes now.
    pub(super) fn account(&mut self, position: u32) {
        let group = &mut self.slots[position as usize];
        let heap = group.heap();
        self.heap = self.heap - group.accounted + heap;
        group.accounted = heap;
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.slots.iter_mut()
    }

    /// Drops all groups but those that were at positions which are kept, and gives their memory back. The last take the places of those
    /// that go, so that no more are moved than go.
    pub(super) fn keep(&mut self, mut is_kept: impl FnMut(usize) -> bool) -> Moved {
        let mut moved = vec![GONE; self.slots.len()];
        let mut position = 0;
        while position < self.slots.len() {
            // Where the group was that is there now.
            let mut from = position;
            while position < self.slots.len() && !is_kept(from) {
                from = self.slots.len() - 1;
                let gone = self.slots.swap_remove(position);
                self.heap -= gone.accounted;
            }
            if position < self.slots.len() {
                moved[from] = position as u32;
            }
            position += 1;
        }
        self.slots.shrink_to_fit();
        let moved = Moved(moved);
        self.index.retain(|entry| moved.follow(&mut entry.position));
        if self.index.len() < self.index.capacity() / USED_SHARE {
            self.index.shrink_to_fit(Entry::hash);
        }
        moved
    }

    /// The bytes that the groups take, counted anew. Every group has to be where the index says, and nowhere else.
    #[cfg(test)]
    pub(super) fn recounted(&self) -> usize {
        let mut positions: Vec<_> = self.index.iter().map(|entry| entry.position).collect();
        positions.sort_unstable();
        assert!(positions.into_iter().eq(0..self.slots.len() as u32));
        let heap: usize = self.slots.iter().map(Group::heap).sum();
        allocated(self.slots.capacity() * size_of::<Group>())
            + allocated(self.index.allocation_size())
            + heap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_one_event_is_small() {
        // Half of it is in use just after it has grown.
        let index = 2 * (size_of::<Entry>() + 1);
        let all = size_of::<Group>() + index;
        assert!(all <= 208, "{all}");
    }
}
