//! Some of the remotes that there is evidence about, for whoever looks at a running agent.
//!
//! In: an order, a filter, how many. Out: [`KnownSources`].
//! The decisions held here:
//! - One walk over the evidence, which is bounded, and a heap of as many as are asked for: what a
//!   look costs does not depend on what an attacker sends. Nothing is kept for it between two.
//! - Outcomes are those that the evidence counts anyway. Ports are a sample of the lowest, since
//!   one source may have tried all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use clap::ValueEnum;
use jiff::Timestamp;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::Contacts;
use super::evidence::Evidence;
use super::hour::SourceCounts;
use super::inbound::network_verdict;
use super::outcomes::Outcomes;
use super::verdict::{STEPS, weight_of};
use crate::address::Network;
use crate::row::{ToolSet, Verdict};

/// Targets of a source in a list that are looked at for its open ports.
const LOOKED_AT: usize = 256;
/// Ports of a source that are shown.
const PORTS_SHOWN: usize = 16;

/// By what sources are sorted, the greatest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SourceOrder {
    /// Who was seen last.
    #[default]
    Recent,
    /// Scanners first, then by what failed.
    Verdict,
    /// By the number of targets.
    Ports,
    /// By the targets that accepted or answered.
    Accepted,
    /// By the targets that failed.
    Failed,
    /// Who was first seen last.
    New,
}

impl SourceOrder {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 6] = [
        Self::Recent,
        Self::Verdict,
        Self::Ports,
        Self::Accepted,
        Self::Failed,
        Self::New,
    ];

    /// The name, as options and the screen have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Verdict => "verdict",
            Self::Ports => "ports",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::New => "new",
        }
    }

    /// What the evidence is compared by.
    fn rank(self, of: &Evidence) -> (u64, u64) {
        let (last, failures) = (u64::from(of.last), u64::from(of.failures()));
        let targets = of.len() as u64;
        match self {
            Self::Recent => (last, failures),
            Self::Verdict => (of.verdict() as u64, failures),
            Self::Ports => (targets, last),
            Self::Accepted => (of.accepted(), last),
            Self::Failed => (targets - of.accepted(), last),
            Self::New => (of.first.into(), last),
        }
    }
}

/// Which sources are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceFilter {
    /// Those of a network.
    Network(Network),
    /// Those with that verdict.
    Verdict(Verdict),
}

impl SourceFilter {
    fn accepts(&self, remote: Address, evidence: &Evidence) -> bool {
        match self {
            Self::Network(network) => network.contains(remote.to_ip()),
            Self::Verdict(verdict) => evidence.verdict() == *verdict,
        }
    }
}

/// The error says what to write.
impl FromStr for SourceFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(verdict) = Verdict::ALL.into_iter().find(|it| it.name() == text) {
            return Ok(Self::Verdict(verdict));
        }
        let network = first_numbers(text).or_else(|| text.parse().ok());
        network.map(Self::Network).ok_or_else(|| {
            format!(
                "`{text}` selects no sources: use an address, its first numbers (198.51.100), a network (198.51.100.0/24, 2001:db8::/32), or client, undecided or scanner"
            )
        })
    }
}

/// The network of the addresses that begin with these numbers, such as `198.51.`.
fn first_numbers(text: &str) -> Option<Network> {
    const NUMBERS: usize = 4;
    let mut octets = [0; NUMBERS];
    let mut count = 0;
    for number in text.strip_suffix('.').unwrap_or(text).split('.') {
        *octets.get_mut(count)? = number.parse().ok()?;
        count += 1;
    }
    let length = count * u8::BITS as usize;
    format!("{}/{length}", Ipv4Addr::from(octets)).parse().ok()
}

/// Which sources to list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceSelection {
    pub(crate) order: SourceOrder,
    pub(crate) filter: Option<SourceFilter>,
    pub(crate) limit: usize,
}

