//! `recon detach`: nothing of recon stays in the kernel.
//!
//! In: the folder of `--pins`. Out: what was removed.
//! The decisions held here: it takes the lock, so that it never pulls the maps from under an agent.
//! Links go first, and the hooks that record connects before the others, so that no program counts
//! into half of its maps. Filters of clsact have no pin: they are found by their programs' names.
//! Those that a running agent has claimed, with pins or without, stay. So do those of which nobody
//! can tell whether one has.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aya::programs::TcAttachType;

use super::PinnedLink;
use super::error::PinError;
use super::folder::{PinFolder, remove_set};
use super::set::link_paths;
use crate::diagnostic::error_chain;
use crate::hook::claim_list::ClaimList;
use crate::hook::clsact::{self, Removal};
use crate::hook::leftover::{KnownIds, Leftover, Leftovers, Owner};
use crate::hook::list_interfaces;

/// What was removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of links.
    pub links: Vec<String>,
    /// Names of maps and programs.
    pub others: Vec<String>,
    /// Interfaces with filters, and which.
    pub filters: Vec<String>,
    /// The same of filters that stay, since a running agent has them.
    pub in_use: Vec<String>,
    /// Filters that may stay, and why.
    pub failed: Vec<String>,
    /// Why the folder itself stays, if it does.
    pub folder_stays: Option<String>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            links,
            others,
            filters,
            in_use,
            failed,
            folder_stays,
        } = self;
        if !in_use.is_empty() {
            writeln!(
                f,
                "a running recon keeps {}: end it, and recon detaches them itself",
                in_use.join(", ")
            )?;
        }
        if links.is_empty() && others.is_empty() && filters.is_empty() {
            return f.write_str(match in_use.is_empty() && failed.is_empty() {
                true => "nothing of recon was attached or pinned",
                false => "nothing else of recon was attached or pinned",
            });
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
    remove_filters(&mut removed);
    Ok(removed)
}

fn remove_filters(removed: &mut Removed) {
    let interfaces = list_interfaces().unwrap_or_else(|error| {
        let why = error_chain(&error);
        removed.failed.push(format!("filters of clsact: {why}"));
        Vec::new()
    });
    // This process has loaded none.
    let known = || Ok(KnownIds::default());
    let leftovers = Leftovers::find(&interfaces, known, &mut ClaimList::default());
    removed.failed.extend_from_slice(&leftovers.unseen);
    for Leftover { filter, owner } in leftovers.into_found() {
        let way = match filter.direction {
            TcAttachType::Egress => "egress",
            _ => "ingress",
        };
        let name = format!("clsact_{way} of {}", filter.interface);
        match owner {
            Owner::Agent => removed.in_use.push(name),
            Owner::Unknown(why) => removed.failed.push(format!(
                "{name}: it stays, since a recon that runs may have it: {why}; end all that run, and type it again"
            )),
            Owner::Nobody => match clsact::remove_filter(&filter) {
                Ok(Removal::Removed) => removed.filters.push(name),
                Ok(Removal::Missing) => {}
                Err(error) => removed
                    .failed
                    .push(format!("{name}: {}", error_chain(&error))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What could not be looked for is not said to be gone.
    #[test]
    fn failures_are_not_nothing() {
        let nothing = Removed::default().to_string();
        assert_eq!(nothing, "nothing of recon was attached or pinned");
        let failed = Removed {
            failed: vec!["clsact_ingress of eth0: Operation not permitted".to_owned()],
            ..Removed::default()
        };
        let expected = "nothing else of recon was attached or pinned";
        assert_eq!(failed.to_string(), expected);
    }
}
