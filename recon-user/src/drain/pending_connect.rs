//! Connections that failed at once.
//!
//! In: the kernel's pending connects, which TCP has not started. Out: those that failed.
//! The decision held here: a connect is pending for the microseconds between the system call's hook
//! and TCP's start. One that two polls in a row have found has failed before its first packet: no
//! route, no local port left, forbidden. Two polls also make up for slots that are read while they
//! are written.

use std::collections::HashSet;
use std::io;

use aya::maps::MapData;
use recon_common::process::PENDING_CONNECT_SLOTS;
use recon_common::{Key, PendingConnect};

use super::shared_array::SharedArray;

/// Reads the pending connects.
#[derive(Debug)]
pub(super) struct PendingConnects {
    slots: SharedArray<PendingConnect>,
    /// What the previous poll found.
    seen: HashSet<FoundConnect>,
}

/// A pending connect that a poll found. Its key says who connects where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FoundConnect {
    cookie: u64,
    key: Key,
}

impl PendingConnects {
    /// Maps the array of slots.
    ///
    /// # Errors
    /// What the kernel says if it does not share the array's memory.
    pub(super) fn map(map: MapData) -> io::Result<Self> {
        SharedArray::map(map, PENDING_CONNECT_SLOTS).map(Self::new)
    }

    /// Reads slots that are mapped already.
    pub(super) fn new(slots: SharedArray<PendingConnect>) -> Self {
        Self {
            slots,
            seen: HashSet::new(),
        }
    }

    /// Gives the key of each failed connection to `row`. `at_end` says that none is pending any
    /// more.
    pub(super) fn drain_failed(&mut self, at_end: bool, mut row: impl FnMut(&Key)) {
        let mut found = HashSet::new();
        for slot in self.slots.values() {
            // SAFETY: the slot is within the mapping, and any bytes are a `PendingConnect`. The
            // kernel may write to it meanwhile.
            let pending = unsafe { slot.read_volatile() };
            if pending.cookie == 0 {
                continue;
            }
            let connect = FoundConnect {
                cookie: pending.cookie,
                key: Key::for_failed_connect(&pending),
            };
            if at_end || self.seen.contains(&connect) {
                row(&connect.key);
                // SAFETY: as above. If the socket connects again at this moment, that connect is
                // lost.
                unsafe { (&raw mut (*slot.as_ptr()).cookie).write_volatile(0) };
            } else {
                found.insert(connect);
            }
        }
        self.seen = found;
    }

    /// The slot at that position.
    #[cfg(test)]
    pub(super) fn slot(&self, position: usize) -> std::ptr::NonNull<PendingConnect> {
        self.slots.value(position)
    }
}
