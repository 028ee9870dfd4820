//! A set of pins: maps that belong together, and the links and programs that use them.
//!
//! In: a folder in the folder of pins. Out: whether this process may go on with its maps, or why
//! not; or a new set.
//! The decisions held here: a set is known by its header and not by its name. The header is a map
//! that the kernel has frozen, and is pinned after all other maps, so that a set that was made by
//! half has none. It names everything that has to be the same: the layout, the sizes, the network
//! namespace; and it holds the secrets, without which the maps say nothing.

use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError, MapInfo};
use recon_common::HashSecrets;
use recon_common::keyed_hash::SECRETS;

use super::folder::{create_folder, names, show};
use super::layout::{Layout, MapDefinition};
use super::{PinError, bpf};
use crate::drain::{PinnedRecord, is_frozen};

const HEADER: &str = "header";
pub(super) const COMMITS: &str = "commits";
pub(super) const MAPS: &str = "maps";
const LINKS: &str = "links";
const PROGRAMS: &str = "programs";

/// The first word of a header: "recon" and the version of the header itself.
const MAGIC: u64 = u64::from_be_bytes(*b"recon\0\0\x01");
/// Words of a header before the secrets.
const FIELDS: usize = 7;
/// The place of the layout among them.
const LAYOUT: usize = 1;
/// The place of the network namespace among them.
const NETNS: usize = 2;
const WORDS: usize = FIELDS + SECRETS;

/// `BPF_F_MMAPABLE`, linux/bpf.h.
const MMAPABLE: u32 = 1 << 10;
/// `BPF_MAP_TYPE_RINGBUF` of enum bpf_map_type, linux/bpf.h.
const RING: u32 = 27;

