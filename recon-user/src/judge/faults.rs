//! What is wrong with the rows of a file.
//!
//! In: lines that are no rows, and rows that are not in order. Out: log lines about the first of
//! each kind, and a summary.
//! The decision held here: one bad line must not hide what the others show, so it is counted and
//! named, and the rest is judged. The run fails at its end if a line was skipped.

use std::fmt;

/// How many lines of each kind are named.
const NAMED: u64 = 5;

/// What was wrong, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Lines that are no rows.
    pub bad: u64,
    /// Rows so much older than the rows before them that they were skipped.
    pub outdated: u64,
    /// Rows that were counted in the poll of the rows before them, which is later than their own.
    pub late: u64,
}

impl Faults {
    /// Whether lines were skipped.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.bad + self.outdated > 0
    }

    pub(super) fn add_bad(&mut self, place: &str, reason: impl fmt::Display) {
        self.bad += 1;
        if self.bad <= NAMED {
            tracing::error!("{place}: {reason}; skipping the line");
        }
    }

    pub(super) fn add_outdated(&mut self, place: &str, line: usize, behind: impl fmt::Display) {
        self.outdated += 1;
        if self.outdated <= NAMED {
            tracing::error!(
                "{place}: line {line}: the row is {behind} older than the rows before it; skipping it; sort the file by TimeGenerated"
            );
        }
    }

    pub(super) fn add_late(&mut self, place: &str, line: usize, behind: impl fmt::Display) {
        self.late += 1;
        if self.late <= NAMED {
            tracing::warn!(
                "{place}: line {line}: the row is {behind} older than the rows before it, and counts at their time"
            );
        }
    }

    /// Logs the numbers, if there are any.
    pub(super) fn report(&self, place: &str) {
        let Self {
            bad,
            outdated,
            late,
        } = self;
        if self.has_gaps() {
            tracing::error!(
                "{place}: skipped lines: {}: not a row {bad}, out of order {outdated}; the alerts are about the others",
                bad + outdated
            );
        }
        if *late > 0 {
            tracing::warn!("{place}: rows counted up to a minute late: {late}");
        }
    }
}
