//! XDP: everything that comes in, before the stack sees it.
//!
//! In: the driver's buffer. Out: always `XDP_PASS`. Accepts multi-buffer packets (jumbo frames),
//! hence `frags`.

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use recon_common::{Direction, Packet};

use super::{InPlace, hide_offset};
use crate::count;
use crate::dns::{CopiedFrame, write_frame};
use crate::flow_state::{KernelFlowState, PacketHook};
use crate::hit_headers::{self, FramePlace, RecordedFrame};
use crate::kernel_log::{FrameBytes, LoggedFrame, capture, write_record};

/// Whether frames may come in several buffers, and the kernel has the helper that reads them (Linux
/// 5.18 and later). The agent sets it before it loads the programs; the verifier skips the call of
/// the helper if it is 0.
#[unsafe(no_mangle)]
static XDP_HAS_FRAGS: Global<u32> = Global::new(0);

#[xdp(frags)]
#[inline(always)]
pub(crate) fn recon_xdp(context: XdpContext) -> u32 {
    let state = KernelFlowState {
        context: context.ctx.cast(),
        hook: PacketHook::Xdp,
    };
    count::count_packet(&XdpFrame(context), &state, Direction::In);
    XDP_PASS
}

struct XdpFrame(XdpContext);

impl Packet for XdpFrame {
    type Header<const N: usize> = InPlace<N>;

    #[inline(always)]
    fn header<const N: usize>(&self, offset: usize) -> Option<InPlace<N>> {
        // SAFETY: both are the context's own.
        unsafe { InPlace::locate(self.0.data(), self.0.data_end(), offset) }
    }

    #[inline(always)]
    fn payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if let Some(bytes) = self.header(offset) {
            return Some(bytes.to_array());
        }
        if XDP_HAS_FRAGS.load() == 0 {
            return None;
        }
        let mut bytes = [0; N];
        // SAFETY: the helper writes `N` bytes to a buffer of `N`.
        let result = unsafe {
            bpf_xdp_load_bytes(
                self.0.ctx,
                offset as u32,
                bytes.as_mut_ptr().cast(),
                N as u32,
            )
        };
        (result == 0).then_some(bytes)
    }

    #[inline(always)]
    fn hide_offset(offset: usize) -> usize {
        hide_offset(offset)
    }
}

impl LoggedFrame for XdpFrame {
    #[inline(always)]
    fn log(&self, lost: u32) {
        log_xdp_frame(self.0.ctx, lost);
    }
}

impl CopiedFrame for XdpFrame {
    #[inline(always)]
    fn copy(&self, origin: u32) {
        copy_xdp_frame(self.0.ctx, origin);
    }
}

impl RecordedFrame for XdpFrame {
    #[inline(always)]
    fn record(&self, _: Direction) {
        record_xdp_frame(self.0.ctx);
    }
}

/// Without the helper, the headers are copied from the first buffer, where the parser has read
/// them.
#[inline(never)]
fn record_xdp_frame(context: *mut xdp_md) {
    let frame = XdpContext::new(context);
    let (start, end) = (frame.data(), frame.data_end());
    let has_frags = XDP_HAS_FRAGS.load() != 0;
    let place = FramePlace {
        direction: Direction::In,
        interface: frame.ingress_ifindex() as u32,
        length: frame_length(&frame),
    };
    hit_headers::write_hit_header(&XdpFrame(frame), &place, |bytes, _, length| {
        if !has_frags {
            return capture(start, end, length as usize, bytes.cast());
        }
        // SAFETY: the helper writes `length` bytes, for which there is room.
        match unsafe { bpf_xdp_load_bytes(context, 0, bytes.cast(), length) } {
            0 => length,
            _ => 0,
        }
    });
}

/// With what is not in the frame's first buffer.
#[inline(always)]
fn frame_length(frame: &XdpContext) -> u32 {
    match XDP_HAS_FRAGS.load() {
        0 => (frame.data_end() - frame.data()) as u32,
        // SAFETY: the context is the program's own.
        _ => unsafe { bpf_xdp_get_buff_len(frame.ctx) as u32 },
    }
}

/// Without the helper, nothing is copied: a loop over the bytes takes half of what the verifier of
/// Linux 5.10 looks at.
#[inline(never)]
fn copy_xdp_frame(context: *mut xdp_md, origin: u32) {
    if XDP_HAS_FRAGS.load() == 0 {
        return;
    }
    // SAFETY: the context is the program's own.
    let length = unsafe { bpf_xdp_get_buff_len(context) };
    write_frame(origin, length, |bytes, length| {
        // SAFETY: the helper writes `length` bytes, for which there is room.
        unsafe { bpf_xdp_load_bytes(context, 0, bytes.cast(), length) }
    });
}

#[inline(never)]
fn log_xdp_frame(context: *mut xdp_md, lost: u32) {
    let frame = XdpContext::new(context);
    let frame = FrameBytes {
        start: frame.data(),
        end: frame.data_end(),
        length: frame_length(&frame),
        interface: frame.ingress_ifindex() as u32,
    };
    write_record(&frame, lost);
}
