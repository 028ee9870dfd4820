//! Where the outcome of a remote's attempt goes: the evidence, the hour's totals, a row for rules.
//!
//! In: an attempt with its outcome. Out: a [`Settled`] row, if it counts as an attempt, and which
//! verdicts have changed.
//! The decision held here: what is refused or ignored on a target that was accepted before is no
//! attempt: a service that restarts does not make its clients scanners.

use std::collections::HashSet;

use recon_common::{Address, Signal};

use super::Settled;
use super::attempt::Arrival;
use super::evidence::TargetResult;
use super::hour::ContactHour;
use super::inbound::Tried;
use super::ledger::{AddedResult, Ledger};
use super::outcomes::Outcome;
use crate::address::first_neighbour;
use crate::row::Standing;
use crate::seed::Secrets;

/// Records the outcomes of attempts.
pub(super) struct OutcomeRecorder<'a> {
    pub(super) remotes: &'a mut Ledger,
    pub(super) networks: Option<&'a mut Ledger>,
    pub(super) hour: &'a mut ContactHour,
    pub(super) settled: &'a mut Vec<Settled>,
    pub(super) changed: ChangedStandings,
}

/// Remotes, and networks by their first address, about which the verdict or the proof has changed.
#[derive(Debug, Default)]
pub(super) struct ChangedStandings {
    remotes: HashSet<Address, Secrets>,
    networks: HashSet<Address, Secrets>,
}

impl ChangedStandings {
    pub(super) fn concerns(&self, remote: Address) -> bool {
        self.remotes.contains(&remote)
            || !self.networks.is_empty() && self.networks.contains(&first_neighbour(remote))
    }
}

impl OutcomeRecorder<'_> {
    pub(super) fn record_outcome(&mut self, tried: &Tried, result: TargetResult, arrival: Arrival) {
        let TargetResult {
            target,
            outcome,
            count,
            ..
        } = result;
        let of_remote = self.remotes.add(tried.remote, result);
        if of_remote.is_changed {
            self.changed.remotes.insert(tried.remote);
        }
        let mut of_network = AddedResult::default();
        if let Some(networks) = &mut self.networks {
            let network = first_neighbour(tried.remote);
            of_network = networks.add(network, result);
            if of_network.is_changed {
                self.changed.networks.insert(network);
            }
        }
        let known = of_remote.outcome;
        // Who leaves handshakes open on a port that has accepted it floods it all the same.
        let is_attempt = outcome >= Outcome::HalfOpen || !known.is_some_and(Outcome::is_success);
        if is_attempt {
            self.hour.add(target, outcome, count);
            let signal = signal(tried.is_udp, outcome);
            let mut row = tried.settled(signal, count, arrival);
            // Of several tools the first by number, whatever the order of the rows.
            row.key.tool = result.tools.iter().next();
            row.listener = result.listener;
            row.standing = Some(Standing {
                remote: of_remote.verdict,
                network: of_network.verdict,
                is_proven: of_remote.is_proven,
            });
            self.settled.push(row);
        }
    }
}

/// The signal of an attempt with that outcome.
const fn signal(is_udp: bool, outcome: Outcome) -> Signal {
    match (outcome, is_udp) {
        (Outcome::Accepted, _) => Signal::AttemptAccepted,
        (Outcome::Answered, _) => Signal::DatagramAnswered,
        (Outcome::HalfOpen, _) => Signal::AttemptHalfOpen,
        (Outcome::Refused, false) => Signal::AttemptRefused,
        (Outcome::Refused, true) => Signal::DatagramRefused,
        (Outcome::Ignored | Outcome::Unserved, false) => Signal::AttemptIgnored,
        (Outcome::Ignored | Outcome::Unserved, true) => Signal::DatagramIgnored,
    }
}
