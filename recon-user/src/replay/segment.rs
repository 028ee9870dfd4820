//! What the twin of the kernel's sockets reads of a packet: its ends, and its TCP segment.
//!
//! In: a packet from its IP header on. Out: [`PacketEnds`], if it is IP.
//! The decision held here: this reads what the parser has no use for (sequence numbers, lengths),
//! at the places where nearly every packet has them. A fragment, or a segment behind an extension
//! header of IPv6, has no [`Segment`]: its connection is not followed, and its signal counts.

use recon_common::Address;
use recon_common::protocol::tcp_flag::{ACK, FIN, RST, SYN};
use recon_common::protocol::{IPV4_HEADER, IPV4_PLAIN, IPV6_HEADER, TCP_HEADER, ip_protocol, port};

/// The ends of a packet, and its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketEnds {
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) segment: Option<Segment>,
    /// Whether the segment is data or an acknowledgement of a connection, with plain headers: the
    /// parser takes it for nothing else, unless it comes in and may be a request.
    pub(super) is_data: bool,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    /// Bytes of data.
    pub(super) length: u32,
}

impl Segment {
    /// Whether it belongs to an established connection, and is no query of DNS.
    const fn is_data(&self) -> bool {
        self.flags & (ACK | SYN | FIN | RST) == ACK && self.destination_port != port::DNS
    }

    /// Whether the parser looks for a GET request in it where it comes in. In a shorter one it
    /// finds none, and says nothing of a header that is too short: with such a one there is more.
    pub(super) const fn may_be_request(&self) -> bool {
        const GET: u32 = b"GET ".len() as u32;
        self.destination_port == port::HTTP && self.length >= GET
    }

    /// The sequence number behind it: a SYN and a FIN count as a byte each.
    pub(super) const fn end(&self) -> u32 {
        let marks = (self.flags & SYN != 0) as u32 + (self.flags & FIN != 0) as u32;
        self.sequence.wrapping_add(self.length).wrapping_add(marks)
    }

    /// Whether it acknowledges what begins at that number, and at most a window more. A segment of
    /// another connection has any number.
    pub(super) const fn acknowledges(&self, start: u32) -> bool {
        const WINDOW: u32 = 1 << 16;
        self.acknowledged.wrapping_sub(start) < WINDOW
    }
}

/// Advances a number of bytes to a sequence number, unless that is an older one. Sequence numbers
/// begin anew every 4 GiB.
pub(super) fn advance(bytes: &mut u64, start: u32, number: u32) {
    /// What is further ahead is older.
    const HALF: u32 = 1 << 31;
    let ahead = number.wrapping_sub(start).wrapping_sub(*bytes as u32);
    if ahead < HALF {
        *bytes += u64::from(ahead);
    }
}

impl PacketEnds {
    /// Reads a packet. `None` if it is no IP, or ends within the header.
    #[inline]
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::read_v4(packet),
            6 => Self::read_v6(packet),
            _ => None,
        }
    }

    #[inline]
    fn read_v4(packet: &[u8]) -> Option<Self> {
        /// 'More fragments', and the offset.
        const FRAGMENT: u16 = 0x3fff;
        let header: &[u8; IPV4_HEADER] = packet.first_chunk()?;
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let address =
            |at: usize| Address::v4([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let start = usize::from(header[0] & 0xf) * 4;
        // A sending host leaves the length to a card that cuts segments.
        let length = match number(2) {
            0 => packet.len(),
            length => length.into(),
        };
        let is_whole = number(6) & FRAGMENT == 0;
        let is_tcp = is_whole && header[9] == ip_protocol::TCP && start >= IPV4_HEADER;
        let segment = is_tcp
            .then(|| read_segment(packet, start, length))
            .flatten();
        Some(Self {
            source: address(12),
            destination: address(16),
            segment,
            is_data: header[0] == IPV4_PLAIN
                && number(2) >= (IPV4_HEADER + TCP_HEADER) as u16
                && segment.is_some_and(|segment| segment.is_data()),
        })
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        let header: &[u8; IPV6_HEADER] = packet.first_chunk()?;
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let length = match payload {
            0 => packet.len(),
            payload => IPV6_HEADER + payload,
        };
        let address = |at: usize| {
            let octets = header[at..].first_chunk().copied();
            Address::v6(octets.unwrap_or_default())
        };
        let segment = (header[6] == ip_protocol::TCP)
            .then(|| read_segment(packet, IPV6_HEADER, length))
            .flatten();
        Some(Self {
            source: address(8),
            destination: address(24),
            segment,
            is_data: payload >= TCP_HEADER && segment.is_some_and(|segment| segment.is_data()),
        })
    }
}

/// The segment at that offset of a packet of that length.
#[inline]
fn read_segment(packet: &[u8], start: usize, length: usize) -> Option<Segment> {
    let header: &[u8; TCP_HEADER] = packet.get(start..)?.first_chunk()?;
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from(number(at)) << u16::BITS | u32::from(number(at + 2));
    let data = start + usize::from(header[12] >> 4) * 4;
    Some(Segment {
        source_port: number(0),
        destination_port: number(2),
        sequence: word(4),
        acknowledged: word(8),
        flags: header[13],
        length: u32::try_from(length.saturating_sub(data)).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests;
