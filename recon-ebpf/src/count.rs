//! Counting: the only writer of the tables.
//!
//! In: a packet and its direction, or what a socket hook has seen. Out: one update of the live
//! generation for an interesting packet, none for others. One per-CPU counter for every frame, by
//! its class; others for losses and for the signals of socket hooks.
//! The decisions held here: the generation is read once per packet, so that after a grace period
//! nobody writes to the old one. A plain preallocated hash refuses a key that does not fit, which
//! is counted; an LRU would evict one silently. The increment is atomic, since `+= 1` on a shared
//! table lost 5 to 11 % on two cores. [`crate::admit`] decides which packets get a key, and
//! [`crate::recent`] counts the latest keys first.

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use recon_common::table::TABLE_ENTRIES;
use recon_common::{
    Counter, Direction, FlowState, FrameClass, Key, Loss, PackedKey, Parsed, parse,
};

use crate::admit;
use crate::dns::{CopiedFrame, copy_dns_frame};
use crate::hit_headers::{RecordedFrame, record_headers};
use crate::kernel_log::{LoggedFrame, log_lost_frame};
use crate::recent::RecentSlot;

/// How often the generations have changed places. The lowest bit says which of the two is live. The
/// agent flips it.
#[map]
static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

#[map]
static COUNTS_0: HashMap<PackedKey, u64> = HashMap::with_max_entries(TABLE_ENTRIES, 0);

#[map]
static COUNTS_1: HashMap<PackedKey, u64> = HashMap::with_max_entries(TABLE_ENTRIES, 0);

/// How many keys each generation has. The agent sets it to 0 when it has emptied one.
#[map]
static KEYS: Array<u64> = Array::with_max_entries(2, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// Space for one key; see [`hide_from_verifier`].
#[map]
static KEY: PerCpuArray<CountedKey> = PerCpuArray::with_max_entries(1, 0);

/// The key under which a packet counts.
#[repr(C)]
pub(crate) struct CountedKey {
    pub(crate) key: PackedKey,
    /// Not 0 if the processor has counted it in this generation before.
    is_repeated: u64,
}

impl CountedKey {
    /// Whether the processor has counted the key in this generation before, and no other one in the
    /// same slot since.
    #[inline(always)]
    pub(crate) fn is_repeat(&self) -> bool {
        self.is_repeated != 0
    }
}

/// The generation that the programs write to.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    counts: &'static HashMap<PackedKey, u64>,
    /// 0 or 1.
    pub(crate) number: u32,
    /// How often the generations have changed places.
    pub(crate) flips: u32,
}

impl Live {
    #[inline(always)]
    fn load() -> Self {
        let flips = flips();
        match flips & 1 {
            1 => Self {
                counts: &COUNTS_1,
                number: 1,
                flips,
            },
            _ => Self {
                counts: &COUNTS_0,
                number: 0,
                flips,
            },
        }
    }

    /// How many keys it holds.
    #[inline(always)]
    pub(crate) fn key_count(self) -> u64 {
        KEYS.get(self.number).copied().unwrap_or_default()
    }

    /// Adds to the key's count.
    #[inline(always)]
    fn add_count(self, key: &PackedKey, count: u64) {
        if self.increase_existing(key, count) {
            return;
        }
        if self
            .counts
            .insert(key, count, u64::from(BPF_NOEXIST))
            .is_ok()
        {
            if let Some(keys) = KEYS.get_ptr_mut(self.number) {
                // SAFETY: a value of that map.
                unsafe { atomic_add(keys, 1) };
            }
        // If two CPUs insert the same new key, the second one finds it and adds to it.
        } else if !self.increase_existing(key, count) {
            add_to_shared_counter(Counter::Lost(Loss::TableFull), count);
        }
    }

    #[inline(always)]
    fn increase_existing(self, key: &PackedKey, by: u64) -> bool {
        let Some(count) = self.counts.get_ptr_mut(key) else {
            return false;
        };
        // SAFETY: a value of that map.
        unsafe { atomic_add(count, by) };
        true
    }
}

/// Counts what `packet` shows, if anything.
#[inline(always)]
pub(crate) fn count_packet(
    packet: &(impl LoggedFrame + CopiedFrame + RecordedFrame),
    state: &impl FlowState,
    direction: Direction,
) {
    let class = match parse(packet, direction) {
        Ok(parsed) => {
            copy_dns_frame(packet, &parsed, state, direction);
            let class = count_parsed(&parsed, state, direction);
            if class == FrameClass::Signal {
                record_headers(packet, direction);
            }
            class
        }
        Err(class) => class,
    };
    add_to_counter(Counter::Frames(direction, class), 1);
    if let FrameClass::Lost(loss) = class {
        log_lost_frame(packet, loss, direction);
    }
}

