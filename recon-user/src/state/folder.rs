//! The folder of the state: the names of its files, and whose it is.
//!
//! In: the folder of `--state`. Out: its lock, or [`StateError`].
//! The decisions held here: a folder with files of others is never used, since recon makes its
//! folder private. `recon check` asks the same without a change.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid};
use thiserror::Error;

pub(super) const SNAPSHOT: &str = "snapshot";
/// Where a snapshot goes that can't be used.
pub(super) const SET_ASIDE: &str = "snapshot.unusable";
/// Where a snapshot is written until it is whole.
pub(super) const UNFINISHED: &str = "snapshot.new";
/// What the name of a journal begins with, before its number.
const JOURNAL: &str = "journal.";
const LOCK: &str = "lock";
/// What a file system makes in its own first folder.
const LOST_AND_FOUND: &str = "lost+found";
/// Only recon's user may know whom recon has seen.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Why a folder can't be used for the state.
#[derive(Debug, Error)]
pub(crate) enum StateError {
    /// It can't be opened or created.
    #[error(
        "can't use {folder} for --state: {reason}; name a folder that recon may create or owns"
    )]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        reason: io::Error,
    },
    /// It belongs to another user.
    #[error(
        "can't use {folder} for --state: user {owner} owns it, and recon runs as user {}; name a folder of recon's own",
        geteuid()
    )]
    Owner {
        /// The folder.
        folder: String,
        /// Its owner.
        owner: Uid,
    },
    /// Something of others is in it.
    #[error(
        "can't use {folder} for --state: {file} in it is not recon's, and recon makes the folder private; name an empty folder, or one that recon may create"
    )]
    Shared {
        /// The folder.
        folder: String,
        /// The first file that is not recon's.
        file: String,
    },
    /// Another recon has locked it.
    #[error("another recon uses {folder}; stop it, or name another folder for --state")]
    Locked {
        /// The folder.
        folder: String,
    },
    /// A thread can't be started.
    #[error("can't start a thread to save the state: {0}")]
    Thread(io::Error),
}

impl StateError {
    fn of_folder(folder: &Path, reason: io::Error) -> Self {
        Self::Folder {
            folder: folder.display().to_string(),
            reason,
        }
    }
}

/// Opens the folder, which it creates and makes private. Returns the lock, to be held as long as
/// the folder is used.
pub(super) fn open_folder(folder: &Path) -> Result<File, StateError> {
    let failed = |reason| StateError::of_folder(folder, reason);
    if !folder.is_dir() {
        let mut builder = DirBuilder::new();
        builder.mode(FOLDER_MODE).create(folder).map_err(failed)?;
    }
    check_own(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
    let lock = open_file(&folder.join(LOCK)).map_err(failed)?;
    take_lock(folder, lock)
}

/// Looks at a folder that exists, without a change. The lock is let go at once.
///
/// # Errors
/// What a start would say.
pub(crate) fn look_at_state(folder: &Path) -> Result<(), StateError> {
    check_own(folder)?;
    match File::open(folder.join(LOCK)) {
        Ok(lock) => take_lock(folder, lock).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StateError::of_folder(folder, error)),
    }
}

fn take_lock(folder: &Path, lock: File) -> Result<File, StateError> {
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::Locked {
            folder: folder.display().to_string(),
        }),
        Err(TryLockError::Error(reason)) => Err(StateError::of_folder(folder, reason)),
    }
}

/// Refuses a folder that is not recon's alone.
fn check_own(folder: &Path) -> Result<(), StateError> {
    let shown = || folder.display().to_string();
    let failed = |reason| StateError::of_folder(folder, reason);
    let metadata = fs::metadata(folder).map_err(failed)?;
    let owner = Uid::from_raw(metadata.uid());
    if owner != geteuid() {
        return Err(StateError::Owner {
            folder: shown(),
            owner,
        });
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !is_own_name(&name) {
            return Err(StateError::Shared {
                folder: shown(),
                file: name.into_owned(),
            });
        }
        // A pipe would hold up the start, and a link lead out of the folder.
        if name != LOST_AND_FOUND && !entry.file_type().map_err(failed)?.is_file() {
            let reason = format!("{name} in it is no regular file; remove it");
            return Err(failed(io::Error::other(reason)));
        }
    }
    Ok(())
}

/// Whether recon makes files of that name, or the file system itself.
fn is_own_name(name: &str) -> bool {
    [SNAPSHOT, UNFINISHED, SET_ASIDE, LOCK, LOST_AND_FOUND].contains(&name)
        || name.starts_with(JOURNAL)
}

/// The numbers of the journals in a folder, ascending.
pub(super) fn journals(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let mut numbers: Vec<u64> = names
        .filter_map(|name| journal_number(name.to_str()?))
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The number in the name of a journal. A number that recon would write otherwise names another
/// file.
fn journal_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix(JOURNAL)?.parse().ok()?;
    (journal_name(number) == name).then_some(number)
}

fn journal_name(number: u64) -> String {
    format!("{JOURNAL}{number}")
}

pub(super) fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(journal_name(number))
}

/// Opens a file to append to, which it creates.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(FILE_MODE);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    /// What `recon check` says is what a start says, and the folder stays as it is.
    #[test]
    fn a_look_refuses_what_a_start_refuses() {
        const OTHER: u32 = 65_533;
        type Prepare = fn(&Path) -> Option<File>;
        let prepares: [(&str, Prepare); 8] = [
            ("an empty folder", |_| None),
            ("an earlier state", |folder| {
                drop(open_folder(folder).expect("a folder"));
                None
            }),
            ("a file system of its own", |folder| {
                fs::create_dir(folder.join(LOST_AND_FOUND)).expect("a folder");
                None
            }),
            ("a pipe", |folder| {
                let pipe = folder.join(SNAPSHOT);
                nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
                None
            }),
            ("a folder in place of a journal", |folder| {
                fs::create_dir(journal_path(folder, 7)).expect("a folder");
                None
            }),
            ("files of others", |folder| {
                fs::write(folder.join("passwd"), "").expect("a file");
                None
            }),
            ("a folder in use", |folder| {
                Some(open_folder(folder).expect("a folder"))
            }),
            ("another owner", |folder| {
                chown(folder, Some(OTHER), None).expect("root");
                None
            }),
        ];
        for (what, prepare) in prepares {
            if what == "another owner" && !geteuid().is_root() {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            let _held = prepare(folder);
            let files = || fs::read_dir(folder).expect("a folder").count();
            let before = (files(), fs::metadata(folder).expect("a folder").mode());
            let looked = look_at_state(folder).map_err(|error| error.to_string());
            let after = (files(), fs::metadata(folder).expect("a folder").mode());
            assert_eq!(after, before, "{what}");
            let opened = open_folder(folder).map_err(|error| error.to_string());
            assert_eq!(looked, opened.map(drop), "{what}");
        }
    }

    #[test]
    fn a_number_has_one_name() {
        for (name, expected) in [
            ("journal.7", Some(7)),
            ("journal.0", Some(0)),
            ("journal.007", None),
            ("journal.+7", None),
            ("journal.", None),
            ("journal.7.gz", None),
            ("journal.18446744073709551616", None),
            ("snapshot", None),
        ] {
            assert_eq!(journal_number(name), expected, "{name}");
        }
    }
}
