//! Connections that failed at once.
//!
//! In: the kernel's notes of what connect(2) was asked for and TCP has not begun. Out: those that nothing came of.
//! The decisions held here: a note is there for the microseconds between the system call's hook and TCP's start. One that two polls
//! in a row have found has failed before its first packet: no route, no local port left, forbidden. That also makes up for notes that are
//! read while they are written. The notes are looked at in memory shared with the kernel: to ask for 16,384 of them takes milliseconds.

use std::collections::HashSet;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use aya::maps::MapData;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use recon_common::process::ASKED_SLOTS;
use recon_common::{Asked, Key};

/// The kernel's notes, mapped into this process.
#[derive(Debug)]
struct Notes(NonNull<Asked>);

// SAFETY: the mapping belongs to this value alone, and is good on any thread.
unsafe impl Send for Notes {}

impl Notes {
    const LENGTH: NonZeroUsize =
        NonZeroUsize::new(ASKED_SLOTS as usize * size_of::<Asked>()).expect("there are slots");

    fn map(map: impl AsFd) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a mapping of its own, at an address of the kernel's choice.
        let start = unsafe { mmap(None, Self::LENGTH, access, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self(start.cast()))
    }

    fn slots(&self) -> impl Iterator<Item = NonNull<Asked>> {
        // SAFETY: the mapping has that many slots.
        (0..ASKED_SLOTS as usize).map(|slot| unsafe { self.0.add(slot) })
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // SAFETY: the mapping as it was made; nothing points into it any more. Nothing can be done where it fails.
        let _ = unsafe { munmap(self.0.cast(), Self::LENGTH.get()) };
    }
}

/// Reads the notes.
#[derive(Debug)]
pub(super) struct AskedDrain {
    notes: Notes,
    /// Held open for the programs that are still to be loaded with it.
    _map: MapData,
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
            notes: Notes::map(map.fd())?,
            _map: map,
            seen: HashSet::new(),
        })
    }

    /// Gives the key of each failed connection to `row`. `at_end` says that no connection is in the making any more.
    pub(super) fn drain(&mut self, at_end: bool, mut row: impl FnMut(&Key)) {
        let mut found = HashSet::new();
        for slot in self.notes.slots() {
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
