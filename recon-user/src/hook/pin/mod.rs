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
mod guard;
mod interface;
mod layout;
mod link;
mod look;
mod process;
mod set;
mod settle;
mod undo;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::programs::ProgramInfo;
use aya::programs::links::FdLink;
use aya::{Ebpf, EbpfLoader};

use super::bpf::{self, LinkInfo};
use super::netns_cookie;
use crate::diagnostic::error_chain;
use crate::drain::PinnedRecord;
use crate::seed;

pub use detach::{Removed, remove_pins};
pub use error::PinError;
use folder::{PinFolder, SET};
use guard::Held;
pub(crate) use guard::RemovedPins;
use interface::IngressChange;
use layout::Layout;
pub(super) use link::PinnedLink;
pub(crate) use look::{SeenPins, SeenSet, look_at_pins};
pub(super) use process::attach_lasting;
use set::{PinnedSet, Wanted, link_paths, program_paths, set_netns};
use undo::Undo;

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
    /// Those of them that are pinned.
    pinned_programs: BTreeSet<String>,
    /// What else is pinned.
    held: Held,
    /// Other sets, and why their maps are not used.
    replaced: Vec<(PathBuf, String)>,
    /// Pins that are renamed once the start has succeeded.
    renames: Vec<(PathBuf, PathBuf)>,
    /// Inbound hooks that take the place of others, which end once the start has succeeded.
    changes: Vec<IngressChange>,
    /// Hooks that somebody had detached before this start: on what, and which.
    detached: Vec<(String, &'static str)>,
    undo: Vec<Undo>,
    is_settled: bool,
    /// Locked as long as anything above may change.
    folder: PinFolder,
}

/// Where a link of an earlier agent has to be, to go on.
struct Place<'a> {
    /// The name of the link.
    name: &'a str,
    /// The interface or the cgroup, and the hook, as messages show them.
    shown: String,
    hook: &'static str,
    /// The number of the interface or cgroup that the kernel has of a link: 0 of one that is
    /// detached.
    number_of: fn(&LinkInfo) -> u64,
    number: u64,
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
            pinned_programs: BTreeSet::new(),
            held: Held::default(),
            replaced: Vec::new(),
            renames: Vec::new(),
            changes: Vec::new(),
            detached: Vec::new(),
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
            // Their indexes are those of other interfaces.
            let is_elsewhere = set_netns(&set).is_some_and(|netns| netns != self.wanted.netns);
            for (name, path) in link_paths(&set) {
                if is_elsewhere && interface::is_of_interface(&name) {
                    continue;
                }
                match PinnedLink::open(&path) {
                    Ok(Some(link)) => drop(self.found.insert(name, link)),
                    Ok(None) => tracing::warn!("{}: is no link", path.display()),
                    Err(error) => tracing::warn!("{}: {error}", path.display()),
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

    /// The ids of the programs that are pinned in the folder. While this agent has locked it, no
    /// other one has them.
    pub(super) fn pinned_ids(&self) -> HashSet<u32> {
        let infos = self.programs.values().map(ProgramInfo::from_pin);
        infos.filter_map(|info| Some(info.ok()?.id())).collect()
    }

    /// Swaps the program into the link of an earlier agent, if it left one in that place.
    fn swap(&mut self, place: Place<'_>, program: (&str, BorrowedFd<'_>)) -> Option<PinnedLink> {
        let name = place.name;
        let info = self.found.get(name)?.info().ok()?;
        match (place.number_of)(&info) {
            found if found == place.number => {}
            0 => {
                self.detached.push((place.shown, place.hook));
                return None;
            }
            _ => return None,
        }
        let link = self.found.remove(name)?;
        match self.swap_program(name, link, &info, program) {
            Ok(link) => Some(link),
            Err(reason) => {
                tracing::warn!(
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
            // It goes on, and ends once another one has its place.
            self.found.insert(name.to_owned(), link);
            return Err(error.to_string());
        }
        match old {
            Some(program) => self.undo.push(Undo::Swapped {
                link: handle,
                program,
            }),
            None => self.undo.push(Undo::Unknown(name.to_owned())),
        }
        self.attached.insert(program.to_owned());
        Ok(link)
    }

    /// The hooks that somebody had detached before this start: on what, and which.
    pub(super) fn take_detached(&mut self) -> Vec<(String, &'static str)> {
        std::mem::take(&mut self.detached)
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
        let is_taken = fs::symlink_metadata(&path).is_ok();
        let place = match is_taken && !self.is_settled {
            true => set.link_path(&format!("{NEXT}{name}")),
            false => path.clone(),
        };
        if is_taken {
            // What is left of an earlier start, or of a link that is detached by now.
            let _ = fs::remove_file(&place);
        }
        link.pin(&place).map_err(|error| error_chain(&error))?;
        let pinned = PinnedLink::open(&place).map_err(|error| error.to_string());
        let pinned = pinned.and_then(|link| link.ok_or_else(|| "it is no link".to_owned()));
        let pinned = pinned.inspect_err(|_| {
            // Nothing but the pin holds the link: the hook would count twice.
            let _ = fs::remove_file(&place);
        })?;
        if !self.is_settled {
            self.undo.push(Undo::Attached(place.clone()));
        }
        if place != path {
            self.renames.push((place, path.clone()));
        }
        self.attached.insert(program.to_owned());
        Ok(pinned.renamed(path))
    }
}

/// A number that no other network namespace has now.
fn network_namespace() -> u64 {
    netns_cookie().unwrap_or_else(|_| {
        let namespace = fs::metadata("/proc/self/ns/net");
        namespace.map_or(0, |namespace| namespace.ino())
    })
}
