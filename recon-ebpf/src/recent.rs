//! The keys that this processor counted last; see [`recon_common::recent`].
//!
//! In: a key from a packet hook. Out: its slot's count plus one, or the key that it evicts from the
//! slot.
//! The decision held here: only packet hooks use it. They run with bottom halves off, so none
//! interrupts another on its processor. A hook on a system call may be interrupted, and counts in
//! the table.

use core::ptr::NonNull;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use recon_common::PackedKey;
use recon_common::recent::{RECENT_SLOTS, Recent, first_slot};

use crate::secrets::secrets;

/// The slots of both generations of every processor, in memory that the agent shares. The agent
/// sets their number.
#[map]
static RECENT: Array<Recent> = Array::with_max_entries(2 * RECENT_SLOTS, BPF_F_MMAPABLE);

/// A key's slot.
#[derive(Clone, Copy)]
pub(crate) struct RecentSlot(NonNull<Recent>);

impl RecentSlot {
    /// The slot of that key in a generation.
    #[inline(always)]
    pub(crate) fn find(key: &PackedKey, generation: u32) -> Option<Self> {
        // SAFETY: the helper takes no argument.
        let processor = unsafe { bpf_get_smp_processor_id() };
        let index = first_slot(processor, generation) + key.recent_slot(secrets());
        RECENT.get_ptr_mut(index).and_then(NonNull::new).map(Self)
    }

    /// Adds one to the count if the key owns the slot.
    #[inline(always)]
    pub(crate) fn increment_if_owner(self, key: &PackedKey) -> bool {
        // SAFETY: the slot is this processor's, aligned and never freed; see above.
        let recent = unsafe { &mut *self.0.as_ptr() };
        let is_same = recent.key.equals(key);
        if is_same {
            recent.count += 1;
        }
        is_same
    }

    /// What is in the slot, where it is: a copy would take a tenth of a program's stack.
    #[inline(always)]
    pub(crate) fn contents<'a>(self) -> &'a Recent {
        // SAFETY: as above, and nothing writes to the slot while the reference is in use.
        unsafe { self.0.as_ref() }
    }

    /// Gives the slot to the key, with a count of one.
    #[inline(always)]
    pub(crate) fn replace_owner(self, key: PackedKey) {
        // SAFETY: as above.
        unsafe { self.0.write(Recent { key, count: 1 }) };
    }
}
