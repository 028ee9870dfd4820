//! DNS queries of this host and their answers, for the names of `[enrich]`.
//!
//! In: a frame and what it shows. Out: a record with the frame's first bytes in a ring, or one more
//! that was lost since the ring is full.
//! The decisions held here: the code is always compiled in, and a constant says whether it is on,
//! as that of [`crate::kernel_log`]. Where it is off, the verifier removes all of it but the look
//! at that constant. An answer is copied only on a flow on which this host has sent, so that a
//! flood from port 53 fills no ring. Whether it answers a query, and which, is the agent's to say.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};
use recon_common::dns_frame::{CAPTURED, DnsFrame, RING_BYTES};
use recon_common::protocol::{DNS_HEADER, IPV4_HEADER, UDP_HEADER, port};
use recon_common::{
    Direction, FlowMarks, FlowState, FrameOrigin, Observation, Packet, Parsed, Signal,
};

use crate::count::atomic_add;
use crate::hook::hide_bounds;

/// Whether frames are copied. The agent sets it before it loads the programs.
#[unsafe(no_mangle)]
static DNS_NAMES: Global<u32> = Global::new(0);

#[map]
static DNS_FRAMES: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// How many frames the ring had no room for.
#[map]
static DNS_LOST: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// No frame with a DNS message is shorter: headers of IPv4, of UDP and of DNS.
const SHORTEST: u64 = (IPV4_HEADER + UDP_HEADER + DNS_HEADER) as u64;

/// A frame whose hook can copy it.
pub(crate) trait CopiedFrame: Packet {
    /// Copies the first bytes of the frame, which was seen as the word says.
    fn copy(&self, origin: u32);
}

/// Copies a frame with a query of this host or an answer to it, if names are on. To be called
/// before what the frame shows is counted, which may change the marks of its flow.
#[inline(always)]
pub(crate) fn copy_dns_frame<P: CopiedFrame>(
    frame: &P,
    parsed: &Parsed,
    state: &impl FlowState,
    direction: Direction,
) {
    if DNS_NAMES.load() == 0 {
        return;
    }
    let is_concerned = match direction {
        Direction::Out => parsed.observation == Observation::Sent(Signal::DnsSentUdp),
        Direction::In => {
            parsed.flow.remote_port == port::DNS
                && matches!(parsed.observation, Observation::Unsolicited(_))
                && state.marks(&parsed.flow).expects_answers()
        }
    };
    if is_concerned {
        frame.copy(FrameOrigin::of::<P>(direction).pack());
    }
}

/// Adds a record of a frame of so many bytes. `copy` copies as many as it is told to: 0 is success.
#[inline(always)]
pub(crate) fn write_frame(
    origin: u32,
    length: u64,
    copy: impl FnOnce(*mut [u8; CAPTURED], u32) -> i64,
) {
    let Some(mut entry) = DNS_FRAMES.reserve::<DnsFrame>(0) else {
        if let Some(lost) = DNS_LOST.get_ptr_mut(0) {
            // SAFETY: a value of that map.
            unsafe { atomic_add(lost, 1) };
        }
        return;
    };
    let record = entry.as_mut_ptr();
    let length = hide_bounds(length.min(CAPTURED as u64));
    // SAFETY: the entry has room for a record. What `copy` leaves of its bytes is memory of the
    // ring, which the agent does not read.
    unsafe {
        (&raw mut (*record).origin).write(origin);
        let mut captured = 0;
        if length >= SHORTEST {
            let length = hide_bounds(length);
            if length <= CAPTURED as u64 {
                let result = copy(&raw mut (*record).bytes, length as u32);
                captured = if result == 0 { length as u32 } else { 0 };
            }
        }
        (&raw mut (*record).captured).write(captured);
    }
    entry.submit(0);
}
