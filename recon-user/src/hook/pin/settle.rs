//! The end of a start: what no hook needs any more is removed.
//!
//! In: links, programs and sets of earlier agents. Out: this agent's only, and a log line for what
//! is lost with the others.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::TcAttachType;
use recon_common::PackedKey;

use super::folder::{remove_set, show};
use super::interface::IngressChange;
use super::{Pins, bpf};
use crate::hook::attach::tc_name;
use crate::hook::{clsact, list_interfaces};

impl Pins {
    /// Removes what no hook needs any more. To be called once nothing can fail any more: what an
    /// earlier agent left can't be put back from here on.
    pub(in crate::hook) fn settle(&mut self, ebpf: &Ebpf) {
        self.undo.clear();
        self.is_settled = true;
        // First, since this removes pins by the names that new links get.
        self.remove_orphans();
        for (from, to) in self.renames.drain(..) {
            if let Err(error) = fs::rename(&from, &to) {
                log::warn!(
                    "{}: {error}; the next start attaches this hook anew, and what happens meanwhile is not counted",
                    from.display()
                );
            }
        }
        remove_other_filters();
        self.changes.drain(..).for_each(IngressChange::report);
        self.pin_programs(ebpf);
        for (set, reason) in std::mem::take(&mut self.replaced) {
            let lost = describe_lost(&set);
            match remove_set(&set) {
                Ok(_) => log::warn!("{}: removed, since {reason}; {lost}", set.display()),
                Err(error) => log::error!("{}: can't remove it: {error}", set.display()),
            }
        }
        if self.is_adopted {
            log::info!(
                "{}: went on with the maps and hooks of an earlier recon",
                show(&self.folder.path)
            );
        }
    }

    /// Ends the links that no hook has taken over: of interfaces and cgroups that are gone or no
    /// longer watched, and those whose place another link has.
    fn remove_orphans(&mut self) {
        for (name, link) in self.found.drain() {
            log::info!("{name}: removed the hook of an earlier recon, which nothing needs");
            if let Err(error) = link.remove() {
                log::warn!(
                    "{name}: {error}; if it counts on, its hook counts twice; then end this recon, type: recon detach --pins {}, and start it again",
                    show(&self.folder.path)
                );
            }
        }
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
            if let Err(error) = bpf::pin(program.as_fd(), &path) {
                log::warn!(
                    "{}: {error}; a start that fails after this one can't put this program back",
                    path.display()
                );
            }
        }
    }
}

/// Removes the filters that no hook has taken over: they have no pin, and go on counting.
fn remove_other_filters() {
    for interface in list_interfaces().unwrap_or_default() {
        for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
            let program = tc_name(&interface, direction);
            clsact::clear_leftover(&interface, program, direction);
        }
    }
}

/// What is lost with the maps of a set that is removed.
fn describe_lost(set: &Path) -> String {
    const TABLES: [&str; 2] = ["COUNTS_0", "COUNTS_1"];
    let table = |name: &str| -> Option<u64> {
        let map = MapData::from_pin(set.join("maps").join(name)).ok()?;
        let table: HashMap<MapData, [u64; 5], u64> = Map::HashMap(map).try_into().ok()?;
        Some(table.iter().flatten().map(|(_, count)| count).sum())
    };
    const { assert!(size_of::<PackedKey>() == size_of::<[u64; 5]>()) };
    match TABLES.map(table) {
        [Some(one), Some(other)] => format!(
            "what it had counted since its last poll is lost, in its tables {} signals",
            one + other
        ),
        _ => "what it had counted since its last poll is lost".to_owned(),
    }
}
