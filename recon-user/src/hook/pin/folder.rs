//! The folder of pins: checked, and locked for one agent.
//!
//! In: the folder of `--pins`. Out: a [`PinFolder`], in which sets of pins are folders of their
//! own.
//! The decisions held here: recon mounts no bpffs, which is the job of systemd, and says what to
//! type. The lock is on the folder itself and ends with the process, however that ends. recon
//! touches nothing in the folder but what is named as it names sets: the operator may have pinned
//! something else there.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::{Uid, geteuid};

use super::PinError;
use crate::hook::service_user::is_service_user;

/// The permissions of every folder: maps hold the secrets of hashes.
const MODE: u32 = 0o700;
/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;
/// Permissions to create something, of others than the owner.
const OTHERS_WRITE: u32 = 0o022;
/// How the name of a set of pins begins.
pub(super) const SET: &str = "recon-";

/// The locked folder.
#[derive(Debug)]
pub(super) struct PinFolder {
    pub(super) path: PathBuf,
    lock: Flock<File>,
}

impl PinFolder {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// [`PinError`] if it can't hold pins, others may look into it, or another agent has it.
    pub(super) fn open_or_create(path: &Path) -> Result<Self, PinError> {
        check_file_system(path)?;
        match DirBuilder::new().mode(MODE).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(PinError::create(path, source)),
        }
        Self::lock(path)
    }

    /// Opens the folder. `None` if there is none.
    ///
    /// # Errors
    /// As [`PinFolder::open_or_create`].
    pub(super) fn open(path: &Path) -> Result<Option<Self>, PinError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            _ => check_file_system(path)?,
        }
        Self::lock(path).map(Some)
    }

    fn lock(path: &Path) -> Result<Self, PinError> {
        let read = |source| PinError::read(path, source);
        let folder = File::open(path).map_err(read)?;
        let known = folder.metadata().map_err(read)?;
        if !known.is_dir() {
            return Err(PinError::NotAFolder { folder: show(path) });
        }
        if known.permissions().mode() & OTHERS != 0 {
            return Err(PinError::OpenToOthers { folder: show(path) });
        }
        let owner = Uid::from_raw(known.uid());
        if !is_trusted(owner, path) {
            return Err(PinError::OfStranger {
                folder: show(path),
                owner: owner.as_raw(),
            });
        }
        let lock = Flock::lock(folder, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => PinError::Taken { folder: show(path) },
            error => read(error.into()),
        })?;
        // Whoever held the lock until now may have removed the folder.
        let now = fs::symlink_metadata(path).map_err(read)?;
        if (now.dev(), now.ino()) != (known.dev(), known.ino()) {
            return Err(PinError::Taken { folder: show(path) });
        }
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Whether the locked folder is still the one of that name.
    pub(super) fn is_in_place(&self) -> bool {
        let of = |found: fs::Metadata| (found.dev(), found.ino());
        match (self.lock.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(locked), Ok(now)) => of(locked) == of(now),
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            // Unknown is no reason to make another one.
            (Err(_), _) => true,
        }
    }

    /// The folders of sets of pins in it, whoever made them.
    pub(super) fn sets(&self) -> io::Result<Vec<PathBuf>> {
        let mut sets = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(SET) && entry.file_type()?.is_dir() {
                sets.push(entry.path());
            }
        }
        sets.sort();
        Ok(sets)
    }

    /// Removes the folder, unless something is left in it.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }
}

/// Whether what that user puts into the folder may be used: root, this process's user, and, if this
/// is root, the user of the service. In a folder where only root creates something, root has given
/// it to that user.
fn is_trusted(owner: Uid, path: &Path) -> bool {
    let own = geteuid();
    if owner == own || owner.is_root() {
        return true;
    }
    let is_given = || {
        let parent = fs::metadata(parent(path));
        parent.is_ok_and(|parent| parent.uid() == 0 && parent.mode() & OTHERS_WRITE == 0)
    };
    own.is_root() && (is_given() || is_service_user(owner) == Some(true))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Fails unless the folder, or the one in which it would be created, is of bpffs.
pub(super) fn check_file_system(path: &Path) -> Result<(), PinError> {
    let folder = show(path);
    let nearest = match fs::symlink_metadata(path) {
        Ok(found) if !found.is_dir() => return Err(PinError::NotAFolder { folder }),
        Ok(_) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => parent(path),
        Err(source) => return Err(PinError::read(path, source)),
    };
    match statfs(nearest) {
        Ok(found) if found.filesystem_type() == BPF_FS_MAGIC => Ok(()),
        Ok(_) => Err(PinError::NotBpffs { folder }),
        Err(error) => Err(PinError::read(nearest, error.into())),
    }
}

/// Creates a folder of pins.
pub(super) fn create_folder(path: &Path) -> Result<(), PinError> {
    let created = DirBuilder::new().mode(MODE).create(path);
    created.map_err(|source| PinError::create(path, source))
}

/// Removes a set with everything in it. Returns what it held, each by its name.
pub(super) fn remove_set(set: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(set)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed.extend(remove_set(&entry.path())?);
        } else {
            fs::remove_file(entry.path())?;
            removed.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    fs::remove_dir(set)?;
    Ok(removed)
}

/// The names in a folder; none if there is no such folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

pub(super) fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    /// Needs root, to make folders of others.
    #[test]
    fn folders_of_strangers_are_refused() {
        /// Of nobody in particular.
        const STRANGER: u32 = 65_533;
        if !geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("recon");
        create_folder(&folder).expect("a folder");
        // (mode of the folder around it, owner, whether it is used)
        for (mode, owner, expected) in [
            (0o700, 0, true),
            (0o1777, 0, true),
            (0o755, STRANGER, true),
            (0o1777, STRANGER, false),
            (0o775, STRANGER, false),
        ] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(base.path(), permissions).expect("a folder");
            chown(&folder, Some(owner), None).expect("a folder");
            let locked = PinFolder::lock(&folder);
            match (&locked, expected) {
                (Ok(_), true) => {}
                (Err(PinError::OfStranger { owner: named, .. }), false) => {
                    assert_eq!(*named, owner)
                }
                _ => panic!("{mode:o} {owner}: {locked:?}"),
            }
        }
    }
}
