//! The folder of the state, as the running agent writes it.
//!
//! In: records of polls, marks, snapshots. Out: files, or a log line that says why not.
//! The decisions held here:
//! - A snapshot begins a journal at once, while it is still being written itself: records never
//!   wait for it. The journal's file comes with its first record, so that there is none without its
//!   header.
//! - A record that does not fit on the disk is taken back, so that those after it can be read.
//! - A folder with files of others is never used: recon makes its folder private.
//! - What was lost is lost until the next snapshot, which holds all of it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, geteuid};
use thiserror::Error;

use super::format::{HEADER, MAGIC, StateFile, header};
use super::record::mark;
use super::writer::{DiskWriter, LAST_WAIT, Trouble};
use super::{LoadedState, SnapshotHead, load};
use crate::seed::hash_secrets;

pub(super) const SNAPSHOT: &str = "snapshot";
/// Where a snapshot goes that can't be used.
pub(super) const SET_ASIDE: &str = "snapshot.unusable";
/// What the name of a journal begins with, before its number.
pub(super) const JOURNAL: &str = "journal.";
const UNFINISHED: &str = "snapshot.new";
const LOCK: &str = "lock";
/// Only recon's user may know whom recon has seen.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(60);
/// A longer journal makes a snapshot due.
const LONG_JOURNAL: u64 = 64 << 20;
/// Where snapshots fail, the journals since the last one may have so many bytes.
const MAX_JOURNALS: u64 = 4 * LONG_JOURNAL;
/// The largest snapshot. The memory of rules is 128 MiB by default.
pub(super) const MAX_SNAPSHOT: usize = 512 << 20;

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

/// The folder.
#[derive(Debug)]
pub(crate) struct StateStore {
    folder: PathBuf,
    /// Held as long as the folder is used.
    _lock: File,
    journals: DiskWriter,
    snapshots: DiskWriter,
    trouble: Trouble,
    /// The number of the journal that is written.
    journal: u64,
    /// Its bytes, and those of all since the last whole snapshot.
    length: u64,
    unsaved: u64,
    /// When the last snapshot was begun. `None` makes one due.
    begun: Option<Instant>,
}

impl StateStore {
    /// Opens the folder, and reads what an earlier process left there.
    ///
    /// # Errors
    /// [`StateError`] if it can't be used at all. What is in it never is an error.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Option<LoadedState>), StateError> {
        let shown = folder.display().to_string();
        let failed = |reason| StateError::Folder {
            folder: shown.clone(),
            reason,
        };
        if !folder.is_dir() {
            let mut builder = DirBuilder::new();
            builder.mode(FOLDER_MODE).create(folder).map_err(failed)?;
        }
        check_own(folder, &failed)?;
        let lock = open_file(&folder.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked { folder: shown }),
            Err(TryLockError::Error(reason)) => return Err(failed(reason)),
        }
        let loaded = load::load(folder);
        let journals = load::journals(folder);
        let after = journals.last().map_or(1, |last| last + 1);
        let store = Self {
            folder: folder.to_owned(),
            _lock: lock,
            journals: DiskWriter::start("state-journal").map_err(StateError::Thread)?,
            snapshots: DiskWriter::start("state-snapshot").map_err(StateError::Thread)?,
            trouble: Trouble::new(shown),
            journal: loaded.as_ref().map_or(after, |of| of.journal.max(after)),
            length: 0,
            unsaved: 0,
            begun: None,
        };
        Ok((store, loaded))
    }

    /// Writes the record of a poll. Returns whether it is safe.
    pub(crate) fn append_poll(&mut self, record: Option<Vec<u8>>) -> bool {
        match record {
            Some(record) => self.append(record),
            None => {
                let unwritable = io::Error::other("a row can't be written down");
                self.trouble.note_failure(&unwritable);
                false
            }
        }
    }

    /// Writes that the lines of all polls up to this one are written.
    pub(crate) fn append_mark(&mut self, poll: u64) -> bool {
        self.append(mark(poll))
    }

    fn append(&mut self, record: Vec<u8>) -> bool {
        let length = record.len() as u64;
        if self.unsaved + length > MAX_JOURNALS {
            let full = io::Error::other("no snapshot could be written for too long");
            self.trouble.note_failure(&full);
            return false;
        }
        let (path, journal) = (journal_path(&self.folder, self.journal), self.journal);
        let is_written = self
            .journals
            .write_in_time(move || append_record(&path, journal, &record));
        match is_written {
            Ok(()) => {
                self.length += length;
                self.unsaved += length;
                true
            }
            Err(error) => {
                self.trouble.note_failure(&error);
                false
            }
        }
    }

    /// Whether a snapshot is due.
    pub(crate) fn is_snapshot_due(&self) -> bool {
        let is_old = |begun: Instant| begun.elapsed() >= SNAPSHOT_INTERVAL;
        self.begun.is_none_or(is_old) || self.is_journal_long()
    }

    /// Whether the journal is so long that nothing puts a snapshot off.
    pub(crate) fn is_journal_long(&self) -> bool {
        self.length > LONG_JOURNAL
    }

    /// Saves a snapshot: `head`, and what `save` writes after it. Does not wait for the disk.
    pub(crate) fn save_snapshot(
        &mut self,
        head: &SnapshotHead,
        save: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) {
        self.begun = Some(Instant::now());
        self.follow_snapshot(Duration::ZERO);
        if self.snapshots.is_busy() {
            self.trouble.note_failure(&io::ErrorKind::TimedOut.into());
            return;
        }
        match encode(self.journal + 1, head, save) {
            Ok(file) => {
                self.journal += 1;
                self.length = 0;
                let (folder, journal) = (self.folder.clone(), self.journal);
                self.snapshots
                    .write(move || replace_snapshot(&folder, &file, journal));
            }
            Err(error) => self.trouble.note_failure(&error),
        }
    }

    /// Whether a snapshot is being written.
    pub(crate) fn is_saving(&self) -> bool {
        self.snapshots.is_busy()
    }

    /// Notes what came of a snapshot, if one was being written and ends within that time.
    pub(crate) fn follow_snapshot(&mut self, limit: Duration) {
        if let Some(result) = self.snapshots.wait(limit) {
            self.note_snapshot(result);
        }
    }

    fn note_snapshot(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.unsaved = self.length;
                self.trouble.note_success();
            }
            Err(error) => self.trouble.note_failure(&error),
        }
    }

    /// Waits for the snapshot that is being written, up to a limit.
    pub(crate) fn wait_for_snapshot(&mut self) {
        match self.snapshots.wait(LAST_WAIT) {
            Some(result) => self.note_snapshot(result),
            None if self.snapshots.is_busy() => {
                self.trouble.note_failure(&io::ErrorKind::TimedOut.into());
            }
            None => {}
        }
    }

    /// How many writes have failed.
    pub(crate) fn failures(&self) -> u64 {
        self.trouble.failures()
    }

    /// Waits for what is being written, up to a limit for all of it. Returns how many writes have
    /// failed in all.
    pub(crate) fn finish(mut self) -> u64 {
        let end = Instant::now() + LAST_WAIT;
        self.wait_for_snapshot();
        let _ = self.journals.wait(end.duration_since(Instant::now()));
        self.snapshots.abandon();
        self.journals.abandon();
        self.trouble.failures()
    }
}

