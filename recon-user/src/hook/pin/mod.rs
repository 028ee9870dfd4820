//! Programs, maps and links that stay while no agent runs.
//!
//! In: the folder of `--pins` and what an earlier agent left there. Out: [`Pins`]: the maps to go
//! on with, and links whose programs are swapped; and [`remove_pins`] for `recon detach`.
//! The decisions held here: a start changes nothing before all programs are loaded and verified.
//! Then each link gets its new program atomically, so that a packet meets the old one or the new
//! one and never both. Until [`Pins::settle`] everything can be put back, and is if the start
//! fails; only then is removed what no hook needs any more. What others learned: a restart that
//! replaces instead of swapping leaves a gap (Tetragon, pull request 2600, moves the old pins aside
//! and detaches them later, so that both run for a while), and programs that nobody removes run
//! before the new ones and count into maps that nobody reads (mermin, pull request 299).

mod detach;
mod error;
mod folder;
mod interface;
mod layout;
mod link;
mod look;
mod process;
mod set;
mod settle;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::{ProgramInfo, SchedClassifier};
use aya::{Ebpf, EbpfLoader};

use super::bpf::{self, LinkInfo};
use super::clsact::Filter;
use super::netns_cookie;
use crate::diagnostic::error_chain;
use crate::drain::PinnedRecord;
use crate::seed;

pub use detach::{Removed, remove_pins};
pub use error::PinError;
use folder::{PinFolder, SET, remove_set};
use layout::Layout;
pub(super) use link::PinnedLink;
pub(crate) use look::{SeenPins, SeenSet, look_at_pins};
pub(super) use process::attach_lasting;
use set::{PinnedSet, Wanted, link_paths, program_paths};

/// How a link is named that takes the place of another one once the start has succeeded.
const NEXT: &str = "next_";

/// The pins of this agent.
#[derive(Debug)]
pub struct Pins {
    wanted: Wanted,
    /// The set that this agent uses. `None` before the programs are loaded, if it is a new one.
    set: Option<PinnedSet>,
    is_adopted: bool,
    /// The links of earlier agents that are not taken over yet, by name.
    found: HashMap<String, PinnedLink>,
    /// The pinned programs of earlier agents.
    programs: HashMap<String, PathBuf>,
    /// Links that go on with the program that they have.
    kept: Vec<PinnedLink>,
    /// The programs of this process that are attached.
    attached: HashSet<String>,
    /// Other sets, and why their maps are not used.
    replaced: Vec<(PathBuf, String)>,
    /// Pins that are renamed once the start has succeeded.
    renames: Vec<(PathBuf, PathBuf)>,
    undo: Vec<Undo>,
    is_settled: bool,
    /// Locked as long as anything above may change.
    folder: PinFolder,
}

/// A change of a start that may still fail.
#[derive(Debug)]
enum Undo {
    /// The link ran that program before.
    Swapped { link: OwnedFd, program: OwnedFd },
    /// The pin, and perhaps its link, is new.
    Created(PathBuf),
    /// The filter ran that pinned program before.
    Filter { filter: Filter, program: PathBuf },
}