/// What a set of pins has to agree with.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) layout: Layout,
    /// The entries of the maps whose sizes the agent sets.
    pub(super) sizes: [(&'static str, u32); 4],
    /// The network namespace, whose indices of interfaces the links have.
    pub(super) netns: u64,
}

impl Wanted {
    fn entries(&self, map: &MapDefinition) -> u32 {
        let mut sizes = self.sizes.iter();
        let size = sizes.find(|(name, _)| *name == map.name);
        size.map_or(map.entries, |(_, entries)| *entries)
    }

    fn fields(&self, maps: u64) -> [u64; FIELDS] {
        // Both generations have the same size.
        let [(_, table), _, (_, images), (_, recent)] = self.sizes;
        let sizes = [table, images, recent].map(u64::from);
        [
            MAGIC,
            self.layout.version,
            self.netns,
            sizes[0],
            sizes[1],
            sizes[2],
            maps,
        ]
    }

    /// What a header's fields differ in, in words.
    fn difference(&self, fields: &[u64]) -> Option<String> {
        let wanted = self.fields(0);
        let mut differing = wanted.iter().zip(fields).take(FIELDS - 1);
        let at = differing.position(|(wanted, found)| wanted != found)?;
        let (found, wanted) = (fields.get(at)?, wanted[at]);
        Some(match at {
            0 => "it is no set of this version's pins".to_owned(),
            1 => "its maps have another layout".to_owned(),
            2 => "its links are in another network namespace".to_owned(),
            3 => format!("--table-entries is now {wanted}, and was {found}"),
            4 => format!("the host's highest pid is another one ({wanted} entries, not {found})"),
            _ => format!(
                "the host's number of processors is another one ({wanted} slots, not {found})"
            ),
        })
    }
}

/// A set that this process may go on with.
#[derive(Debug)]
pub(super) struct PinnedSet {
    pub(super) path: PathBuf,
    /// The random number of its maps.
    pub(super) maps: u64,
    pub(super) secrets: HashSecrets,
}

impl PinnedSet {
    /// The set in that folder, or why its maps can't be used.
    pub(super) fn read(path: &Path, wanted: &Wanted) -> Result<Self, String> {
        let header = path.join(HEADER);
        let header = MapData::from_pin(&header).map_err(|_| "it was made by half".to_owned())?;
        let words = read_words(header).map_err(|error| format!("its header: {error}"))?;
        let (fields, secrets) = words.split_at_checked(FIELDS).unwrap_or_default();
        if let Some(difference) = wanted.difference(fields) {
            return Err(difference);
        }
        let secrets = secrets.try_into().map_err(|_| "its header is short")?;
        let set = Self {
            path: path.to_owned(),
            maps: fields[FIELDS - 1],
            secrets: HashSecrets(secrets),
        };
        set.check_maps(wanted)?;
        Ok(set)
    }

    /// Fails unless all maps are there as they were made.
    fn check_maps(&self, wanted: &Wanted) -> Result<(), String> {
        let maps = &wanted.layout.maps;
        for map in maps {
            let found = MapInfo::from_pin(self.map_path(&map.name));
            let found = found.map_err(|_| format!("its map {} is missing", map.name))?;
            let kind = found.map_type().map_or(0, |kind| kind as u32);
            let found = (
                kind,
                found.key_size(),
                found.value_size(),
                found.max_entries(),
            );
            let entries = match map.kind {
                // The kernel rounds a ring up to pages.
                RING => found.3,
                _ => wanted.entries(map),
            };
            if found != (map.kind, map.key_size, map.value_size, entries) {
                return Err(format!("its map {} is another one", map.name));
            }
            check_not_frozen(&map.name, &self.map_path(&map.name))?;
        }
        check_not_frozen(COMMITS, &self.path.join(COMMITS))?;
        let commits = MapInfo::from_pin(self.path.join(COMMITS));
        match commits.map(|found| found.max_entries()) {
            Ok(PinnedRecord::ENTRIES) => Ok(()),
            _ => Err(format!("its map {COMMITS} is missing or another one")),
        }
    }

    /// Pins the maps of a loaded object as a new set.
    pub(super) fn create(
        path: PathBuf,
        wanted: &Wanted,
        ebpf: &Ebpf,
        secrets: &HashSecrets,
        maps: u64,
    ) -> Result<Self, PinError> {
        let set = Self {
            path,
            maps,
            secrets: *secrets,
        };
        create_folder(&set.path)?;
        for folder in [MAPS, LINKS, PROGRAMS] {
            create_folder(&set.path.join(folder))?;
        }
        for (name, map) in ebpf.maps() {
            let path = set.map_path(name);
            if wanted.layout.maps.iter().any(|map| map.name == name) {
                map.pin(&path).map_err(|error| pin_error(&path, error))?;
            }
        }
        let commits = set.path.join(COMMITS);
        let record = bpf::create_array("recon_commits", PinnedRecord::ENTRIES, MMAPABLE)
            .and_then(|record| bpf::pin(record, &commits));
        record.map_err(|source| PinError::read(&commits, source))?;
        set.write_header(wanted)?;
        Ok(set)
    }

    fn write_header(&self, wanted: &Wanted) -> Result<(), PinError> {
        let path = self.path.join(HEADER);
        let write = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let header = bpf::create_array("recon_header", WORDS as u32, 0)?;
            let words = wanted.fields(self.maps).into_iter().chain(self.secrets.0);
            let data = MapData::from_fd(header.try_clone()?)?;
            let mut array: Array<MapData, u64> = Map::Array(data).try_into()?;
            for (index, word) in words.enumerate() {
                array.set(index as u32, word, 0)?;
            }
            bpf::freeze_map(&header)?;
            Ok(bpf::pin(header, &path)?)
        };
        write().map_err(|error| PinError::read(&path, std::io::Error::other(error)))
    }

    /// The record of commits.
    pub(super) fn record(&self, is_adopted: bool) -> Result<PinnedRecord, PinError> {
        let path = self.path.join(COMMITS);
        let record = MapData::from_pin(&path);
        Ok(PinnedRecord {
            maps: self.maps,
            is_adopted,
            record: record.map_err(|error| pin_error(&path, error))?,
        })
    }

    /// Whether the map that is pinned last is there.
    pub(super) fn has_header(&self) -> bool {
        self.path.join(HEADER).exists()
    }

    /// Whether a pin is that map.
    pub(super) fn is_header(&self, pin: &Path) -> bool {
        pin == self.path.join(HEADER)
    }

    /// The folders, each after the one that it is in.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let inner = [MAPS, LINKS, PROGRAMS].map(|name| self.path.join(name));
        std::iter::once(self.path.clone()).chain(inner).collect()
    }

    /// The pins of all maps.
    pub(super) fn maps(&self) -> Vec<PathBuf> {
        let own = [HEADER, COMMITS].map(|name| self.path.join(name));
        let maps = names(&self.path.join(MAPS)).into_iter();
        let maps = maps.map(|name| self.map_path(&name));
        own.into_iter().chain(maps).collect()
    }

    pub(super) fn map_path(&self, name: &str) -> PathBuf {
        self.path.join(MAPS).join(name)
    }

    pub(super) fn link_path(&self, name: &str) -> PathBuf {
        self.path.join(LINKS).join(name)
    }

    pub(super) fn program_path(&self, name: &str) -> PathBuf {
        self.path.join(PROGRAMS).join(name)
    }
}

