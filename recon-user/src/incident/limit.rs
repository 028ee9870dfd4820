//! How many lines a query may write, so that forged alerts do not hide real ones.
//!
//! In: the findings of each poll, and the time. Out: a [`Notification`] for each line.
//! The decisions held here:
//! - Each query has its own limit, so forged alerts of one rule suppress no other rule's. A rule
//!   with two measures is two queries.
//! - Of one poll's findings recon writes those about scanners first and those about clients last,
//!   whatever their counts: a busy client has the greatest of all. Then come sources that have
//!   completed a handshake in their scan, which forged ones can't, and then the largest: a forged
//!   scan hides a real one only if it is as large, which takes as many packets.
//! - Clients get at most a quarter of a query's lines, so that those who come before a scanner
//!   leave it lines too. [`period`] holds the other shares, and what becomes of the rest.
//! - What is suppressed is reported when the period is over: how many findings, the first of them
//!   in the same order in full, and the sources of the others by name.
//! - The period of a query begins with its first line, so that nothing is kept for queries without
//!   any.
//! - Informational queries have lines for an hour, and what is suppressed of them is in one digest
//!   of all. That is what busy clients cause, and nobody acts on each.

mod period;
mod saved;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::digest::{Digest, DigestHour};
use super::{Finding, Source};
use crate::contact::ContactTotals;
use crate::kql::Severity;
use crate::row::Verdict;
use crate::stream::Query;
use period::{Choice, Period, end_of_period};

/// How many lines a query may write in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineLimit {
    /// The lines, 1 or more. `None` for no limit.
    pub lines: Option<u64>,
    /// The period.
    pub per: Duration,
    /// The lines of an informational query in an hour of the clock. `None` for no limit.
    pub informational_per_hour: Option<u64>,
}

impl LineLimit {
    /// The lines of a query in its period.
    fn lines_of(&self, query: &Query) -> Option<u64> {
        match query.severity() {
            Severity::Informational => self.informational_per_hour,
            _ => self.lines,
        }
    }
}

impl Default for LineLimit {
    fn default() -> Self {
        Self {
            lines: Some(20),
            per: Duration::from_secs(60),
            informational_per_hour: Some(20),
        }
    }
}

/// What a line is written for.
#[derive(Clone, Debug)]
pub enum Notification {
    /// A finding.
    Found(Box<Finding>),
    /// All findings of one query that were suppressed in a period.
    Suppressed {
        /// The first of them in the order in which lines are written.
        first: Box<Finding>,
        /// All of them.
        suppressed: Suppressed,
    },
    /// The attempts of an hour, and the informational findings that were suppressed in it.
    Digest(Box<Digest>),
}

impl Notification {
    /// The finding that the line describes.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Found(finding) | Self::Suppressed { first: finding, .. } => Some(finding),
            Self::Digest(_) => None,
        }
    }

    /// Makes all its times later by so much: on a clock that was set.
    pub(crate) fn shift(&mut self, by: SignedDuration) {
        let shift = |time: &mut Timestamp| *time = time.checked_add(by).unwrap_or(*time);
        match self {
            Self::Found(finding) => finding.times_mut().for_each(shift),
            Self::Suppressed { first, suppressed } => {
                first.times_mut().for_each(shift);
                let Suppressed { at, start, end, .. } = suppressed;
                [at, start, end].into_iter().for_each(shift);
            }
            Self::Digest(digest) => [&mut digest.start, &mut digest.end]
                .into_iter()
                .for_each(shift),
        }
    }

    /// The same, to be changed.
    pub(crate) fn finding_mut(&mut self) -> Option<&mut Finding> {
        match self {
            Self::Found(finding) | Self::Suppressed { first: finding, .. } => Some(finding),
            Self::Digest(_) => None,
        }
    }
}

/// Findings of one query that were suppressed in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// When they are reported.
    pub at: Timestamp,
    /// How many.
    pub count: u64,
    /// None of their events is older.
    pub start: Timestamp,
    /// None of their events is younger.
    pub end: Timestamp,
    /// The length of the period.
    pub per: Duration,
    /// Whom they are about, in the order in which lines are written.
    pub sources: Vec<SuppressedSource>,
    /// How many of them are about incidents that are not listed.
    pub unlisted: u64,
}

/// One source of suppressed findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuppressedSource {
    /// Who it is.
    pub source: Source,
    /// What its attempts show, if it is a remote.
    pub verdict: Option<Verdict>,
    /// The greatest count of its findings.
    pub count: u64,
}

impl SuppressedSource {
    /// The sources of findings, each once. What is about no single source has none.
    fn list(findings: &[Finding]) -> Vec<Self> {
        let mut sources: Vec<Self> = Vec::new();
        for finding in findings {
            let Some(source) = finding.source() else {
                continue;
            };
            let is_judged = matches!(source, Source::Remote(_));
            match sources.iter_mut().find(|other| other.source == source) {
                Some(other) => other.count = other.count.max(finding.count),
                None => sources.push(Self {
                    source,
                    verdict: is_judged.then_some(finding.verdict),
                    count: finding.count,
                }),
            }
        }
        sources
    }
}

