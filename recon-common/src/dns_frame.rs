//! What the kernel programs hand over of this host's DNS queries and their answers.
//!
//! In: at which hook a frame was seen. Out: one word of a record, and back; how much of the frame a
//! record has, and how many records wait.
//! The decision held here: a record has the frame's first bytes, and the agent parses them again,
//! as those of [`crate::lost_frame`]: so the kernel programs carry nothing more from header to
//! header.

use crate::Direction;

/// The ring with the records, and the count of those that it had no room for: maps that belong to
/// one agent and its programs.
pub const RING: &str = "DNS_FRAMES";
/// See [`RING`].
pub const LOST: &str = "DNS_LOST";
/// All of them.
pub const MAPS: [&str; 2] = [RING, LOST];

/// Bytes of the frame in a record: headers, and over 512 bytes of a message, which is what DNS
/// without extensions has (RFC 1035, 2.3.4). Of a longer one the first records are there.
pub const CAPTURED: usize = 640;
/// The size of the ring: some 1,600 records between two polls. What is over that is counted.
pub const RING_BYTES: u32 = 1 << 20;

/// A record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DnsFrame {
    /// A packed [`FrameOrigin`].
    pub origin: u32,
    /// How many of the bytes are the frame's.
    pub captured: u32,
    /// The first bytes of the frame.
    pub bytes: [u8; CAPTURED],
}

/// At which hook a frame was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameOrigin {
    /// A query goes out, an answer comes in.
    pub direction: Direction,
    /// Whether it starts with IP.
    pub is_bare: bool,
}

impl FrameOrigin {
    const OUT: u32 = 1;
    const BARE: u32 = 1 << 1;

    /// As a word.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u32 {
        let direction = match self.direction {
            Direction::In => 0,
            Direction::Out => Self::OUT,
        };
        let bare = match self.is_bare {
            true => Self::BARE,
            false => 0,
        };
        direction | bare
    }

    /// Reads a word.
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        Self {
            direction: match word & Self::OUT {
                0 => Direction::In,
                _ => Direction::Out,
            },
            is_bare: word & Self::BARE != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for direction in [Direction::In, Direction::Out] {
            for is_bare in [false, true] {
                let origin = FrameOrigin { direction, is_bare };
                assert_eq!(FrameOrigin::unpack(origin.pack()), origin);
            }
        }
    }
}
