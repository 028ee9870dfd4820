//! The keys that processors counted last, which are not in the table.
//!
//! In: the kernel's slots of a generation that no program writes to. Out: a count for each key, to
//! be added to the table's count.

use std::collections::HashMap;
use std::io;

use aya::maps::MapData;
use recon_common::Key;
use recon_common::recent::{RECENT_SLOTS, Recent, first_slot};

use super::shared_array::SharedArray;

/// Slots of that many processors together.
pub(crate) const fn slot_count(processors: u32) -> u32 {
    first_slot(processors, 0)
}

/// Reads the slots.
#[derive(Debug)]
pub(super) struct RecentKeys {
    slots: SharedArray<Recent>,
    processors: u32,
    /// What was read and not taken yet.
    counts: HashMap<Key, u64>,
}

impl RecentKeys {
    /// Maps the array of slots.
    ///
    /// # Errors
    /// What the kernel says if it does not share the array's memory.
    pub(super) fn map(map: MapData) -> io::Result<Self> {
        let length = map.info().map_err(io::Error::other)?.max_entries();
        let slots = SharedArray::map(map, length)?;
        Ok(Self::new(slots, length / slot_count(1)))
    }

    /// Reads the slots of that many processors.
    pub(super) fn new(slots: SharedArray<Recent>, processors: u32) -> Self {
        Self {
            slots,
            processors,
            counts: HashMap::new(),
        }
    }

    /// Takes the counts out of the slots of a generation that no program writes to. Counts that
    /// nobody has taken yet stay.
    pub(super) fn drain_generation(&mut self, generation: usize) {
        self.copy_counts(generation);
        self.clear_generation(generation);
    }

    /// Reads the slots of a generation that no program writes to, and leaves them. What was read
    /// before is forgotten.
    pub(super) fn read_generation(&mut self, generation: usize) {
        self.counts.clear();
        self.copy_counts(generation);
    }

    fn copy_counts(&mut self, generation: usize) {
        for index in self.indexes(generation) {
            let slot = self.slots.value(index);
            // SAFETY: any bytes are a slot, and nobody else uses it now.
            let recent = unsafe { slot.as_ref() };
            if recent.count > 0 {
                *self.counts.entry(recent.key.into()).or_default() += recent.count;
            }
        }
    }

    /// Empties the slots of a generation that no program writes to.
    pub(super) fn clear_generation(&mut self, generation: usize) {
        for index in self.indexes(generation) {
            let slot = self.slots.value(index);
            // SAFETY: as above.
            unsafe { (*slot.as_ptr()).count = 0 };
        }
    }

    /// The positions of a generation's slots.
    fn indexes(&self, generation: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.processors).flat_map(move |processor| {
            let first = first_slot(processor, generation as u32);
            (first..first + RECENT_SLOTS).map(|index| index as usize)
        })
    }

    /// Takes what was read of a key.
    pub(super) fn take_count(&mut self, key: &Key) -> u64 {
        // Most keys of a flood are only in the table, and at other times there are few.
        if self.counts.is_empty() {
            return 0;
        }
        self.counts.remove(key).unwrap_or_default()
    }

    /// Takes everything else that was read.
    pub(super) fn drain_rest(&mut self) -> impl Iterator<Item = (Key, u64)> + '_ {
        self.counts.drain()
    }

    /// What is left when a process is killed.
    #[cfg(test)]
    pub(super) fn killed(self) -> Self {
        Self::new(self.slots, self.processors)
    }

    /// The slot at that position.
    #[cfg(test)]
    pub(super) fn slot(&self, position: u32) -> std::ptr::NonNull<Recent> {
        self.slots.value(position as usize)
    }

    /// Whether no slot of that generation has a count.
    #[cfg(test)]
    pub(super) fn is_empty(&self, generation: usize) -> bool {
        self.indexes(generation).all(|index| {
            // SAFETY: the slot is mapped, and nothing writes to it now.
            unsafe { self.slots.value(index).as_ref() }.count == 0
        })
    }
}
