//! The end of a start: what no hook needs any more is removed.
//!
//! In: links, programs and sets of earlier agents. Out: this agent's only, and the number of
//! signals that are lost with the others.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use recon_common::PackedKey;

use super::folder::{remove_set, show};
use super::guard::Held;
use super::interface::IngressChange;
use super::set::{COMMITS, MAPS, set_layout};
use super::{Pins, bpf};
use crate::diagnostic::error_chain;
use crate::drain::{TABLES, count_left};
use crate::hook::claim_list::ClaimList;
use crate::hook::leftover::{KnownIds, Leftovers};
use crate::hook::list_interfaces;

impl Pins {
    /// Removes what no hook needs any more. To be called once nothing can fail any more: what an
    /// earlier agent left can't be put back from here on. Returns how many signals are lost with
    /// maps that are not used again.
    pub(in crate::hook) fn settle(&mut self, ebpf: &Ebpf, claims: &mut ClaimList) -> u64 {
        self.undo.clear();
        self.is_settled = true;
        // First, since this removes pins by the names that new links get.
        self.remove_orphans();
        for (from, to) in self.renames.drain(..) {
            if let Err(error) = fs::rename(&from, &to) {
                tracing::warn!(
                    "{}: {error}; the next start attaches this hook anew, and what happens meanwhile is not counted",
                    from.display()
                );
            }
        }
        self.remove_other_filters(ebpf, claims);
        self.changes.drain(..).for_each(IngressChange::report);
        self.pin_programs(ebpf);
        let mut all_lost = 0;
        for (set, reason) in std::mem::take(&mut self.replaced) {
            let lost = self.count_lost(&set);
            all_lost += lost.unwrap_or_default();
            let lost = lost.map_or_else(String::new, |lost| format!(": {lost} signals"));
            match remove_set(&set) {
                Ok(_) => tracing::warn!(
                    "{}: removed, since {reason}; what it had counted since its last poll is lost{lost}",
                    set.display()
                ),
                Err(error) => tracing::error!("{}: can't remove it: {error}", set.display()),
            }
        }
        if self.is_adopted {
            tracing::info!(
                "{}: went on with the maps and hooks of an earlier recon",
                show(&self.folder.path)
            );
        }
        self.held = self
            .set
            .as_ref()
            .map_or_else(Held::default, |set| Held::open(set, ebpf));
        all_lost
    }

    /// How many signals no poll has given of the maps of a set that is removed. Of maps with
    /// another layout, those in its tables.
    fn count_lost(&self, set: &Path) -> Option<u64> {
        let map = |name: &str| MapData::from_pin(set.join(MAPS).join(name));
        if set_layout(set) == Some(self.wanted.layout.version) {
            let record = MapData::from_pin(set.join(COMMITS)).ok()?;
            return count_left(|name| map(name).ok(), record).ok();
        }
        let table = |name: &str| -> Option<u64> {
            let table: HashMap<MapData, [u64; 5], u64> =
                Map::HashMap(map(name).ok()?).try_into().ok()?;
            Some(table.iter().flatten().map(|(_, count)| count).sum())
        };
        const { assert!(size_of::<PackedKey>() == size_of::<[u64; 5]>()) };
        let [one, other] = TABLES.map(table);
        Some(one? + other?)
    }

    /// Ends the links that no hook has taken over: of interfaces and cgroups that are gone or no
    /// longer watched, and those whose place another link has.
    fn remove_orphans(&mut self) {
        for (name, link) in self.found.drain() {
            tracing::info!("{name}: removed the hook of an earlier recon, which nothing needs");
            if let Err(error) = link.remove() {
                tracing::warn!(
                    "{name}: {error}; if it counts on, its hook counts twice; then end this recon, type: recon detach --pins {}, and start it again",
                    show(&self.folder.path)
                );
            }
        }
    }

    /// Removes the filters that no hook has taken over: they have no pin, and go on counting.
    fn remove_other_filters(&self, ebpf: &Ebpf, claims: &mut ClaimList) {
        let interfaces = list_interfaces().unwrap_or_else(|error| {
            tracing::warn!(
                "{}: filters of clsact that an earlier recon has left may count twice; end this recon, type: recon detach --pins {}, and start it again",
                error_chain(&error),
                show(&self.folder.path)
            );
            Vec::new()
        });
        let known = || KnownIds::of(ebpf, Some(self));
        Leftovers::find(&interfaces, known, claims).remove_all();
    }

    /// Pins the programs that this process has attached, for the next agent to put back.
    pub(super) fn pin_programs(&mut self, ebpf: &Ebpf) {
        let Some(set) = &self.set else { return };
        for name in self.attached.drain() {
            let path = set.program_path(&name);
            let Some(Ok(program)) = ebpf.program(&name).map(|program| program.fd()) else {
                continue;
            };
            let _ = fs::remove_file(&path);
            match bpf::pin(program.as_fd(), &path) {
                Ok(()) => drop(self.pinned_programs.insert(name)),
                Err(error) => tracing::warn!(
                    "{}: {error}; a start that fails after this one can't put this program back",
                    path.display()
                ),
            }
        }
    }
}
