//! The fast path for most packets: data and acknowledgements of established connections.
//!
//! In: a frame. Out: whether it is certainly one that no rule asks about. Looks at fixed places,
//! where nearly every frame has its fields: Ethernet without tags, IP without options or extension
//! headers, TCP with ACK and without SYN, FIN and RST, to a port whose payload nobody reads.
//! The decision held here: one check that the bytes exist, and one load per field at an offset that
//! is known at compile time. Any other packet takes the full parser, so this decides nothing that
//! the parser does not decide as well.

use super::Direction;
use super::transport::TCP_TO_FLAGS;
use crate::Packet;
use crate::packet::Fields;
use crate::protocol::tcp_flag::{ACK, FIN, RST, SYN};
use crate::protocol::{
    ETHERNET_HEADER, IPV4_HEADER, IPV4_PLAIN, IPV6_HEADER, TCP_HEADER, ethertype, ip_protocol, port,
};

/// The bits of 'more fragments' and of the fragment's offset.
const IPV4_FRAGMENT: u16 = 0x3fff;
/// Where a TCP header has the destination's port, and the flags.
const PORT: usize = 2;
const FLAGS: usize = TCP_TO_FLAGS - 1;

const TCP_OVER_IPV4: usize = ETHERNET_HEADER + IPV4_HEADER;
const TCP_OVER_IPV6: usize = ETHERNET_HEADER + IPV6_HEADER;

#[inline(always)]
pub(super) fn is_of_established<P: Packet + ?Sized>(packet: &P, direction: Direction) -> bool {
    let Some(frame) = packet.header::<{ TCP_OVER_IPV4 + TCP_TO_FLAGS }>(0) else {
        return false;
    };
    match frame.u16::<12>() {
        ethertype::IPV4 => {
            frame.u8::<ETHERNET_HEADER>() == IPV4_PLAIN
                && frame.u16::<{ ETHERNET_HEADER + 6 }>() & IPV4_FRAGMENT == 0
                && frame.u8::<{ ETHERNET_HEADER + 9 }>() == ip_protocol::TCP
                && frame.u16::<{ ETHERNET_HEADER + 2 }>() >= (IPV4_HEADER + TCP_HEADER) as u16
                && is_data(
                    frame.u8::<{ TCP_OVER_IPV4 + FLAGS }>(),
                    frame.u16::<{ TCP_OVER_IPV4 + PORT }>(),
                    direction,
                )
                && is_by_kernel(packet, frame.u16::<TCP_OVER_IPV4>(), direction)
        }
        ethertype::IPV6 => {
            let Some(frame) = packet.header::<{ TCP_OVER_IPV6 + TCP_TO_FLAGS }>(0) else {
                return false;
            };
            frame.u8::<ETHERNET_HEADER>() >> 4 == 6
                && frame.u8::<{ ETHERNET_HEADER + 6 }>() == ip_protocol::TCP
                && frame.u16::<{ ETHERNET_HEADER + 4 }>() >= TCP_HEADER as u16
                && is_data(
                    frame.u8::<{ TCP_OVER_IPV6 + FLAGS }>(),
                    frame.u16::<{ TCP_OVER_IPV6 + PORT }>(),
                    direction,
                )
                && is_by_kernel(packet, frame.u16::<TCP_OVER_IPV6>(), direction)
        }
        _ => false,
    }
}

/// Whether the kernel has sent an outbound segment from that port, and no process that probes.
#[inline(always)]
fn is_by_kernel<P: Packet + ?Sized>(packet: &P, source: u16, direction: Direction) -> bool {
    direction == Direction::In || !packet.is_crafted(source)
}

#[inline(always)]
fn is_data(flags: u8, destination: u16, direction: Direction) -> bool {
    let is_read = match direction {
        Direction::In => destination == port::HTTP || destination == port::DNS,
        Direction::Out => destination == port::DNS,
    };
    flags & (ACK | SYN | FIN | RST) == ACK && !is_read
}
