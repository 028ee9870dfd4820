//! What the kernel programs hand over of this host's DNS queries and their answers.
//!
//! In: nothing. Out: the layout of a record, how much of a frame it has, and how many records wait.
//! The decision held here: a record has the frame's first bytes, and the agent parses them again,
//! as those of [`crate::lost_frame`]: so the kernel programs carry nothing more from header to
//! header.

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
    /// A packed [`crate::FrameOrigin`]: a query goes out, an answer comes in.
    pub origin: u32,
    /// How many of the bytes are the frame's.
    pub captured: u32,
    /// The first bytes of the frame.
    pub bytes: [u8; CAPTURED],
}
