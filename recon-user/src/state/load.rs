//! What an earlier process left.
//!
//! In: the folder. Out: [`LoadedState`]: the snapshot, and the polls after it.
//! The decisions held here:
//! - What can't be used is said in one line, and recon begins without it. Nothing is changed: a
//!   start that fails later leaves all of it to an older recon.
//! - The secrets of hashes go on: windows hold hashes of addresses, and so do pinned maps.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use jiff::Timestamp;
use recon_common::HashSecrets;

use super::folder::{SET_ASIDE, SNAPSHOT, journal_path, journals};
use super::format::{HEADER, StateFile, Unusable, payload};
use super::record::{RecordedPoll, read_record};
use super::store::MAX_SNAPSHOT;
use super::{Record, SnapshotHead};
use crate::drain::Commit;
use crate::seed::adopt_secrets;

/// The largest journal that is read.
const MAX_JOURNAL: usize = 512 << 20;

/// What an earlier process left.
#[derive(Debug)]
pub(crate) struct LoadedState {
    pub(crate) head: SnapshotHead,
    /// The bytes from which the pipeline is restored.
    pub(crate) pipeline: Vec<u8>,
    /// What came after the snapshot.
    pub(crate) records: Vec<Record>,
    /// The number of the first journal after the snapshot.
    pub(super) journal: u64,
}

impl LoadedState {
    /// The number of the last poll.
    pub(crate) fn last_poll(&self) -> u64 {
        self.polls()
            .next_back()
            .map_or(self.head.poll, |poll| poll.head.number)
    }

    /// The time of the last poll.
    pub(crate) fn last_time(&self) -> Timestamp {
        let last = self.polls().next_back();
        last.map_or(self.head.at, RecordedPoll::time)
    }

    /// What the kernel had given up to then.
    pub(crate) fn commit(&self) -> Option<&Commit> {
        let mut commits = self.polls().rev().map(|poll| poll.head.commit.as_ref());
        commits.next().unwrap_or(self.head.commit.as_ref())
    }

    fn polls(&self) -> impl DoubleEndedIterator<Item = &RecordedPoll> {
        self.records.iter().filter_map(|record| match record {
            Record::Poll(poll) => Some(poll),
            Record::Mark(_) => None,
        })
    }
}

/// Reads the folder. `None` if nothing in it can be used.
pub(super) fn load(folder: &Path) -> Option<LoadedState> {
    let path = folder.join(SNAPSHOT);
    let read = match read_bounded(&path, MAX_SNAPSHOT + HEADER) {
        Ok(file) => read_snapshot(&file).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !journals(folder).is_empty() {
                tracing::warn!(
                    "{}: somebody has removed it, and without it the journals beside it say nothing; recon begins without what was counted before",
                    path.display()
                );
            }
            return None;
        }
        Err(error) => Err(error.to_string()),
    };
    match read {
        Ok(loaded) => Some(with_journals(loaded, folder)),
        Err(error) => {
            tracing::warn!(
                "{}: {error}; recon begins without what was counted before; the first snapshot that recon saves sets this one aside as {}",
                path.display(),
                folder.join(SET_ASIDE).display()
            );
            None
        }
    }
}

fn read_snapshot(file: &[u8]) -> Result<LoadedState, Unusable> {
    let (payload, rest) = payload(StateFile::Snapshot, file)?;
    if !rest.is_empty() {
        return Err(Unusable::Cut);
    }
    let read = postcard::take_from_bytes::<(u64, Vec<u64>, SnapshotHead)>(payload);
    let ((journal, secrets, head), pipeline) = read.map_err(|_| Unusable::Senseless)?;
    let secrets = secrets.try_into().map_err(|_| Unusable::Senseless)?;
    if !adopt_secrets(HashSecrets(secrets)) {
        return Err(Unusable::OtherSecrets);
    }
    Ok(LoadedState {
        head,
        pipeline: pipeline.to_vec(),
        records: Vec::new(),
        journal,
    })
}

/// Adds what came after the snapshot.
fn with_journals(mut loaded: LoadedState, folder: &Path) -> LoadedState {
    for number in journals(folder) {
        if number < loaded.journal {
            continue;
        }
        let path = journal_path(folder, number);
        let file = match read_bounded(&path, MAX_JOURNAL) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!("{}: {error}; its polls are lost", path.display());
                continue;
            }
        };
        let mut records = match payload(StateFile::Journal, &file) {
            Ok((_, records)) => records,
            // A process that is killed as it begins a journal has written nothing else.
            Err(Unusable::NoState | Unusable::Cut) if file.len() < HEADER => continue,
            Err(error) => {
                tracing::warn!("{}: {error}; its polls are lost", path.display());
                continue;
            }
        };
        while let Some(record) = read_record(&mut records) {
            loaded.records.push(record);
        }
        if !records.is_empty() {
            tracing::warn!(
                "{}: its last {} bytes can't be read: a write that was cut off, or damage; what was counted there is lost",
                path.display(),
                records.len()
            );
        }
    }
    loaded
}

fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > limit {
        true => Err(io::Error::other(Unusable::TooLarge)),
        false => Ok(bytes),
    }
}