/// Refuses a folder that is not recon's alone, and makes it private.
fn check_own(folder: &Path, failed: &impl Fn(io::Error) -> StateError) -> Result<(), StateError> {
    let shown = || folder.display().to_string();
    let metadata = fs::metadata(folder).map_err(failed)?;
    let owner = Uid::from_raw(metadata.uid());
    if owner != geteuid() {
        return Err(StateError::Owner {
            folder: shown(),
            owner,
        });
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if !is_own_name(&name) {
            return Err(StateError::Shared {
                folder: shown(),
                file: name.into_owned(),
            });
        }
    }
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)).map_err(failed)
}

/// Whether recon makes files of that name, or the file system itself.
fn is_own_name(name: &str) -> bool {
    [SNAPSHOT, UNFINISHED, SET_ASIDE, LOCK, "lost+found"].contains(&name)
        || name.starts_with(JOURNAL)
}

/// Removes a journal that no snapshot needs. A file of that name that recon has not written stays.
pub(super) fn remove_journal(folder: &Path, number: u64) -> io::Result<()> {
    let path = journal_path(folder, number);
    let mut begin = Vec::new();
    let file = File::open(&path)?;
    file.take(MAGIC as u64).read_to_end(&mut begin)?;
    // A power failure may leave nothing, or zeros.
    let is_own = StateFile::Journal.magic().starts_with(&begin) || begin == [0; MAGIC];
    if is_own {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// The bytes of a snapshot.
fn encode(
    journal: u64,
    head: &SnapshotHead,
    save: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let secrets = hash_secrets().0.as_slice();
    // Room for the header: to move the payload would take its memory twice.
    let file = vec![0; HEADER];
    let mut file =
        postcard::to_extend(&(journal, secrets, head), file).map_err(io::Error::other)?;
    save(&mut file)?;
    let (place, payload) = file.split_at_mut(HEADER);
    if payload.len() > MAX_SNAPSHOT {
        let message = format!(
            "a snapshot of {} MiB is larger than {}; lower `limits.memory`",
            payload.len() >> 20,
            MAX_SNAPSHOT >> 20
        );
        return Err(io::Error::other(message));
    }
    place.copy_from_slice(&header(StateFile::Snapshot, payload));
    Ok(file)
}

/// Replaces the snapshot, and drops the journals before it.
fn replace_snapshot(folder: &Path, file: &[u8], journal: u64) -> io::Result<()> {
    let unfinished = folder.join(UNFINISHED);
    let _ = fs::remove_file(&unfinished);
    let written = (|| {
        let mut to = open_file(&unfinished)?;
        to.write_all(file)?;
        to.sync_all()?;
        fs::rename(&unfinished, folder.join(SNAPSHOT))?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
        return written;
    }
    for older in load::journals(folder) {
        if older < journal {
            remove_journal(folder, older)?;
        }
    }
    Ok(())
}

/// Appends a record to the journal of that number, after the header if it is the first. What a full
/// disk takes of it is taken back.
fn append_record(path: &Path, journal: u64, record: &[u8]) -> io::Result<()> {
    let mut file = open_file(path)?;
    let length = file.metadata()?.len();
    let written = match length {
        0 => file.write_all(&first_record(journal, record)),
        _ => file.write_all(record),
    };
    written.inspect_err(|_| {
        // If that fails too, the record is torn, which ends what is read of this journal.
        let _ = file.set_len(length);
    })
}

/// The header of a journal and its first record.
fn first_record(journal: u64, record: &[u8]) -> Vec<u8> {
    let payload = journal.to_le_bytes();
    [&header(StateFile::Journal, &payload)[..], &payload, record].concat()
}

/// Opens a file to append to, which it creates.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(FILE_MODE);
    options.open(path)
}

pub(super) fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{JOURNAL}{number}"))
}
