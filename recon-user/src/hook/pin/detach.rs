//! `recon detach`: nothing of recon stays in the kernel.
//!
//! In: the folder of `--pins`. Out: what was removed.
//! The decisions held here: it takes the lock, so that it never pulls the maps from under an agent.
//! Links go first, and the hooks that record connects before the others, so that no program counts
//! into half of its maps. Filters of clsact have no pin: they are found by their programs' names.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aya::programs::TcAttachType;

use super::PinnedLink;
use super::error::PinError;
use super::folder::{PinFolder, remove_set};
use super::set::link_paths;
use crate::hook::attach::tc_name;
use crate::hook::{clsact, list_interfaces};

/// What was removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of links.
    pub links: Vec<String>,
    /// Names of maps and programs.
    pub others: Vec<String>,
    /// Interfaces with filters, and which.
    pub filters: Vec<String>,
    /// Why the folder itself stays, if it does.
    pub folder_stays: Option<String>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            links,
            others,
            filters,
            folder_stays,
        } = self;
        if links.is_empty() && others.is_empty() && filters.is_empty() {
            return f.write_str("nothing of recon was attached or pinned");
        }
        write!(f, "detached {} hooks", links.len() + filters.len())?;
        let hooks: Vec<&str> = links.iter().chain(filters).map(String::as_str).collect();
        if !hooks.is_empty() {
            write!(f, " ({})", hooks.join(", "))?;
        }
        write!(f, " and removed {} maps and programs", others.len())?;
        match folder_stays {
            None => f.write_str(" and their folder"),
            Some(why) => write!(f, "; the folder stays: {why}"),
        }
    }
}

/// Removes all links, programs and maps that agents have pinned in the folder, and their filters in
/// this network namespace.
///
/// # Errors
/// [`PinError`] if the folder is none of pins, an agent uses it, or the kernel refuses.
pub fn remove_pins(path: &Path) -> Result<Removed, PinError> {
    let mut removed = Removed::default();
    if let Some(folder) = PinFolder::open(path)? {
        let read = |error| PinError::read(path, error);
        let sets = folder.sets().map_err(read)?;
        for set in &sets {
            let mut links = link_paths(set);
            links.sort_by_key(|(name, _)| !name.contains("connect"));
            for (name, path) in links {
                let link = PinnedLink::open(&path);
                let removing = match link.map_err(|error| PinError::read(&path, error))? {
                    Some(link) => link.remove(),
                    None => fs::remove_file(&path),
                };
                removing.map_err(|error| PinError::read(&path, error))?;
                removed.links.push(name);
            }
        }
        for set in &sets {
            let others = remove_set(set).map_err(|error| PinError::read(set, error))?;
            removed.others.extend(others);
        }
        removed.folder_stays = folder.remove().err().map(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty => "something else is in it".to_owned(),
            // As in a mount namespace of the service manager.
            io::ErrorKind::ResourceBusy => "something is mounted on it".to_owned(),
            _ => error.to_string(),
        });
    }
    removed.filters = remove_filters();
    Ok(removed)
}

fn remove_filters() -> Vec<String> {
    let mut removed = Vec::new();
    for interface in list_interfaces().unwrap_or_default() {
        for (direction, way) in [
            (TcAttachType::Ingress, "ingress"),
            (TcAttachType::Egress, "egress"),
        ] {
            let program = tc_name(&interface, direction);
            if clsact::remove_filter(&interface, program, direction) {
                removed.push(format!("clsact_{way} of {}", interface.name));
            }
        }
    }
    removed
}
