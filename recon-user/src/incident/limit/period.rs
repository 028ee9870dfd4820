//! The period of one query: which of its findings get a line, and what becomes of the others.
//!
//! In: the findings of each poll. Out: those that are written, and at the end what was suppressed.
//! The decisions held here:
//! - A quarter of the lines is released over the period, one after the other: whoever writes as
//!   much as he can at once leaves lines to those who come later.
//! - A finding without a line waits. It gets one when there is room, at the latest at the end of
//!   the period, in the order of the ranks.
//! - One network (see [`enclosing_networks`]) or one user of this host gets at most half of the
//!   lines, as long as the period goes on: anybody can forge neighbours and start processes.
//! - What is suppressed in the end is listed: a hundred sources by name, the others by number.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::{Notification, Suppressed, SuppressedSource};
use crate::address::enclosing_networks;
use crate::incident::{Finding, Phase};
use crate::kql::Severity;
use crate::row::Verdict;
use crate::stream::Query;

/// One line of so many may be about a client, and none of fewer.
const CLIENT_SHARE: u64 = 4;
/// One line of so many is released over the period.
const LINES_FOR_LATER: u64 = 4;
/// One network or user gets one line of so many, if there are enough to share.
const LINES_FOR_ONE: u64 = 2;
const ENOUGH_TO_SHARE: u64 = 8;
/// Findings that wait for a line, and are listed at the end.
const WAITING: usize = 100;

/// The period of one query.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Period {
    pub(super) query: Arc<Query>,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// How many lines it has.
    lines: u64,
    written: WrittenLines,
    waiting: Vec<Finding>,
    suppressed: WithheldFindings,
}

/// The lines that a query has written in a period.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct WrittenLines {
    all: u64,
    of_clients: u64,
    of_networks: Vec<((Address, u8), u64)>,
    of_users: Vec<(u32, u64)>,
}

/// The suppressed findings that no longer wait.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct WithheldFindings {
    count: u64,
    /// Those of them that are not listed under another finding of their incident.
    unlisted: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl WithheldFindings {
    fn add(&mut self, finding: &Finding) {
        self.count += 1;
        let (start, end) = self.span.unwrap_or((finding.start, finding.end));
        self.span = Some((start.min(finding.start), end.max(finding.end)));
    }
}

impl WrittenLines {
    /// Whether there is a line for a finding, of all lines or of clients'.
    fn has_room(&self, lines: u64, for_clients: u64, finding: &Finding) -> bool {
        let is_client = finding.verdict == Verdict::Client;
        self.all < lines && (!is_client || self.of_clients < for_clients)
    }

    /// Whether the network or the user of a finding has had its part of so many lines.
    fn has_had_enough(&self, lines: u64, finding: &Finding) -> bool {
        let most = match lines {
            ENOUGH_TO_SHARE.. => lines / LINES_FOR_ONE,
            _ => lines,
        };
        let networks = networks(finding).any(|network| of(&self.of_networks, network) >= most);
        let user = finding.user;
        networks || user.is_some_and(|user| of(&self.of_users, user) >= most)
    }

    fn add(&mut self, finding: &Finding) {
        self.all += 1;
        self.of_clients += u64::from(finding.verdict == Verdict::Client);
        networks(finding).for_each(|network| add_to(&mut self.of_networks, network));
        if let Some(user) = finding.user {
            add_to(&mut self.of_users, user);
        }
    }
}

/// The networks of whoever sent what a finding is about.
fn networks(finding: &Finding) -> impl Iterator<Item = (Address, u8)> {
    let source = finding.network.or(finding.remote);
    let source = source.filter(|_| !finding.is_outbound());
    source.into_iter().flat_map(enclosing_networks)
}

fn of<K: PartialEq>(numbers: &[(K, u64)], key: K) -> u64 {
    let found = numbers.iter().find(|(of, _)| *of == key);
    found.map_or(0, |&(_, number)| number)
}

fn add_to<K: PartialEq>(numbers: &mut Vec<(K, u64)>, key: K) {
    match numbers.iter_mut().find(|(of, _)| *of == key) {
        Some((_, number)) => *number += 1,
        None => numbers.push((key, 1)),
    }
}

/// What becomes of the findings of one poll.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Findings that have waited, in the order of their ranks.
    pub(super) late: Vec<Finding>,
    /// New findings, each with its place in the poll.
    pub(super) written: Vec<(usize, Finding)>,
    /// New findings that have no line and don't wait.
    pub(super) left: Vec<Finding>,
}

impl Period {
    pub(super) fn new(query: &Arc<Query>, lines: u64, since: Timestamp, until: Timestamp) -> Self {
        Self {
            query: Arc::clone(query),
            since,
            until,
            lines,
            written: WrittenLines::default(),
            waiting: Vec::new(),
            suppressed: WithheldFindings::default(),
        }
    }

