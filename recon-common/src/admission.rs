//! Decides who gets a key when room is short: the filter in front of the table.
//!
//! In: how full the live table is, and what a slot remembers of a source. Out: whether a packet is
//! counted under its source's own key. Otherwise it counts under its target's overflow key
//! ([`crate::PackedKey::overflow_key`]), and its source goes into a sketch ([`crate::sources`]).
//! The decisions held here:
//! - Every source gets a key until half of the table is full: counts are exact as long as there is
//!   room for all, and a slow scan's single packets never fall to a filter. From there on, the less
//!   room is left, the more packets a source must have sent, so that a flood of sources with few
//!   packets each can't fill the room that a scanner needs.
//! - Sources are remembered in a direct-mapped array by a fingerprint and a packet count. Another
//!   source's packet takes one from the slot's owner, and takes the slot at zero (HeavyKeeper, Yang
//!   et al. 2018, without its dice). A source that sends much stays remembered, one that stopped is
//!   forgotten, and nobody sweeps. A Bloom filter fills up and would have to be emptied.

/// Slots, a power of two, of four bytes each: 1 MiB, most of which stays in the processor's cache.
pub const ADMISSION_SLOTS: u32 = 1 << 18;

/// How full the table is, in eighths, and how many packets a source must have sent from there on,
/// this one included.
const STEPS: [(u64, u32); 3] = [(7, 32), (6, 8), (4, 2)];
const PARTS: u64 = 8;

/// Packets that a source must have sent to get a key of its own when the table holds `keys` of
/// `room`.
#[inline(always)]
#[must_use]
pub const fn required_packets(keys: u64, room: u32) -> u32 {
    // No loop: the verifier would walk it.
    let [(full, many), (fuller, some), (half, two)] = STEPS;
    let room = room as u64;
    if keys * PARTS < room * half {
        1
    } else if keys * PARTS < room * fuller {
        two
    } else if keys * PARTS < room * full {
        some
    } else {
        many
    }
}

/// What a slot remembers: a source's fingerprint and its number of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct AdmissionSlot(pub u32);

/// Bits of a slot that hold the number of packets.
const COUNT_BITS: u32 = 8;
const COUNT_MASK: u32 = (1 << COUNT_BITS) - 1;

impl AdmissionSlot {
    /// The slot of the source with that hash (see [`crate::Address::hash`]).
    #[inline(always)]
    #[must_use]
    pub const fn index(hash: u64) -> u32 {
        hash as u32 & (ADMISSION_SLOTS - 1)
    }

    /// The fingerprint: from the hash's upper half, which the index does not use.
    #[inline(always)]
    const fn fingerprint(hash: u64) -> u32 {
        (hash >> 32) as u32 & !COUNT_MASK
    }

    /// How many packets of that source are remembered.
    #[inline(always)]
    #[must_use]
    pub const fn count(self, hash: u64) -> u32 {
        if self.0 & !COUNT_MASK == Self::fingerprint(hash) {
            self.0 & COUNT_MASK
        } else {
            0
        }
    }

    /// The slot after another packet of that source.
    #[inline(always)]
    #[must_use]
    pub const fn after_packet(self, hash: u64) -> Self {
        let count = self.0 & COUNT_MASK;
        if self.0 & !COUNT_MASK == Self::fingerprint(hash) {
            Self(if count == COUNT_MASK {
                self.0
            } else {
                self.0 + 1
            })
        } else if count <= 1 {
            Self(Self::fingerprint(hash) | 1)
        } else {
            Self(self.0 - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_room_requires_more_packets() {
        // (keys, room, required)
        for (keys, room, packets) in [
            (0, 1024, 1),
            (511, 1024, 1),
            (512, 1024, 2),
            (767, 1024, 2),
            (768, 1024, 8),
            (895, 1024, 8),
            (896, 1024, 32),
            (1024, 1024, 32),
            (u64::from(u32::MAX), u32::MAX, 32),
            (0, 1, 1),
            (1, 1, 32),
        ] {
            assert_eq!(required_packets(keys, room), packets, "{keys} of {room}");
        }
    }

    const ONE: u64 = 1 << 50;
    const OTHER: u64 = 2 << 50;

    #[test]
    fn a_slot_counts_packets_up_to_its_maximum() {
        let mut slot = AdmissionSlot::default();
        for packets in 1..=300 {
            slot = slot.after_packet(ONE);
            assert_eq!(slot.count(ONE), packets.min(COUNT_MASK), "{packets}");
            assert_eq!(slot.count(OTHER), 0);
        }
    }

    #[test]
    fn other_sources_wear_a_source_down_and_replace_it() {
        let mut slot = (0..5).fold(AdmissionSlot::default(), |slot, _| slot.after_packet(ONE));
        for left in [4, 3, 2, 1] {
            slot = slot.after_packet(OTHER);
            assert_eq!((slot.count(ONE), slot.count(OTHER)), (left, 0));
        }
        slot = slot.after_packet(OTHER);
        assert_eq!((slot.count(ONE), slot.count(OTHER)), (0, 1));
    }

    #[test]
    fn a_scanner_among_other_sources_is_remembered() {
        // As many other sources as slots between two of the scanner's packets: one of them hits its
        // slot.
        let mut slot = AdmissionSlot::default();
        let mut admitted = 0;
        for other in 0..1000_u64 {
            slot = slot.after_packet(ONE).after_packet((other + 3) << 40);
            slot = slot.after_packet(ONE);
            admitted += u32::from(slot.count(ONE) >= 2);
        }
        assert!(admitted > 990, "{admitted} of 1000");
    }
}
