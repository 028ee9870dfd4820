//! The filter in front of the table: whose packets get a key, when room is short.
//!
//! In: a key, and how full the live generation is. Out: whether the packet is counted under it; if not, its source is in the sketch of its
//! target. What is decided by which numbers is in [`recon_common::admission`].
//! The decision held here: an answer of this host is no sign of its remote. It gets a key where the remote has been seen often enough, so that a
//! spoofed SYN and the SYN-ACK to it do not count for two packets.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use recon_common::admission::{ADMISSION_SLOTS, AdmissionSlot, required_packets};
use recon_common::sources::{SKETCHES, Sketch};
use recon_common::table::TABLE_ENTRIES;
use recon_common::{PackedKey, Registers};

use crate::count::Live;
use crate::flow_state::SEED;

/// Keys that a generation has room for. Set by the agent before the programs are loaded.
#[unsafe(no_mangle)]
static TABLE_ROOM: Global<u32> = Global::new(TABLE_ENTRIES);

/// What is remembered of sources; see [`recon_common::admission`].
#[map]
static ADMISSION: Array<AdmissionSlot> = Array::with_max_entries(ADMISSION_SLOTS, 0);

/// The sketches of both generations, one after the other, in memory that the agent shares.
#[map]
static SKETCHED: Array<Sketch> = Array::with_max_entries(2 * SKETCHES, BPF_F_MMAPABLE);

/// Whether a packet is counted under its own key. It is noted if it is not an answer of this host.
#[inline(always)]
pub(crate) fn admit_source(live: Live, key: &PackedKey) -> bool {
    let is_answer = key.is_answer();
    let required = required_packets(live.key_count(), TABLE_ROOM.load());
    let hash = key.remote_hash(SEED.load());
    // Also as long as there is room, so that who was there before is known when there is none.
    if count_packets(hash, !is_answer) >= required || required <= 1 {
        return true;
    }
    if !is_answer {
        add_to_sketch(live, key, hash);
    }
    false
}

/// How many packets of the source are remembered, `with_this` one if it is one of its own.
#[inline(always)]
fn count_packets(hash: u64, with_this: bool) -> u32 {
    let Some(slot) = ADMISSION.get_ptr_mut(AdmissionSlot::index(hash)) else {
        return 0;
    };
    // SAFETY: the slot is 4 bytes, aligned and never freed. A race between two CPUs loses one of two packets' notes.
    unsafe {
        let before = slot.read_volatile();
        let after = if with_this {
            before.after_packet(hash)
        } else {
            before
        };
        if after != before {
            slot.write_volatile(after);
        }
        after.count(hash)
    }
}

/// Adds the source to the sketch of its target, where that has one.
#[inline(always)]
fn add_to_sketch(live: Live, key: &PackedKey, hash: u64) {
    let (index, tag) = key.sketch_place(SEED.load());
    let Some(sketch) = SKETCHED.get_ptr_mut(live.number * SKETCHES + index) else {
        return;
    };
    let (register, bit) = Registers::locate(hash);
    // SAFETY: the sketch is aligned and never freed, and the register lies in it. A race between two CPUs loses a source's bit, or mixes
    // the first sources of two targets: an estimate stays one.
    unsafe {
        let owner = &raw mut (*sketch).tag;
        match owner.read_volatile() {
            0 => owner.write_volatile(tag),
            other if other != tag => return,
            _ => {}
        }
        let register = (&raw mut (*sketch).registers.0).cast::<u32>().add(register);
        let before = register.read_volatile();
        if before & bit == 0 {
            register.write_volatile(before | bit);
        }
    }
}
