//! Ports that wait for answers from other ports than they have asked: each neighbour answers a
//! question to a group from an address and often a port of its own, and a server of TFTP answers
//! from a new port.
//!
//! In: what a host sends. Out: the [`Flow`] under which flow state records that a port waits.
//! The decisions held here: a port that begins a flow waits for the remote's answers, from any
//! port. A port that asks a group waits for answers from any address, unless it asks the same port
//! number (NetBIOS names, multicast DNS): that port is the service's own, and an exception for it
//! would hide probes of the service.

use recon_common::protocol::{IPV4_HEADER, IPV6_HEADER, UDP_HEADER, ip_protocol};
use recon_common::{Address, Flow};

use super::segment::PacketEnds;

/// The record that the source port of a packet to a group waits for answers from any address.
/// `None` if the packet is no whole UDP datagram, or asks the port that it comes from.
pub(super) fn for_answers_to_group(packet: &[u8], ends: &PacketEnds) -> Option<Flow> {
    /// 'More fragments', and the offset.
    const FRAGMENT: u16 = 0x3fff;
    let (protocol, start) = match packet.first()? >> 4 {
        4 => {
            let header: &[u8; IPV4_HEADER] = packet.first_chunk()?;
            let is_whole = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT == 0;
            let start = usize::from(header[0] & 0xf) * 4;
            (is_whole.then_some(header[9])?, start)
        }
        _ => (packet.first_chunk::<IPV6_HEADER>()?[6], IPV6_HEADER),
    };
    let header: &[u8; UDP_HEADER] = packet.get(start..)?.first_chunk()?;
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (from, to) = (port(0), port(2));
    (protocol == ip_protocol::UDP && from != to).then_some(waiting(
        Address::UNSPECIFIED,
        ends.source,
        from,
    ))
}

/// The record that the local port of a flow waits for answers from its remote.
pub(super) const fn for_remote(flow: &Flow) -> Flow {
    waiting(flow.remote, flow.local, flow.local_port)
}

/// The record that the local port of a flow waits for answers from any address.
pub(super) const fn for_any_address(flow: &Flow) -> Flow {
    waiting(Address::UNSPECIFIED, flow.local, flow.local_port)
}

const fn waiting(remote: Address, local: Address, local_port: u16) -> Flow {
    Flow {
        remote,
        local,
        remote_port: 0,
        local_port,
        protocol: ip_protocol::UDP,
    }
}
