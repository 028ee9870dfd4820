//! What all attempts add up to since the last digest.
//!
//! In: the attempts as they are settled, and the ledger at the end. Out: [`ContactTotals`].
//! The decision held here: sources are not counted as they come. The ledger knows when it first and
//! last saw each, so one walk at the end of an hour finds the hour's sources, and a row costs two
//! additions.

use std::cmp::Reverse;
use std::collections::HashMap;

use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::ledger::Ledger;
use super::outcomes::{Outcome, is_zero};
use super::targets::Target;
use crate::address::first_neighbour;
use crate::row::Verdict;
use crate::seed::Secrets;

/// What the attempts of all remotes add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactTotals {
    /// The attempts.
    #[serde(with = "saved_counts")]
    pub attempts: AttemptCounts,
    /// The distinct ports that were tried, each of TCP and of UDP.
    pub ports: u64,
    /// The distinct remotes.
    pub sources: SourceCounts,
    /// Those of them that were unknown before.
    pub new: u64,
    /// The networks that have the most of them, in that order.
    pub networks: Vec<NetworkSources>,
    /// Whether some sources are not among them, as there were more than recon keeps.
    pub lower_bound: bool,
}

/// Attempts by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AttemptCounts {
    /// Accepted, or a datagram that was answered.
    pub accepted: u64,
    /// Refused, by a reset or by ICMP.
    pub refused: u64,
    /// Answered by a SYN-ACK, but the handshake was never completed.
    pub half_open: u64,
    /// Not answered.
    pub silent: u64,
    /// Those of the latter where a socket of this host waits.
    #[serde(skip_serializing_if = "is_zero")]
    pub silent_with_listener: u64,
}

impl AttemptCounts {
    /// All attempts.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.accepted + self.refused + self.half_open + self.silent
    }
}

/// Numbers of distinct sources, by the verdict on each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// Those that are clients.
    pub client: u64,
    /// Those that could be either.
    pub undecided: u64,
    /// Those that are scanners.
    pub scanner: u64,
}

impl SourceCounts {
    /// Counts a source.
    pub(crate) fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Client => self.client += 1,
            Verdict::Undecided => self.undecided += 1,
            Verdict::Scanner => self.scanner += 1,
        }
    }

    /// All sources.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.client + self.undecided + self.scanner
    }
}

/// How many sources a network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSources {
    /// Its first address.
    pub network: Address,
    /// Its distinct sources.
    pub sources: u64,
}

/// The networks that a digest names.
const TOP_NETWORKS: usize = 10;
/// Words of a bit for each port.
const PORT_WORDS: usize = (1 << u16::BITS) / u64::BITS as usize;

/// An hour that goes on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ContactHour {
    #[serde(with = "saved_counts")]
    attempts: AttemptCounts,
    /// The ports that were tried: those of TCP, then those of UDP. Empty until there is one.
    ports: Vec<u64>,
    /// When it began, in seconds since 1970.
    since: u32,
}

impl ContactHour {
    /// Counts attempts on a target.
    pub(super) fn add(&mut self, target: Target, outcome: Outcome, count: u64) {
        let attempts = &mut self.attempts;
        if outcome == Outcome::Unserved {
            let number = &mut attempts.silent_with_listener;
            *number = number.saturating_add(count);
        }
        let number = match outcome {
            Outcome::Ignored | Outcome::Unserved => &mut attempts.silent,
            Outcome::Refused => &mut attempts.refused,
            Outcome::HalfOpen => &mut attempts.half_open,
            Outcome::Answered | Outcome::Accepted => &mut attempts.accepted,
        };
        *number = number.saturating_add(count);
        self.ports.resize(2 * PORT_WORDS, 0);
        let port = usize::from(target.port);
        let word = port / u64::BITS as usize + usize::from(target.is_udp) * PORT_WORDS;
        self.ports[word] |= 1 << (port % u64::BITS as usize);
    }

    /// Ends the hour at `now`, where the next one begins. `None` if nothing was tried.
    pub(super) fn close(&mut self, remotes: &mut Ledger, now: u32) -> Option<ContactTotals> {
        let hour = std::mem::replace(
            self,
            Self {
                since: now,
                ..Self::default()
            },
        );
        let lower_bound = remotes.take_was_full();
        if hour.ports.is_empty() {
            return None;
        }
        // Not those from before a clock that was set back.
        let hours = hour.since..=now;
        let is_of_hour = |(_, evidence): &(_, &Evidence)| hours.contains(&evidence.last);
        let mut totals = ContactTotals {
            attempts: hour.attempts,
            ports: hour
                .ports
                .iter()
                .map(|word| u64::from(word.count_ones()))
                .sum(),
            lower_bound,
            ..ContactTotals::default()
        };
        let mut networks = HashMap::<Address, u64, Secrets>::default();
        for (remote, evidence) in remotes.iter().filter(is_of_hour) {
            totals.sources.add(evidence.verdict());
            totals.new += u64::from(evidence.first >= hour.since);
            *networks.entry(first_neighbour(remote)).or_default() += 1;
        }
        totals.networks = top_networks(networks);
        Some(totals)
    }
}

/// The networks with the most sources.
fn top_networks(networks: HashMap<Address, u64, Secrets>) -> Vec<NetworkSources> {
    let networks = networks.into_iter();
    let mut networks: Vec<_> = networks
        .map(|(network, sources)| NetworkSources { network, sources })
        .collect();
    networks.sort_unstable_by_key(|of| (Reverse(of.sources), of.network));
    networks.truncate(TOP_NETWORKS);
    networks
}

/// The saved form of counts: an omitted field, as in JSON, would shift the others.
mod saved_counts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::AttemptCounts;

    pub(super) fn serialize<S: Serializer>(of: &AttemptCounts, to: S) -> Result<S::Ok, S::Error> {
        let &AttemptCounts {
            accepted,
            refused,
            half_open,
            silent,
            silent_with_listener,
        } = of;
        [accepted, refused, half_open, silent, silent_with_listener].serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<AttemptCounts, D::Error> {
        let [accepted, refused, half_open, silent, silent_with_listener] =
            Deserialize::deserialize(from)?;
        Ok(AttemptCounts {
            accepted,
            refused,
            half_open,
            silent,
            silent_with_listener,
        })
    }
}
