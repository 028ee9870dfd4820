//! First contacts and what became of them: the evidence that rules judge.
//!
//! In: rows as they come. Out: a row for each attempt, once its outcome is known; the verdict on
//! each remote; the outcomes that alerts show.
//!
//! | step | module | holds |
//! |---|---|---|
//! | wait | `queue`, `attempt`, `inbound`, `outbound` | attempts until their outcome is known |
//! | wait | `redirect` | what was accepted on another port |
//! | evidence | `record`, `evidence`, `targets`, `outcomes`, `locals` | targets and outcomes |
//! | bound | `ledger` | the evidence about all remotes, in bounded memory |
//! | verdict | `verdict` | the sequential test |
//! | totals | `hour` | what all attempts of an hour add up to |
//! | show | [`known`] | some of the remotes, for whoever looks at a running agent |
//!
//! The decision held here: what a packet shows is counted as it comes, but what it means is known a
//! round trip later. So attempts are rows of their own, about a second later than their packets
//! where no handshake, answer or refusal settles them.

mod attempt;
mod evidence;
mod hour;
mod inbound;
mod known;
mod ledger;
mod locals;
mod outbound;
mod outcomes;
mod queue;
mod record;
mod redirect;
mod targets;
mod verdict;

use std::cell::OnceCell;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use recon_common::{Address, Signal};
use serde::{Deserialize, Serialize};

use crate::address::first_neighbour;
use crate::process::Process;
use crate::row::{Interval, Row, RowKey, Standing, ToolSet, Verdict};
use evidence::Evidence;
use inbound::{Inbound, WaitingTargets, network_verdict, second};
use ledger::Ledger;
use outbound::Outbound;

pub use hour::{AttemptCounts, ContactTotals, NetworkSources, SourceCounts};
pub use known::SourceOrder;
pub(crate) use known::{KnownSource, KnownSources, SourceFilter, SourceSelection};
pub use outcomes::Outcomes;
pub(crate) use outcomes::saved_outcomes;

/// How long an attempt waits for its outcome, and at least until the next poll: a round trip is
/// shorter. Polls of one second may be some milliseconds less than a second apart.
const WAIT: SignedDuration = SignedDuration::from_millis(900);
/// A connection that has stayed open for this long is used. `nmap -sT` closes at once.
const STAYED: SignedDuration = SignedDuration::from_secs(5);
/// How long a contact is evidence: the longest window of the built-in rules.
const HORIZON: SignedDuration = SignedDuration::from_hours(24);

/// A row that is known at the end of a poll.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) key: RowKey,
    pub(crate) count: u64,
    /// Its events are not older.
    pub(crate) since: Timestamp,
    pub(crate) process: Option<Arc<Process>>,
    pub(crate) is_scanner: bool,
    pub(crate) listener: Option<bool>,
    /// What is known of the remote after the poll. `None` if that was not looked up.
    pub(crate) standing: Option<Standing>,
}

/// The end of a poll.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Timestamp,
    second: u32,
    /// What is not younger has waited for its outcome.
    waited: Timestamp,
    /// A connection that is not younger has stayed open.
    stayed: Timestamp,
    /// Contacts before are over.
    oldest: u32,
    /// Whether there is no later poll.
    is_last: bool,
}

impl Clock {
    fn of(now: Timestamp, is_last: bool) -> Self {
        let before = |span: SignedDuration| now.checked_sub(span).unwrap_or(Timestamp::MIN);
        Self {
            now,
            second: second(now),
            waited: before(WAIT),
            stayed: before(STAYED),
            oldest: second(before(HORIZON)),
            is_last,
        }
    }

    /// Whether an attempt of that time has waited for its outcome.
    fn has_waited(&self, since: Timestamp) -> bool {
        self.is_due(since, self.waited)
    }

    /// Whether a connection of that time has stayed open.
    fn has_stayed(&self, since: Timestamp) -> bool {
        self.is_due(since, self.stayed)
    }

    /// Whether what began at `since` is due, as is all that began until then. A clock that was set
    /// back must not make it wait for hours.
    fn is_due(&self, since: Timestamp, until: Timestamp) -> bool {
        self.is_last || since <= until || self.now < since
    }
}

/// What rules read of contacts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContactNeeds {
    /// The verdict on networks.
    pub(crate) networks: bool,
    /// The process behind an attempt of this host.
    pub(crate) processes: bool,
}

/// What a finding says of its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceEvidence {
    /// What its attempts show.
    pub verdict: Verdict,
    /// Whether it is proven that they come from its address.
    pub is_proven: bool,
    /// Whether the address is also a client's, in whose name somebody may forge.
    pub is_contradicted: bool,
    /// The tools whose fingerprints its attempts carried.
    pub tools: ToolSet,
}

/// All contacts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contacts {
    inbound: Inbound,
    outbound: Outbound,
    #[serde(skip)]
    needs: ContactNeeds,
    device: Arc<str>,
    /// What still waits after a poll. Only a poll with a finding asks.
    #[serde(skip)]
    waiting: OnceCell<WaitingTargets>,
}

impl Contacts {
    pub(crate) fn new(needs: ContactNeeds) -> Self {
        Self {
            inbound: Inbound::new(needs.networks.then(Ledger::default)),
            outbound: Outbound::default(),
            needs,
            device: Arc::default(),
            waiting: OnceCell::new(),
        }
    }

