//! The end of a poll over pinned maps: what it has given is safe, and may leave the kernel.
//!
//! In: a poll whose rows were judged and whose lines are queued. Out: an emptied generation.
//! The decision held here: alerts and rows reach their readers before the kernel forgets what they
//! come from, so that a process that is killed loses none of them. A reader that hangs is waited
//! for a moment only: the counts of the next interval need the room.

use super::Agent;
use super::output::WRITE_WAIT;
use crate::drain::CountMaps;

impl<M: CountMaps> Agent<M> {
    /// Commits what the poll has given. Without pins there is nothing to do.
    pub(super) fn commit_poll(&mut self) {
        let Some(commit) = self.drain.uncommitted() else {
            return;
        };
        let flips = commit.flips;
        self.output.flush(WRITE_WAIT);
        match self.drain.commit() {
            Ok(()) => tracing::trace!("committed what {flips} flips have retired"),
            Err(error) => tracing::error!(
                "poll {}: {error}; recon empties the table at the next poll, and what is counted meanwhile waits",
                self.totals.polls
            ),
        }
    }
}