    /// Goes on for the query that has taken the place of its own, with so many lines.
    pub(super) fn succeed(&mut self, query: &Arc<Query>, lines: Option<u64>) {
        self.lines = lines.unwrap_or(self.lines);
        for finding in &mut self.waiting {
            finding.query = Arc::clone(query);
        }
        self.query = Arc::clone(query);
    }

    /// Whether findings may get a line although a poll brings none.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn for_clients(&self) -> u64 {
        self.lines / CLIENT_SHARE
    }

    /// The lines that may be written until `now`.
    fn released(&self, now: Timestamp) -> u64 {
        if self.query.severity() == Severity::Informational {
            return self.lines;
        }
        let later = self.lines / LINES_FOR_LATER;
        let span = |to: Timestamp| to.duration_since(self.since).as_millis().max(0);
        let part = span(self.until) / (i128::from(later) + 1);
        let released = span(now).checked_div(part).unwrap_or(0);
        let released = u64::try_from(released).unwrap_or(0).min(later);
        self.lines - later + released
    }

    /// Chooses the findings that get a line at `now`. Those of a poll come with their places in it.
    pub(super) fn choose(&mut self, found: Vec<(usize, Finding)>, now: Timestamp) -> Choice {
        let lines = self.released(now);
        let is_shared = self.query.severity() > Severity::Informational;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let all = waiting.map(|finding| (None, finding));
        let found = found
            .into_iter()
            .map(|(place, finding)| (Some(place), finding));
        let mut all: Vec<(Option<usize>, Finding)> = all.chain(found).collect();
        // Ties keep their order.
        all.sort_by_key(|(_, finding)| Reverse(finding.rank()));
        let mut choice = Choice::default();
        for (place, finding) in all {
            let has_line = self.written.has_room(lines, self.for_clients(), &finding)
                && !(is_shared && self.written.has_had_enough(self.lines, &finding));
            match place {
                _ if has_line => {
                    self.written.add(&finding);
                    match place {
                        Some(place) => choice.written.push((place, finding)),
                        None => choice.late.push(finding),
                    }
                }
                // The digest counts them.
                _ if !is_shared => choice.left.push(finding),
                _ => self.wait(finding),
            }
        }
        choice
    }

    /// Keeps a finding for later. Findings come in the order of their ranks.
    fn wait(&mut self, mut finding: Finding) {
        let mut waiting = self.waiting.iter_mut();
        if let Some(other) = waiting.find(|other| other.incident == finding.incident) {
            if other.at < finding.at {
                std::mem::swap(other, &mut finding);
            }
            // `finding` is the older one.
            let began = [&*other, &finding].map(|of| of.phase == Phase::Began);
            if began.contains(&true) && other.phase != Phase::Ended {
                other.phase = Phase::Began;
            }
            self.suppressed.add(&finding);
        } else if self.waiting.len() < WAITING {
            self.waiting.push(finding);
        } else {
            self.suppressed.unlisted += 1;
            self.suppressed.add(&finding);
        }
    }

    /// Ends the period at `now`: writes what waits on the lines that are left, and one line about
    /// the rest. Returns how many findings these are.
    pub(super) fn close(mut self, now: Timestamp, per: Duration) -> (Vec<Notification>, u64) {
        let mut notifications = Vec::new();
        let mut listed = Vec::new();
        // They are in the order of their ranks, but for those that have replaced another.
        self.waiting.sort_by_key(|finding| Reverse(finding.rank()));
        for finding in std::mem::take(&mut self.waiting) {
            if self
                .written
                .has_room(self.lines, self.for_clients(), &finding)
            {
                self.written.add(&finding);
                notifications.push(Notification::Found(Box::new(finding)));
            } else {
                self.suppressed.add(&finding);
                listed.push(finding);
            }
        }
        let WithheldFindings {
            count,
            unlisted,
            span,
        } = self.suppressed;
        let sources = SuppressedSource::list(&listed);
        let mut listed = listed.into_iter();
        if let (Some(first), Some((start, end))) = (listed.next(), span) {
            notifications.push(Notification::Suppressed {
                first: Box::new(first),
                suppressed: Suppressed {
                    at: now,
                    count,
                    start,
                    end,
                    per,
                    sources,
                    unlisted,
                },
            });
        }
        (notifications, count)
    }
}

/// When a period of that length ends.
pub(super) fn end_of_period(now: Timestamp, per: Duration) -> Timestamp {
    let per = SignedDuration::try_from(per).unwrap_or(SignedDuration::MAX);
    now.checked_add(per).unwrap_or(Timestamp::MAX)
}
