//! The queue to the thread of a sink.
//!
//! In: whole lines. Out: work for the thread, and how many lines became what.
//! The decision held here: the bound is on lines, and orders always pass. A queue that is full of
//! lines must not keep the thread from opening its file again, or from saying that it hangs.

use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

use bytes::Bytes;

use super::shared_lines::SharedLines;

/// How many rows may wait for a slow disk: some 64 MiB, more with command lines of processes.
pub(crate) const WAITING_ROWS: u64 = 1 << 17;
/// How many alerts may: some 2 KiB each.
pub(crate) const WAITING_ALERTS: u64 = 4096;

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were dropped: a full queue, a failed write, or a closed reader.
    pub dropped: u64,
    /// Lines that were written again, since a connection has broken and nobody knows whether they
    /// had arrived.
    pub repeated: u64,
}

impl Add for Written {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            written: self.written + other.written,
            dropped: self.dropped + other.dropped,
            repeated: self.repeated + other.repeated,
        }
    }
}

/// What became of the lines of a queue so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    written: AtomicU64,
    /// The thread could not write them.
    failed: AtomicU64,
    /// They found the queue full.
    refused: AtomicU64,
    repeated: AtomicU64,
    /// In the queue, or with the thread.
    waiting: AtomicU64,
}

impl Counts {
    /// These lines have left the queue, so many of them as written.
    pub(super) fn settle(&self, lines: u64, written: u64) {
        self.written.fetch_add(written, Ordering::Relaxed);
        self.failed.fetch_add(lines - written, Ordering::Relaxed);
        self.waiting.fetch_sub(lines, Ordering::Relaxed);
    }

    /// Lines were written once more.
    pub(super) fn note_repeated(&self, lines: u64) {
        self.repeated.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines that counted as written did not arrive.
    pub(super) fn take_back(&self, lines: u64) {
        self.written.fetch_sub(lines, Ordering::Relaxed);
        self.failed.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines that are lost, whatever the reason.
    pub(super) fn dropped(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.refused()
    }

    /// Lines that found the queue full.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lines that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// So far; what waits is neither.
    pub(super) fn so_far(&self) -> Written {
        Written {
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped(),
            repeated: self.repeated.load(Ordering::Relaxed),
        }
    }
}

/// What the thread does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these lines.
    Lines(QueuedLines),
    /// Open the file again.
    Reopen,
    /// Say that everything before is written.
    Report(SyncSender<()>),
}

/// Whole lines in a queue.
#[derive(Debug)]
pub(super) struct QueuedLines {
    text: SharedLines,
    lines: u64,
    is_other: bool,
    counts: Arc<Counts>,
}

impl QueuedLines {
    /// Formats them, unless another sink's thread has.
    pub(super) fn format(self) -> LineBatch {
        LineBatch {
            bytes: self.text.bytes(),
            lines: self.lines,
            is_other: self.is_other,
            counts: self.counts,
        }
    }
}

/// Whole lines that are written together.
#[derive(Clone, Debug)]
pub(super) struct LineBatch {
    pub(super) bytes: Bytes,
    pub(super) lines: u64,
    /// Whether it came through another queue than the sink's own one: in a sink of the settings,
    /// these are rows.
    pub(super) is_other: bool,
    /// The counts of the queue that this came through.
    pub(super) counts: Arc<Counts>,
}

/// A queue to the thread of a sink, whose lines are counted separately.
#[derive(Debug)]
pub(crate) struct LineQueue {
    work: Sender<Work>,
    counts: Arc<Counts>,
    is_other: bool,
    /// From so many lines on, no more may wait.
    limit: u64,
    /// Lines that were queued or dropped.
    lines: u64,
}

impl LineQueue {
    pub(super) fn new(work: Sender<Work>, limit: u64) -> Self {
        Self {
            work,
            counts: Arc::default(),
            is_other: false,
            limit,
            lines: 0,
        }
    }

    /// Another one to the same thread.
    pub(super) fn another(&self, limit: u64) -> Self {
        Self {
            is_other: true,
            ..Self::new(self.work.clone(), limit)
        }
    }

    /// Queues that many lines, or counts them as dropped. Returns whether they are queued. Others
    /// may hold the same ones.
    pub(crate) fn write_lines(&mut self, text: impl Into<SharedLines>, lines: u64) -> bool {
        self.lines += lines;
        let counts = &self.counts;
        let is_queued = counts.waiting() < self.limit && {
            counts.waiting.fetch_add(lines, Ordering::Relaxed);
            let batch = QueuedLines {
                text: text.into(),
                lines,
                is_other: self.is_other,
                counts: Arc::clone(counts),
            };
            let sent = self.work.send(Work::Lines(batch)).is_ok();
            if !sent {
                // The reader has gone, and the thread with it.
                counts.waiting.fetch_sub(lines, Ordering::Relaxed);
            }
            sent
        };
        if !is_queued {
            counts.refused.fetch_add(lines, Ordering::Relaxed);
        }
        is_queued
    }

    /// The lines that were queued or dropped so far.
    pub(crate) const fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines that are not written so far: dropped, or still in the queue.
    pub(crate) fn unwritten(&self) -> u64 {
        self.lines.saturating_sub(self.counts.so_far().written)
    }

    /// What became of the lines so far; what waits is neither.
    pub(crate) fn so_far(&self) -> Written {
        self.counts.so_far()
    }

    pub(super) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Gives the thread something to do after what is queued. Returns whether it is there.
    pub(super) fn order(&self, work: Work) -> bool {
        self.work.send(work).is_ok()
    }

    /// Asks for a message once everything in the queue is written. `None` if there is no thread.
    pub(super) fn request_report(&self) -> Option<Receiver<()>> {
        let (written, report) = sync_channel(1);
        self.order(Work::Report(written)).then_some(report)
    }

    /// Closes the queue. The returned function says what became of its lines once the sink is
    /// finished.
    pub(crate) fn close(self) -> impl FnOnce() -> Written {
        let Self { counts, lines, .. } = self;
        move || {
            let so_far = counts.so_far();
            Written {
                dropped: lines - so_far.written,
                ..so_far
            }
        }
    }
}
