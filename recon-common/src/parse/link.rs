//! The link layer: Ethernet with up to two VLAN tags.
//!
//! In: a cursor at the first byte of the frame. Out: the family of the network header and a cursor at it; `None` for other
//! protocols (ARP, LLDP, ...).
//! The decision held here: a frame to a group address (broadcast, multicast) is nobody's scan, neither of this host nor by it.
//! Neighbours' announcements would otherwise look like port hits, and a TCP stack does not answer such frames at all.

use super::network::Family;
use crate::packet::{Cursor, Fields};
use crate::{Loss, Packet};

pub(super) const HEADER: usize = 14;
const TAG: usize = 4;
/// Tags that are followed: 802.1ad outside, 802.1Q inside.
const MAX_TAGS: usize = 2;

pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_VLAN_OUTER: u16 = 0x88a8;

/// The bit of the first destination byte that marks a group address (IEEE 802.3, 3.2.3).
const GROUP_BIT: u8 = 1;

#[inline(always)]
pub(super) fn ethernet<P: Packet + ?Sized>(
    cursor: Cursor<'_, P>,
) -> Result<Option<(Family, Cursor<'_, P>)>, Loss> {
    let header = cursor.peek::<HEADER>().ok_or(Loss::Truncated)?;
    if header.u8::<0>() & GROUP_BIT != 0 {
        return Ok(None);
    }
    let mut ethertype = header.u16::<12>();
    let mut cursor = cursor.skip(HEADER);
    for _ in 0..MAX_TAGS {
        if !is_tag(ethertype) {
            break;
        }
        let tag = cursor.peek::<TAG>().ok_or(Loss::Truncated)?;
        ethertype = tag.u16::<2>();
        cursor = cursor.skip(TAG);
    }
    match ethertype {
        ETHERTYPE_IPV4 => Ok(Some((Family::V4, cursor))),
        ETHERTYPE_IPV6 => Ok(Some((Family::V6, cursor))),
        deeper if is_tag(deeper) => Err(Loss::TooDeep),
        _ => Ok(None),
    }
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_VLAN_OUTER
}