/// The pinned links of a set, by name, whatever else is wrong with it.
pub(super) fn link_paths(set: &Path) -> Vec<(String, PathBuf)> {
    let folder = set.join(LINKS);
    let names = names(&folder).into_iter();
    names
        .map(|name| {
            let path = folder.join(&name);
            (name, path)
        })
        .collect()
}

/// The pinned programs of a set.
pub(super) fn program_paths(set: &Path) -> Vec<(String, PathBuf)> {
    let folder = set.join(PROGRAMS);
    let names = names(&folder).into_iter();
    names
        .map(|name| {
            let path = folder.join(&name);
            (name, path)
        })
        .collect()
}

/// Fails if somebody has frozen the map: no agent can go on with it.
fn check_not_frozen(name: &str, path: &Path) -> Result<(), String> {
    let opened = bpf::open_pinned(path).map_err(|_| format!("its map {name} is missing"))?;
    match is_frozen(&opened) {
        Ok(true) => Err(format!("somebody has frozen its map {name}")),
        // Without /proc it is found out at the first poll.
        _ => Ok(()),
    }
}

/// The network namespace whose interfaces the links of a set are on, if its header says.
pub(super) fn set_netns(set: &Path) -> Option<u64> {
    header_field(set, NETNS)
}

/// The version of the layout of the maps of a set, if its header says.
pub(super) fn set_layout(set: &Path) -> Option<u64> {
    header_field(set, LAYOUT)
}

fn header_field(set: &Path, place: usize) -> Option<u64> {
    let header = MapData::from_pin(set.join(HEADER)).ok()?;
    let words = read_words(header).ok()?;
    let is_known = words.first() == Some(&MAGIC);
    words.get(place).copied().filter(|_| is_known)
}

fn read_words(header: MapData) -> Result<Vec<u64>, MapError> {
    let array: Array<MapData, u64> = Map::Array(header).try_into()?;
    (0..array.len()).map(|index| array.get(&index, 0)).collect()
}

fn pin_error(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PinError {
    PinError::Access {
        place: show(path),
        source: std::io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said() {
        let wanted = Wanted {
            layout: Layout {
                maps: Vec::new(),
                version: 5,
            },
            sizes: [
                ("COUNTS_0", 100),
                ("COUNTS_1", 100),
                ("IMAGES", 7),
                ("RECENT", 8),
            ],
            netns: 9,
        };
        assert_eq!(wanted.difference(&wanted.fields(1234)), None);
        for (at, text) in [
            (0, "no set of this version"),
            (1, "another layout"),
            (2, "another network namespace"),
            (3, "--table-entries is now 100, and was 99"),
            (4, "highest pid"),
            (5, "number of processors"),
        ] {
            let mut fields = wanted.fields(1234);
            fields[at] = 99;
            let difference = wanted.difference(&fields).expect("a difference");
            assert!(difference.contains(text), "{difference}");
        }
    }
}
