//! Where the groups of a query are stored, and how much memory they take.
//!
//! In: groups. Out: their positions, and the bytes of all of them.
//! The decisions held here:
//! - Groups lie side by side, and an index holds their positions: a hash table of the groups
//!   themselves would be half empty, and double its size whenever it grows.
//! - The heap of a group is accounted for when the group has changed, as a difference.

use hashbrown::HashTable;

use super::group::Group;
use super::key::GroupLookup;
use super::window::allocated;

/// Slots are added by this share of the existing ones, and by `LEAST_GROWTH` at least; near the
/// bound a quarter of that is enough.
const GROWN_SHARE: usize = 8;
const LEAST_GROWTH: usize = 8;
const AT_THE_BOUND: usize = 4;
/// An index that is used less than this share is shrunk.
const USED_SHARE: usize = 4;
/// The position of a group that was dropped.
const GONE: u32 = u32::MAX;

/// A group's hash and position.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    position: u32,
}

impl Entry {
    /// The table takes the bucket from the low bits and its tag from the high ones.
    fn hash(&self) -> u64 {
        widened(self.hash)
    }
}

fn widened(hash: u32) -> u64 {
    u64::from(hash) << u32::BITS | u64::from(hash)
}

/// The new positions of groups, by their old ones.
#[derive(Debug)]
pub(super) struct Moved(Vec<u32>);

impl Moved {
    /// Follows a group. Returns whether it still exists.
    pub(super) fn follow(&self, position: &mut u32) -> bool {
        *position = self.0[*position as usize];
        *position != GONE
    }
}

/// The groups of one query.
#[derive(Debug)]
pub(super) struct Store {
    slots: Vec<Group>,
    index: HashTable<Entry>,
    /// The bytes of heap that groups take.
    heap: usize,
    /// The bytes that a group near its threshold reserves.
    reserve: usize,
}

impl Store {
    /// An empty one, where a group near its threshold reserves that many bytes.
    pub(super) fn new(reserve: usize) -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            heap: 0,
            reserve,
        }
    }

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

    /// The bytes that one more group takes, its heap apart.
    pub(super) fn growth(&self) -> usize {
        let mut growth = 0;
        if self.is_full() {
            growth += self.least_growth() * size_of::<Group>();
        }
        if self.index.len() == self.index.capacity() {
            // While the entries move to a larger index both exist.
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

    /// The position of a group.
    pub(super) fn find(&self, lookup: &GroupLookup<'_>, hash: u32) -> Option<u32> {
        let is_it =
            |entry: &Entry| entry.hash == hash && self.slots[entry.position as usize].is(lookup);
        let found = self.index.find(widened(hash), is_it);
        found.map(|entry| entry.position)
    }

    /// Adds a new group and returns its position. There must be room for it and for `spare` bytes.
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

    /// The caller accounts for it afterwards.
    pub(super) fn get_mut(&mut self, position: u32) -> &mut Group {
        &mut self.slots[position as usize]
    }

    /// Accounts for what a group takes now.
    pub(super) fn account(&mut self, position: u32) {
        let group = &mut self.slots[position as usize];
        let heap = group.heap(self.reserve);
        self.heap = self.heap - group.accounted + heap;
        group.accounted = heap;
    }

    /// Keeps the groups at positions for which `is_kept` holds, passes the others to `drop_group`, and
    /// frees their memory. The last groups fill the gaps, so that no more move than go.
    pub(super) fn keep(
        &mut self,
        mut is_kept: impl FnMut(usize) -> bool,
        mut drop_group: impl FnMut(Group),
    ) -> Moved {
        let mut moved = vec![GONE; self.slots.len()];
        let mut position = 0;
        while position < self.slots.len() {
            // The old position of the group that is there now.
            let mut from = position;
            while position < self.slots.len() && !is_kept(from) {
                from = self.slots.len() - 1;
                let gone = self.slots.swap_remove(position);
                self.heap -= gone.accounted;
                drop_group(gone);
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

    /// The bytes that the groups take, counted anew. Checks that the index has every group once.
    #[cfg(test)]
    pub(super) fn recounted(&self) -> usize {
        let mut positions: Vec<_> = self.index.iter().map(|entry| entry.position).collect();
        positions.sort_unstable();
        assert!(positions.into_iter().eq(0..self.slots.len() as u32));
        let heap: usize = self
            .slots
            .iter()
            .map(|group| group.heap(self.reserve))
            .sum();
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
