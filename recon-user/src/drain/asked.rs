//! Connections that failed at once.
//!
//! In: the kernel's notes of what connect(2) was asked for and TCP has not begun. Out: those that nothing came of.
//! The decisions held here: a note is there for the microseconds between the system call's hook and TCP's start. One that two polls
//! in a row have found has failed before its first packet: no route, no local port left, forbidden. That also makes up for notes that are
//! read while they are written.

use std::collections::HashSet;
use std::io;

use aya::maps::MapData;
use recon_common::process::ASKED_SLOTS;
use recon_common::{Asked, Key};

use super::shared::Shared;

/// Reads the notes.
#[derive(Debug)]
pub(super) struct AskedDrain {
    notes: Shared<Asked>,
    /// What was found at the poll before.
    seen: HashSet<Note>,
}

/// A note that was found. Its key says who asked whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Note {
    cookie: u64,
    key: Key,
}

impl AskedDrain {
    /// Reads that array of notes.
    ///
    /// # Errors
    /// What the kernel says when it does not share the array's memory.
    pub(super) fn new(map: MapData) -> io::Result<Self> {
        Ok(Self {
            notes: Shared::new(map, ASKED_SLOTS)?,
            seen: HashSet::new(),
        })
    }

    /// Gives the key of each failed connection to `row`. `at_end` says that no connection is in the making any more.
    pub(super) fn drain(&mut self, at_end: bool, mut row: impl FnMut(&Key)) {
        let mut found = HashSet::new();
        for slot in self.notes.values() {
            // SAFETY: the slot is within the mapping, and any bytes are an `Asked`. The kernel may write to it meanwhile.
            let asked = unsafe { slot.read_volatile() };
            if asked.cookie == 0 {
                continue;
            }
            let note = Note {
                cookie: asked.cookie,
                key: Key::failed_at_once(&asked),
            };
            if at_end || self.seen.contains(&note) {
                row(&note.key);
                // SAFETY: as above. Where the socket is being asked again at this moment, that note is lost.
                unsafe { (&raw mut (*slot.as_ptr()).cookie).write_volatile(0) };
            } else {
                found.insert(note);
            }
        }
        self.seen = found;
    }
}
