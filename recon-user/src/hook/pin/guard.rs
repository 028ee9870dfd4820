//! Pins that somebody removes while this agent runs.
//!
//! In: what this agent has pinned. Out: what is missing is pinned again, or why it can't be.
//! The decisions held here:
//! - Without its pin a hook ends with this process, and the next one finds nothing to go on with.
//!   So descriptors keep what is pinned, and a pin that is missing, or stands for something else,
//!   is made again.
//! - Whoever removes pins removes a set with its folder. So each poll asks for the folder and for
//!   the header alone, and once a minute for each pin.
//! - The header is pinned last, as at the start: a set without it was made by half.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::Ebpf;

use super::folder::{PinFolder, create_folder};
use super::set::{PinnedSet, program_paths};
use super::{PinError, PinnedLink, Pins, bpf};
use crate::diagnostic::error_chain;

/// What somebody has removed.
#[derive(Debug)]
pub(crate) struct RemovedPins {
    /// How many pins were missing, or others.
    pub(crate) pins: usize,
    /// Why they could not be made again, if they could not.
    pub(crate) refusal: Option<String>,
}

/// Descriptors of what is pinned in a set and has no other owner.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(PathBuf, OwnedFd)>);

impl Held {
    /// Opens the maps of a set, and the programs of an earlier agent that go on.
    pub(super) fn open(set: &PinnedSet, ebpf: &Ebpf) -> Self {
        let is_loaded = |name: &str| matches!(ebpf.program(name).map(|it| it.fd()), Some(Ok(_)));
        let programs = program_paths(&set.path).into_iter();
        let programs = programs.filter(|(name, _)| !is_loaded(name));
        let paths = set.maps().into_iter().chain(programs.map(|(_, path)| path));
        let opened = paths.filter_map(|path| {
            let descriptor = bpf::open_pinned(&path).ok()?;
            Some((path, descriptor))
        });
        Self(opened.collect())
    }
}

impl Pins {
    /// Looks whether all that this agent has pinned is there, and pins it again if it is not. At
    /// most polls a look at the folder will do.
    pub(in crate::hook) fn repair<'a>(
        &mut self,
        ebpf: &Ebpf,
        links: impl Iterator<Item = &'a PinnedLink>,
        is_thorough: bool,
    ) -> Option<RemovedPins> {
        let set = self.set.as_ref().filter(|_| self.is_settled)?;
        let is_there = self.folder.is_in_place() && set.has_header();
        if is_there && !is_thorough {
            return None;
        }
        let mut repair = RemovedPins {
            pins: 0,
            refusal: None,
        };
        if let Err(error) = make_folders(&mut self.folder, set) {
            repair.pins = 1;
            repair.refusal = Some(error_chain(&error));
            return Some(repair);
        }
        let (header, maps): (Vec<_>, Vec<_>) = {
            let held = self.held.0.iter();
            held.partition(|(path, _)| set.is_header(path))
        };
        for (path, map) in maps {
            repair.look_at(path, map.as_fd());
        }
        for link in links {
            repair.look_at(link.path(), link.as_fd());
        }
        for link in &self.kept {
            repair.look_at(link.path(), link.as_fd());
        }
        for name in &self.pinned_programs {
            if let Some(Ok(program)) = ebpf.program(name).map(|it| it.fd()) {
                repair.look_at(&set.program_path(name), program.as_fd());
            }
        }
        for (path, map) in header {
            if repair.refusal.is_none() {
                repair.look_at(path, map.as_fd());
            }
        }
        (repair.pins > 0).then_some(repair)
    }
}

/// Makes the folders again that are gone, and locks the one that is there now.
fn make_folders(folder: &mut PinFolder, set: &PinnedSet) -> Result<(), PinError> {
    if !folder.is_in_place() {
        *folder = PinFolder::open_or_create(&folder.path)?;
    }
    for folder in set.folders() {
        match create_folder(&folder) {
            Err(PinError::Create { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
    }
    Ok(())
}

impl RemovedPins {
    /// Looks at one, and makes it again if it is not there.
    fn look_at(&mut self, path: &Path, object: BorrowedFd<'_>) {
        let found = bpf::open_pinned(path).and_then(|found| bpf::object_id(&found));
        let own = bpf::object_id(object);
        match (found, own) {
            (Ok(found), Ok(own)) if found == own => return,
            // Unknown is no reason to pin it again.
            (_, Err(_)) => return,
            _ => {}
        }
        self.pins += 1;
        let _ = fs::remove_file(path);
        if let Err(error) = bpf::pin(object, path) {
            self.refusal = Some(format!("{}: {error}", path.display()));
        }
    }
}
