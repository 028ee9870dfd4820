//! How far the headers of a frame reach, for whoever records packets and not what they carry.
//!
//! In: a frame that [`super::parse`] has understood. Out: its [`Extent`].
//! The decisions held here: whatever is behind the transport header is payload, and so is what
//! follows the network header of a protocol that is not parsed. Options of IP and TCP and extension
//! headers of IPv6 are headers. An ICMP error quotes the packet that it is about: the quoted
//! headers are headers, up to the eight bytes that every such error has of the transport's (RFC
//! 792). Padding behind the datagram is not part of it.

use super::network::{Datagram, Family, quoted};
use super::{Direction, Frame, link, neighbour, network};
use crate::Packet;
use crate::packet::{Cursor, Fields as _};
use crate::protocol::{ICMP_HEADER, TCP_HEADER, UDP_HEADER, arp, icmp, icmpv6, ip_protocol, sctp};

/// Up to TCP's data offset.
const TCP_TO_OFFSET: usize = 13;
/// The unit of TCP's data offset.
const WORD: usize = 4;
/// What an ICMP error quotes of the transport's header at least.
const QUOTED: usize = 8;

/// Where the parts of a frame are, as its headers say: it may end before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts, see [`Packet::start`].
    pub start: usize,
    /// Where its headers end.
    pub headers_end: usize,
    /// Where its payload ends.
    pub end: usize,
}

impl Extent {
    /// How many bytes from the start on are the headers and at most `payload` bytes behind them.
    #[inline(always)]
    #[must_use]
    pub const fn length_with(&self, payload: usize) -> usize {
        let wanted = self.headers_end + payload;
        let end = if wanted < self.end { wanted } else { self.end };
        end.saturating_sub(self.start)
    }
}

/// The extent of a frame, `None` if it has no network header.
#[inline(always)]
pub fn extent<P: Packet + ?Sized>(packet: &P, direction: Direction) -> Option<Extent> {
    let cursor = Cursor::new(packet);
    let (start, frame) = match P::STARTS_WITH_IP {
        true => {
            let start = match direction {
                Direction::In => packet.start(),
                Direction::Out => 0,
            };
            (start, link::bare(cursor.at(start)))
        }
        false => (0, link::ethernet(cursor, direction)),
    };
    let (headers_end, end) = match frame.ok()? {
        Frame::Ip(family, cursor) => {
            let datagram = network::datagram(family, cursor).ok()?;
            let transport = &datagram.payload;
            let end = transport.offset.saturating_add(transport.left());
            (headers_end(&datagram).min(end), end)
        }
        Frame::ToGroup(cursor) => whole(cursor, neighbour::SOLICITATION),
        Frame::Arp(cursor) => whole(cursor, arp::MESSAGE),
    };
    Some(Extent {
        start,
        headers_end,
        end,
    })
}

/// The ends of a message that is all header.
#[inline(always)]
const fn whole<P: ?Sized>(cursor: Cursor<'_, P>, length: usize) -> (usize, usize) {
    let end = cursor.offset + length;
    (end, end)
}

/// Where the headers of a datagram end, if it does not end before.
#[inline(always)]
fn headers_end<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> usize {
    let transport = &datagram.payload;
    let length = match datagram.protocol {
        ip_protocol::TCP => match transport.peek::<TCP_TO_OFFSET>() {
            Some(header) => (usize::from(header.u8::<12>() >> 4) * WORD).max(TCP_HEADER),
            None => TCP_HEADER,
        },
        ip_protocol::UDP | ip_protocol::UDP_LITE => UDP_HEADER,
        ip_protocol::SCTP => sctp::HEADER + sctp::CHUNK_HEADER,
        _ if datagram.is_icmp() => return icmp_headers_end(datagram),
        _ => datagram.fragment_header_left(),
    };
    transport.offset + length
}

/// The same of a message of ICMP, which may be an error.
#[inline(always)]
fn icmp_headers_end<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> usize {
    let message = datagram.payload;
    let own = message.offset + ICMP_HEADER;
    let Some(header) = message.peek::<2>() else {
        return own;
    };
    let family = match (datagram.protocol, header.u8::<0>()) {
        (ip_protocol::ICMP, kind) if icmp::ERRORS.contains(&kind) => Family::V4,
        (ip_protocol::ICMPV6, kind) if icmpv6::ERRORS.contains(&kind) => Family::V6,
        _ => return own,
    };
    let Ok(Some(quoted)) = quoted(family, message.skip(ICMP_HEADER)) else {
        return own;
    };
    let transport = match quoted.protocol {
        ip_protocol::TCP
        | ip_protocol::UDP
        | ip_protocol::UDP_LITE
        | ip_protocol::ICMP
        | ip_protocol::ICMPV6
        | ip_protocol::SCTP => QUOTED,
        _ => 0,
    };
    quoted.payload.offset + transport
}

#[cfg(test)]
mod tests;
