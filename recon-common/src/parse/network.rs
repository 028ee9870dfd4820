//! The network layer: IPv4 with options, IPv6 with a bounded chain of extension headers, fragments
//! of both.
//!
//! In: a cursor at the network header. Out: a [`Datagram`] whose cursor is at the transport header,
//! or at the fragment header of a fragment that is not the first one, which shows no port.
//! The decisions held here: the datagram ends where its own header says, not where the frame does.
//! A later fragment belongs to its datagram if it starts where the one before it ended: whoever
//! knows an identification can't hide a flood of later fragments behind one first one.

use super::{Direction, FragmentPlace, Parsed};
use crate::observation::NONE;
use crate::packet::{Cursor, Fields};
use crate::protocol::ip_protocol::{
    AUTHENTICATION, DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, ROUTING,
};
use crate::protocol::{ETHERNET_PAYLOAD, IPV4_HEADER, IPV6_HEADER, UDP_HEADER};
use crate::{Address, Flow, FrameClass, Loss, Observation, Packet};

/// The IP version that the link layer announced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A datagram, or the first fragment of one.
pub(super) struct Datagram<'a, P: ?Sized> {
    family: Family,
    /// At the network header.
    header: Cursor<'a, P>,
    /// At the transport header.
    pub(super) payload: Cursor<'a, P>,
    /// The protocol of the transport header, an IANA number. [`FRAGMENT`] of a fragment that is not
    /// the first, in which no such header is.
    pub(super) protocol: u8,
    /// Where IPv6 has its fragment header, 0 if it has none: all that is kept of it, since each
    /// variable costs stack in the loop over the headers.
    fragment_header: usize,
}

const IPV4_SOURCE: usize = 12;
const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_FRAGMENT_OFFSET: u16 = 0x1fff;
/// The unit in which IPv4 counts its header's length.
const WORD: usize = 4;

const IPV6_SOURCE: usize = 8;
const IPV6_FRAGMENT_OFFSET: u16 = 0xfff8;
const IPV6_MORE_FRAGMENTS: u16 = 1;
const IPV6_OFFSET_SHIFT: u32 = 3;
/// The unit of a fragment's offset.
const FRAGMENT_UNIT: usize = 8;
/// The shortest extension header of IPv6.
const IPV6_EXTENSION: usize = 8;
/// Extension headers that the parser follows. RFC 8200 (4.1) names six kinds, but Linux follows any
/// number: as many as 1500 bytes hold beside a UDP header.
const MAX_EXTENSIONS: usize = (ETHERNET_PAYLOAD - IPV6_HEADER - UDP_HEADER) / IPV6_EXTENSION;

#[inline(always)]
pub(super) fn datagram<P: Packet + ?Sized>(
    family: Family,
    cursor: Cursor<'_, P>,
) -> Result<Datagram<'_, P>, FrameClass> {
    Ok(match family {
        Family::V4 => ipv4(cursor)?,
        Family::V6 => ipv6(cursor)?,
    })
}

