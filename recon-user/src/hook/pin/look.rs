//! What is pinned in a folder, for `recon check`.
//!
//! In: the folder of `--pins`. Out: [`SeenPins`]; nothing is changed.
//! The decision held here: the lock is held while looking, so that no start changes what is read.
//! It is let go within milliseconds.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::folder::{PinFolder, check_file_system, show};
use super::layout::Layout;
use super::set::{PinnedSet, Wanted, link_paths};
use super::{PinError, PinnedLink, network_namespace};
use crate::hook::object;

/// What is in the folder.
#[derive(Debug, Default)]
pub(crate) struct SeenPins {
    /// Whether the folder exists.
    pub(crate) is_there: bool,
    /// Whether a recon that runs uses it. Then nothing else is known.
    pub(crate) is_in_use: bool,
    pub(crate) sets: Vec<SeenSet>,
    /// The ids of the programs that are attached.
    pub(crate) programs: HashSet<u32>,
}

/// Pins that belong together.
#[derive(Debug)]
pub(crate) struct SeenSet {
    /// The folder's name, which has the version of the maps' layout.
    pub(crate) name: String,
    /// The id of the user whose recon left it.
    pub(crate) owner: u32,
    /// How many hooks are attached.
    pub(crate) hooks: usize,
    /// Why the next start replaces its maps, if it does.
    pub(crate) refusal: Option<String>,
}

/// Looks into the folder, of an agent whose maps have these sizes.
///
/// # Errors
/// [`PinError`] if the folder can't hold pins.
pub(crate) fn look_at_pins(
    path: &Path,
    sizes: [(&'static str, u32); 4],
) -> Result<SeenPins, PinError> {
    let mut seen = SeenPins::default();
    let folder = match PinFolder::open(path) {
        Ok(Some(folder)) => folder,
        Ok(None) => {
            check_file_system(path)?;
            return Ok(seen);
        }
        Err(PinError::Taken { .. }) => {
            seen.is_there = true;
            seen.is_in_use = true;
            return Ok(seen);
        }
        Err(error) => return Err(error),
    };
    seen.is_there = true;
    let wanted = Wanted {
        layout: Layout::of_object(object::OBJECT).map_err(|source| PinError::Object { source })?,
        sizes,
        netns: network_namespace(),
    };
    let read = |error| PinError::read(path, error);
    for set in folder.sets().map_err(read)? {
        let links = link_paths(&set).into_iter();
        let links = links.filter_map(|(_, path)| PinnedLink::open(&path).ok().flatten());
        let infos: Vec<_> = links.filter_map(|link| link.info().ok()).collect();
        seen.programs.extend(infos.iter().map(|info| info.program));
        seen.sets.push(SeenSet {
            name: set
                .file_name()
                .map_or_else(|| show(&set), |name| name.to_string_lossy().into_owned()),
            owner: fs::metadata(&set).map_err(read)?.uid(),
            hooks: infos.len(),
            refusal: PinnedSet::read(&set, &wanted).err(),
        });
    }
    Ok(seen)
}