/// The limit, and what each query has written.
#[derive(Debug, Serialize, Deserialize)]
pub struct LineLimiter {
    limit: LineLimit,
    /// The periods that are running, in the order in which they began.
    periods: Vec<Period>,
    /// The hour that goes on, from the first poll on.
    hour: Option<DigestHour>,
    suppressed: u64,
}

impl LineLimiter {
    /// A limiter that has seen nothing.
    #[must_use]
    pub fn new(limit: LineLimit) -> Self {
        Self {
            limit,
            periods: Vec::new(),
            hour: None,
            suppressed: 0,
        }
    }

    /// What is written at `now`: first what is left of periods that are over, then what has waited,
    /// then as many of the findings as may be, in their order.
    pub fn limit_findings(&mut self, findings: Vec<Finding>, now: Timestamp) -> Vec<Notification> {
        let mut notifications = self.end_due(now);
        let mut by_period: Vec<Vec<(usize, Finding)>> = Vec::new();
        let mut written = Vec::new();
        for (place, finding) in findings.into_iter().enumerate() {
            let Some(lines) = self.limit.lines_of(&finding.query) else {
                written.push((place, finding));
                continue;
            };
            let period = self.period_of(&finding.query, lines, now);
            by_period.resize_with(self.periods.len(), Vec::new);
            by_period[period].push((place, finding));
        }
        by_period.resize_with(self.periods.len(), Vec::new);
        for (period, found) in by_period.into_iter().enumerate() {
            if found.is_empty() && !self.periods[period].has_waiting() {
                continue;
            }
            let Choice {
                late,
                written: chosen,
                left,
            } = self.periods[period].choose(found, now);
            notifications.extend(late.into_iter().map(Box::new).map(Notification::Found));
            written.extend(chosen);
            for finding in left {
                self.suppressed += 1;
                self.hour_at(now).add(&finding);
            }
        }
        written.sort_unstable_by_key(|&(place, _)| place);
        let written = written.into_iter().map(|(_, finding)| finding);
        notifications.extend(written.map(Box::new).map(Notification::Found));
        notifications
    }

    /// Whether the hour that goes on, if one does, is over at `now`.
    pub fn ends_hour(&self, now: Timestamp) -> bool {
        self.hour.as_ref().is_some_and(|hour| hour.is_over(now))
    }

    /// Adds the totals of the attempts of the hour that goes on to its digest.
    pub fn set_contacts(&mut self, contacts: ContactTotals, now: Timestamp) {
        self.hour_at(now).set_contacts(contacts);
    }

    /// Ends all periods: what is left of them.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Notification> {
        let periods = std::mem::take(&mut self.periods);
        let mut notifications = self.close(periods, now);
        let digest = self.hour.take().and_then(|hour| hour.close(now));
        notifications.extend(digest.map(|digest| Notification::Digest(Box::new(digest))));
        notifications
    }

    /// How many findings were suppressed in all.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }

    fn end_due(&mut self, now: Timestamp) -> Vec<Notification> {
        // A clock that was set back ends a period too.
        let is_over = |period: &mut Period| !(period.since..period.until).contains(&now);
        let over = self.periods.extract_if(.., is_over).collect();
        let mut notifications = self.close(over, now);
        let digest = self.hour_at(now).turn(now);
        notifications.extend(digest.map(|digest| Notification::Digest(Box::new(digest))));
        notifications
    }

    fn close(&mut self, periods: Vec<Period>, now: Timestamp) -> Vec<Notification> {
        let mut notifications = Vec::new();
        for period in periods {
            let end = period.until.min(now);
            let (mut of_period, suppressed) = period.close(end, self.limit.per);
            notifications.append(&mut of_period);
            self.suppressed += suppressed;
        }
        notifications
    }

    /// The hour that goes on, which begins now if none has.
    fn hour_at(&mut self, now: Timestamp) -> &mut DigestHour {
        self.hour.get_or_insert_with(|| DigestHour::new(now))
    }

    /// The position of a query's period, which begins now if none is running.
    fn period_of(&mut self, query: &Arc<Query>, lines: u64, now: Timestamp) -> usize {
        let is_it = |period: &Period| Arc::ptr_eq(&period.query, query);
        self.periods.iter().position(is_it).unwrap_or_else(|| {
            let until = match query.severity() {
                Severity::Informational => self.hour_at(now).until(),
                _ => end_of_period(now, self.limit.per),
            };
            self.periods.push(Period::new(query, lines, now, until));
            self.periods.len() - 1
        })
    }
}

#[cfg(test)]
mod tests;
