//! TC, as TCX or under clsact: what goes out, and what comes in where XDP is not available. Two
//! programs are for interfaces with Ethernet, two for those without (tunnels), whose packets start
//! with IP: the agent loads these where such an interface may be watched.
//!
//! In: an skb. Out: always `TCX_NEXT` (clsact calls it `TC_ACT_UNSPEC`): the next program or the
//! stack goes on as without recon.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_NET;
use aya_ebpf::bindings::tcx_action_base::TCX_NEXT;
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use recon_common::packet::Fields;
use recon_common::parse::{NETWORK_START, behind_tunnel_headers};
use recon_common::protocol::{
    ETHERNET_HEADER, ETHERNET_PAYLOAD, IPV4_HEADER, IPV4_PLAIN, IPV6_HEADER, TCP_HEADER, ethertype,
    ip_protocol,
};
use recon_common::{Direction, Packet};

use super::{InPlace, hide_offset};
use crate::dns::{CopiedFrame, write_frame};
use crate::flow_state::{KernelFlowState, PacketHook};
use crate::hit_headers::{self, FramePlace, RecordedFrame};
use crate::kernel_log::{FrameBytes, LoggedFrame, write_record};
use crate::{count, sender};

#[classifier]
#[inline(always)]
pub(crate) fn recon_egress(context: TcContext) -> i32 {
    count_frame(&SkbFrame::<false>(context), Direction::Out)
}

#[classifier]
#[inline(always)]
pub(crate) fn recon_ingress(context: TcContext) -> i32 {
    count_frame(&SkbFrame::<false>(context), Direction::In)
}

#[classifier]
#[inline(always)]
pub(crate) fn recon_ip_out(context: TcContext) -> i32 {
    count_frame(&SkbFrame::<true>(context), Direction::Out)
}

#[classifier]
#[inline(always)]
pub(crate) fn recon_ip_in(context: TcContext) -> i32 {
    count_frame(&SkbFrame::<true>(context), Direction::In)
}

#[inline(always)]
fn count_frame<const IS_BARE: bool>(frame: &SkbFrame<IS_BARE>, direction: Direction) -> i32 {
    let state = KernelFlowState {
        context: frame.0.skb.skb.cast(),
        hook: match direction {
            Direction::In => PacketHook::Ingress,
            Direction::Out => PacketHook::Egress,
        },
    };
    count::count_packet(frame, &state, direction);
    TCX_NEXT
}

/// A packet, bare if it starts with IP.
struct SkbFrame<const IS_BARE: bool>(TcContext);

impl<const IS_BARE: bool> SkbFrame<IS_BARE> {
    /// Whether the first buffer holds a header of IPv4 without options, or one of IPv6 that TCP,
    /// UDP or ICMPv6 follows, and as many bytes behind it as TCP's header has.
    #[inline(always)]
    fn has_plain_headers(&self) -> bool {
        const IPV4: usize = ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER;
        const IPV6: usize = ETHERNET_HEADER + IPV6_HEADER + TCP_HEADER;
        if let Some(frame) = self.header::<IPV6>(0) {
            let next = frame.u8::<{ ETHERNET_HEADER + 6 }>();
            if frame.u16::<12>() == ethertype::IPV6 {
                return is_transport(next);
            }
        }
        let Some(frame) = self.header::<IPV4>(0) else {
            return false;
        };
        frame.u16::<12>() == ethertype::IPV4 && frame.u8::<ETHERNET_HEADER>() == IPV4_PLAIN
    }

    /// The same of a bare packet.
    #[inline(always)]
    fn has_plain_bare_headers(&self) -> bool {
        const IPV4: usize = IPV4_HEADER + TCP_HEADER;
        const IPV6: usize = IPV6_HEADER + TCP_HEADER;
        let Some(packet) = self.header::<IPV4>(0) else {
            return false;
        };
        match packet.u8::<0>() {
            IPV4_PLAIN => true,
            version if version >> 4 == 6 => {
                is_transport(packet.u8::<6>()) && self.header::<IPV6>(0).is_some()
            }
            _ => false,
        }
    }
}

#[inline(always)]
fn is_transport(protocol: u8) -> bool {
    matches!(
        protocol,
        ip_protocol::TCP | ip_protocol::UDP | ip_protocol::ICMPV6
    )
}

impl<const IS_BARE: bool> Packet for SkbFrame<IS_BARE> {
    const STARTS_WITH_IP: bool = IS_BARE;

    type Header<const N: usize> = InPlace<N>;

    #[inline(always)]
    fn header<const N: usize>(&self, offset: usize) -> Option<InPlace<N>> {
        // SAFETY: both are the context's own.
        unsafe { InPlace::locate(self.0.data(), self.0.data_end(), offset) }
    }

