//! The log of frames that can't be read, for `recon run --kernel-log`.
//!
//! In: a frame that the parser has lost. Out: a record of aya-log with the frame's first bytes, if
//! the agent allows one more.
//! The decisions held here: the log is always compiled in, and a constant says whether it is on.
//! Where it is off, the verifier removes all of it but the look at that constant, which only a lost
//! frame takes. What logs is a function of its own, whose stack is not that of a program that logs
//! nothing. The programs themselves keep to the limit: a flood of such frames costs the agent no
//! more than what it has allowed.

use core::arch::asm;

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_log_ebpf::warn;
use recon_common::lost_frame::{ALLOWED, CAPTURED, FOUND, LIMIT_WORDS};
use recon_common::{Direction, FrameOrigin, Loss, LostFrame, Packet};

use crate::count::atomic_add;

/// Whether the log is on. The agent sets it before it loads the programs.
#[unsafe(no_mangle)]
static KERNEL_LOG: Global<u32> = Global::new(0);

/// How many frames would have been logged, and how many may be; see [`recon_common::lost_frame`].
#[map]
static LOG_LIMIT: Array<u64> = Array::with_max_entries(LIMIT_WORDS, BPF_F_MMAPABLE);

/// Space for the first bytes of one frame, which would take half of a program's stack.
#[map]
static LOG_BYTES: PerCpuArray<[u8; CAPTURED]> = PerCpuArray::with_max_entries(1, 0);

/// A frame whose hook can log it.
pub(crate) trait LoggedFrame: Packet {
    /// Logs the frame, which is lost as the word says.
    fn log(&self, lost: u32);
}

/// Logs a lost frame, if the log is on.
#[inline(always)]
pub(crate) fn log_lost_frame<P: LoggedFrame>(frame: &P, loss: Loss, direction: Direction) {
    if KERNEL_LOG.load() == 0 {
        return;
    }
    let lost = LostFrame {
        loss,
        origin: FrameOrigin::of::<P>(direction),
    };
    frame.log(lost.pack());
}

/// What a hook knows of a frame.
pub(crate) struct FrameBytes {
    /// The context's own `data` and `data_end`.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// With what is not in its first buffer.
    pub(crate) length: u32,
    /// The index of its interface.
    pub(crate) interface: u32,
}

/// Writes the record of a lost frame, unless the agent has not allowed another one.
#[inline(always)]
pub(crate) fn write_record(frame: &FrameBytes, lost: u32) {
    if !may_log() {
        return;
    }
    let Some(place) = LOG_BYTES.get_ptr_mut(0) else {
        return;
    };
    // Not by reference: the frame's pointers would be on the stack until the record is written, and
    // Linux 7.2 would verify the rest for each number of bytes that they were compared for.
    let (interface, length) = (frame.interface, frame.length);
    let captured = capture(frame.start, frame.end, CAPTURED, place.cast());
    // SAFETY: the value belongs to this CPU, and packet hooks run with bottom halves off.
    let bytes: &[u8] = unsafe { &*place };
    // The macro takes a context, which it does not use.
    let context = ();
    warn!(
        &context,
        target: "kernel",
        "{} {} {} {} {:x}",
        lost,
        interface,
        length,
        captured,
        bytes
    );
}

/// Counts the frame, and says whether it is among those that the agent allows.
#[inline(always)]
fn may_log() -> bool {
    let (Some(found), Some(allowed)) = (LOG_LIMIT.get_ptr_mut(FOUND), LOG_LIMIT.get_ptr(ALLOWED))
    else {
        return false;
    };
    // SAFETY: both are values of the map. Two processors that read the same number log one more.
    unsafe {
        let before = found.read_volatile();
        atomic_add(found, 1);
        before < allowed.read_volatile()
    }
}

/// Copies at most so many bytes from the start of the frame's first buffer, and no more than
/// [`CAPTURED`]. Returns how many.
#[inline(always)]
pub(crate) fn capture(start: usize, end: usize, most: usize, to: *mut u8) -> u32 {
    let mut captured = 0;
    while captured < CAPTURED && captured < most {
        let mut after = start + captured + 1;
        // SAFETY: adds 0 to a number. This keeps the compiler from turning `after > end` into
        // `after - 1 >= end`, from which the verifier learns nothing.
        unsafe { asm!("{after} += 0", after = inout(reg) after) };
        if after > end {
            break;
        }
        // SAFETY: the byte is in the packet, as just checked, and the space has `CAPTURED` bytes.
        unsafe { to.add(captured).write(*((after - 1) as *const u8)) };
        captured += 1;
    }
    captured as u32
}
