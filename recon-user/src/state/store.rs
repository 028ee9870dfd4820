//! The folder of the state, as the running agent writes it.
//!
//! In: records of polls, marks, snapshots. Out: files, or a log line that says why not.
//! The decisions held here:
//! - A snapshot begins a journal at once, while it is still being written itself: records never
//!   wait for it. The journal's file comes with its first record, so that there is none without its
//!   header.
//! - A record that does not fit on the disk is taken back, so that those after it can be read.
//! - What is there when recon begins stays until the first snapshot takes its place: a start that
//!   fails changes nothing, and an older recon can go on with it.
//! - What was lost is lost until the next snapshot, which holds all of it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use super::folder::{
    SET_ASIDE, SNAPSHOT, StateError, UNFINISHED, journal_path, journals, open_file, open_folder,
};
use super::format::{HEADER, MAGIC, StateFile, header};
use super::record::mark;
use super::writer::{DiskWriter, LAST_WAIT, Trouble};
use super::{LoadedState, SnapshotHead, load};
use crate::seed::hash_secrets;

/// The time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(60);
/// A longer journal makes a snapshot due.
const LONG_JOURNAL: u64 = 64 << 20;
/// Where snapshots fail, the journals since the last one may have so many bytes.
const MAX_JOURNALS: u64 = 4 * LONG_JOURNAL;
/// The largest snapshot. The memory of rules is 128 MiB by default.
pub(super) const MAX_SNAPSHOT: usize = 512 << 20;

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
    /// Whether a snapshot that is there can't be used, and is to be kept beside the next one.
    is_unusable: bool,
}

impl StateStore {
    /// Opens the folder, and reads what an earlier process left there.
    ///
    /// # Errors
    /// [`StateError`] if it can't be used at all. What is in it never is an error.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Option<LoadedState>), StateError> {
        let lock = open_folder(folder)?;
        let loaded = load::load(folder);
        let journals = journals(folder);
        let after = journals.last().map_or(1, |last| last + 1);
        let store = Self {
            folder: folder.to_owned(),
            _lock: lock,
            journals: DiskWriter::start("state-journal").map_err(StateError::Thread)?,
            snapshots: DiskWriter::start("state-snapshot").map_err(StateError::Thread)?,
            trouble: Trouble::new(folder.display().to_string()),
            journal: loaded.as_ref().map_or(after, |of| of.journal.max(after)),
            length: 0,
            unsaved: 0,
            begun: None,
            is_unusable: loaded.is_none(),
        };
        Ok((store, loaded))
    }

    /// The first snapshot sets the one aside that is there, which can't be used.
    pub(crate) fn set_old_aside(&mut self) {
        self.is_unusable = true;
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
        // One that does not end in time ends later. If it fails then, it counts until the next
        // snapshot.
        let takes_room = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        if is_written.as_ref().err().is_none_or(takes_room) {
            self.length += length;
            self.unsaved += length;
        }
        is_written
            .inspect_err(|error| self.trouble.note_failure(error))
            .is_ok()
    }

    /// Makes polls wait so long for their record.
    #[cfg(test)]
    pub(super) fn set_patience(&mut self, in_time: Duration) {
        self.journals.set_patience(in_time);
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
                let keeps_old = self.is_unusable;
                self.snapshots
                    .write(move || replace_snapshot(&folder, &file, journal, keeps_old));
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
                self.is_unusable = false;
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

/// Removes a journal that no snapshot needs. A file of that name that recon has not written stays.
fn remove_journal(folder: &Path, number: u64) -> io::Result<()> {
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
fn replace_snapshot(folder: &Path, file: &[u8], journal: u64, keeps_old: bool) -> io::Result<()> {
    let snapshot = folder.join(SNAPSHOT);
    let unfinished = folder.join(UNFINISHED);
    let _ = fs::remove_file(&unfinished);
    let written = (|| {
        let mut to = open_file(&unfinished)?;
        to.write_all(file)?;
        to.sync_all()?;
        if keeps_old {
            set_aside(&snapshot, &folder.join(SET_ASIDE));
        }
        fs::rename(&unfinished, &snapshot)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
        return written;
    }
    for older in journals(folder).into_iter().filter(|&it| it < journal) {
        drop_journal(folder, older);
    }
    Ok(())
}

/// Sets a snapshot aside that can't be used, in the place of one before.
fn set_aside(snapshot: &Path, aside: &Path) {
    match fs::rename(snapshot, aside) {
        Ok(()) => tracing::info!(
            "the state that recon could not use is now {}",
            aside.display()
        ),
        // There was none, or an earlier attempt has set it aside.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(
            "can't keep the state that recon could not use as {}: {error}; the new one replaces it",
            aside.display()
        ),
    }
}

/// Removes a journal that no snapshot needs. One that stays costs room and nothing else.
fn drop_journal(folder: &Path, number: u64) {
    static SAID: Once = Once::new();
    match remove_journal(folder, number) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => SAID.call_once(|| {
            tracing::warn!(
                "can't remove {}, which recon needs no more: {error}; it takes room until somebody does",
                journal_path(folder, number).display()
            );
        }),
    }
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