/// What is known of one source.
#[derive(Clone, Debug)]
pub(crate) struct KnownSource {
    pub(crate) ip: IpAddr,
    pub(crate) verdict: Verdict,
    pub(crate) network_verdict: Verdict,
    /// Whether it has completed a handshake.
    pub(crate) is_proven: bool,
    /// What became of its targets: ports, each on its local address.
    pub(crate) outcomes: Outcomes,
    /// The lowest ports.
    pub(crate) ports: Vec<u16>,
    /// The lowest and the highest port.
    pub(crate) port_range: Option<[u16; 2]>,
    /// Attempts that succeeded.
    pub(crate) successes: u64,
    /// What its targets weigh as failures.
    pub(crate) failures: u64,
    /// What its successes weigh against them.
    pub(crate) weight: u64,
    /// How much more failures than successes make a scanner, or the other way a client.
    pub(crate) steps: u64,
    pub(crate) tools: ToolSet,
    /// When its first and its last attempt were settled.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

/// Some sources, and how many there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSources {
    /// The selected ones, in order.
    pub(crate) listed: Vec<KnownSource>,
    /// All that the filter accepts.
    pub(crate) matching: u64,
    /// All that there is evidence about.
    pub(crate) counts: SourceCounts,
    /// Whether there were more in this hour than are kept.
    pub(crate) lower_bound: bool,
}

impl Contacts {
    /// The first sources of that order.
    pub(crate) fn list_sources(&self, selection: SourceSelection) -> KnownSources {
        let SourceSelection {
            order,
            filter,
            limit,
        } = selection;
        let remotes = &self.inbound.remotes;
        let mut sources = KnownSources {
            lower_bound: remotes.was_full(),
            ..KnownSources::default()
        };
        let mut first = BinaryHeap::with_capacity(limit + 1);
        for (remote, evidence) in remotes.iter() {
            sources.counts.add(evidence.verdict());
            if filter.is_some_and(|filter| !filter.accepts(remote, evidence)) {
                continue;
            }
            sources.matching += 1;
            first.push(Reverse((order.rank(evidence), remote)));
            if first.len() > limit {
                first.pop();
            }
        }
        let first = first.into_sorted_vec().into_iter();
        let listed = first.filter_map(|Reverse((_, remote))| self.known(remote, LOOKED_AT));
        sources.listed = listed.collect();
        sources
    }

    /// All that is known of one source.
    pub(crate) fn known_source(&self, remote: Address) -> Option<KnownSource> {
        self.known(remote, usize::MAX)
    }

    fn known(&self, remote: Address, looked_at: usize) -> Option<KnownSource> {
        let evidence = self.inbound.remotes.get(remote)?;
        let (outcomes, mut ports) = evidence.summary(looked_at);
        ports.truncate(PORTS_SHOWN);
        let (failures, successes) = (evidence.failures().into(), evidence.successes().into());
        let at = |second: u32| Timestamp::from_second(second.into()).unwrap_or_default();
        Some(KnownSource {
            ip: remote.to_ip(),
            verdict: evidence.verdict(),
            network_verdict: network_verdict(self.inbound.networks.as_ref(), remote),
            is_proven: evidence.is_proven(),
            outcomes,
            ports,
            port_range: evidence.port_range(),
            successes,
            failures,
            weight: weight_of(successes, failures),
            steps: STEPS,
            tools: evidence.tools,
            first: at(evidence.first),
            last: at(evidence.last),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read() {
        for (text, accepted, refused) in [
            ("198.51.100.7", "198.51.100.7", "198.51.100.8"),
            ("198.51.100.", "198.51.100.8", "198.51.101.1"),
            ("198.51", "198.51.0.1", "198.52.0.1"),
            (" 198 ", "198.1.2.3", "199.1.2.3"),
            ("198.51.100.0/25", "198.51.100.127", "198.51.100.128"),
            ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
        ] {
            let filter: SourceFilter = text.parse().expect(text);
            for (address, expected) in [(accepted, true), (refused, false)] {
                let address: IpAddr = address.parse().expect("an address");
                let found = filter.accepts(address.into(), &Evidence::default());
                assert_eq!(found, expected, "{text} {address}");
            }
        }
        let scanner: SourceFilter = "scanner".parse().expect("a verdict");
        assert_eq!(scanner, SourceFilter::Verdict(Verdict::Scanner));
        for text in [
            "",
            ".",
            "300.1",
            "1.2.3.4.5",
            "198..51",
            "evil",
            "198.51.100.7/24",
        ] {
            let error = text.parse::<SourceFilter>().expect_err(text);
            assert!(error.contains("selects no sources"), "{error}");
        }
    }
}
