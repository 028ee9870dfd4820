//! The thread of a sink.
//!
//! In: the work in its queue. Out: lines in the target, and counts of what became of them.
//! The decisions held here: a line counts as written once it is as safe as its sink promises. Where
//! that takes a write to the disk, the lines of many batches share one. A target that wants to be
//! tried again gets the same lines after a pause that doubles, and is random within bounds: many
//! agents that have lost one collector do not come back to it at once. The end of the agent gives
//! it one more try at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::SinkState;
use super::queue::{Counts, LineBatch, Work};
use super::report::Reporter;
use super::target::{Failure, Target};
use super::whole_lines::count_lines;
use crate::seed::random_number;

/// Batches that share a commit at most.
const GROUP: usize = 64;
/// The pause after a first failure, and the longest one: a local peer is back within seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the thread has.
pub(super) struct Worker {
    pub(super) target: Box<dyn Target>,
    pub(super) reporter: Reporter,
    pub(super) state: Arc<SinkState>,
    /// Written and not committed.
    pub(super) group: Vec<(Arc<Counts>, u64)>,
    /// Whether a line is lost since the last commit.
    pub(super) has_lost: bool,
    /// Who waits until everything before is written.
    pub(super) reports: Vec<SyncSender<()>>,
}

/// A pause of half to one and a half times that length.
pub(super) fn vary(pause: Duration) -> Duration {
    let part = f64::from(random_number() as u32) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + part)
}

/// Whether the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoesOn,
    Ends,
}

impl Worker {
    /// Works until the agent ends, or until the reader has closed its end for good.
    pub(super) fn run(mut self, queue: &Receiver<Work>) {
        loop {
            let work = match self.target.longest_pause() {
                Some(pause) => queue.recv_timeout(pause),
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let then = match work {
                Ok(work) => self.work_on(work, queue),
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    Then::GoesOn
                }
                Err(RecvTimeoutError::Disconnected) => Then::Ends,
            };
            if then == Then::Ends {
                break;
            }
        }
        self.target.end();
    }

    /// Does it, and what else is there, and commits all of that.
    fn work_on(&mut self, first: Work, queue: &Receiver<Work>) -> Then {
        let mut then = Then::GoesOn;
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        for work in std::iter::once(first).chain(more).take(GROUP) {
            then = self.begin(work, queue);
            if then == Then::Ends || !self.reports.is_empty() {
                break;
            }
        }
        if self.commit(queue) == Then::Ends {
            then = Then::Ends;
        }
        for written in self.reports.drain(..) {
            // Nobody may wait for it any more.
            let _ = written.try_send(());
        }
        then
    }

    fn begin(&mut self, work: Work, queue: &Receiver<Work>) -> Then {
        match work {
            Work::Lines(lines) => return self.write(&lines.format()),
            Work::Reopen => {
                let then = self.commit(queue);
                self.state.is_reopening.store(false, Ordering::Relaxed);
                self.target.reopen();
                return then;
            }
            Work::Report(written) => self.reports.push(written),
        }
        Then::GoesOn
    }