/// The datagram that an ICMP error quotes. Its extension headers are not followed: what they hide
/// is no refused probe.
#[inline(always)]
pub(super) fn quoted<P: Packet + ?Sized>(
    family: Family,
    cursor: Cursor<'_, P>,
) -> Result<Option<Datagram<'_, P>>, Loss> {
    let probe = match family {
        Family::V4 => ipv4(cursor)?,
        Family::V6 => ipv6_fixed(cursor)?,
    };
    Ok((probe.protocol != FRAGMENT).then_some(probe))
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(cursor: Cursor<'_, P>) -> Result<Datagram<'_, P>, Loss> {
    let header = cursor.peek::<IPV4_HEADER>().ok_or(Loss::Truncated)?;
    let version_and_length = header.u8::<0>();
    let length = usize::from(version_and_length & 0x0f) * WORD;
    if version_and_length >> 4 != 4 || length < IPV4_HEADER {
        return Err(cursor.stop(Loss::Malformed));
    }
    let total = usize::from(header.u16::<2>());
    let fragment = header.u16::<6>();
    // Total length 0 means a segment above 64 KiB that the card will split (BIG TCP): it ends with
    // the frame.
    let payload = match total {
        0 => cursor,
        total if total < length => return Err(cursor.stop(Loss::Malformed)),
        total => cursor.ending_after(total),
    };
    Ok(Datagram {
        family: Family::V4,
        header: cursor,
        payload: payload.skip(length),
        protocol: match fragment & IPV4_FRAGMENT_OFFSET {
            0 => header.u8::<9>(),
            _ => FRAGMENT,
        },
        fragment_header: 0,
    })
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(cursor: Cursor<'_, P>) -> Result<Datagram<'_, P>, Loss> {
    skip_extensions(ipv6_fixed(cursor)?)
}

/// The datagram with its cursor behind the fixed header, where an extension header may follow.
#[inline(always)]
fn ipv6_fixed<P: Packet + ?Sized>(cursor: Cursor<'_, P>) -> Result<Datagram<'_, P>, Loss> {
    let header = cursor.peek::<7>().ok_or(Loss::Truncated)?;
    if header.u8::<0>() >> 4 != 6 {
        return Err(cursor.stop(Loss::Malformed));
    }
    // Payload length 0 means a jumbogram (RFC 2675) or BIG TCP: it ends with the frame.
    let payload = match usize::from(header.u16::<4>()) {
        0 => cursor,
        length => cursor.ending_after(IPV6_HEADER + length),
    };
    Ok(Datagram {
        family: Family::V6,
        header: cursor,
        payload: payload.skip(IPV6_HEADER),
        protocol: header.u8::<6>(),
        fragment_header: 0,
    })
}

/// Moves the datagram's cursor behind its extension headers; of a fragment that is not the first,
/// to its fragment header.
#[inline(always)]
fn skip_extensions<P: Packet + ?Sized>(
    mut datagram: Datagram<'_, P>,
) -> Result<Datagram<'_, P>, Loss> {
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(datagram.protocol) {
            return Ok(datagram);
        }
        let header = datagram.payload.peek::<4>().ok_or(Loss::Truncated)?;
        if datagram.protocol == FRAGMENT {
            let fragment = header.u16::<2>();
            datagram.fragment_header = datagram.payload.offset;
            if fragment & IPV6_FRAGMENT_OFFSET != 0 {
                return Ok(datagram);
            }
        }
        let length = extension_length(datagram.protocol, header.u8::<1>());
        datagram.payload = datagram.payload.skip(length).hide_offset();
        datagram.protocol = header.u8::<0>();
    }
    if is_extension(datagram.protocol) {
        return Err(datagram.payload.stop(Loss::TooDeep));
    }
    Ok(datagram)
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
    )
}

/// Bytes of an extension header, from its kind and length field: units of 8 bytes beyond the first
/// (RFC 8200, 4.2), but units of 4 beyond the first two for authentication (RFC 4302, 2.2). A
/// fragment header has no length field.
#[inline(always)]
fn extension_length(protocol: u8, field: u8) -> usize {
    match protocol {
        FRAGMENT => IPV6_EXTENSION,
        AUTHENTICATION => (usize::from(field) + 2) * 4,
        _ => (usize::from(field) + 1) * 8,
    }
}

impl<P: Packet + ?Sized> Datagram<'_, P> {
    /// Whether more fragments follow.
    #[inline(always)]
    pub(super) fn has_more_fragments(&self) -> Result<bool, Loss> {
        Ok(match self.family {
            Family::V4 => {
                let header = self.header.peek::<8>().ok_or(Loss::Truncated)?;
                header.u16::<6>() & IPV4_MORE_FRAGMENTS != 0
            }
            Family::V6 if self.fragment_header == 0 => false,
            Family::V6 => {
                let cursor = self.payload.at(self.fragment_header);
                let header = cursor.peek::<4>().ok_or(Loss::Truncated)?;
                header.u16::<2>() & IPV6_MORE_FRAGMENTS != 0
            }
        })
    }

    /// Whether it is whole, without options of IPv4 and extension headers of IPv6.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        let fixed = match self.family {
            Family::V4 => IPV4_HEADER,
            Family::V6 => IPV6_HEADER,
        };
        self.payload.offset == self.header.offset + fixed && self.has_more_fragments() == Ok(false)
    }

    /// The sum of the addresses' words, for a checksum.
    #[inline(always)]
    pub(super) fn sum_of_addresses(&self) -> Option<u64> {
        Some(match self.family {
            Family::V4 => {
                let addresses = self.header.skip(IPV4_SOURCE).peek::<8>()?;
                u64::from(addresses.u32::<0>()) + u64::from(addresses.u32::<4>())
            }
            Family::V6 => {
                let addresses = self.header.skip(IPV6_SOURCE).peek::<32>()?;
                let source = u64::from(addresses.u32::<0>())
                    + u64::from(addresses.u32::<4>())
                    + u64::from(addresses.u32::<8>())
                    + u64::from(addresses.u32::<12>());
                let destination = u64::from(addresses.u32::<16>())
                    + u64::from(addresses.u32::<20>())
                    + u64::from(addresses.u32::<24>())
                    + u64::from(addresses.u32::<28>());
                source + destination
            }
        })
    }

    /// How long the fragment header of IPv6 is at the cursor, of a fragment that is not the first.
    #[inline(always)]
    pub(super) fn fragment_header_left(&self) -> usize {
        match self.fragment_header != 0 && self.fragment_header == self.payload.offset {
            true => IPV6_EXTENSION,
            false => 0,
        }
    }

    /// Its identification, its offset, and the length of what it carries.
    #[inline(always)]
    fn fragment(&self) -> Result<(u16, u16, usize), Loss> {
        Ok(match self.family {
            Family::V4 => {
                let header = self.header.peek::<8>().ok_or(Loss::Truncated)?;
                let offset = header.u16::<6>() & IPV4_FRAGMENT_OFFSET;
                (header.u16::<4>(), offset, self.payload.left())
            }
            Family::V6 => {
                let cursor = self.payload.at(self.fragment_header);
                let header = cursor.peek::<IPV6_EXTENSION>().ok_or(Loss::Truncated)?;
                let offset = header.u16::<2>() >> IPV6_OFFSET_SHIFT;
                let id = header.u16::<4>() ^ header.u16::<6>();
                (id, offset, cursor.skip(IPV6_EXTENSION).left())
            }
        })
    }

    /// Where the next fragment starts, of one that more follow. One without payload has no next
    /// one: it would be its own.
    #[inline(always)]
    pub(super) fn next_place(&self) -> Result<Option<FragmentPlace>, Loss> {
        let (id, offset, bytes) = self.fragment()?;
        let next = offset.saturating_add((bytes / FRAGMENT_UNIT) as u16);
        Ok(match next > offset {
            true => FragmentPlace::new(id, next),
            false => None,
        })
    }

    /// What a datagram without a transport header shows: a fragment that is not the first, whose
    /// flow is that of its place, or IPv4 with that number.
    #[inline(always)]
    pub(super) fn later_fragment(&self) -> Result<Parsed, FrameClass> {
        let (id, offset, _) = self.fragment()?;
        let place = FragmentPlace::new(id, offset).filter(|_| offset > 0);
        let next_fragment = match self.has_more_fragments()? {
            true => self.next_place()?,
            false => None,
        };
        let flow = self.flow(Direction::In, [0, FRAGMENT.into()])?;
        Ok(Parsed {
            flow: place.map_or(flow, |place| flow.fragment(place)),
            observation: match place {
                Some(_) => Observation::LaterFragment(NONE),
                None => Observation::OtherProtocol(NONE),
            },
            tool: None,
            next_fragment,
        })
    }

    /// Whether it is an ICMP message of its own family: ICMP above IPv4, ICMPv6 above IPv6. A stack
    /// takes the other one for an unknown protocol.
    #[inline(always)]
    pub(super) fn is_icmp(&self) -> bool {
        self.protocol
            == match self.family {
                Family::V4 => ICMP,
                Family::V6 => ICMPV6,
            }
    }

    /// How many hops it has left: the time to live of IPv4, the hop limit of IPv6. Read on demand,
    /// since few datagrams need it.
    #[inline(always)]
    pub(super) fn hops_left(&self) -> Result<u8, Loss> {
        let header = self.header.peek::<9>().ok_or(Loss::Truncated)?;
        Ok(match self.family {
            Family::V4 => header.u8::<8>(),
            Family::V6 => header.u8::<7>(),
        })
    }

    /// The header of IPv4, `None` for IPv6.
    #[inline(always)]
    pub(super) fn ipv4_header(&self) -> Option<P::Header<IPV4_HEADER>> {
        match self.family {
            Family::V4 => self.header.peek(),
            Family::V6 => None,
        }
    }

    /// The flow of a datagram in that direction, between the ports of its source and destination.
    #[inline(always)]
    pub(super) fn flow(&self, direction: Direction, ports: [u16; 2]) -> Result<Flow, Loss> {
        let (source, destination) = self.addresses()?;
        let [source_port, destination_port] = ports;
        Ok(match direction {
            Direction::In => Flow {
                remote: source,
                local: destination,
                remote_port: source_port,
                local_port: destination_port,
                protocol: self.protocol,
            },
            Direction::Out => Flow {
                remote: destination,
                local: source,
                remote_port: destination_port,
                local_port: source_port,
                protocol: self.protocol,
            },
        })
    }

    /// Source and destination. No host has an IPv6 address that maps an IPv4 one, and Linux drops
    /// a packet from one: counted, it would be blamed on the IPv4 address. One from `::` would
    /// look like the sources of the overflow key.
    #[inline(always)]
    fn addresses(&self) -> Result<(Address, Address), Loss> {
        Ok(match self.family {
            Family::V4 => {
                let addresses = self.header.skip(IPV4_SOURCE).peek::<8>();
                let addresses = addresses.ok_or(Loss::Truncated)?;
                (
                    Address::from_v4_word(addresses.u32::<0>().to_be()),
                    Address::from_v4_word(addresses.u32::<4>().to_be()),
                )
            }
            Family::V6 => {
                let addresses = self.header.skip(IPV6_SOURCE).peek::<32>();
                let addresses = addresses.ok_or(Loss::Truncated)?;
                let source = v6::<_, 0, 4, 8, 12>(addresses);
                let destination = v6::<_, 16, 20, 24, 28>(addresses);
                if !source.is_host_of_ipv6() || !destination.is_host_of_ipv6() {
                    return Err(self.header.skip(IPV6_SOURCE).stop(Loss::Malformed));
                }
                (source, destination)
            }
        })
    }
}

/// The IPv6 address whose words are at `A` to `D`.
#[inline(always)]
fn v6<F: Fields<32>, const A: usize, const B: usize, const C: usize, const D: usize>(
    addresses: F,
) -> Address {
    Address::from_words([
        addresses.u32::<A>().to_be(),
        addresses.u32::<B>().to_be(),
        addresses.u32::<C>().to_be(),
        addresses.u32::<D>().to_be(),
    ])
}
