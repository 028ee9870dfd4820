//! Decides who gets a key when room is short: the filter in front of the table.
//!
//! In: how full the live table is, and what a slot remembers of a source. Out: whether a packet is
//! counted under its source's own key. Otherwise it counts under its target's overflow key
//! ([`crate::PackedKey::overflow_key`]), and its source goes into a sketch ([`crate::sources`]).
//! The decisions held here:
//! - Every source gets a key until half of the table is full: counts are exact as long as there is
//!   room for all, and a slow scan's single packets never fall to a filter. From there on, the less
//!   room is left, the more packets a source must have sent, so that a flood of sources with few
//!   packets each can't fill the room that a scanner needs; and the fewer keys a source may have,
//!   so that sources with many keys each can't either.
//! - Neither tells twenty thousand sources with ten keys each from a scanner with twenty. So the
//!   last eighth of the table is for those whose turn it is: a 64th of all sources, by a secret
//!   hash, and others in each generation. A source in its turn gets up to a 4,096th of the table
//!   (at least 32 keys), once it has sent 32 packets, and each source has one turn in 64 polls.
//! - Sources are remembered in a direct-mapped array by a fingerprint and a packet count. Another
//!   source's packet takes one from the slot's owner, and takes the slot at zero (HeavyKeeper, Yang
//!   et al. 2018, without its dice). A source that sends much stays remembered, one that stopped is
//!   forgotten, and nobody sweeps. A Bloom filter fills up and would have to be emptied.
//! - Keys are counted by generation of the table: a source's share is of one poll's room.

/// Slots, a power of two, of eight bytes each: 2 MiB, most of which stays in the processor's cache.
pub const ADMISSION_SLOTS: u32 = 1 << 18;

/// What a source must meet to get another key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// It must have sent so many packets, this one included.
    pub packets: u32,
    /// It must have fewer keys in this generation.
    pub keys: u32,
    /// Whether this generation must be its turn.
    pub in_turn: bool,
}

/// The terms by how full the table is, in eighths: the packets, and which share of the table's room
/// a source's keys may be.
const STEPS: [(u64, u32, u32); 3] = [(7, 32, 4096), (6, 8, 128), (4, 2, 16)];
const PARTS: u64 = 8;
/// One source of so many has its turn in a generation, a power of two.
const TURNS: u32 = 64;
/// The bits of a hash that say when a source has its turn: those above the index of its slot.
const TURN_SHIFT: u32 = ADMISSION_SLOTS.trailing_zeros();
/// Keys that every source may have: more than a scan needs in a second to be reported.
const LEAST_KEYS: u32 = 32;

/// The terms when the table holds `keys` of `room`.
#[inline(always)]
#[must_use]
pub const fn terms(keys: u64, room: u32) -> Terms {
    // No loop: the verifier would walk it.
    let [(full, ..), (fuller, ..), (half, ..)] = STEPS;
    let parts = keys * PARTS;
    let (_, packets, share) = if parts < room as u64 * half {
        return Terms {
            packets: 1,
            keys: u32::MAX,
            in_turn: false,
        };
    } else if parts < room as u64 * fuller {
        STEPS[2]
    } else if parts < room as u64 * full {
        STEPS[1]
    } else {
        STEPS[0]
    };
    let keys = room / share;
    Terms {
        packets,
        keys: if keys < LEAST_KEYS { LEAST_KEYS } else { keys },
        in_turn: parts >= room as u64 * full,
    }
}

/// What a slot remembers: a source's fingerprint, its number of packets, and its number of keys in
/// one generation of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct AdmissionSlot(pub u64);

/// Where a slot holds the number of packets, and above it the fingerprint.
const COUNT_SHIFT: u32 = 32;
const COUNT_BITS: u32 = 8;
const COUNT_MASK: u64 = ((1 << COUNT_BITS) - 1) << COUNT_SHIFT;
const ONE_PACKET: u64 = 1 << COUNT_SHIFT;
/// The bits of the fingerprint.
const SOURCE_MASK: u64 = !0 << (COUNT_SHIFT + COUNT_BITS);
/// The lower half: the generation's number, cut off, above the number of keys.
const KEY_BITS: u32 = 24;
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
const GENERATION_MASK: u64 = ((1 << COUNT_SHIFT) - 1) & !KEY_MASK;

