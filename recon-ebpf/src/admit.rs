//! The filter in front of the table: which packets get a key when room is short.
//!
//! In: a key, and how full the live generation is. Out: whether the packet counts under it; if not,
//! its source is added to its target's sketch. The thresholds are in [`recon_common::admission`].
//! The decision held here: an answer of this host says nothing about its remote. It gets a key if
//! the remote has been seen often enough, so that a spoofed SYN and the SYN-ACK to it do not count
//! as two packets.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use recon_common::admission::{ADMISSION_SLOTS, AdmissionSlot, terms};
use recon_common::sources::{SKETCHES, Sketch};
use recon_common::table::TABLE_ENTRIES;
use recon_common::{PackedKey, Registers};

use crate::count::Live;
use crate::secrets::secrets;

/// Keys that fit into a generation. The agent sets it before it loads the programs.
#[unsafe(no_mangle)]
static TABLE_ROOM: Global<u32> = Global::new(TABLE_ENTRIES);

/// What is remembered of sources; see [`recon_common::admission`].
#[map]
static ADMISSION: Array<AdmissionSlot> = Array::with_max_entries(ADMISSION_SLOTS, 0);

/// The sketches of both generations, one after the other, in memory that the agent shares.
#[map]
static SKETCHED: Array<Sketch> = Array::with_max_entries(2 * SKETCHES, BPF_F_MMAPABLE);

/// Whether a packet counts under its own key. Remembers the packet unless it is an answer of this
/// host.
#[inline(always)]
pub(crate) fn admit_source(live: Live, key: &PackedKey) -> bool {
    let is_answer = key.is_answer();
    let terms = terms(live.key_count(), TABLE_ROOM.load());
    let hash = key.remote_hash(secrets());
    let Some(slot) = ADMISSION.get_ptr_mut(AdmissionSlot::index(hash)) else {
        return true;
    };
    // SAFETY: the slot is 8 bytes, aligned and never freed. A race between two CPUs loses one of
    // two packets or keys.
    let is_admitted = unsafe {
        // Counts while there is room too, so that known sources are known when room is short.
        let before = slot.read_volatile();
        let mut after = if is_answer {
            before
        } else {
            before.after_packet(hash)
        };
        let is_admitted = after.meets(hash, live.flips, terms);
        if is_admitted {
            after = after.after_key(hash, live.flips);
        }
        if after != before {
            slot.write_volatile(after);
        }
        is_admitted
    };
    if !is_admitted && !is_answer {
        add_to_sketch(live, key, hash);
    }
    is_admitted
}

/// Adds the source to its target's sketch, if the target has one.
#[inline(always)]
fn add_to_sketch(live: Live, key: &PackedKey, hash: u64) {
    let (index, tag) = key.sketch_place(secrets());
    let Some(sketch) = SKETCHED.get_ptr_mut(live.number * SKETCHES + index) else {
        return;
    };
    let (register, bit) = Registers::locate(hash);
    // SAFETY: the sketch is aligned and never freed, and the register is inside it. A race between
    // two CPUs loses a source's bit or mixes the first sources of two targets: the result is an
    // estimate anyway.
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
