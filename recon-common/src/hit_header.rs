//! What the kernel programs hand over of the packets that count, for `[record]`.
//!
//! In: how full the ring is. Out: the layout of a record, and the terms on which a source gets one.
//! The decisions held here:
//! - A record has the key under which the packet counts. So the agent finds the packets of a group
//!   by what the rules have seen, and parses none of them again.
//! - A flooder must hide neither what others send nor its own probes, as by pings before each one.
//!   A source gets [`SOURCE_RECORDS`] of each signal in each generation of the table
//!   ([`PackedKey::signal_hash`]), and fewer and later ones the fuller the ring is: by the same
//!   slots and steps as keys in [`crate::admission`], but for records every source has a limit.
//!   What is behind an overflow key has none.
//! - A source that repeats one packet must not crowd out its other packets. Repeats fill at most
//!   [`SOURCE_REPEATS`] of its records. A repeat has a key that this processor has just counted:
//!   another tool's fingerprint, or another processor, makes it a first one.

use crate::admission::Terms;
use crate::{Key, PackedKey};

/// The ring with the records.
pub const RING: &str = "HIT_HEADERS";
/// The count of records that the ring had no room for.
pub const LOST: &str = "HEADERS_LOST";
/// What is remembered of the sources of records.
pub const SOURCES: &str = "HEADER_SOURCES";
/// All of them: maps that belong to one agent and its programs.
pub const MAPS: [&str; 3] = [RING, LOST, SOURCES];

/// Bytes of the frame in a record: the longest headers of IPv4 and TCP with tags of VLANs, and some
/// of a payload if that is asked for.
pub const CAPTURED: usize = 256;
/// The size of the ring: some 12,000 records between two polls.
pub const RING_BYTES: u32 = 1 << 22;
/// Records of a source and signal in a generation while there is room: as many as are kept of it.
pub const SOURCE_RECORDS: u32 = 64;
/// Those of them that a source can fill with packets of a key that this generation has counted
/// already: enough to show a flood, and few beside the ports of a scan.
pub const SOURCE_REPEATS: u32 = 16;

/// A record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HitHeader {
    /// When the packet was seen, in nanoseconds since the boot.
    pub time: u64,
    /// The key under which it counts.
    pub key: PackedKey,
    /// A packed [`crate::FrameOrigin`].
    pub origin: u32,
    /// The index of its interface.
    pub interface: u32,
    /// How long it is.
    pub length: u32,
    /// How many of the bytes are the packet's.
    pub captured: u32,
    /// Its first bytes.
    pub bytes: [u8; CAPTURED],
}

/// The programs write each field: padding would be memory of the ring that nobody has set.
const _: () = assert!(size_of::<HitHeader>() == 8 + 40 + 16 + CAPTURED);

impl HitHeader {
    /// The key under which it counts.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key.into()
    }
}

/// The terms by how full the ring is, in eighths: the packets that a source must have sent, and the
/// records that it may have.
const STEPS: [(u64, u32, u32); 3] = [(7, 32, 4), (6, 8, 16), (4, 2, SOURCE_RECORDS)];
const PARTS: u64 = 8;

/// The most records of a source and signal in a generation, at which a packet gets none. It is a
/// repeat if its key has been counted in the generation before.
#[inline(always)]
#[must_use]
pub const fn record_limit(is_repeat: bool) -> u32 {
    if is_repeat {
        SOURCE_REPEATS
    } else {
        SOURCE_RECORDS
    }
}

/// The terms on which a source gets another record when the ring has that many unread bytes.
#[inline(always)]
#[must_use]
pub const fn record_terms(unread: u64) -> Terms {
    // No loop: the verifier would walk it.
    let [(full, ..), (fuller, ..), (half, ..)] = STEPS;
    let parts = unread * PARTS;
    let room = RING_BYTES as u64;
    let (from, packets, keys) = if parts < room * half {
        (0, 1, SOURCE_RECORDS)
    } else if parts < room * fuller {
        STEPS[2]
    } else if parts < room * full {
        STEPS[1]
    } else {
        STEPS[0]
    };
    Terms {
        packets,
        keys,
        in_turn: from == full,
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::admission::AdmissionSlot;

    #[test]
    fn a_fuller_ring_requires_more_packets_and_allows_fewer_records() {
        const ROOM: u64 = RING_BYTES as u64;
        for (unread, packets, keys) in [
            (0, 1, 64),
            (ROOM / 2 - 1, 1, 64),
            (ROOM / 2, 2, 64),
            (ROOM / 4 * 3, 8, 16),
            (ROOM / 8 * 7 - 1, 8, 16),
            (ROOM / 8 * 7, 32, 4),
            (ROOM, 32, 4),
        ] {
            let expected = Terms {
                packets,
                keys,
                in_turn: packets == 32,
            };
            assert_eq!(record_terms(unread), expected, "{unread}");
        }
    }

    /// Whoever sends a packet for each of a thousand ports gets no more records than others.
    #[test]
    fn a_source_has_its_records_in_each_generation() {
        const SOURCE: u64 = 1 << 50;
        let [repeats, others] = [true, false].map(|is_repeat| vec![is_repeat; 1000]);
        for (packets, expected) in [
            (others.clone(), SOURCE_RECORDS),
            (repeats.clone(), SOURCE_REPEATS),
            ([&repeats[..], &others].concat(), SOURCE_RECORDS),
            ([&others[..], &repeats].concat(), SOURCE_RECORDS),
        ] {
            let mut slot = AdmissionSlot::default();
            for generation in 7..9 {
                let mut records = 0;
                for &is_repeat in &packets {
                    slot = slot.after_packet(SOURCE);
                    let is_below = slot.keys(SOURCE, generation) < record_limit(is_repeat);
                    if is_below && slot.meets_all(SOURCE, generation, record_terms(0)) {
                        slot = slot.after_key(SOURCE, generation);
                        records += 1;
                    }
                }
                assert_eq!(records, expected);
            }
        }
    }
}