impl Pins {
    /// Locks the folder and looks at what an earlier agent left, without changing it. If its maps
    /// can be used, their secrets become those of this process.
    ///
    /// # Errors
    /// [`PinError`] if the folder can't hold pins, or another agent uses it.
    pub(super) fn open(path: &Path, sizes: [(&'static str, u32); 4]) -> Result<Self, PinError> {
        let layout = Layout::of_object(super::object::OBJECT)
            .map_err(|source| PinError::Object { source })?;
        let folder = PinFolder::open_or_create(path)?;
        let wanted = Wanted {
            layout,
            sizes,
            netns: network_namespace(),
        };
        let mut pins = Self {
            wanted,
            set: None,
            is_adopted: false,
            found: HashMap::new(),
            programs: HashMap::new(),
            kept: Vec::new(),
            attached: HashSet::new(),
            replaced: Vec::new(),
            renames: Vec::new(),
            undo: Vec::new(),
            is_settled: false,
            folder,
        };
        pins.look_around()?;
        Ok(pins)
    }

    fn look_around(&mut self) -> Result<(), PinError> {
        let read = |error| PinError::read(&self.folder.path, error);
        let sets = self.folder.sets().map_err(read)?;
        for path in &sets {
            match PinnedSet::read(path, &self.wanted) {
                Ok(_) if self.set.is_some() => {
                    let reason = "there is another one that can be used".to_owned();
                    self.replaced.push((path.clone(), reason));
                }
                Ok(set) if seed::adopt_secrets(set.secrets) => self.set = Some(set),
                Ok(_) => {
                    let reason = "this process has other secrets already".to_owned();
                    self.replaced.push((path.clone(), reason));
                }
                Err(reason) => self.replaced.push((path.clone(), reason)),
            }
        }
        self.is_adopted = self.set.is_some();
        // Those of the set whose maps are used take precedence.
        let own = self.set.iter().map(|set| set.path.clone());
        let sets = self.replaced.iter().map(|(path, _)| path.clone());
        for set in sets.chain(own).collect::<Vec<_>>() {
            for (name, path) in link_paths(&set) {
                match PinnedLink::open(&path) {
                    Ok(Some(link)) => drop(self.found.insert(name, link)),
                    Ok(None) => log::warn!("{}: is no link", path.display()),
                    Err(error) => log::warn!("{}: {error}", path.display()),
                }
            }
            self.programs.extend(program_paths(&set));
        }
        Ok(())
    }

    /// Whether the maps are those of an earlier agent.
    pub(crate) const fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Makes `loader` take the maps of an earlier agent, if there are some.
    pub(super) fn give_maps<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        if let Some(set) = &self.set {
            for map in &self.wanted.layout.maps {
                loader.map_pin_path(&map.name, set.map_path(&map.name));
            }
        }
    }

    /// Pins the maps of the loaded object, unless they are those of an earlier agent.
    ///
    /// # Errors
    /// [`PinError`] where the kernel refuses.
    pub(super) fn create_set(&mut self, ebpf: &Ebpf) -> Result<(), PinError> {
        if self.set.is_some() {
            return Ok(());
        }
        let path = self.new_path();
        // A set that is made by half is removed as a whole.
        self.undo.push(Undo::Created(path.clone()));
        let secrets = seed::hash_secrets();
        let maps = seed::random_number();
        let set = PinnedSet::create(path, &self.wanted, ebpf, secrets, maps)?;
        self.set = Some(set);
        Ok(())
    }

    /// A name that no set has. It says which layout the maps have.
    fn new_path(&self) -> PathBuf {
        let name = format!("{SET}{:016x}", self.wanted.layout.version);
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let mut paths = std::iter::once(name.clone())
            .chain(numbered)
            .map(|name| self.folder.path.join(name));
        let free = paths.find(|path| fs::symlink_metadata(path).is_err());
        free.unwrap_or_else(|| self.folder.path.join(name))
    }

    /// The record of commits, for the drain.
    ///
    /// # Errors
    /// [`PinError`] where the kernel refuses.
    pub(super) fn record(&self) -> Result<Option<PinnedRecord>, PinError> {
        let set = self.set.as_ref();
        set.map(|set| set.record(self.is_adopted)).transpose()
    }

    /// The ids of the programs that earlier agents have attached.
    pub(crate) fn found_programs(&self) -> HashSet<u32> {
        let infos = self.found.values().filter_map(|link| link.info().ok());
        infos.map(|info| info.program).collect()
    }

    /// Swaps the program into the link of that name, if an earlier agent left one that is right.
    fn swap(
        &mut self,
        name: &str,
        program: (&str, BorrowedFd<'_>),
        is_right: impl FnOnce(&LinkInfo) -> bool,
    ) -> Option<PinnedLink> {
        let info = self.found.get(name)?.info().ok()?;
        if !is_right(&info) {
            return None;
        }
        let link = self.found.remove(name)?;
        match self.swap_program(name, link, &info, program) {
            Ok(link) => Some(link),
            Err(reason) => {
                log::warn!(
                    "{name}: can't swap the program of an earlier recon: {reason}; attaching anew, and what happens meanwhile is not counted"
                );
                None
            }
        }
    }

    fn swap_program(
        &mut self,
        name: &str,
        link: PinnedLink,
        info: &LinkInfo,
        (program, new): (&str, BorrowedFd<'_>),
    ) -> Result<PinnedLink, String> {
        let set = self.set.as_ref().ok_or("there is no set")?;
        let path = set.link_path(name);
        let link = match link.path() == path {
            true => link,
            false => {
                self.undo.push(Undo::Created(path.clone()));
                link.pin_at(&path).map_err(|error| error.to_string())?
            }
        };
        let old = self.found_program(program, info.program);
        let handle = link.duplicate().map_err(|error| error.to_string())?;
        if let Err(error) = link.update(new) {
            let _ = link.remove();
            return Err(error.to_string());
        }
        match old {
            Some(program) => self.undo.push(Undo::Swapped {
                link: handle,
                program,
            }),
            None => log::debug!("{name}: the program of the earlier recon is not pinned"),
        }
        self.attached.insert(program.to_owned());
        Ok(link)
    }

    /// The program of an earlier agent, if it has that id.
    fn found_program(&self, name: &str, id: u32) -> Option<OwnedFd> {
        let path = self.programs.get(name)?;
        let info = ProgramInfo::from_pin(path).ok()?;
        if info.id() != id {
            return None;
        }
        bpf::open_pinned(path).ok()
    }

    /// Pins a link that this process has attached.
    fn keep(&mut self, name: &str, program: &str, link: FdLink) -> Result<PinnedLink, String> {
        let set = self.set.as_ref().ok_or("there is no set")?;
        let path = set.link_path(name);
        let mut place = path.clone();
        if fs::symlink_metadata(&path).is_ok() {
            if self.is_settled {
                fs::remove_file(&path).map_err(|error| error.to_string())?;
            } else {
                place = set.link_path(&format!("{NEXT}{name}"));
                let _ = fs::remove_file(&place);
                self.renames.push((place.clone(), path.clone()));
            }
        }
        link.pin(&place).map_err(|error| error_chain(&error))?;
        if !self.is_settled {
            self.undo.push(Undo::Created(place.clone()));
        }
        let pinned = PinnedLink::open(&place).map_err(|error| error.to_string())?;
        self.attached.insert(program.to_owned());
        let pinned = pinned.ok_or("it is no link")?;
        Ok(pinned.renamed(path))
    }

    fn put_back(&mut self) {
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            let result = match undo {
                Undo::Swapped { link, program } => bpf::update_link(link, program),
                Undo::Created(path) if path.is_dir() => remove_set(&path).map(drop),
                Undo::Created(path) => fs::remove_file(path),
                Undo::Filter { filter, program } => {
                    let old = SchedClassifier::from_pin(program);
                    old.and_then(|mut old| filter.replace(&mut old).map(drop))
                        .map_err(std::io::Error::other)
                }
            };
            if let Err(error) = result {
                log::debug!("putting back: {error}");
            }
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if !self.is_settled {
            self.put_back();
            if self.is_adopted || !self.replaced.is_empty() {
                log::error!("what an earlier recon has attached goes on as it was");
            }
            // Only if nothing is in it.
            let _ = fs::remove_dir(&self.folder.path);
        }
    }
}

/// A number that no other network namespace has now.
fn network_namespace() -> u64 {
    netns_cookie().unwrap_or_else(|_| {
        let namespace = fs::metadata("/proc/self/ns/net");
        namespace.map_or(0, |namespace| namespace.ino())
    })
}
