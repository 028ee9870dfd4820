//! Counting, the only writing to the tables.
//!
//! In: a packet and its direction, or what a socket hook has seen. Out: one update of the live generation for an interesting packet, none for others, and
//! a per-CPU counter for the frame and for what was lost.
//! The decisions held here: the generation is read once a packet, so that after a grace period nobody writes to the old one;
//! a plain preallocated hash refuses the key that does not fit, which is counted, where an LRU would evict in silence; the
//! increment is atomic, since `+= 1` on a shared table lost 5 to 11 % on two cores.

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use recon_common::table::TABLE_ENTRIES;
use recon_common::{Counter, Direction, Key, Loss, Memory, Packet, parse};

/// Which of the two generations is live: 0 or 1. The agent flips it.
#[map]
static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

#[map]
static COUNTS_0: HashMap<Key, u64> = HashMap::with_max_entries(TABLE_ENTRIES, 0);

#[map]
static COUNTS_1: HashMap<Key, u64> = HashMap::with_max_entries(TABLE_ENTRIES, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// Counts what `packet` shows, if anything.
#[inline(always)]
pub(crate) fn packet(packet: &impl Packet, memory: &impl Memory, direction: Direction) {
    advance(match direction {
        Direction::In => Counter::FramesIn,
        Direction::Out => Counter::FramesOut,
    });
    match parse(packet, direction) {
        Ok(None) => {}
        Ok(Some((flow, sighting))) => {
            if let Some(signal) = sighting.settle(&flow, memory) {
                let process = match direction {
                    Direction::Out if signal.is_outbound() => memory.sender(),
                    _ => 0,
                };
                add(&Key::new(&flow, signal, process));
            }
        }
        Err(loss) => advance(Counter::Lost(loss)),
    }
}

/// Adds one to the key's count in the live generation.
#[inline(always)]
pub(crate) fn add(key: &Key) {
    let counts = match GENERATION.get(0) {
        Some(1) => &COUNTS_1,
        _ => &COUNTS_0,
    };
    if increment(counts, key) {
        return;
    }
    // Where two CPUs insert the same new key, one of them finds it there and adds to it.
    if counts.insert(key, 1, u64::from(BPF_NOEXIST)).is_err() && !increment(counts, key) {
        advance(Counter::Lost(Loss::TableFull));
    }
}

#[inline(always)]
fn increment(counts: &HashMap<Key, u64>, key: &Key) -> bool {
    let Some(count) = counts.get_ptr_mut(key) else {
        return false;
    };
    // Core's atomics lack fetch_add on BPF, which has no compare-and-swap in its base instruction set.
    // SAFETY: the map's values are 8 bytes, aligned, and live as long as the program runs.
    unsafe {
        asm!("lock *(u64 *)({count} + 0) += {one}", count = in(reg) count, one = in(reg) 1_u64);
    }
    true
}

/// Adds one to a counter.
#[inline(always)]
pub(crate) fn advance(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: the value belongs to this CPU and lives as long as the program runs. Packet hooks run with bottom halves off; a socket
        // hook that one of them interrupts can lose it one count, and counts nothing here but losses.
        unsafe { *value += 1 };
    }
}
