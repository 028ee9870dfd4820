//! What outlives this process: a snapshot of what recon knows, and a journal of the polls since.
//!
//! In: the state between two polls, the rows of each poll, which lines are written. Out: files in a
//! folder, and at the next start what they hold.
//!
//! | file | holds |
//! |---|---|
//! | `snapshot` | all windows, verdicts and incidents, and the number of the journal that follows |
//! | `journal.N` | the polls since: the rows of each, and up to which poll all lines are written |
//! | `lock` | nothing; only one recon may use the folder |
//!
//! The decisions held here:
//! - A poll is in the journal before the kernel forgets it, and its lines before the mark that says
//!   so. So a process that is killed loses no count, and repeats a line at most, with its ids.
//! - A snapshot is written beside the old one and takes its place when it is whole. Until then the
//!   old one and the journals after it are what the next process reads.
//! - No disk stops detection. What can't be written in time is not waited for, is said once, and
//!   once more when it works again.
//! - A snapshot that can't be used is set aside by the first one that is saved, and one line says
//!   why. Until then a start that fails has changed nothing.

mod folder;
mod format;
mod load;
mod record;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::drain::Commit;

pub(crate) use folder::{StateError, look_at_state};
pub(crate) use load::LoadedState;
pub(crate) use record::{PollHead, PollRecorder, Record};
pub(crate) use store::StateStore;

/// What a snapshot holds besides the pipeline, which follows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    /// The number of the last poll that is in it.
    pub(crate) poll: u64,
    /// The time of that poll.
    #[serde(with = "crate::saved::time")]
    pub(crate) at: Timestamp,
    /// What the kernel had given up to then.
    pub(crate) commit: Option<Commit>,
    /// What the agent knows besides, opaque to the snapshot.
    pub(crate) agent: Vec<u8>,
}
