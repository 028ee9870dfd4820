//! How many lines a query may write, so that forged alerts do not hide real ones.
//!
//! In: the findings of each poll, and the time. Out: a [`Notification`] for each line.
//! The decisions held here:
//! - Each query has its own limit, so forged alerts of one rule suppress no other rule's. A rule
//!   with two measures is two queries.
//! - Of one poll's findings recon writes those about scanners first and those about clients last,
//!   whatever their counts: a busy client has the greatest of all. Then come sources that have
//!   completed a handshake, which forged ones can't, and then the largest: a forged scan hides a
//!   real one only if it is as large, which takes as many packets.
//! - Clients get at most a quarter of a query's lines, so that those who come before a scanner
//!   leave it lines too.
//! - What is suppressed is reported when the period is over: how many findings, and the first of
//!   them, in the same order, in full.
//! - The period of a query begins with its first line, so that nothing is kept for queries without
//!   any.
//! - Informational queries have lines for an hour, and what is suppressed of them is in one digest
//!   of all. That is what busy clients cause, and nobody acts on each.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::digest::{Digest, DigestHour};
use crate::contact::ContactTotals;
use crate::kql::Severity;
use crate::row::Verdict;
use crate::stream::Query;

/// One line of so many may be about a client.
const LINES_FOR_CLIENT: u64 = 4;

/// How many lines a query may write in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// Findings of one query that were suppressed in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// The limit, and what each query has written.
#[derive(Debug)]
pub struct LineLimiter {
    limit: LineLimit,
    /// The periods that are running, in the order in which they began.
    periods: Vec<Period>,
    /// The hour that goes on, from the first poll on.
    hour: Option<DigestHour>,
    suppressed: u64,
}

/// The period of one query.
#[derive(Debug)]
struct Period {
    query: Arc<Query>,
    since: Timestamp,
    until: Timestamp,
    /// How many lines it has.
    lines: u64,
    written: Written,
    suppressed: Option<(Box<Finding>, Suppressed)>,
}

/// The lines that a query has written in a period.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    all: u64,
    of_clients: u64,
}

impl Written {
    /// Adds a line about a source of that verdict, if so many lines leave room for it.
    fn add(&mut self, lines: u64, verdict: Verdict) -> bool {
        let is_client = verdict == Verdict::Client;
        let has_room =
            self.all < lines && (!is_client || self.of_clients < lines / LINES_FOR_CLIENT);
        self.all += u64::from(has_room);
        self.of_clients += u64::from(has_room && is_client);
        has_room
    }
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

    /// What is written at `now`: first what was suppressed in periods that are over, then as many
    /// of the findings as may be, in their order.
    pub fn limit_findings(&mut self, findings: Vec<Finding>, now: Timestamp) -> Vec<Notification> {
        let mut notifications = self.end_due(now);
        let suppressed_in = self.choose(&findings, now);
        for (finding, period) in findings.into_iter().zip(suppressed_in) {
            match period {
                Some(period) => self.suppress(finding, period, now),
                None => notifications.push(Notification::Found(Box::new(finding))),
            }
        }
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

    /// Ends all periods: what was suppressed in them.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Notification> {
        let periods = std::mem::take(&mut self.periods).into_iter();
        let digest = self.hour.take().and_then(|hour| hour.close(now));
        periods
            .filter_map(|period| period.close(now))
            .chain(digest.map(|digest| Notification::Digest(Box::new(digest))))
            .collect()
    }

    /// How many findings were suppressed in all.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }

    fn end_due(&mut self, now: Timestamp) -> Vec<Notification> {
        // A clock that was set back ends a period too.
        let is_over = |period: &mut Period| !(period.since..period.until).contains(&now);
        let over = self.periods.extract_if(.., is_over);
        let suppressed = over.filter_map(|period| {
            let end = period.until.min(now);
            period.close(end)
        });
        let mut notifications: Vec<_> = suppressed.collect();
        let digest = self.hour_at(now).turn(now);
        notifications.extend(digest.map(|digest| Notification::Digest(Box::new(digest))));
        notifications
    }

    /// The hour that goes on, which begins now if none has.
    fn hour_at(&mut self, now: Timestamp) -> &mut DigestHour {
        self.hour.get_or_insert_with(|| DigestHour::new(now))
    }

    /// Counts a finding of a period that has no line for it.
    fn suppress(&mut self, finding: Finding, period: usize, now: Timestamp) {
        self.suppressed += 1;
        match finding.query.severity() {
            Severity::Informational => self.hour_at(now).add(&finding, now),
            _ => self.periods[period].suppress(finding, self.limit.per),
        }
    }

    /// For each finding that is suppressed, the position of its period.
    fn choose(&mut self, findings: &[Finding], now: Timestamp) -> Vec<Option<usize>> {
        let mut by_period: Vec<Vec<usize>> = vec![Vec::new(); self.periods.len()];
        for (position, finding) in findings.iter().enumerate() {
            let Some(lines) = self.limit.lines_of(&finding.query) else {
                continue;
            };
            let period = self.period_of(&finding.query, lines, now);
            if period == by_period.len() {
                by_period.push(Vec::new());
            }
            by_period[period].push(position);
        }
        let mut suppressed_in = vec![None; findings.len()];
        for (index, mut positions) in by_period.into_iter().enumerate() {
            let Period { lines, written, .. } = &mut self.periods[index];
            // Ties keep their order.
            positions.sort_by_key(|&position| Reverse(findings[position].rank()));
            for position in positions {
                if !written.add(*lines, findings[position].verdict) {
                    suppressed_in[position] = Some(index);
                }
            }
        }
        suppressed_in
    }

    /// The position of a query's period, which begins now if none is running.
    fn period_of(&mut self, query: &Arc<Query>, lines: u64, now: Timestamp) -> usize {
        let is_it = |period: &Period| Arc::ptr_eq(&period.query, query);
        self.periods.iter().position(is_it).unwrap_or_else(|| {
            let per = SignedDuration::try_from(self.limit.per).unwrap_or(SignedDuration::MAX);
            let until = match query.severity() {
                Severity::Informational => self.hour_at(now).until(),
                _ => now.checked_add(per).unwrap_or(Timestamp::MAX),
            };
            self.periods.push(Period {
                query: Arc::clone(query),
                since: now,
                until,
                lines,
                written: Written::default(),
                suppressed: None,
            });
            self.periods.len() - 1
        })
    }
}

impl Period {
    fn suppress(&mut self, finding: Finding, per: Duration) {
        let Finding { at, start, end, .. } = finding;
        match &mut self.suppressed {
            Some((first, all)) => {
                all.count += 1;
                all.start = all.start.min(start);
                all.end = all.end.max(end);
                if finding.rank() > first.rank() {
                    **first = finding;
                }
            }
            None => {
                let all = Suppressed {
                    at,
                    count: 1,
                    start,
                    end,
                    per,
                };
                self.suppressed = Some((Box::new(finding), all));
            }
        }
    }

    /// What was suppressed, at its end.
    fn close(self, now: Timestamp) -> Option<Notification> {
        let (first, mut suppressed) = self.suppressed?;
        suppressed.at = now;
        Some(Notification::Suppressed { first, suppressed })
    }
}

#[cfg(test)]
mod tests;