/// Counts what a frame shows, unless what came before says that it is nothing.
#[inline(always)]
fn count_parsed(parsed: &Parsed, state: &impl FlowState, direction: Direction) -> FrameClass {
    let signal = match parsed.resolve(state) {
        Ok(signal) => signal,
        Err(ignored) => return ignored.into(),
    };
    let detail = match direction {
        Direction::Out if signal.is_outbound() => state.sender_pid(),
        Direction::In if signal.has_interface() => state.interface(),
        _ => 0,
    };
    count_recent(&Key::for_flow(&parsed.flow, signal, detail).with_tool(signal, parsed.tool));
    FrameClass::Signal
}

/// The key under which this processor's last packet counts. `None` if that is an overflow key.
#[inline(always)]
pub(crate) fn counted_key<'a>() -> Option<&'a CountedKey> {
    // SAFETY: the value belongs to this CPU, and packet hooks run with bottom halves off.
    let counted = unsafe { KEY.get_ptr(0)?.as_ref() }?;
    (!counted.key.is_overflow()).then_some(counted)
}

/// How often the generations have changed places.
#[inline(always)]
pub(crate) fn flips() -> u32 {
    GENERATION.get(0).copied().unwrap_or_default()
}

/// The key's words without what the verifier knows of them: it would walk the rest of the program
/// once for every path through the parser. They stay in the map, since a copy would take a sixth of
/// the program's stack.
#[inline(always)]
fn hide_from_verifier<'a>(key: &Key) -> Option<&'a mut CountedKey> {
    let mut place = KEY.get_ptr_mut(0)?;
    // SAFETY: the value belongs to this CPU, and packet hooks run with bottom halves off. The
    // assembly is empty; it makes the compiler believe that the words may have changed.
    unsafe {
        (&raw mut (*place).key).write(key.into());
        (&raw mut (*place).is_repeated).write(0);
        asm!("", inout("r1") place);
        place.as_mut()
    }
}

/// Adds one to the count of a packet's key, or of the overflow key if its source gets none.
#[inline(always)]
fn count_recent(key: &Key) {
    let Some(CountedKey { key, is_repeated }) = hide_from_verifier(key) else {
        return;
    };
    let live = Live::load();
    let mut slot = RecentSlot::find(key, live.number);
    // The slot's owner has already been admitted.
    if slot.is_some_and(|slot| slot.increment_if_owner(key)) {
        *is_repeated = 1;
        return;
    }
    if !admit::admit_source(live, key) {
        *key = key.overflow_key();
        slot = RecentSlot::find(key, live.number);
        if slot.is_some_and(|slot| slot.increment_if_owner(key)) {
            return;
        }
    }
    match slot {
        Some(slot) => {
            let before = slot.contents();
            if before.count > 0 {
                live.add_count(&before.key, before.count);
            }
            slot.replace_owner(*key);
        }
        // A processor that was not present when the agent started.
        None => live.add_count(key, 1),
    }
}

/// Adds one to the count of a socket hook's key, or of the overflow key if its source gets none.
#[inline(always)]
pub(crate) fn count_key(key: &Key) {
    let mut key = PackedKey::from(key);
    let live = Live::load();
    // A key that is there has already been admitted.
    if !live.increase_existing(&key, 1) {
        if !admit::admit_source(live, &key) {
            key = key.overflow_key();
        }
        live.add_count(&key, 1);
    }
    add_to_shared_counter(Counter::SocketSignals, 1);
}

/// Adds to a number that other processors add to as well.
///
/// # Safety
/// `number` points to the value of a map: 8 bytes, aligned, that live as long as the program runs.
#[inline(always)]
pub(crate) unsafe fn atomic_add(number: *mut u64, by: u64) {
    // Core's atomics lack fetch_add on BPF, which has no compare-and-swap in its base instruction
    // set. SAFETY: as the caller says.
    unsafe {
        asm!("lock *(u64 *)({number} + 0) += {by}", number = in(reg) number, by = in(reg) by);
    }
}

/// Adds to a counter of packet hooks.
#[inline(always)]
fn add_to_counter(counter: Counter, by: u64) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: the value belongs to this CPU and lives as long as the program runs. Packet hooks
        // run with bottom halves off, so none interrupts another.
        unsafe { *value += by };
    }
}

/// Adds to a counter of hooks that another hook may interrupt on the same CPU.
#[inline(always)]
pub(crate) fn add_to_shared_counter(counter: Counter, by: u64) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: a value of that map.
        unsafe { atomic_add(value, by) };
    }
}
