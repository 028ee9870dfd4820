//! What a sink says of its failures.
//!
//! In: failures and successes of its thread. Out: lines of the log.
//! The decision held here: a failure is logged when it begins, once a minute while it lasts, and
//! when it is over. A peer that fails and recovers many times a minute does not fill the log: what
//! follows within a minute of the last failure is logged only if it lasts. The end says how much
//! was lost, also what found the queue full.

use std::io;
use std::time::{Duration, Instant};

/// Between two lines about losses, and between two about failures.
const PAUSE: Duration = Duration::from_secs(60);

/// What the log knows of a sink.
pub(super) struct Reporter {
    place: String,
    what: &'static str,
    /// Whether it says that lines found the queue full: not that of the log itself.
    has_overflows: bool,
    /// How many dropped lines the last log line named.
    logged: u64,
    /// How many of them had found the queue full.
    logged_refused: u64,
    /// Whether the last failure has been logged, and nothing was written since.
    is_reported: bool,
    last_logged: Option<Instant>,
    /// When the last failure of a peer was logged.
    last_wait: Option<Instant>,
}

/// What the agent says of a queue that is full: the thread of the sink may hang, and say nothing.
#[derive(Debug, Default)]
pub(super) struct OverflowWatch {
    refused: u64,
    last_logged: Option<Instant>,
}

impl OverflowWatch {
    /// Says so, at most once in a while, if lines were refused since the last time and others
    /// still wait.
    pub(super) fn report(&mut self, place: &str, what: &str, lines: Unwritten) {
        if lines.refused <= self.refused || lines.waiting == 0 || !has_passed(self.last_logged) {
            return;
        }
        let new = lines.refused - self.refused;
        tracing::warn!(
            "{place}: its queue is full: {new} {what} are dropped, and more will be until whoever takes them reads; {what} that wait: {}",
            lines.waiting
        );
        self.refused = lines.refused;
        self.last_logged = Some(Instant::now());
    }
}

fn has_passed(last: Option<Instant>) -> bool {
    last.is_none_or(|last| last.elapsed() >= PAUSE)
}

/// Lines that are not written, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unwritten {
    /// Whatever the reason.
    pub(super) dropped: u64,
    /// Of these, what found the queue full.
    pub(super) refused: u64,
    /// In the queue.
    pub(super) waiting: u64,
}

impl Reporter {
    /// A sink that is called `place` and its lines `what` in messages.
    pub(super) fn new(place: String, what: &'static str, has_overflows: bool) -> Self {
        Self {
            place,
            what,
            has_overflows,
            logged: 0,
            logged_refused: 0,
            is_reported: false,
            last_logged: None,
            last_wait: None,
        }
    }

    /// Lines are lost.
    pub(super) fn report_loss(&mut self, error: &io::Error, lines: Unwritten) {
        if self.has_paused() {
            let dropped = self.said(lines);
            let Self { place, what, .. } = self;
            tracing::error!("{place}: {error}; {what} dropped so far: {dropped}");
            self.note_logged(lines);
            self.is_reported = true;
        }
    }

    /// Lines wait until it can be written again.
    pub(super) fn report_wait(&mut self, error: &io::Error, lines: Unwritten) {
        if has_passed(self.last_wait) {
            let (dropped, waiting) = (self.said(lines), lines.waiting);
            let Self { place, what, .. } = self;
            tracing::error!(
                "{place}: {error}; recon tries on; {what} that wait: {waiting}, dropped so far: {dropped}"
            );
            self.note_logged(lines);
            self.last_wait = self.last_logged;
            self.is_reported = true;
        }
    }

    /// A line was written: a failure is over, and what was lost without a word is said now.
    pub(super) fn report_success(&mut self, lines: Unwritten) {
        let dropped = self.said(lines);
        let is_full = self.has_overflows && lines.refused > self.logged_refused;
        // A queue that is still full loses more.
        let is_over = !is_full || lines.waiting == 0;
        let is_untold = dropped > self.logged && is_over && self.has_paused();
        if !self.is_reported && !is_untold {
            return;
        }
        let Self { place, what, .. } = self;
        if self.is_reported || !is_full {
            tracing::warn!("{place}: can be written again; {what} dropped: {dropped}");
        } else {
            let new = dropped.saturating_sub(self.logged);
            tracing::warn!(
                "{place}: {new} {what} were dropped while its queue was full, since whoever takes them was too slow; dropped so far: {dropped}"
            );
        }
        self.note_logged(lines);
        self.is_reported = false;
    }

    /// The dropped lines that it speaks of.
    const fn said(&self, lines: Unwritten) -> u64 {
        match self.has_overflows {
            true => lines.dropped,
            // A line may find the queue full between the two.
            false => lines.dropped.saturating_sub(lines.refused),
        }
    }

    fn has_paused(&self) -> bool {
        has_passed(self.last_logged)
    }

    fn note_logged(&mut self, lines: Unwritten) {
        self.logged = self.said(lines);
        self.logged_refused = lines.refused;
        self.last_logged = Some(Instant::now());
    }
}