impl AdmissionSlot {
    /// The slot of the source with that hash (see [`crate::Address::hash`]).
    #[inline(always)]
    #[must_use]
    pub const fn index(hash: u64) -> u32 {
        hash as u32 & (ADMISSION_SLOTS - 1)
    }

    /// Whether the slot is that source's. The fingerprint is from the hash's upper bits, which the
    /// index does not use.
    #[inline(always)]
    const fn is_of(self, hash: u64) -> bool {
        (self.0 ^ hash) & SOURCE_MASK == 0
    }

    /// How many packets of that source are remembered.
    #[inline(always)]
    #[must_use]
    pub const fn packets(self, hash: u64) -> u32 {
        if self.is_of(hash) {
            ((self.0 & COUNT_MASK) >> COUNT_SHIFT) as u32
        } else {
            0
        }
    }

    /// How many keys that source has in that generation.
    #[inline(always)]
    #[must_use]
    pub const fn keys(self, hash: u64, generation: u32) -> u32 {
        if self.is_of(hash) && self.0 & GENERATION_MASK == generation_bits(generation) {
            (self.0 & KEY_MASK) as u32
        } else {
            0
        }
    }

    /// Whether that source gets another key in that generation.
    #[inline(always)]
    #[must_use]
    pub const fn meets(self, hash: u64, generation: u32, terms: Terms) -> bool {
        terms.packets <= 1 || self.meets_all(hash, generation, terms)
    }

    /// The same if the terms hold for every source, also where there is room for all.
    #[inline(always)]
    #[must_use]
    pub const fn meets_all(self, hash: u64, generation: u32, terms: Terms) -> bool {
        self.packets(hash) >= terms.packets
            && self.keys(hash, generation) < terms.keys
            && (!terms.in_turn || has_turn(hash, generation))
    }

    /// The slot after another packet of that source.
    #[inline(always)]
    #[must_use]
    pub const fn after_packet(self, hash: u64) -> Self {
        let count = self.0 & COUNT_MASK;
        if self.is_of(hash) {
            Self(if count == COUNT_MASK {
                self.0
            } else {
                self.0 + ONE_PACKET
            })
        } else if count <= ONE_PACKET {
            Self(hash & SOURCE_MASK | ONE_PACKET)
        } else {
            Self(self.0 - ONE_PACKET)
        }
    }

    /// The slot after another key of that source, if it is that source's.
    #[inline(always)]
    #[must_use]
    pub const fn after_key(self, hash: u64, generation: u32) -> Self {
        if !self.is_of(hash) {
            return self;
        }
        let keys = self.keys(hash, generation) as u64;
        let keys = if keys == KEY_MASK { keys } else { keys + 1 };
        Self(self.0 & (SOURCE_MASK | COUNT_MASK) | generation_bits(generation) | keys)
    }
}

/// Whether the source with that hash has its turn in that generation.
#[inline(always)]
const fn has_turn(hash: u64, generation: u32) -> bool {
    ((hash >> TURN_SHIFT) as u32 ^ generation) & (TURNS - 1) == 0
}