    /// Goes on with what other rules read of contacts.
    pub(crate) fn reconfigure(&mut self, needs: ContactNeeds) {
        self.needs = needs;
        match needs.networks {
            true => drop(self.inbound.networks.get_or_insert_default()),
            false => self.inbound.networks = None,
        }
    }

    /// Forgets which processes have sent.
    pub(crate) fn forget_processes(&mut self) {
        self.outbound.forget_waiting();
        self.waiting = OnceCell::new();
    }

    /// Adds a row.
    pub(crate) fn observe(&mut self, row: &Row<'_>, interval: Interval) {
        let signal = row.key.signal;
        if Inbound::concerns(signal) {
            self.inbound.observe(row, interval);
        } else if Outbound::concerns(signal) {
            self.outbound.observe(row, interval, self.needs.processes);
        } else {
            return;
        }
        if *self.device != *row.device {
            self.device = row.device.into();
        }
    }

    /// What is known of a remote.
    pub(crate) fn standing(&self, remote: Address) -> Standing {
        let network = network_verdict(self.inbound.networks.as_ref(), remote);
        match self.inbound.remotes.get(remote) {
            Some(evidence) => Standing {
                remote: evidence.verdict(),
                network,
                is_proven: evidence.is_proven(),
            },
            None => Standing {
                network,
                ..Standing::default()
            },
        }
    }

    /// Whether a remote has completed a handshake with this host.
    pub(crate) fn is_proven(&self, remote: Address) -> bool {
        let evidence = self.inbound.remotes.get(remote);
        evidence.is_some_and(Evidence::is_proven)
    }

    /// Whether somebody in the network of a remote has, as far as a rule asks.
    pub(crate) fn is_network_proven(&self, remote: Address) -> bool {
        let networks = self.inbound.networks.as_ref();
        let evidence = networks.and_then(|networks| networks.get(first_neighbour(remote)));
        evidence.is_some_and(Evidence::is_proven)
    }

    /// Settles the attempts whose outcome is known at the end of a poll, or all of them if it
    /// `is_last`. The rows come in the order of their first events; those of used connections last.
    pub(crate) fn settle(&mut self, now: Timestamp, is_last: bool) -> Vec<Settled> {
        let clock = Clock::of(now, is_last);
        self.waiting.take();
        let mut settled = Vec::new();
        self.outbound.settle(clock, &mut settled);
        let changed = self.inbound.settle(clock, &mut settled);
        // Each row has what was known when it was settled. Few verdicts change in a poll.
        for row in &mut settled {
            if row.key.remote.is_some_and(|of| changed.concerns(of)) {
                row.standing = None;
            }
        }
        settled
    }

    /// What the attempts that were settled since the last call add up to. `None` if none was.
    pub(crate) fn take_totals(&mut self, now: Timestamp) -> Option<ContactTotals> {
        self.inbound.take_totals(second(now))
    }

    /// How many remotes there is evidence about, and how often one of them got each verdict since
    /// the start, in the order of [`Verdict::ALL`].
    pub(crate) fn verdict_stats(&self) -> (usize, [u64; Verdict::ALL.len()]) {
        let remotes = &self.inbound.remotes;
        (remotes.len(), remotes.reached())
    }

    /// The name of this host in settled rows.
    pub(crate) fn device(&self) -> Arc<str> {
        Arc::clone(&self.device)
    }

    /// What the attempts of a remote say of it.
    pub(crate) fn source(&self, remote: Address) -> SourceEvidence {
        let evidence = self.inbound.remotes.get(remote);
        evidence.map_or_else(SourceEvidence::default, |evidence| SourceEvidence {
            verdict: evidence.verdict(),
            is_proven: evidence.is_scan_proven,
            is_contradicted: evidence.was_client() && !evidence.is_scan_proven,
            tools: evidence.tools,
        })
    }

    /// What became of a remote's attempts within a window: on these ports or on all if there are
    /// none, and on one local address or on all. `None` if there were none.
    pub(crate) fn outcomes(
        &self,
        remote: Address,
        ports: &[u16],
        local: Option<Address>,
        since: Timestamp,
    ) -> Option<Outcomes> {
        let local = match local {
            Some(local) => Some(self.inbound.locals.find(local)?),
            None => None,
        };
        let mut outcomes = Outcomes::default();
        let evidence = self.inbound.remotes.get(remote);
        if let Some(evidence) = evidence {
            evidence.add_outcomes(&mut outcomes, ports, local, second(since));
        }
        let waiting = self.waiting.get_or_init(|| self.inbound.waiting_targets());
        for &(target, outcome) in waiting.get(&remote).into_iter().flatten() {
            let is_meant = (ports.is_empty() || ports.contains(&target.port))
                && local.is_none_or(|local| local == target.local);
            if is_meant && !evidence.is_some_and(|evidence| evidence.has_target(target)) {
                outcomes.add(outcome, target.port);
            }
        }
        outcomes.open_ports.sort_unstable();
        outcomes.open_ports.dedup();
        (!outcomes.is_empty()).then_some(outcomes)
    }
}

/// Whether the kernel's signal is part of an attempt, so that the rules on attempts need it.
pub(crate) fn concerns(signal: Signal) -> bool {
    Inbound::concerns(signal) || Outbound::concerns(signal)
}

#[cfg(test)]
mod tests;
