//! Waiting until queued lines are written.
//!
//! In: a queue, and until when to wait. Out: whether everything in it is written.
//! The decisions held here: a reader that was too slow once is not waited for again before it has
//! taken what was queued then. So a reader that hangs costs one wait and not one for each poll.
//! All sinks are asked before the first one is waited for, so that they write at the same time.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
#[cfg(test)]
use std::time::Duration;
use std::time::Instant;

use super::LineQueue;

/// Waits for one sink, again and again.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// The message that was asked for and has not come.
    outstanding: Option<Receiver<()>>,
    /// Whether it did not come in time.
    is_late: bool,
}

impl Flush {
    /// Asks for a message once the lines in the queue are written.
    pub(crate) fn begin(&mut self, queue: &LineQueue) {
        let hangs = |report: &Receiver<()>| report.try_recv() == Err(TryRecvError::Empty);
        self.is_late &= self.outstanding.as_ref().is_some_and(hangs);
        if !self.is_late {
            self.outstanding = queue.request_report();
        }
    }

    /// Waits until the lines are written that were queued at the last [`Flush::begin`]. Lines that
    /// can't be written are not waited for.
    pub(crate) fn end(&mut self, until: Instant) -> bool {
        if self.is_late {
            return false;
        }
        let Some(report) = self.outstanding.take() else {
            // A thread that has ended writes nothing any more.
            return true;
        };
        let left = until.saturating_duration_since(Instant::now());
        if report.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            self.outstanding = Some(report);
            self.is_late = true;
        }
        !self.is_late
    }

    /// Both, for one sink alone.
    #[cfg(test)]
    pub(crate) fn wait(&mut self, queue: &LineQueue, limit: Duration) -> bool {
        self.begin(queue);
        self.end(Instant::now() + limit)
    }
}
