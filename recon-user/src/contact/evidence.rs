//! What is known of one remote: its targets with their outcomes, and how often it succeeded.
//!
//! In: outcomes of attempts. Out: the verdict, the proof, and the outcomes for an alert.
//! The decisions held here:
//! - A target that was ever accepted stays so, whatever it refuses later: a service that restarts
//!   does not make its clients scanners.
//! - A connection is a scan's when its port was probed: it failed there, or completed a handshake
//!   and sent nothing, and it reached the port only after its attempts began to fail. A client in
//!   whose name somebody else sends SYNs goes on using the ports that it used before.
//! - Such a connection proves the address, unless it was a client's before: somebody may forge the
//!   scan, and the client happen to use what was probed in its name.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::outcomes::{Outcome, Outcomes};
use super::targets::{Contact, FailedTargets, Target, Targets};
use super::verdict::verdict;
use crate::row::{ToolSet, Verdict};

/// Failures that make a scan: the least that a rule on scans reports (`odd-flags`). A client that
/// mistypes a port and then finds the right one fails once.
const SCAN_FAILURES: u32 = 3;

/// What is known of a remote, or of a network.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Evidence {
    targets: Targets,
    /// Targets by what they say of the remote.
    failed: FailedTargets,
    /// Attempts that succeeded.
    successes: u32,
    /// When its attempts began to fail: the poll of the first that did. `None` while none weighs as
    /// a failure.
    failed_first: Option<u32>,
    /// When its first and its last attempt were settled.
    pub(super) first: u32,
    pub(super) last: u32,
    /// The poll of the first handshake. `None` if there was none.
    accepted_first: Option<u32>,
    /// Whether it was a scan's handshake that proved the address.
    pub(super) is_scan_proven: bool,
    /// The tools whose fingerprints its probes carried.
    pub(super) tools: ToolSet,
}

/// A result for one target.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetResult {
    pub(super) target: Target,
    pub(super) outcome: Outcome,
    /// How many attempts had it.
    pub(super) count: u64,
    /// The tools whose fingerprints they carried.
    pub(super) tools: ToolSet,
    /// The number of the poll in which they began: times in seconds do not say what came first.
    pub(super) poll: u32,
    /// Whether there were more attempts than handshakes.
    pub(super) is_probed: bool,
    /// Whether a socket of this host waits there.
    pub(super) listener: Option<bool>,
    pub(super) now: u32,
    /// Older contacts are over.
    pub(super) oldest: u32,
}

impl Evidence {
    /// Adds a result. Returns what the target's outcome is now, `None` if `has_room` is false and
    /// the target is new.
    pub(super) fn add(&mut self, result: TargetResult, has_room: bool) -> Option<Outcome> {
        let TargetResult {
            target,
            outcome,
            count,
            tools,
            poll,
            is_probed,
            listener: _,
            now,
            oldest,
        } = result;
        if self.targets.len() == 0 {
            self.first = now;
        }
        self.last = now;
        self.tools.add(tools);
        let successes = match outcome.is_success() {
            true => u32::try_from(count).unwrap_or(u32::MAX),
            false => 0,
        };
        if outcome == Outcome::Accepted {
            self.accepted_first.get_or_insert(poll);
        }
        let is_probed = is_probed || !outcome.is_success();
        let new = Contact {
            first_poll: poll,
            last: now,
            successes,
            is_probed,
            outcome,
        };
        self.successes = self.successes.saturating_add(successes);
        let Some(contact) = self.targets.get_mut(target) else {
            if !has_room {
                return None;
            }
            self.targets.insert(target, new);
            self.count_failure(outcome, poll);
            return Some(outcome);
        };
        self.failed.remove(contact.outcome);
        if contact.last < oldest {
            self.successes = self.successes.saturating_sub(contact.successes);
            *contact = Contact {
                successes: 0,
                ..new
            };
        }
        contact.last = now;
        contact.successes = contact.successes.saturating_add(successes);
        contact.is_probed |= is_probed;
        contact.outcome = contact.outcome.max(outcome);
        let after = contact.outcome;
        self.count_failure(after, poll);
        Some(after)
    }

    /// Counts a target with that outcome.
    fn count_failure(&mut self, outcome: Outcome, poll: u32) {
        self.failed.add(outcome);
        self.failed_first = match self.failures() {
            0 => None,
            _ => self.failed_first.or(Some(poll)),
        };
    }

    /// Records that an accepted connection to that target has ended without data from the remote. A
    /// connect scan's do.
    pub(super) fn record_unused(&mut self, target: Target) {
        if let Some(contact) = self.targets.get_mut(target) {
            contact.is_probed = true;
        }
        self.record_use(target);
    }

    /// Records that an accepted connection to that target is in use. Returns whether a scan may
    /// have found the target.
    pub(super) fn record_use(&mut self, target: Target) -> bool {
        let contact = self.targets.get(target).filter(|contact| contact.is_probed);
        let is_of_scan = self.failures() >= SCAN_FAILURES
            && match (self.failed_first, contact) {
                (Some(failed), Some(contact)) => contact.first_poll >= failed,
                _ => false,
            };
        self.is_scan_proven |= is_of_scan && !self.was_client();
        is_of_scan
    }

