//! The accepted connections that have not ended.
//!
//! In: the cookies of sockets that accepted a connection, or that close. Out: how long a connection
//! lived, or that it was not an accepted one.
//! The decision held here: a direct-mapped array by cookie, as for the senders. TCP's states are
//! those of connections that this host opened, too, and nothing in a closing socket says who opened
//! it. An overwritten entry costs the end of its connection, and is counted.

use aya_ebpf::Global;
use aya_ebpf::helpers::generated::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use recon_common::process::ACCEPTED_SLOTS;
use recon_common::{Counter, Loss};

use crate::count;

/// By socket, the low half of its cookie and the start, as [`coarse_time`] tells it. 0 in an empty
/// slot.
#[map]
static ACCEPTED: Array<u64> = Array::with_max_entries(ACCEPTED_SLOTS, 0);

/// Whether the kernel has the clock of [`coarse_time`] (Linux 5.11 and later). The agent sets it
/// before it loads the programs; the verifier skips the call of the other clock.
#[unsafe(no_mangle)]
static HAS_COARSE_CLOCK: Global<u32> = Global::new(0);

const COOKIE_SHIFT: u32 = u32::BITS;
/// A tick has 2^20 ns, about a millisecond: a shift costs less than a division.
const TICK_SHIFT: u32 = 20;

/// Records that the socket with that cookie has accepted a connection.
#[inline(always)]
pub(crate) fn record_start(cookie: u64) {
    let Some(slot) = ACCEPTED.get_ptr_mut(accepted_slot(cookie)) else {
        return;
    };
    let entry = cookie << COOKIE_SHIFT | u64::from(coarse_time());
    // SAFETY: the slot is 8 bytes, aligned and never freed; a single write of 8 bytes is whole for
    // every reader.
    unsafe {
        if slot.read_volatile() != 0 {
            count::add_to_shared_counter(Counter::Lost(Loss::AcceptedFull), 1);
        }
        slot.write_volatile(entry);
    }
}

/// How many nanoseconds ago the socket with that cookie accepted its connection. Forgets it.
#[inline(always)]
pub(crate) fn forget_start(cookie: u64) -> Option<u64> {
    let slot = ACCEPTED.get_ptr_mut(accepted_slot(cookie))?;
    // SAFETY: as above.
    let entry = unsafe { slot.read_volatile() };
    if entry >> COOKIE_SHIFT != cookie & u64::from(u32::MAX) || entry == 0 {
        return None;
    }
    // SAFETY: as above.
    unsafe { slot.write_volatile(0) };
    Some(u64::from(coarse_time().wrapping_sub(entry as u32)) << TICK_SHIFT)
}

/// A clock in ticks, which starts again after 52 days. It advances with the kernel's tick, every 1
/// to 10 ms, and costs less than half of the exact one.
#[inline(always)]
fn coarse_time() -> u32 {
    // SAFETY: the helpers take no argument.
    let now = unsafe {
        match HAS_COARSE_CLOCK.load() {
            0 => bpf_ktime_get_ns(),
            _ => bpf_ktime_get_coarse_ns(),
        }
    };
    (now >> TICK_SHIFT) as u32
}

#[inline(always)]
fn accepted_slot(cookie: u64) -> u32 {
    cookie as u32 & (ACCEPTED_SLOTS - 1)
}
