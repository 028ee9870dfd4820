//! Questions for the hardware address of a neighbour: ARP and neighbour solicitations.
//!
//! In: a cursor at an ARP message, or at an IPv6 header in a frame to a group address. Out: who
//! asks (the remote) for whose address (the local one); other messages are ignored.
//! The decision held here: such a question is a frame to a group address that says something about
//! its sender: one who asks for many addresses looks for hosts. An announcement asks nothing: it
//! names its own address. Nor does a host that has none yet: after a power cut all of them ask.

use super::Parsed;
use crate::packet::{Cursor, Fields};
use crate::protocol::{ICMP_HEADER, IPV6_HEADER, arp, icmpv6, ip_protocol};
use crate::{Address, Flow, FrameClass, Ignored, Loss, Observation, Packet, Signal};

/// The hop limit of neighbour discovery: no router has forwarded it (RFC 4861, 7.1.1).
const FROM_LINK: u8 = 255;
/// An IPv6 header and the target of a solicitation.
pub(super) const SOLICITATION: usize = IPV6_HEADER + ICMP_HEADER + 16;

/// What an ARP message shows.
#[inline(always)]
pub(super) fn arp<P: Packet + ?Sized>(cursor: Cursor<'_, P>) -> Result<Parsed, FrameClass> {
    let message = cursor.peek::<{ arp::MESSAGE }>().ok_or(Loss::Truncated)?;
    let (sender, target) = (message.u32::<14>(), message.u32::<24>());
    let is_of_ipv4 = (message.u32::<0>(), message.u16::<4>()) == arp::IPV4_OVER_ETHERNET;
    let is_request = is_of_ipv4 && message.u16::<6>() == arp::REQUEST;
    if !is_request || sender == target || sender == arp::NOBODY {
        return Err(Ignored::NotIp.into());
    }
    let address = |word: u32| Address::from_v4_word(word.to_be());
    Ok(request(address(sender), address(target)))
}

/// What a frame to a group address shows.
#[inline(always)]
pub(super) fn solicitation<P: Packet + ?Sized>(
    cursor: Cursor<'_, P>,
) -> Result<Parsed, FrameClass> {
    let Some(packet) = cursor.peek::<SOLICITATION>() else {
        return Err(Ignored::Group.into());
    };
    let is_solicitation = packet.u8::<6>() == ip_protocol::ICMPV6
        && packet.u8::<7>() == FROM_LINK
        && packet.u8::<IPV6_HEADER>() == icmpv6::NEIGHBOUR_SOLICITATION;
    let source = address::<_, 8, 12, 16, 20>(packet);
    if !is_solicitation || !source.is_host_of_ipv6() {
        return Err(Ignored::Group.into());
    }
    Ok(request(source, address::<_, 48, 52, 56, 60>(packet)))
}

/// The IPv6 address whose words are at `A` to `D`.
#[inline(always)]
fn address<F, const A: usize, const B: usize, const C: usize, const D: usize>(packet: F) -> Address
where
    F: Fields<SOLICITATION>,
{
    Address::from_words([
        packet.u32::<A>().to_be(),
        packet.u32::<B>().to_be(),
        packet.u32::<C>().to_be(),
        packet.u32::<D>().to_be(),
    ])
}

#[inline(always)]
fn request(remote: Address, local: Address) -> Parsed {
    Parsed {
        flow: Flow {
            remote,
            local,
            remote_port: 0,
            local_port: 0,
            protocol: 0,
        },
        observation: Observation::Plain(Signal::NeighbourRequest),
        tool: None,
        next_fragment: None,
    }
}
