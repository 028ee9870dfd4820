//! Who gets a key when room is short: the filter in front of the table.
//!
//! In: how full the live table is, and what a slot remembers of a source. Out: whether a packet is counted under its source's own key. Where it is
//! not, it is counted under its target's ([`crate::PackedKey::overflow_key`]) and its source goes into a sketch ([`crate::sources`]).
//! The decisions held here:
//! - Up to half of the table everybody gets in: what is counted is exact as long as there is room for all, and a slow scan's single
//!   packets are never lost to a filter. From there on a source has to have been seen more often the less room is left, so that a flood of
//!   sources with one packet each (or with a few) can't fill what a scanner needs.
//! - Sources are remembered in a direct-mapped array by a fingerprint and a number of packets. A stranger takes one packet from the one who
//!   has the slot, and gets it at none (HeavyKeeper, Yang et al. 2018, without its dice): who sends much stays remembered however many
//!   strangers pass, and who has gone is forgotten without anybody sweeping. A Bloom filter would have to be emptied, and fills up.

/// Slots, a power of two, of four bytes each: 1 MiB, which mostly stays in the processor's cache.
pub const ADMISSION_SLOTS: u32 = 1 << 18;

/// How full the table is, in eighths, and how often a source has to have been seen from there on, this packet included.
const STEPS: [(u64, u32); 3] = [(7, 32), (6, 8), (4, 2)];
const PARTS: u64 = 8;

/// Packets that a source has to have sent for a key of its own, where the table has `keys` and room for `room`.
#[inline(always)]
#[must_use]
pub const fn required_packets(keys: u64, room: u32) -> u32 {
    // Not a loop, which the verifier would walk.
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

/// What a slot remembers: a source's fingerprint, and how many of its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct AdmissionSlot(pub u32);

/// Bits of a slot that hold the number of packets.
const COUNT_BITS: u32 = 8;
const COUNT_MASK: u32 = (1 << COUNT_BITS) - 1;

impl AdmissionSlot {
    /// The slot of a source of that hash (see [`crate::Address::hash`]).
    #[inline(always)]
    #[must_use]
    pub const fn index(hash: u64) -> u32 {
        hash as u32 & (ADMISSION_SLOTS - 1)
    }

    /// The fingerprint: of the hash's upper half, which has no part in the index.
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

    /// The slot after one more packet of that source.
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
    fn the_less_room_the_more_is_required() {
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
    fn packets_are_counted_up_to_what_fits() {
        let mut slot = AdmissionSlot::default();
        for packets in 1..=300 {
            slot = slot.after_packet(ONE);
            assert_eq!(slot.count(ONE), packets.min(COUNT_MASK), "{packets}");
            assert_eq!(slot.count(OTHER), 0);
        }
    }

    #[test]
    fn strangers_wear_a_source_down_and_replace_it() {
        let mut slot = (0..5).fold(AdmissionSlot::default(), |slot, _| slot.after_packet(ONE));
        for left in [4, 3, 2, 1] {
            slot = slot.after_packet(OTHER);
            assert_eq!((slot.count(ONE), slot.count(OTHER)), (left, 0));
        }
        slot = slot.after_packet(OTHER);
        assert_eq!((slot.count(ONE), slot.count(OTHER)), (0, 1));
    }

    #[test]
    fn a_scanner_among_strangers_is_remembered() {
        // As many strangers as slots between two of the scanner's packets: one of them is in its slot.
        let mut slot = AdmissionSlot::default();
        let mut admitted = 0;
        for stranger in 0..1000_u64 {
            slot = slot.after_packet(ONE).after_packet((stranger + 3) << 40);
            slot = slot.after_packet(ONE);
            admitted += u32::from(slot.count(ONE) >= 2);
        }
        assert!(admitted > 990, "{admitted} of 1000");
    }
}
