//! What an hour adds up to: all attempts, and the informational findings without a line.
//!
//! In: the findings, and the totals of the attempts. Out: a [`Digest`] at the end of each hour that
//! had any.
//! The decisions held here:
//! - One line for the whole agent: what busy clients cause all day must be known, and must not be
//!   read line by line. So must what tries a few ports and is no finding at all.
//! - Hours are those of the clock (UTC), so that the digests of several hosts are about the same
//!   times, and those of a replay too.
//! - The numbers are exact up to a bound on sources, which bounds the memory too. Beyond it, a
//!   digest says that the true numbers may be higher.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Finding, Source};
use crate::contact::{ContactTotals, SourceCounts};
use crate::row::Verdict;
use crate::stream::{Query, Secrets};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The sources that an hour knows, 5 MB of them.
const MAX_SOURCES: usize = 1 << 16;

/// The digest of an hour, or of the part of it in which recon ran.
#[derive(Clone, Debug)]
pub struct Digest {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What the attempts of all remotes add up to.
    pub contacts: ContactTotals,
    /// The findings without a line by rule and measure, in the order of their first findings.
    pub rules: Vec<RuleDigest>,
    /// Whether there were more sources of findings, or rules, than are kept.
    pub lower_bound: bool,
}

impl Digest {
    /// All findings.
    #[must_use]
    pub fn findings(&self) -> u64 {
        self.rules.iter().map(|rule| rule.findings).sum()
    }
}

/// What one rule found.
#[derive(Clone, Debug)]
pub struct RuleDigest {
    /// The rule.
    pub query: Arc<Query>,
    /// Its findings.
    pub findings: u64,
    /// Their distinct sources.
    pub sources: SourceCounts,
    /// Their distinct ports, of those that findings list.
    pub ports: u64,
}

/// An hour that goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DigestHour {
    since: Timestamp,
    until: Timestamp,
    /// The time of the last poll.
    polled_at: Timestamp,
    rules: Vec<RuleHour>,
    sources: HashMap<Source, SourceHour, Secrets>,
    contacts: Option<ContactTotals>,
    is_lower_bound: bool,
}

/// What one rule has found in an hour so far.
#[derive(Debug, Serialize, Deserialize)]
struct RuleHour {
    query: Arc<Query>,
    findings: u64,
    ports: HashSet<u16, Secrets>,
}

/// What a source has done in an hour so far.
#[derive(Debug, Serialize, Deserialize)]
struct SourceHour {
    verdict: Verdict,
    /// A bit for each of the first 64 rules.
    rules: u64,
}

impl DigestHour {
    /// The hour of the clock that `since` is in, from then on.
    pub(super) fn new(since: Timestamp) -> Self {
        Self {
            since,
            until: hour_of(since).checked_add(HOUR).unwrap_or(Timestamp::MAX),
            polled_at: since,
            rules: Vec::new(),
            sources: HashMap::default(),
            contacts: None,
            is_lower_bound: false,
        }
    }

    /// When it ends.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether it is over, also because the clock was set back.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        !(self.since..self.until).contains(&now)
    }

    /// Adds the totals of its attempts.
    pub(super) fn set_contacts(&mut self, contacts: ContactTotals) {
        self.contacts = Some(contacts);
    }

    /// Begins the next hour if this one is over. Returns the digest of the one that ends, if it had
    /// anything in it.
    pub(super) fn turn(&mut self, now: Timestamp) -> Option<Digest> {
        if !self.is_over(now) {
            self.polled_at = now;
            return None;
        }
        let (since, end) = match now < self.since {
            true => (now, self.polled_at),
            false => (hour_of(now), self.until),
        };
        let next = Self {
            polled_at: now,
            ..Self::new(since)
        };
        std::mem::replace(self, next).close(end)
    }

    /// Adds a finding that gets no line.
    pub(super) fn add(&mut self, finding: &Finding) {
        let rule = self.rule_of(&finding.query);
        self.rules[rule].findings += 1;
        match finding.port {
            Some(port) => self.rules[rule].ports.extend([port]),
            None => self.rules[rule].ports.extend(&finding.ports),
        }
        let Some(source) = finding.source() else {
            return;
        };
        let bit = 1_u64.checked_shl(rule as u32);
        let is_known = self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source);
        let Some(bit) = bit.filter(|_| is_known) else {
            self.is_lower_bound = true;
            return;
        };
        let known = self.sources.entry(source).or_insert(SourceHour {
            verdict: finding.verdict,
            rules: 0,
        });
        known.rules |= bit;
        known.verdict = known.verdict.max(finding.verdict);
    }

    /// The position of a rule, which is added if it is new. There are few.
    fn rule_of(&mut self, query: &Arc<Query>) -> usize {
        let mut rules = self.rules.iter();
        let known = rules.position(|rule| Arc::ptr_eq(&rule.query, query));
        known.unwrap_or_else(|| {
            self.rules.push(RuleHour {
                query: Arc::clone(query),
                findings: 0,
                ports: HashSet::default(),
            });
            self.rules.len() - 1
        })
    }

    /// Goes on with the queries that have taken the place of others.
    pub(super) fn succeed(&mut self, successor: &dyn Fn(&Query) -> Option<Arc<Query>>) {
        for rule in &mut self.rules {
            if let Some(query) = successor(&rule.query) {
                rule.query = query;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.contacts.is_none()
    }

    /// Ends it. Returns its digest, if it had anything in it.
    pub(super) fn close(self, end: Timestamp) -> Option<Digest> {
        if self.is_empty() {
            return None;
        }
        let mut by_rule = vec![SourceCounts::default(); self.rules.len()];
        for source in self.sources.values() {
            for (rule, counts) in by_rule.iter_mut().enumerate().take(u64::BITS as usize) {
                if source.rules & 1 << rule != 0 {
                    counts.add(source.verdict);
                }
            }
        }
        let rules = self.rules.into_iter().zip(by_rule);
        Some(Digest {
            start: self.since,
            end,
            contacts: self.contacts.unwrap_or_default(),
            rules: rules
                .map(|(rule, sources)| RuleDigest {
                    query: rule.query,
                    findings: rule.findings,
                    sources,
                    ports: rule.ports.len() as u64,
                })
                .collect(),
            lower_bound: self.is_lower_bound,
        })
    }
}

/// The beginning of the hour that a time is in.
fn hour_of(time: Timestamp) -> Timestamp {
    let hour = HOUR.as_secs();
    let second = time.as_second().div_euclid(hour) * hour;
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
