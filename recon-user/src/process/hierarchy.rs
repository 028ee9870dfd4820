//! What cgroups belong to, by the kernel's id of each.
//!
//! In: ids, which are the inode numbers of the cgroups' folders. Out: the membership that the
//! folder's path shows.
//! The decision held here: the kernel has no call from an id to a path that needs no further
//! privilege. So a path is learnt from processes that still exist, and only for one that is gone is
//! the tree walked: all of it at once, and seldom.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::cgroup::{Membership, membership, unified_path};

/// Cgroups that are remembered, and folders that one walk visits.
const MAX_CGROUPS: usize = 1 << 14;
/// Walks take at most about one part in this many of the time.
const WALK_SHARE: u32 = 10;

/// The cgroups of one hierarchy of version 2.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// Where version 2 is mounted.
    root: Option<PathBuf>,
    /// Those that were looked up, also after their end. The kernel never reuses an id.
    known: HashMap<u64, Membership>,
    /// When the next walk is allowed.
    rested: Instant,
}

impl Cgroups {
    pub(super) fn new(root: Option<PathBuf>) -> Self {
        Self {
            root,
            known: HashMap::new(),
            rested: Instant::now(),
        }
    }

    /// Learns the path of a cgroup from the /proc/PID/cgroup of a process that was in it when it
    /// executed a program.
    pub(super) fn learn_path(&mut self, id: u64, text: &str) {
        let Some(root) = &self.root else { return };
        if self.known.contains_key(&id) {
            return;
        }
        let Some(path) = unified_path(text) else {
            return;
        };
        // The process may have been moved since.
        let folder = root.join(path.trim_start_matches('/'));
        if inode_of(&folder) == Some(id) {
            self.make_room();
            self.known.insert(id, membership(path));
        }
    }

    /// What the cgroup belongs to. If it is unknown, walks the tree, which makes all of it known.
    pub(super) fn membership(&mut self, id: u64) -> Membership {
        let Some(root) = &self.root else {
            return Membership::default();
        };
        if let Some(membership) = self.known.get(&id) {
            return membership.clone();
        }
        let begin = Instant::now();
        if begin < self.rested {
            return Membership::default();
        }
        let found = walk_tree(root);
        self.rested = Instant::now() + begin.elapsed() * WALK_SHARE;
        self.make_room();
        let sought = found
            .iter()
            .find(|&&(inode, _)| inode == id)
            .map_or_else(Membership::default, |(_, path)| membership(path));
        self.known.insert(id, sought.clone());
        for (inode, path) in found {
            if self.known.len() >= MAX_CGROUPS {
                break;
            }
            self.known.entry(inode).or_insert_with(|| membership(&path));
        }
        sought
    }

    /// Forgets all of them: one walk brings back those that exist.
    fn make_room(&mut self) {
        if self.known.len() >= MAX_CGROUPS {
            self.known.clear();
        }
    }

    /// Allows the next walk at once.
    #[cfg(test)]
    fn rest(&mut self) {
        self.rested = Instant::now();
    }
}

/// Inode numbers and paths below `root` of all folders, up to a limit.
fn walk_tree(root: &Path) -> Vec<(u64, String)> {
    let mut found: Vec<(u64, String)> = inode_of(root)
        .map(|inode| (inode, String::new()))
        .into_iter()
        .collect();
    let mut next = 0;
    while let Some((_, path)) = found.get(next) {
        let path = path.clone();
        next += 1;
        let Ok(entries) = fs::read_dir(root.join(path.trim_start_matches('/'))) else {
            continue;
        };
        for entry in entries.flatten() {
            // Links are not followed.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if found.len() >= MAX_CGROUPS {
                return found;
            }
            // Not Unicode: neither systemd nor a container runtime made such a folder or those
            // below it.
            if let Some(name) = entry.file_name().to_str() {
                found.push((entry.ino(), format!("{path}/{name}")));
            }
        }
    }
    found
}

fn inode_of(folder: &Path) -> Option<u64> {
    fs::metadata(folder).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn ids_are_looked_up_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("cgroup");
        let make = |path: &str| {
            let folder = root.join(path);
            fs::create_dir_all(&folder).expect("a folder");
            inode_of(&folder).expect("it is there")
        };
        let service = make("system.slice/nginx.service");
        let scope = make(&format!("system.slice/docker-{ID}.scope/init.scope"));
        let mut cgroups = Cgroups::new(Some(root.clone()));
        let unit = |cgroups: &mut Cgroups, id| cgroups.membership(id).unit;
        assert_eq!(
            unit(&mut cgroups, service).as_deref(),
            Some("nginx.service")
        );
        // That walk has seen everything.
        fs::rename(&root, folder.path().join("gone")).expect("gone");
        assert_eq!(cgroups.membership(scope).container.as_deref(), Some(ID));
        // No cgroup has that id, and there is no second walk for it.
        cgroups.rest();
        assert_eq!(unit(&mut cgroups, u64::MAX), None);
        assert!(cgroups.known.contains_key(&u64::MAX));
        // No walk so soon after another one.
        let late = make("system.slice/late.service");
        cgroups.rested += std::time::Duration::from_secs(3600);
        assert_eq!(unit(&mut cgroups, late), None);
        cgroups.rest();
        assert_eq!(unit(&mut cgroups, late).as_deref(), Some("late.service"));
        assert_eq!(Cgroups::new(None).membership(late), Membership::default());
    }

    #[test]
    fn paths_are_learnt_from_processes() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("a.service")).expect("a folder");
        let id = inode_of(&root.path().join("a.service")).expect("it is there");
        let mut cgroups = Cgroups::new(Some(root.path().to_owned()));
        // Processes that were moved meanwhile, to a cgroup that exists or not.
        for text in ["0::/b.service\n", "0::/\n", "1:cpu:/a.service\n", ""] {
            cgroups.learn_path(id, text);
            assert!(cgroups.known.is_empty(), "{text}");
        }
        cgroups.learn_path(id, "0::/a.service\n");
        fs::remove_dir(root.path().join("a.service")).expect("gone");
        assert_eq!(cgroups.membership(id).unit.as_deref(), Some("a.service"));
    }

    #[test]
    fn the_number_of_remembered_cgroups_is_bounded() {
        let root = tempfile::tempdir().expect("a folder");
        let mut cgroups = Cgroups::new(Some(root.path().to_owned()));
        for id in 0..2 * MAX_CGROUPS as u64 {
            cgroups.rest();
            cgroups.membership(u64::MAX - id);
            assert!(cgroups.known.len() <= MAX_CGROUPS);
        }
    }
}
