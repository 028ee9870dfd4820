//! Which scanning tool makes such a probe.
//!
//! In: a [`Datagram`] that starts a connection, probes, or asks. Out: the [`Tool`] whose
//! fingerprint it carries, if any.
//! The decisions held here:
//! - Common systems never send a fingerprint. A client's identification is random, so that one in
//!   65,536 equals any given number. But such systems set 'don't fragment' on TCP, start with at
//!   most 128 hops, and put more options into a SYN than the maximum segment size. So these are
//!   part of the fingerprints.
//! - No stack sends a SYN without an option: the maximum segment size is the least that Linux, the
//!   BSDs, Windows, lwIP, uIP and FreeRTOS announce (RFC 9293, 3.7.1), and proxies of handshakes do
//!   so too. Who writes TCP headers by hand mostly leaves it out. So such a SYN is crafted, by
//!   whatever tool, over IPv4 and IPv6.
//! - Only probes are looked at, and a client's SYN leaves after one load.
//!
//! | tool | fingerprint, over IPv4 without 'don't fragment' |
//! |---|---|
//! | nmap | a window of 1 to 4 times 1024; in a SYN only the maximum segment size 1460 |
//! | masscan | a SYN whose identification derives from target and sequence number; many hops left |
//! | ZMap before 4.1 | identification 54321, many hops left; in a SYN the largest window |
//! | hping2, hping3 | a window of 512, no options |
//! | Mirai | a SYN whose sequence number is the target's address, no options |
//! | any other | a SYN without options, with or without 'don't fragment' |

use super::network::Datagram;
use crate::packet::Fields;
use crate::protocol::TCP_HEADER;
use crate::{Packet, Signal, Tool};

/// Words of a TCP header without options, and with one word of them.
const NO_OPTIONS: u8 = 5;
const ONE_OPTION: u8 = 6;
/// The option 'maximum segment size' (RFC 9293, 3.2) with what an Ethernet takes: 1460.
const ETHERNET_SEGMENT: u32 = 0x0204_05b4;
/// ZMap's identification (`make_ip_header`) and window (`make_tcp_header`).
const ZMAP_ID: u16 = 54_321;
const ZMAP_WINDOW: u16 = u16::MAX;
/// hping's default (`-w`).
const HPING_WINDOW: u16 = 512;
/// Common stacks have no more hops left. ZMap and masscan start with 255.
const MOST_COMMON_HOPS: u8 = 128;

/// The tool that makes such a segment, whose header has so many words.
#[inline(always)]
pub(super) fn of_segment<P: Packet + ?Sized>(
    datagram: &Datagram<'_, P>,
    signal: Signal,
    words: u8,
) -> Option<Tool> {
    if !signal.is_probe() {
        return None;
    }
    let crafted = (signal == Signal::Syn && words == NO_OPTIONS).then_some(Tool::Crafted);
    let ipv4 = datagram.ipv4_header();
    if ipv4.is_some_and(|header| header.u16::<6>() != 0) {
        return crafted;
    }
    let Some(header) = datagram.payload.peek::<TCP_HEADER>() else {
        return crafted;
    };
    let window = header.u16::<14>();
    if words == NO_OPTIONS && window == HPING_WINDOW {
        return Some(Tool::Hping);
    }
    // Newer versions keep to the first one.
    let is_nmap_window = matches!(window, 1024 | 2048 | 3072 | 4096);
    if signal != Signal::Syn {
        return (words == NO_OPTIONS && is_nmap_window).then_some(Tool::Nmap);
    }
    if words == ONE_OPTION && is_nmap_window {
        let options = datagram.payload.skip(TCP_HEADER).peek::<4>()?;
        if options.u32::<0>() == ETHERNET_SEGMENT {
            return Some(Tool::Nmap);
        }
    }
    let Some(ipv4) = ipv4 else { return crafted };
    let (sequence, target) = (header.u32::<4>(), ipv4.u32::<16>());
    if words == NO_OPTIONS && sequence == target {
        return Some(Tool::Mirai);
    }
    if ipv4.u8::<8>() <= MOST_COMMON_HOPS {
        return crafted;
    }
    let id = ipv4.u16::<4>();
    if window == ZMAP_WINDOW {
        let zmap = (id == ZMAP_ID).then_some(Tool::Zmap);
        return zmap.or(crafted);
    }
    let derived = target as u16 ^ sequence as u16 ^ header.u16::<2>();
    let masscan = (words <= ONE_OPTION && id == derived).then_some(Tool::Masscan);
    masscan.or(crafted)
}

/// The tool that makes such a datagram or echo request.
#[inline(always)]
pub(super) fn of_datagram<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Option<Tool> {
    let header = datagram.ipv4_header()?;
    let is_zmap =
        header.u32::<4>() == (ZMAP_ID as u32) << u16::BITS && header.u8::<8>() > MOST_COMMON_HOPS;
    is_zmap.then_some(Tool::Zmap)
}
