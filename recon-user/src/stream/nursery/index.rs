//! Where the log of a source is, by hash.
//!
//! In: hashes and numbers of logs. Out: numbers.
//! The decisions held here: a row of a new source must cost one cache miss here, however many
//! sources there are, so that hash and number lie side by side in one array with linear probing
//! (hashbrown touches two lines for each insertion: control bytes and slot). Entries of logs that
//! are gone stay until the index is full, since to look for each would cost a cache miss as well.

use std::num::NonZeroU32;

use super::super::window::allocated;
use super::LogNumber;
use crate::prefetch::prefetch;

/// The hash of a source. Its lowest bit is set.
pub(super) type LogHash = NonZeroU32;

/// Slots of the smallest index, a power of two.
const LEAST: usize = 64;

/// A slot. Without a hash it is free.
#[derive(Clone, Copy, Debug, Default)]
struct IndexSlot {
    hash: Option<LogHash>,
    number: LogNumber,
}

/// An array of a power of two of slots, half of which are in use at most.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<IndexSlot>,
    used: usize,
}

impl Index {
    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        allocated(self.slots.len() * size_of::<IndexSlot>())
    }

    /// Whether the next entry needs a rebuilt index.
    pub(super) fn is_full(&self) -> bool {
        2 * self.used >= self.slots.len()
    }

    /// The bytes that growing takes. While entries move both arrays exist.
    pub(super) fn growth(&self) -> usize {
        2 * allocated(self.slots.len().max(LEAST / 2) * size_of::<IndexSlot>())
    }

    /// Entries, with those of logs that are gone.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The numbers of all entries.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> impl Iterator<Item = LogNumber> {
        let used = self.slots.iter().filter(|slot| slot.hash.is_some());
        used.map(|slot| slot.number)
    }

    /// The slots where an entry of that hash may be: up to the first free one.
    #[inline]
    fn probe(&self, hash: LogHash) -> impl Iterator<Item = usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let first = (hash.get() >> 1) as usize;
        let all = (0..self.slots.len()).map(move |step| first.wrapping_add(step) & mask);
        all.take_while(|&slot| self.slots[slot].hash.is_some())
    }

    /// The number under that hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(
        &self,
        hash: LogHash,
        is_it: impl Fn(LogNumber) -> bool,
    ) -> Option<LogNumber> {
        let found = self.probe(hash).map(|slot| self.slots[slot]);
        let found = found.filter(|slot| slot.hash == Some(hash));
        found.map(|slot| slot.number).find(|&number| is_it(number))
    }

    /// Adds an entry. The index must not be full.
    #[inline]
    pub(super) fn insert(&mut self, hash: LogHash, number: LogNumber) {
        let mask = self.slots.len() - 1;
        let mut slot = (hash.get() >> 1) as usize & mask;
        while self.slots[slot].hash.is_some() {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = IndexSlot {
            hash: Some(hash),
            number,
        };
        self.used += 1;
    }

    /// Gives an entry another number.
    pub(super) fn renumber(&mut self, hash: LogHash, from: LogNumber, to: LogNumber) {
        let is_it = |&slot: &usize| {
            let slot = self.slots[slot];
            slot.hash == Some(hash) && slot.number == from
        };
        let found = self.probe(hash).find(is_it);
        if let Some(slot) = found {
            self.slots[slot].number = to;
        }
    }

    /// Drops the entries that are not kept, without another array: those behind one that goes move
    /// up.
    pub(super) fn purge(&mut self, is_kept: impl Fn(LogNumber) -> bool) {
        let goes = |slot: &IndexSlot| slot.hash.is_some() && !is_kept(slot.number);
        for slot in 0..self.slots.len() {
            while goes(&self.slots[slot]) {
                self.remove(slot);
            }
        }
    }

    /// Empties a slot. Entries behind it that could not be in their own slot fill the gap (Knuth,
    /// The Art of Computer Programming 3, 6.4, algorithm R).
    fn remove(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let (mut gap, mut next) = (slot, slot);
        loop {
            next = (next + 1) & mask;
            let Some(hash) = self.slots[next].hash else {
                break;
            };
            let home = (hash.get() >> 1) as usize & mask;
            // It may move unless its own slot lies behind the gap, up to where it is.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(gap) & mask {
                self.slots[gap] = self.slots[next];
                gap = next;
            }
        }
        self.slots[gap] = IndexSlot::default();
        self.used -= 1;
    }

    /// Rebuilds the index with the entries that are kept, which are `count`.
    pub(super) fn rebuild(&mut self, count: usize, is_kept: impl Fn(LogNumber) -> bool) {
        // A third is in use after that at most, so that it is not rebuilt again soon.
        let slots = (3 * (count + 1)).next_power_of_two().max(LEAST);
        let old = std::mem::replace(&mut self.slots, vec![IndexSlot::default(); slots]);
        self.used = 0;
        for slot in old {
            if let Some(hash) = slot.hash
                && is_kept(slot.number)
            {
                self.insert(hash, slot.number);
            }
        }
    }

    /// Has the processor fetch the slots of a hash while it does something else: among millions of
    /// slots the wait is a third of the cost of a row.
    #[inline]
    pub(super) fn prefetch(&self, hash: LogHash) {
        if let Some(mask) = self.slots.len().checked_sub(1)
            && let Some(slot) = self.slots.get((hash.get() >> 1) as usize & mask)
        {
            prefetch(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> LogHash {
        NonZeroU32::MIN | number.wrapping_mul(0x9e37_79b9)
    }

    #[test]
    fn entries_are_found_until_they_are_dropped() {
        let mut index = Index::default();
        assert_eq!(index.find(hash(0), |_| true), None);
        for number in 0..1_000 {
            if index.is_full() {
                index.rebuild(index.len(), |_| true);
            }
            // Two share each hash.
            index.insert(hash(number / 2), number);
        }
        index.renumber(hash(7), 14, 5_000);
        index.purge(|number| number % 3 != 0);
        for number in 0..1_000 {
            let found = index.find(hash(number / 2), |found| found == number);
            let is_kept = number % 3 != 0 && number != 14;
            assert_eq!(found.is_some(), is_kept, "{number}");
        }
        assert_eq!(index.find(hash(7), |number| number > 15), Some(5_000));
        assert_eq!(index.numbers().count(), index.len());
    }
}
