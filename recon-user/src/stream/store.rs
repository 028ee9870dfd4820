//! The storage of a query's groups, and the memory that it takes.
//!
//! In: groups. Out: their positions, and the bytes that all groups take.
//! The decisions held here:
//! - Groups are stored in one array, and an index holds their positions. A hash table of the groups
//!   themselves would be half empty, and would double whenever it grows.
//! - When a group changes, the difference in its heap is added to the total.

use hashbrown::HashTable;

use super::group::Group;
use super::key::GroupLookup;
use super::window::allocated;

/// The array grows by this share of its slots, and by at least `LEAST_GROWTH`: the greater the
/// share, the less often a group is copied. A large array grows by a smaller share, as what nobody
/// uses counts, too. Near the memory bound, an even smaller one is enough.
const GROWN_SHARE: usize = 2;
const LARGE_GROWN_SHARE: usize = 8;
const LEAST_SHARE: usize = 32;
const LEAST_GROWTH: usize = 8;
/// Slots that an array grows by before it is a large one.
const LARGE_GROWTH: usize = 1 << 12;
/// An index shrinks when less than this share of it is used.
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
    /// The table derives the bucket from the low bits and the tag from the high bits.
    fn hash(&self) -> u64 {
        widened(self.hash)
    }
}

fn widened(hash: u32) -> u64 {
    u64::from(hash) << u32::BITS | u64::from(hash)
}

/// The new positions of groups, indexed by their old positions.
#[derive(Debug)]
pub(super) struct Moved(Vec<u32>);

impl Moved {
    /// Updates the position of a group. Returns whether the group still exists.
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
    /// An empty store, in which a group near its threshold reserves `reserve` bytes.
    pub(super) fn new(reserve: usize) -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            heap: 0,
            reserve,
        }
    }

    /// The number of groups.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The bytes that the groups take.
    pub(super) fn bytes(&self) -> usize {
        allocated(self.slots.capacity() * size_of::<Group>())
            + allocated(self.index.allocation_size())
            + self.heap
    }

    /// The bytes that one more group takes, without its heap.
    pub(super) fn growth(&self) -> usize {
        let mut growth = 0;
        if self.is_full() {
            growth += self.least_growth() * size_of::<Group>();
        }
        if self.index.len() == self.index.capacity() {
            // The old and the new index both exist while entries move.
            growth += 2 * self.index.allocation_size();
        }
        growth
    }

    fn is_full(&self) -> bool {
        self.slots.len() == self.slots.capacity()
    }

    /// The number of slots to grow by.
    fn best_growth(&self) -> usize {
        let slots = self.slots.len();
        let growth = (slots / GROWN_SHARE).min(LARGE_GROWTH);
        growth.max(slots / LARGE_GROWN_SHARE).max(LEAST_GROWTH)
    }

    fn least_growth(&self) -> usize {
        (self.slots.len() / LEAST_SHARE).max(1)
    }

    /// The position of a group.
    pub(super) fn find(&self, lookup: &GroupLookup<'_>, hash: u32) -> Option<u32> {
        let is_it =
            |entry: &Entry| entry.hash == hash && self.slots[entry.position as usize].is(lookup);
        let found = self.index.find(widened(hash), is_it);
        found.map(|entry| entry.position)
    }

    /// Adds a new group and returns its position. The budget must have room for the group and for
    /// `spare` more bytes.
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

    /// All groups, by position.
    pub(super) fn groups(&self) -> &[Group] {
        &self.slots
    }

    /// All groups, for changes of what they are not looked up by and what takes no memory.
    pub(super) fn groups_mut(&mut self) -> &mut [Group] {
        &mut self.slots
    }

    /// Takes all groups, by position.
    pub(super) fn into_groups(self) -> Vec<Group> {
        self.slots
    }

    pub(super) fn get(&self, position: u32) -> &Group {
        &self.slots[position as usize]
    }

    /// The caller must call [`Self::account`] afterwards.
    pub(super) fn get_mut(&mut self, position: u32) -> &mut Group {
        &mut self.slots[position as usize]
    }

    /// Updates the total by what a group takes now.
    pub(super) fn account(&mut self, position: u32) {
        let group = &mut self.slots[position as usize];
        let heap = group.heap(self.reserve);
        self.heap = self.heap - group.accounted + heap;
        group.accounted = heap;
    }

    /// Keeps the groups whose positions satisfy `is_kept`, passes the others to `drop_group`, and
    /// frees their memory. The last groups fill the gaps, so that no more groups move than are
    /// dropped.
    pub(super) fn keep(
        &mut self,
        mut is_kept: impl FnMut(usize) -> bool,
        mut drop_group: impl FnMut(Group),
    ) -> Moved {
        let mut moved = vec![GONE; self.slots.len()];
        let mut position = 0;
        while position < self.slots.len() {
            // The old position of the group that is now at `position`.
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

    /// Recounts the bytes that the groups take. Checks that the index holds every group once.
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
        // Half of the index is in use just after it has grown.
        let index = 2 * (size_of::<Entry>() + 1);
        let all = size_of::<Group>() + index;
        assert!(all <= 212, "{all}");
    }
}