/// A generation's number as a slot holds it.
#[inline(always)]
const fn generation_bits(generation: u32) -> u64 {
    (generation as u64) << KEY_BITS & GENERATION_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_room_requires_more_packets_and_allows_fewer_keys() {
        const ROOM: u32 = 1 << 17;
        const SMALL: u32 = 1024;
        // (keys, room, packets, keys of a source)
        for (keys, room, packets, share) in [
            (0, ROOM, 1, u32::MAX),
            (ROOM / 2 - 1, ROOM, 1, u32::MAX),
            (ROOM / 2, ROOM, 2, 8192),
            (ROOM / 4 * 3 - 1, ROOM, 2, 8192),
            (ROOM / 4 * 3, ROOM, 8, 1024),
            (ROOM / 8 * 7 - 1, ROOM, 8, 1024),
            (ROOM / 8 * 7, ROOM, 32, 32),
            (ROOM, ROOM, 32, 32),
            (511, SMALL, 1, u32::MAX),
            (512, SMALL, 2, 64),
            (768, SMALL, 8, 32),
            (u32::MAX, u32::MAX, 32, u32::MAX / 4096),
            (0, 1, 1, u32::MAX),
            (1, 1, 32, 32),
        ] {
            let expected = Terms {
                packets,
                keys: share,
                in_turn: packets == 32,
            };
            assert_eq!(terms(keys.into(), room), expected, "{keys} of {room}");
        }
    }

    const ONE: u64 = 1 << 50;
    const OTHER: u64 = 2 << 50;

    #[test]
    fn a_slot_counts_packets_up_to_its_maximum() {
        let mut slot = AdmissionSlot::default();
        for packets in 1..=300 {
            slot = slot.after_packet(ONE);
            assert_eq!(slot.packets(ONE), packets.min(255), "{packets}");
            assert_eq!(slot.packets(OTHER), 0);
        }
    }

    #[test]
    fn a_slot_counts_the_keys_of_its_source_in_one_generation() {
        let mut slot = AdmissionSlot::default().after_packet(ONE);
        for keys in 1..=3 {
            slot = slot.after_key(ONE, 7).after_key(OTHER, 7);
            assert_eq!(slot.keys(ONE, 7), keys);
        }
        assert_eq!((slot.keys(OTHER, 7), slot.keys(ONE, 8)), (0, 0));
        assert_eq!(slot.packets(ONE), 1, "keys do not change packets");
        slot = slot.after_packet(ONE);
        assert_eq!((slot.packets(ONE), slot.keys(ONE, 7)), (2, 3));
        slot = slot.after_key(ONE, 8);
        assert_eq!((slot.keys(ONE, 8), slot.keys(ONE, 7)), (1, 0));
    }

    #[test]
    fn a_source_gets_keys_on_its_terms() {
        let terms = |packets, keys| Terms {
            packets,
            keys,
            in_turn: false,
        };
        let slot = (0..4).fold(AdmissionSlot::default(), |slot, _| slot.after_packet(ONE));
        let slot = slot.after_key(ONE, 7).after_key(ONE, 7);
        for (terms, generation, expected) in [
            (terms(1, u32::MAX), 7, true),
            (terms(4, 3), 7, true),
            (terms(5, 3), 7, false),
            (terms(4, 2), 7, false),
            (terms(4, 2), 8, true),
        ] {
            assert_eq!(slot.meets(ONE, generation, terms), expected, "{terms:?}");
        }
        assert!(!slot.meets(OTHER, 7, terms(2, 9)), "unknown");
    }

    #[test]
    fn each_source_has_one_turn_in_so_many_generations() {
        let terms = Terms {
            packets: 2,
            keys: 9,
            in_turn: true,
        };
        for hash in [ONE, OTHER, ONE | 5 << TURN_SHIFT, u64::MAX] {
            let slot = AdmissionSlot::default().after_packet(hash);
            let slot = slot.after_packet(hash);
            for first in [0, 7, 1000, u32::MAX - TURNS] {
                let generations = first..first + TURNS;
                let turns = generations.filter(|&number| slot.meets(hash, number, terms));
                assert_eq!(turns.count(), 1, "{hash:x} from {first}");
            }
        }
    }

    #[test]
    fn other_sources_wear_a_source_down_and_replace_it() {
        let mut slot = (0..5).fold(AdmissionSlot::default(), |slot, _| slot.after_packet(ONE));
        for left in [4, 3, 2, 1] {
            slot = slot.after_packet(OTHER);
            assert_eq!((slot.packets(ONE), slot.packets(OTHER)), (left, 0));
        }
        slot = slot.after_packet(OTHER);
        assert_eq!((slot.packets(ONE), slot.packets(OTHER)), (0, 1));
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
            admitted += u32::from(slot.packets(ONE) >= 2);
        }
        assert!(admitted > 990, "{admitted} of 1000");
    }
}
