//! What informational findings without a line add up to, by the hour.
//!
//! In: the findings. Out: a [`Digest`] at the end of each hour that had any.
//! The decisions held here:
//! - One line for the whole agent: what busy clients cause all day must be known, and must not be
//!   read line by line.
//! - Hours are those of the clock (UTC), so that the digests of several hosts are about the same
//!   times, and those of a replay too.
//! - The numbers are exact up to a bound on sources, which bounds the memory too. Beyond it, a
//!   digest says that the true numbers may be higher.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use recon_common::Address;

use super::{Finding, Source};
use crate::address::first_neighbour;
use crate::row::Verdict;
use crate::stream::{Query, Secrets};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The sources that an hour knows, 5 MB of them.
const MAX_SOURCES: usize = 1 << 16;
/// The networks that a digest names.
const TOP_NETWORKS: usize = 10;

/// The digest of an hour, or of the part of it in which recon ran.
#[derive(Clone, Debug)]
pub struct Digest {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The distinct sources of all rules.
    pub sources: SourceCounts,
    /// By rule and measure, in the order of their first findings.
    pub rules: Vec<RuleDigest>,
    /// The networks with the most sources, in that order.
    pub networks: Vec<NetworkSources>,
    /// Whether there were more sources than are kept.
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

/// Numbers of distinct sources, by the highest verdict on each in the hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Those that are clients.
    pub client: u64,
    /// Those that could be either.
    pub undecided: u64,
    /// Those that are scanners.
    pub scanner: u64,
}

impl SourceCounts {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Client => self.client += 1,
            Verdict::Undecided => self.undecided += 1,
            Verdict::Scanner => self.scanner += 1,
        }
    }
}

/// How many sources of a network there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSources {
    /// Its first address.
    pub network: Address,
    /// Distinct sources of all rules.
    pub sources: u64,
}

/// An hour that goes on.
#[derive(Debug)]
pub(super) struct DigestHour {
    since: Timestamp,
    until: Timestamp,
    /// The time of the last finding.
    changed_at: Timestamp,
    rules: Vec<RuleHour>,
    sources: HashMap<Source, SourceHour, Secrets>,
    is_lower_bound: bool,
}

/// What one rule has found in an hour so far.
#[derive(Debug)]
struct RuleHour {
    query: Arc<Query>,
    findings: u64,
    ports: HashSet<u16, Secrets>,
}

/// What a source has done in an hour so far.
#[derive(Debug)]
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
            changed_at: since,
            rules: Vec::new(),
            sources: HashMap::default(),
            is_lower_bound: false,
        }
    }

    /// When it ends.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }

    /// Begins the next hour if this one is over, also because the clock was set back. Returns the
    /// digest of the one that ends, if it had anything in it.
    pub(super) fn turn(&mut self, now: Timestamp) -> Option<Digest> {
        if (self.since..self.until).contains(&now) {
            return None;
        }
        let (since, end) = match now < self.since {
            true => (now, self.changed_at),
            false => (hour_of(now), self.until),
        };
        std::mem::replace(self, Self::new(since)).close(end)
    }

    /// Adds a finding of `now` that gets no line.
    pub(super) fn add(&mut self, finding: &Finding, now: Timestamp) {
        self.changed_at = now;
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

    fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Ends it. Returns its digest, if it had anything in it.
    pub(super) fn close(self, end: Timestamp) -> Option<Digest> {
        if self.is_empty() {
            return None;
        }
        let mut all = SourceCounts::default();
        let mut by_rule = vec![SourceCounts::default(); self.rules.len()];
        for source in self.sources.values() {
            all.add(source.verdict);
            for (rule, counts) in by_rule.iter_mut().enumerate().take(u64::BITS as usize) {
                if source.rules & 1 << rule != 0 {
                    counts.add(source.verdict);
                }
            }
        }
        let networks = top_networks(self.sources.keys());
        let rules = self.rules.into_iter().zip(by_rule);
        Some(Digest {
            start: self.since,
            end,
            sources: all,
            rules: rules
                .map(|(rule, sources)| RuleDigest {
                    query: rule.query,
                    findings: rule.findings,
                    sources,
                    ports: rule.ports.len() as u64,
                })
                .collect(),
            networks,
            lower_bound: self.is_lower_bound,
        })
    }
}

/// The networks with the most sources.
fn top_networks<'a>(sources: impl Iterator<Item = &'a Source>) -> Vec<NetworkSources> {
    let mut by_network = HashMap::<Address, u64, Secrets>::default();
    for source in sources {
        match *source {
            Source::Remote(remote) => *by_network.entry(first_neighbour(remote)).or_default() += 1,
            Source::Network(first) => *by_network.entry(first).or_default() += 1,
            Source::Process(_) => {}
        }
    }
    let networks = by_network.into_iter();
    let mut networks: Vec<_> = networks
        .map(|(network, sources)| NetworkSources { network, sources })
        .collect();
    networks.sort_unstable_by_key(|of| (Reverse(of.sources), of.network));
    networks.truncate(TOP_NETWORKS);
    networks
}

/// The beginning of the hour that a time is in.
fn hour_of(time: Timestamp) -> Timestamp {
    let hour = HOUR.as_secs();
    let second = time.as_second().div_euclid(hour) * hour;
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
