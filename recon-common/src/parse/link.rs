//! The link layer: Ethernet with VLAN tags.
//!
//! In: a cursor at the first byte of the frame. Out: the protocol above and a cursor at its
//! header; other protocols (LLDP, ...) are ignored.
//! The decision held here: a frame to a group address (broadcast, multicast) is never a scan,
//! neither of this host nor by it, unless it asks for a neighbour ([`super::neighbour`]). Otherwise
//! neighbours' announcements would look like port hits, and a TCP stack does not answer such frames
//! at all.

use super::Direction;
use super::network::Family;
use crate::packet::{Cursor, Fields};
use crate::protocol::{
    ETHERNET_HEADER, ETHERNET_PAYLOAD, IPV4_HEADER, TCP_HEADER, VLAN_TAG, ethertype,
};
use crate::{FrameClass, Ignored, Loss, Packet};

/// Tags that the parser follows on frames to this host. Linux unwinds any number with the VLAN ID
/// 0: as many as 1500 bytes hold beside a SYN.
const MAX_TAGS_IN: usize = (ETHERNET_PAYLOAD - IPV4_HEADER - TCP_HEADER) / VLAN_TAG;
/// On frames from this host, which have its own tags: 802.1ad outside, 802.1Q inside.
const MAX_TAGS_OUT: usize = 2;

/// The bit of the first destination byte that marks a group address (IEEE 802.3, 3.2.3).
const GROUP_BIT: u8 = 1;

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
        cursor = cursor.skip(VLAN_TAG);
        // Two tags need no hiding, which takes stack.
        if direction == Direction::In {
            cursor = cursor.hide_offset();
        }
    }
    match kind {
        ethertype::IPV4 if is_to_group => Err(Ignored::Group.into()),
        ethertype::IPV6 if is_to_group => Ok(Frame::ToGroup(cursor)),
        ethertype::IPV4 => Ok(Frame::Ip(Family::V4, cursor)),
        ethertype::IPV6 => Ok(Frame::Ip(Family::V6, cursor)),
        ethertype::ARP if direction == Direction::In => Ok(Frame::Arp(cursor)),
        deeper if is_tag(deeper) => Err(Loss::TooDeep.into()),
        _ if is_to_group => Err(Ignored::Group.into()),
        _ => Err(Ignored::NotIp.into()),
    }
}

#[inline(always)]
fn is_tag(kind: u16) -> bool {
    kind == ethertype::VLAN || kind == ethertype::VLAN_OUTER
}