    fn write(&mut self, batch: &LineBatch) -> Then {
        let mut done = 0;
        let mut lost = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.target.write(batch, &mut done) {
                Ok(()) if self.target.counts_itself() => return Then::GoesOn,
                Ok(()) if self.target.is_grouped() => {
                    let rest = batch.lines.saturating_sub(lost);
                    self.group.push((Arc::clone(&batch.counts), rest));
                    return Then::GoesOn;
                }
                Ok(()) => {
                    let rest = batch.lines.saturating_sub(lost);
                    batch.counts.settle(rest, rest);
                    if lost == 0 {
                        self.note_success();
                    }
                    return Then::GoesOn;
                }
                Err(Failure::Lost(error)) => {
                    self.settle_part(batch, done, lost);
                    self.note_loss(&error);
                    return Then::GoesOn;
                }
                Err(Failure::LostPart(lines, error)) => {
                    batch.counts.settle(lines, 0);
                    lost += lines;
                    self.note_loss(&error);
                }
                Err(Failure::Later(error)) => {
                    if self.wait_after(&error, &mut pause) == Then::Ends {
                        self.settle_part(batch, done, lost);
                        return Then::Ends;
                    }
                }
                Err(Failure::Closed) => {
                    self.settle_part(batch, done, lost);
                    self.state.is_closed.store(true, Ordering::Relaxed);
                    return Then::Ends;
                }
            }
        }
    }

    /// Says that it failed, and waits before it is tried again. Nothing is at the end.
    fn wait_after(&mut self, error: &io::Error, pause: &mut Duration) -> Then {
        let is_last = self.state.is_ending.load(Ordering::SeqCst);
        self.state.note_problem(Some(error));
        self.reporter.report_wait(error, self.state.unwritten());
        if is_last {
            return Then::Ends;
        }
        self.wait(vary(*pause));
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Then::GoesOn
    }

    /// Waits that long, or until the agent ends.
    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.state.is_ending.load(Ordering::SeqCst) {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Commits what is written, in as many steps as the target takes.
    fn commit(&mut self, queue: &Receiver<Work>) -> Then {
        if self.target.counts_itself() {
            return self.deliver(queue);
        }
        let mut has_lost = std::mem::take(&mut self.has_lost);
        let mut pause = FIRST_PAUSE;
        while !self.group.is_empty() {
            let (batches, committed) = self.target.commit();
            match committed {
                Ok(()) => {
                    self.settle_group(batches, 0);
                    pause = FIRST_PAUSE;
                }
                Err(Failure::Lost(error)) => {
                    has_lost = true;
                    self.lose(batches, u64::MAX, &error);
                }
                Err(Failure::LostPart(lines, error)) => {
                    has_lost = true;
                    self.lose(batches, lines, &error);
                }
                Err(Failure::Later(error)) => {
                    self.settle_group(batches, 0);
                    if self.wait_after(&error, &mut pause) == Then::Ends {
                        self.settle_rest();
                        return Then::Ends;
                    }
                }
                Err(Failure::Closed) => {
                    self.settle_rest();
                    self.state.is_closed.store(true, Ordering::Relaxed);
                    return Then::Ends;
                }
            }
            if self.group.is_empty() && !has_lost {
                self.note_success();
            }
        }
        Then::GoesOn
    }

    /// The same with a target that counts itself. It also gets what comes meanwhile, unless
    /// somebody waits for what was before.
    fn deliver(&mut self, queue: &Receiver<Work>) -> Then {
        let mut pause = FIRST_PAUSE;
        while self.target.holds_lines() {
            let (batches, delivered) = self.target.commit();
            if batches > 0 {
                pause = FIRST_PAUSE;
            }
            match delivered {
                Ok(()) => self.note_success(),
                Err(Failure::Lost(error) | Failure::LostPart(_, error)) => self.note_loss(&error),
                Err(Failure::Later(error)) => {
                    if self.wait_after(&error, &mut pause) == Then::Ends {
                        return Then::Ends;
                    }
                }
                Err(Failure::Closed) => return Then::Ends,
            }
            while self.reports.is_empty()
                && let Ok(work) = queue.try_recv()
            {
                match work {
                    Work::Lines(lines) => {
                        self.write(&lines.format());
                    }
                    Work::Report(written) => self.reports.push(written),
                    // It has no file.
                    Work::Reopen => self.state.is_reopening.store(false, Ordering::Relaxed),
                }
            }
        }
        Then::GoesOn
    }

    /// Counts the group at the end.
    fn settle_rest(&mut self) {
        for (batch, (counts, lines)) in self.group.drain(..).enumerate() {
            let lost = self.target.unwritten(batch).min(lines);
            counts.settle(lines, lines - lost);
        }
    }

    /// Some lines of the first batches of the group are lost.
    fn lose(&mut self, batches: usize, lines: u64, error: &io::Error) {
        self.settle_group(batches, lines);
        self.note_loss(error);
    }

    fn note_loss(&mut self, error: &io::Error) {
        self.state.note_problem(Some(error));
        self.reporter.report_loss(error, self.state.unwritten());
    }

    /// Counts the first batches of the group as written, but so many of their lines as dropped.
    fn settle_group(&mut self, batches: usize, mut lost: u64) {
        let batches = batches.min(self.group.len());
        for (counts, lines) in self.group.drain(..batches) {
            let lost_here = lines.min(lost);
            lost -= lost_here;
            counts.settle(lines, lines - lost_here);
        }
    }

    fn note_success(&mut self) {
        self.state.note_problem(None);
        self.reporter.report_success(self.state.unwritten());
    }

    /// Counts the lines before `done` as written, or leaves them for the commit, and the others as
    /// dropped. So many of those before it are counted already.
    fn settle_part(&mut self, batch: &LineBatch, done: usize, lost: u64) {
        let rest = batch.lines.saturating_sub(lost);
        let written = count_lines(&batch.bytes[..done]).saturating_sub(lost);
        let written = written.min(rest);
        if !self.target.is_grouped() {
            batch.counts.settle(rest, written);
            return;
        }
        batch.counts.settle(rest - written, 0);
        self.has_lost = true;
        if written > 0 {
            self.group.push((Arc::clone(&batch.counts), written));
        }
    }

    /// Lets the target look after itself while there is nothing to write.
    fn look(&mut self) {
        match self.target.look() {
            Some(Ok(())) => self.note_success(),
            Some(Err(error)) => {
                self.state.note_problem(Some(&error));
                self.reporter.report_wait(&error, self.state.unwritten());
            }
            None => {}
        }
    }
}