    /// Whether it has completed a handshake.
    pub(super) fn is_proven(&self) -> bool {
        self.accepted_first.is_some()
    }

    /// Whether it completed a handshake before its attempts began to fail, as a client does.
    pub(super) fn was_client(&self) -> bool {
        let is_earlier = |accepted| self.failed_first.is_none_or(|failed| accepted < failed);
        self.accepted_first.is_some_and(is_earlier)
    }

    pub(super) fn has_target(&self, target: Target) -> bool {
        self.targets.get(target).is_some()
    }

    pub(super) fn verdict(&self) -> Verdict {
        verdict(self.failures().into(), self.successes.into())
    }

    pub(super) fn failures(&self) -> u32 {
        self.failed.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// The targets that accepted or answered.
    pub(super) fn accepted(&self) -> u64 {
        self.counted().accepted
    }

    /// The numbers of all outcomes, without open ports.
    fn counted(&self) -> Outcomes {
        self.failed.outcomes_among(self.len())
    }

    /// Attempts that succeeded.
    pub(super) const fn successes(&self) -> u32 {
        self.successes
    }

    /// The lowest and the highest port that it tried.
    pub(super) fn port_range(&self) -> Option<[u16; 2]> {
        self.targets.port_range()
    }

    /// The outcomes of all targets, with open ports among the first `looked_at` of them; and the
    /// ports of these. The numbers are kept: a source with all ports costs no walk over them.
    pub(super) fn summary(&self, looked_at: usize) -> (Outcomes, Vec<u16>) {
        let mut seen = Outcomes::default();
        let mut ports = Vec::new();
        for (target, contact) in self.targets.of_ports(0..=u16::MAX).take(looked_at) {
            seen.add(contact.outcome, target.port);
            if ports.last() != Some(&target.port) {
                ports.push(target.port);
            }
        }
        let outcomes = Outcomes {
            open_ports: seen.open_ports,
            ..self.counted()
        };
        (outcomes, ports)
    }

    /// Adds the outcomes since `oldest`, on these ports or on all if there are none, and on one
    /// local address or on all.
    pub(super) fn add_outcomes(
        &self,
        outcomes: &mut Outcomes,
        ports: &[u16],
        local: Option<u16>,
        oldest: u32,
    ) {
        let mut add = |range: RangeInclusive<u16>| {
            for (target, contact) in self.targets.of_ports(range) {
                if contact.last >= oldest && local.is_none_or(|local| local == target.local) {
                    outcomes.add(contact.outcome, target.port);
                }
            }
        };
        match ports {
            [] => add(0..=u16::MAX),
            ports => ports.iter().for_each(|&port| add(port..=port)),
        }
    }

    /// Drops the contacts before `oldest`, and what they showed. What came first stays as long as
    /// something of its kind does.
    pub(super) fn expire(&mut self, oldest: u32) {
        self.targets.retain(|contact| contact.last >= oldest);
        self.failed = FailedTargets::default();
        self.successes = 0;
        let mut is_accepted = false;
        for (_, contact) in self.targets.of_ports(0..=u16::MAX) {
            self.successes = self.successes.saturating_add(contact.successes);
            self.failed.add(contact.outcome);
            is_accepted |= contact.outcome == Outcome::Accepted;
        }
        let has_failed = self.failures() > 0;
        self.accepted_first = self.accepted_first.filter(|_| is_accepted);
        self.failed_first = self.failed_first.filter(|_| has_failed);
        self.is_scan_proven &= has_failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_weighs_as_a_failure_ends_being_a_client() {
        use Outcome::{Accepted, HalfOpen, Refused};
        // (outcomes by poll and port, whether it was a client, failures); a search for what has
        // expired changes nothing.
        for (outcomes, was_client, failures) in [
            (&[(1, 80, Accepted), (2, 22, Refused)][..], true, 1),
            (&[(1, 22, Refused), (2, 80, Accepted)], false, 1),
            // The first SYN was lost, or the service had not started.
            (&[(1, 80, Refused), (2, 80, Accepted)], true, 0),
            // A service that restarts weighs nothing, so that the port tried then is no scan's.
            (
                &[
                    (1, 80, HalfOpen),
                    (2, 80, Accepted),
                    (3, 80, Refused),
                    (4, 443, Accepted),
                ],
                true,
                0,
            ),
            // A scan whose first port was the open one, where it comes back.
            (
                &[
                    (1, 22, HalfOpen),
                    (2, 23, Refused),
                    (2, 24, Refused),
                    (9, 22, Accepted),
                ],
                false,
                2,
            ),
        ] {
            let mut evidence = Evidence::default();
            for &(poll, port, outcome) in outcomes {
                let result = TargetResult {
                    target: Target {
                        port,
                        local: 0,
                        is_udp: false,
                    },
                    outcome,
                    count: 1,
                    tools: ToolSet::default(),
                    poll,
                    is_probed: false,
                    listener: None,
                    now: poll,
                    oldest: 0,
                };
                evidence.add(result, true);
            }
            for _ in 0..2 {
                let found = (evidence.was_client(), evidence.failures());
                assert_eq!(found, (was_client, failures), "{outcomes:?}");
                evidence.expire(0);
            }
        }
    }
}