    #[inline(always)]
    fn payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: the helper writes `N` bytes to a buffer of `N`.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.0.skb.skb.cast(),
                offset as u32,
                bytes.as_mut_ptr().cast(),
                N as u32,
            )
        };
        (result == 0).then_some(bytes)
    }

    /// The place behind a tunnel's headers is taken only if the packet's own header is there.
    #[inline(always)]
    fn start(&self) -> usize {
        let Self(context) = self;
        let mut network = [0; NETWORK_START];
        // SAFETY: the helper writes `NETWORK_START` bytes to a buffer of as many.
        let result = unsafe {
            bpf_skb_load_bytes_relative(
                context.skb.skb.cast(),
                0,
                network.as_mut_ptr().cast(),
                NETWORK_START as u32,
                BPF_HDR_START_NET,
            )
        };
        let starts_at = |offset| {
            self.header::<NETWORK_START>(offset)
                .is_some_and(|bytes| bytes.to_array() == network)
        };
        let behind_tunnel = || {
            let start = behind_tunnel_headers(network, context.len() as usize)?;
            starts_at(hide_offset(start)).then_some(start)
        };
        let start = match result == 0 && !starts_at(0) {
            true => behind_tunnel().unwrap_or(0),
            false => 0,
        };
        hide_offset(start)
    }

    /// Raw sockets, guests and some drivers leave headers in page fragments. The bytes stay as they
    /// are.
    #[inline(always)]
    fn pull_headers(&self) {
        const LONGEST: u32 = (ETHERNET_HEADER + ETHERNET_PAYLOAD) as u32;
        let Self(context) = self;
        let here = (context.data_end() - context.data()) as u32;
        let readable = context.len().min(LONGEST);
        let has_plain_headers = || match IS_BARE {
            true => self.has_plain_bare_headers(),
            false => self.has_plain_headers(),
        };
        if here < readable && !has_plain_headers() {
            // If it fails, the parser counts the packet as truncated.
            let _ = context.pull_data(readable);
        }
    }

    #[inline(always)]
    fn is_crafted(&self, source_port: u16) -> bool {
        sender::is_crafted(self.0.skb.skb.cast(), source_port)
    }

    #[inline(always)]
    fn hide_offset(offset: usize) -> usize {
        hide_offset(offset)
    }
}

impl<const IS_BARE: bool> LoggedFrame for SkbFrame<IS_BARE> {
    #[inline(always)]
    fn log(&self, lost: u32) {
        log_skb_frame(self.0.skb.skb, lost);
    }
}

impl<const IS_BARE: bool> CopiedFrame for SkbFrame<IS_BARE> {
    #[inline(always)]
    fn copy(&self, origin: u32) {
        copy_skb_frame(self.0.skb.skb, origin);
    }
}

impl<const IS_BARE: bool> RecordedFrame for SkbFrame<IS_BARE> {
    #[inline(always)]
    fn record(&self, direction: Direction) {
        let context = self.0.skb.skb;
        match direction {
            Direction::In => record_skb_frame::<IS_BARE, false>(context),
            Direction::Out => record_skb_frame::<IS_BARE, true>(context),
        }
    }
}

/// The direction is a constant: each has headers of its own to be found.
#[inline(never)]
fn record_skb_frame<const IS_BARE: bool, const IS_OUT: bool>(context: *mut __sk_buff) {
    // SAFETY: the context is the program's own.
    let (interface, length) = unsafe { ((*context).ifindex, (*context).len) };
    let place = FramePlace {
        direction: if IS_OUT {
            Direction::Out
        } else {
            Direction::In
        },
        interface,
        length,
    };
    let frame = SkbFrame::<IS_BARE>(TcContext::new(context));
    hit_headers::write_hit_header(&frame, &place, |bytes, start, length| {
        // SAFETY: the helper writes `length` bytes, for which there is room.
        match unsafe { bpf_skb_load_bytes(context.cast(), start, bytes.cast(), length) } {
            0 => length,
            _ => 0,
        }
    });
}

#[inline(never)]
fn copy_skb_frame(context: *mut __sk_buff, origin: u32) {
    // SAFETY: the context is the program's own.
    let length = unsafe { (*context).len };
    write_frame(origin, u64::from(length), |bytes, length| {
        // SAFETY: the helper writes `length` bytes, for which there is room.
        unsafe { bpf_skb_load_bytes(context.cast(), 0, bytes.cast(), length) }
    });
}

/// The parser has pulled the headers into the first buffer.
#[inline(never)]
fn log_skb_frame(context: *mut __sk_buff, lost: u32) {
    let frame = TcContext::new(context);
    // SAFETY: the context is the program's own.
    let interface = unsafe { (*context).ifindex };
    let frame = FrameBytes {
        start: frame.data(),
        end: frame.data_end(),
        length: frame.len(),
        interface,
    };
    write_record(&frame, lost);
}
