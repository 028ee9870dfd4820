//! The link layer: Ethernet with VLAN tags, or none.
//!
//! In: a cursor at the first byte of the frame. Out: the protocol above and a cursor at its
//! header; other protocols (LLDP, ...) are ignored.
//! The decisions held here: without a link layer, the version in the first byte says which protocol
//! it is, and the destination whether it is a group: whoever writes to a tunnel's device may call
//! the packet anything else. A frame to a group address (broadcast, multicast) is never a scan,
//! neither of this host nor by it, unless it asks for a neighbour ([`super::neighbour`]). Otherwise
//! neighbours' announcements would look like port hits, and a TCP stack does not answer such frames
//! at all.

use super::Direction;
use super::network::Family;
use crate::packet::{Cursor, Fields};
use crate::protocol::{
    ETHERNET_HEADER, ETHERNET_PAYLOAD, IPV4_HEADER, IPV6_HEADER, TCP_HEADER, VLAN_TAG, ethertype,
};
use crate::{FrameClass, Ignored, Loss, Packet};

/// Tags that the parser follows on frames to this host. Linux unwinds any number with the VLAN ID
/// 0: as many as 1500 bytes hold beside a SYN.
const MAX_TAGS_IN: usize = (ETHERNET_PAYLOAD - IPV4_HEADER - TCP_HEADER) / VLAN_TAG;
/// On frames from this host, which have its own tags: 802.1ad outside, 802.1Q inside.
const MAX_TAGS_OUT: usize = 2;

/// The bit of the first destination byte that marks a group address (IEEE 802.3, 3.2.3).
const GROUP_BIT: u8 = 1;

/// Where the destination is, and how that of a group begins: 224.0.0.0/4 and ff00::/8.
const IPV4_DESTINATION: usize = 16;
const IPV4_GROUPS: u8 = 0xe;
const IPV6_DESTINATION: usize = 24;
const IPV6_GROUPS: u8 = 0xff;

/// What a frame contains, with a cursor at its header.
pub(super) enum Frame<'a, P: ?Sized> {
    /// IP, to one host.
    Ip(Family, Cursor<'a, P>),
    /// IPv6, to a group of hosts.
    ToGroup(Cursor<'a, P>),
    /// ARP.
    Arp(Cursor<'a, P>),
}

#[inline(always)]
pub(super) fn ethernet<P: Packet + ?Sized>(
    cursor: Cursor<'_, P>,
    direction: Direction,
) -> Result<Frame<'_, P>, FrameClass> {
    let header = cursor.peek::<ETHERNET_HEADER>().ok_or(Loss::Truncated)?;
    let is_to_group = header.u8::<0>() & GROUP_BIT != 0;
    if is_to_group && direction == Direction::Out {
        return Err(Ignored::Group.into());
    }
    let mut kind = header.u16::<12>();
    let mut cursor = cursor.skip(ETHERNET_HEADER);
    let most_tags = match direction {
        Direction::In => MAX_TAGS_IN,
        Direction::Out => MAX_TAGS_OUT,
    };
    for _ in 0..most_tags {
        if !is_tag(kind) {
            break;
        }
        let tag = cursor.peek::<VLAN_TAG>().ok_or(Loss::Truncated)?;
        kind = tag.u16::<2>();
        cursor = cursor.skip(VLAN_TAG).hide_offset();
    }
    match kind {
        ethertype::IPV4 if is_to_group => Err(Ignored::Group.into()),
        ethertype::IPV6 if is_to_group => Ok(Frame::ToGroup(cursor)),
        ethertype::IPV4 => Ok(Frame::Ip(Family::V4, cursor)),
        ethertype::IPV6 => Ok(Frame::Ip(Family::V6, cursor)),
        ethertype::ARP if direction == Direction::In => Ok(Frame::Arp(cursor)),
        deeper if is_tag(deeper) => Err(cursor.stop(Loss::TooDeep).into()),
        _ if is_to_group => Err(Ignored::Group.into()),
        _ => Err(Ignored::NotIp.into()),
    }
}

/// A packet without a link layer.
#[inline(always)]
pub(super) fn bare<P: Packet + ?Sized>(cursor: Cursor<'_, P>) -> Result<Frame<'_, P>, FrameClass> {
    let start = cursor.peek::<2>().ok_or(Loss::Truncated)?;
    let (family, is_to_group) = match start.u8::<0>() >> 4 {
        4 => {
            let header = cursor.peek::<IPV4_HEADER>().ok_or(Loss::Truncated)?;
            let to = header.u8::<IPV4_DESTINATION>();
            let is_broadcast = header.u32::<IPV4_DESTINATION>() == u32::MAX;
            (Family::V4, to >> 4 == IPV4_GROUPS || is_broadcast)
        }
        6 => {
            let header = cursor.peek::<IPV6_HEADER>().ok_or(Loss::Truncated)?;
            (Family::V6, header.u8::<IPV6_DESTINATION>() == IPV6_GROUPS)
        }
        _ => return Err(Ignored::NotIp.into()),
    };
    match is_to_group {
        true => Err(Ignored::Group.into()),
        false => Ok(Frame::Ip(family, cursor)),
    }
}

/// So many bytes of a network header are compared: its version and its length are among them.
pub const NETWORK_START: usize = 8;

/// Before Linux 5.14, TC shows an inbound packet of IPIP, SIT and GRE with headers of the tunnel
/// still before it; the kernel's network header is the packet's own. Returns where that is among
/// `length` bytes, by its own length, if a header of IP has room before it.
#[inline(always)]
#[must_use]
pub fn behind_tunnel_headers(network: [u8; NETWORK_START], length: usize) -> Option<usize> {
    let [first, _, v4_high, v4_low, v6_high, v6_low, ..] = network;
    let own = match first >> 4 {
        4 => usize::from(u16::from_be_bytes([v4_high, v4_low])),
        6 => IPV6_HEADER + usize::from(u16::from_be_bytes([v6_high, v6_low])),
        _ => return None,
    };
    let start = length.checked_sub(own)?;
    (start >= IPV4_HEADER).then_some(start)
}

#[inline(always)]
fn is_tag(kind: u16) -> bool {
    kind == ethertype::VLAN || kind == ethertype::VLAN_OUTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_may_have_its_tunnels_headers_before_it() {
        const V4: [u8; NETWORK_START] = [0x45, 0, 0, 40, 0, 0, 0, 0];
        const V6: [u8; NETWORK_START] = [0x60, 0, 0, 0, 0, 20, 6, 64];
        const NEITHER: [u8; NETWORK_START] = [0x50, 0, 0, 40, 0, 0, 0, 0];
        for (name, network, length, expected) in [
            ("IPIP, with Ethernet", V4, 14 + 20 + 40, Some(34)),
            ("SIT, with Ethernet", V6, 14 + 20 + 60, Some(34)),
            ("GRE with a key, from its IP on", V4, 20 + 8 + 40, Some(28)),
            ("IPv4 in IPv6", V4, 14 + 40 + 40, Some(54)),
            ("no headers before it", V4, 40, None),
            ("the fewest before it", V4, 20 + 40, Some(20)),
            ("too few before it", V4, 19 + 40, None),
            ("longer than the frame", V4, 39, None),
            ("another version", NEITHER, 74, None),
        ] {
            let start = behind_tunnel_headers(network, length);
            assert_eq!(start, expected, "{name}");
        }
    }
}
