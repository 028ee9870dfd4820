//! Ports that wait for answers from other ports than they have asked: each neighbour answers a
//! question to a group from an address and often a port of its own, and a server of TFTP answers
//! from a new port.
//!
//! In: what a host sends. Out: the [`Flow`]s as which it is remembered that a port waits.
//! The decisions held here: who begins a flow waits for the remote's answers, from whatever port.
//! Who asks a group waits for anybody's, but only on a port that is not the service's own. What
//! asks from the port that it asks (NetBIOS names, multicast DNS) gets answers to that one port,
//! and remembering that would excuse whoever probes the service there.

use recon_common::protocol::{IPV4_HEADER, IPV6_HEADER, UDP_HEADER, ip_protocol};
use recon_common::{Address, Flow};

use super::segment::PacketEnds;

/// As what it is remembered that a port waits for answers to what a packet asks a group, if it is a
/// whole UDP datagram.
pub(super) fn after_question(packet: &[u8], ends: &PacketEnds) -> Option<Flow> {
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

/// As what it is remembered that the local port of a flow waits for answers of its remote.
pub(super) const fn for_remote(flow: &Flow) -> Flow {
    waiting(flow.remote, flow.local, flow.local_port)
}

/// As what it is remembered that the local port of a flow waits for answers of anybody.
pub(super) const fn for_anybody(flow: &Flow) -> Flow {
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
