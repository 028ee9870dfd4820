//! The keys that a processor counted last, in front of the table.
//!
//! In: a processor. Out: where its slots are, and their layout.
//! The decision held here: most packets that count have a key that was just counted: a flood's
//! target, a scanner's source, a busy service. So each processor has a direct-mapped array of its
//! own for them, which needs neither a lock nor an atomic addition. The table gets a key with its
//! whole count when another key takes its slot: 50 ns a packet became 15. The agent reads both and
//! adds up each key's counts.

use crate::PackedKey;

/// Slots of each processor and generation, a power of two. They take 12 KiB and stay in the nearest
/// cache, and a host with hundreds of processors is read in less than a millisecond.
pub const RECENT_SLOTS: u32 = 1 << 8;

/// A key and its count since it took the slot. A slot with a count of 0 is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Recent {
    /// The key.
    pub key: PackedKey,
    /// Its count.
    pub count: u64,
}

/// The first slot of that processor and generation.
#[inline(always)]
#[must_use]
pub const fn first_slot(processor: u32, generation: u32) -> u32 {
    (2 * processor + generation) * RECENT_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn processors_and_generations_have_their_own_slots() {
        let firsts: HashSet<u32> = (0..8)
            .flat_map(|processor| [0, 1].map(|generation| first_slot(processor, generation)))
            .collect();
        assert_eq!(firsts.len(), 16);
        assert!(firsts.iter().all(|first| first % RECENT_SLOTS == 0));
        assert_eq!(size_of::<Recent>(), 48);
    }
}
