//! What a start that fails puts back.
//!
//! In: the changes of the start, in their order. Out: hooks as an earlier agent left them, or a log
//! line that says what is lost.
//! The decision held here: the log says that all goes on only if each change was taken back.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::{fs, io};

use aya::programs::SchedClassifier;

use super::folder::remove_set;
use super::interface::DetachedXdp;
use super::{PinnedLink, Pins};
use crate::hook::bpf;
use crate::hook::clsact::Filter;

/// A change of a start that may still fail.
#[derive(Debug)]
pub(super) enum Undo {
    /// The link ran that program before.
    Swapped { link: OwnedFd, program: OwnedFd },
    /// The pin or the set is new. What is pinned there may be older.
    Created(PathBuf),
    /// The link that is pinned there is new.
    Attached(PathBuf),
    /// The link was pinned there, and was detached to make room.
    Detached(DetachedXdp),
    /// What ran in that place before is not known.
    Unknown(String),
    /// The filter ran that pinned program before.
    Filter { filter: Filter, program: PathBuf },
}

impl Pins {
    /// Takes the changes back, the last one first. Returns whether all is as it was.
    fn put_back(&mut self) -> bool {
        let mut is_whole = true;
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            let result = match undo {
                Undo::Swapped { link, program } => bpf::update_link(link, program),
                Undo::Created(path) if path.is_dir() => remove_set(&path).map(drop),
                Undo::Created(path) => fs::remove_file(path),
                Undo::Attached(path) => match PinnedLink::open(&path) {
                    Ok(Some(link)) => link.remove(),
                    _ => fs::remove_file(path),
                },
                Undo::Detached(link) => link.attach_again(),
                Undo::Unknown(name) => Err(io::Error::other(format!(
                    "the program that ran in {name} is not pinned"
                ))),
                Undo::Filter { filter, program } => {
                    let old = SchedClassifier::from_pin(program);
                    old.and_then(|mut old| filter.replace(&mut old).map(drop))
                        .map_err(io::Error::other)
                }
            };
            if let Err(error) = result {
                tracing::warn!("can't put back what an earlier recon had attached: {error}");
                is_whole = false;
            }
        }
        is_whole
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if !self.is_settled {
            let is_whole = self.put_back();
            if self.is_adopted || !self.replaced.is_empty() {
                match is_whole {
                    true => tracing::error!("what an earlier recon has attached goes on as it was"),
                    false => tracing::error!(
                        "some hooks of an earlier recon are lost, count twice or count for nobody; start recon again, or type: recon detach --pins {}",
                        self.folder.path.display()
                    ),
                }
            }
            // Only if nothing is in it.
            let _ = fs::remove_dir(&self.folder.path);
        }
    }
}
