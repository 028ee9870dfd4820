//! Connections that failed at once.
//!
//! In: the kernel's pending connects, which TCP has not started. Out: those that failed.
//! The decisions held here: a connect is pending for the microseconds between the system call's
//! hook and TCP's start. One that two polls in a row have found has failed before its first packet:
//! no route, no local port left, forbidden. Two polls also make up for slots that are read while
//! they are written.

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
    /// Where the slots are that were given and not emptied yet.
    given: Vec<(usize, FoundConnect)>,
}

/// What a poll writes into the slots that it has given. 0 marks none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u16);

impl Mark {
    /// The mark of the poll that was the latest after so many flips.
    pub(super) const fn of_flips(flips: u32) -> Self {
        /// No mark is 0.
        const SET: u16 = 1 << 15;
        Self(flips as u16 | SET)
    }
}

/// A pending connect that a poll found. Its key says who connects where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FoundConnect {
    cookie: u64,
    key: Key,
}

impl FoundConnect {
    /// What is in a slot. `None` if it is empty.
    fn read(pending: &PendingConnect) -> Option<Self> {
        (pending.cookie != 0).then(|| Self {
            cookie: pending.cookie,
            key: Key::for_failed_connect(pending),
        })
    }
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
            given: Vec::new(),
        }
    }

    /// Gives the key of each failed connection to `row`, and empties its slot. `at_end` says that
    /// none is pending any more.
    pub(super) fn drain_failed(&mut self, at_end: bool, row: impl FnMut(&Key)) {
        self.give_failed(at_end, None, row);
        self.clear_given();
    }

    /// The same, but the slots stay, with that mark, until [`PendingConnects::clear_given`].
    pub(super) fn read_failed(&mut self, mark: Mark, row: impl FnMut(&Key)) {
        self.give_failed(false, Some(mark), row);
    }

    fn give_failed(&mut self, at_end: bool, mark: Option<Mark>, mut row: impl FnMut(&Key)) {
        let mut found = HashSet::new();
        for (position, slot) in self.slots.values().enumerate() {
            // SAFETY: the slot is within the mapping, and any bytes are a `PendingConnect`. The
            // kernel may write to it meanwhile.
            let pending = unsafe { slot.read_volatile() };
            let Some(connect) = FoundConnect::read(&pending) else {
                continue;
            };
            if at_end || self.seen.contains(&connect) {
                row(&connect.key);
                self.given.push((position, connect));
                if let Some(mark) = mark {
                    // SAFETY: as above. A connect that the kernel writes at this moment only keeps
                    // the mark, which counts for nothing unless this process is killed.
                    unsafe { (&raw mut (*slot.as_ptr()).reserved).write_volatile(mark.0) };
                }
            } else {
                found.insert(connect);
            }
        }
        self.seen = found;
    }

    /// Empties the slots that were given.
    pub(super) fn clear_given(&mut self) {
        for (position, connect) in self.given.drain(..) {
            let slot = self.slots.value(position);
            // SAFETY: as above. If the socket connects again at this moment, that connect is lost.
            unsafe {
                if FoundConnect::read(&slot.read_volatile()) == Some(connect) {
                    (&raw mut (*slot.as_ptr()).cookie).write_volatile(0);
                }
            }
        }
    }

    /// Empties the slots that an earlier process has given and committed under that mark, and takes
    /// back the marks of what it has not committed.
    pub(super) fn settle_marks(&mut self, committed: Option<Mark>) {
        for slot in self.slots.values() {
            // SAFETY: as above.
            unsafe {
                let mark = slot.read_volatile().reserved;
                if mark == 0 {
                    continue;
                }
                if committed == Some(Mark(mark)) {
                    (&raw mut (*slot.as_ptr()).cookie).write_volatile(0);
                }
                (&raw mut (*slot.as_ptr()).reserved).write_volatile(0);
            }
        }
    }

    /// What is left when a process is killed.
    #[cfg(test)]
    pub(super) fn killed(self) -> Self {
        Self::new(self.slots)
    }

    /// The slot at that position.
    #[cfg(test)]
    pub(super) fn slot(&self, position: usize) -> std::ptr::NonNull<PendingConnect> {
        self.slots.value(position)
    }
}
