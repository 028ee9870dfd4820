//! What a sink writes to.
//!
//! In: whole lines. Out: bytes somewhere, or why not.
//! The decision held here: a target says what becomes of lines that it can't write. What is lost on
//! a full disk is lost; what a peer does not take waits in the queue until the peer is back.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::queue::LineBatch;
use super::whole_lines::WholeLines;

/// Why lines were not written.
#[derive(Debug)]
pub(super) enum Failure {
    /// They are lost, and the next ones may not be.
    Lost(io::Error),
    /// So many of those that were written so far are lost, and the others are not. What follows
    /// has not been tried.
    LostPart(u64, io::Error),
    /// They are to be tried again, and what follows waits.
    Later(io::Error),
    /// The reader has gone for good.
    Closed,
}

/// Where the thread of a sink writes to.
pub(super) trait Target: Send {
    /// Writes the lines of a batch from byte `done` on. `done` grows by the bytes of whole lines
    /// that were written.
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure>;

    /// Whether lines count as written only after [`Target::commit`].
    fn is_grouped(&self) -> bool {
        false
    }

    /// Makes what was written safe, or a part of it. Returns how many batches that concerns, from
    /// the first one on: they are safe, or lost. All those that are to be tried again stay.
    fn commit(&mut self) -> (usize, Result<(), Failure>) {
        (usize::MAX, Ok(()))
    }

    /// How many lines of a batch that was not committed are not written, at the end.
    fn unwritten(&self, _batch: usize) -> u64 {
        u64::MAX
    }

    /// Whether it takes lines while others wait, and counts what becomes of them itself: what a
    /// peer refuses may keep back only lines of its kind. `commit` returns how many batches it has
    /// counted, and [`Target::end`] counts all others.
    fn counts_itself(&self) -> bool {
        false
    }

    /// Whether lines wait in a target that counts itself.
    fn holds_lines(&self) -> bool {
        false
    }

    /// For how long it may be left alone.
    fn longest_pause(&self) -> Option<Duration> {
        None
    }

    /// Looks after what it writes to, when there is nothing to write. Returns whether it could be
    /// written, if it tried.
    fn look(&mut self) -> Option<io::Result<()>> {
        None
    }

    /// Opens its file again.
    fn reopen(&mut self) {}

    /// The sink ends.
    fn end(&mut self) {}
}

/// Stdout, stderr, or another stream that was open at the start.
pub(super) struct StreamTarget {
    lines: WholeLines,
}

impl StreamTarget {
    pub(super) const fn new(file: File) -> Self {
        Self {
            lines: WholeLines::new(Some(file)),
        }
    }
}

impl Target for StreamTarget {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        let written = self.lines.write(&batch.bytes, done);
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Lost(error),
        })
    }
}
