//! Waiting until queued lines are written.
//!
//! In: a queue, and how long to wait at most. Out: whether everything in it is written.
//! The decision held here: a reader that was too slow once is not waited for again before it has
//! taken what was queued then. So a reader that hangs costs one wait and not one for each poll.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::LineQueue;

/// Waits for one queue, again and again.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// The message that did not come in time.
    outstanding: Option<Receiver<()>>,
}

impl Flush {
    /// Waits until the lines in the queue are written, up to that limit. Lines that can't be
    /// written are not waited for.
    pub(crate) fn wait(&mut self, queue: &LineQueue, limit: Duration) -> bool {
        let hangs = |report: &Receiver<()>| report.try_recv() == Err(TryRecvError::Empty);
        if self.outstanding.as_ref().is_some_and(hangs) {
            return false;
        }
        self.outstanding = None;
        let Some(report) = queue.request_report() else {
            return false;
        };
        // A writer that has ended writes nothing any more.
        if report.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            self.outstanding = Some(report);
            return false;
        }
        true
    }
}
