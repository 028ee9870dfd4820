//! The headers of packets that count, for `[record]`.
//!
//! In: a frame that has just been counted. Out: a record with its headers in a ring, or one more
//! that was lost since the ring has no room for its source.
//! The decisions held here: the code is always compiled in, and a constant says whether it is on,
//! as that of [`crate::kernel_log`]. What is behind the headers stays in the kernel unless another
//! constant allows some bytes of it. Only a packet that gets a record is parsed again, to find out
//! where its headers end: others carry nothing more from header to header.

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};
use recon_common::admission::{ADMISSION_SLOTS, AdmissionSlot};
use recon_common::hit_header::{CAPTURED, HitHeader, RING_BYTES, record_limit, record_terms};
use recon_common::parse::{Extent, extent};
use recon_common::{Direction, FrameOrigin, Packet};

use crate::count::{self, CountedKey, atomic_add};
use crate::hook::hide_bounds;
use crate::secrets::secrets;

/// Whether headers are recorded. The agent sets it before it loads the programs.
#[unsafe(no_mangle)]
static RECORD_HEADERS: Global<u32> = Global::new(0);

/// How many bytes of a payload are recorded with them. The same.
#[unsafe(no_mangle)]
static RECORD_PAYLOAD: Global<u32> = Global::new(0);

#[map]
static HIT_HEADERS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// How many records the ring had no room for.
#[map]
static HEADERS_LOST: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Which sources have records in this generation; see [`recon_common::hit_header`].
#[map]
static HEADER_SOURCES: Array<AdmissionSlot> = Array::with_max_entries(ADMISSION_SLOTS, 0);

/// The shortest headers: those of IPv4 on an interface without a link layer.
const SHORTEST: u64 = 20;

/// A frame whose hook can record its headers.
pub(crate) trait RecordedFrame: Packet {
    /// Records the headers of the frame, which crosses the hook in that direction.
    fn record(&self, direction: Direction);
}

/// Records the headers of a frame that has been counted, if that is on.
#[inline(always)]
pub(crate) fn record_headers(frame: &impl RecordedFrame, direction: Direction) {
    if RECORD_HEADERS.load() != 0 {
        frame.record(direction);
    }
}

/// What a hook knows of a frame.
pub(crate) struct FramePlace {
    pub(crate) direction: Direction,
    /// The index of its interface.
    pub(crate) interface: u32,
    /// With what is not in its first buffer.
    pub(crate) length: u32,
}

/// Adds a record of the frame, unless its source has enough of them. `copy` copies as many bytes
/// as it is told to, from an offset of the frame on, and returns how many it has copied.
#[inline(always)]
pub(crate) fn write_hit_header<P: Packet>(
    frame: &P,
    place: &FramePlace,
    copy: impl FnOnce(*mut [u8; CAPTURED], u32, u32) -> u32,
) {
    let Some(counted) = count::counted_key() else {
        return;
    };
    if !take_turn(counted) {
        return;
    }
    let Some(extent) = extent(frame, place.direction) else {
        return;
    };
    let Some(mut entry) = HIT_HEADERS.reserve::<HitHeader>(0) else {
        return count_lost();
    };
    let record = entry.as_mut_ptr();
    let Extent { start, .. } = extent;
    let length = u64::from(place.length).saturating_sub(start as u64);
    let headers = extent.length_with(RECORD_PAYLOAD.load() as usize) as u64;
    let wanted = hide_bounds(headers.min(length).min(CAPTURED as u64));
    // SAFETY: the entry has room for a record. What `copy` leaves of its bytes is memory of the
    // ring, which the agent does not read.
    unsafe {
        (&raw mut (*record).time).write(bpf_ktime_get_boot_ns());
        (&raw mut (*record).key).write(counted.key);
        (&raw mut (*record).origin).write(FrameOrigin::of::<P>(place.direction).pack());
        (&raw mut (*record).interface).write(place.interface);
        (&raw mut (*record).length).write(length as u32);
        let mut captured = 0;
        if wanted >= SHORTEST {
            let wanted = hide_bounds(wanted);
            if wanted <= CAPTURED as u64 {
                captured = copy(&raw mut (*record).bytes, start as u32, wanted as u32);
            }
        }
        (&raw mut (*record).captured).write(captured);
    }
    // Polls read the ring, and nobody waits for it.
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Whether the source of a packet gets another record of that signal. Remembers the packet.
#[inline(always)]
fn take_turn(counted: &CountedKey) -> bool {
    let hash = counted.key.signal_hash(secrets());
    let Some(slot) = HEADER_SOURCES.get_ptr_mut(AdmissionSlot::index(hash)) else {
        return false;
    };
    let flips = count::flips();
    let terms = record_terms(HIT_HEADERS.query(u64::from(BPF_RB_AVAIL_DATA)));
    // SAFETY: the slot is 8 bytes, aligned and never freed. A race between two CPUs loses one of
    // two packets or records.
    unsafe {
        let before = slot.read_volatile();
        let mut after = before.after_packet(hash);
        let is_below = after.keys(hash, flips) < record_limit(counted.is_repeat());
        let has_turn = is_below && after.meets_all(hash, flips, terms);
        if has_turn {
            after = after.after_key(hash, flips);
        } else if is_below {
            count_lost();
        }
        if after != before {
            slot.write_volatile(after);
        }
        has_turn
    }
}

#[inline(always)]
fn count_lost() {
    if let Some(lost) = HEADERS_LOST.get_ptr_mut(0) {
        // SAFETY: a value of that map.
        unsafe { atomic_add(lost, 1) };
    }
}
