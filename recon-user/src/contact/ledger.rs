//! The evidence about many remotes, in bounded memory.
//!
//! In: results for a remote's targets. Out: the evidence about a remote.
//! The decisions held here:
//! - At the bound on remotes, those without a handshake and with at most one failure are evicted
//!   first, then those with the fewest failures, the longest unseen first; those with a handshake
//!   last. So a flood of forged sources evicts neither a scanner nor a client.
//! - While those with at most one failure are few, somebody forges more. Then chance decides among
//!   those with more failures, so that a newcomer's are kept.
//! - Near that bound, the first failure of an unknown remote only leaves a mark, and the second one
//!   is kept: most sources of a flood have no second one, and evicting them costs more than
//!   counting them.
//! - At the bound on targets, a remote holds no more than its fair share of new ones.

use std::collections::HashMap;
use std::hash::BuildHasher;

use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, TargetResult};
use super::outcomes::Outcome;
use crate::row::Verdict;
use crate::seed::Secrets;

/// Remotes that are kept.
const MAX_REMOTES: usize = 1 << 16;
/// The share of them that is evicted at once.
const EVICTED_SHARE: usize = 4;
/// Failures that cost nobody much: one forged packet for each of many addresses.
const CHEAP_FAILURES: u32 = 1;
/// While fewer than one in so many are cheap, the others crowd them out.
const KEPT_SHARE: usize = 8;
/// From this many remotes on, a first failure only leaves a mark.
const NEARLY_FULL: usize = MAX_REMOTES / 8 * 7;
/// Marks, a power of two. A newer one overwrites an older.
const MARKS: usize = 1 << 18;
/// Targets that are kept of one remote.
const MAX_TARGETS: usize = 1 << 16;
/// Targets that are kept of all remotes, each of which has its fair share: about 30 bytes each.
const MAX_TARGETS_OF_ALL: usize = 1 << 20;
/// What a remote may always have.
const FAIR_SHARE: usize = MAX_TARGETS_OF_ALL / MAX_REMOTES;
/// Seconds between two searches for expired contacts, since a search visits all of them.
const SEARCH_INTERVAL: u32 = 60;

/// What a result has made of the evidence about a remote.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddedResult {
    /// What the target's outcome is now. `None` if it is not kept.
    pub(super) outcome: Option<Outcome>,
    pub(super) verdict: Verdict,
    pub(super) is_proven: bool,
    /// Whether the verdict or the proof is another one than before.
    pub(super) is_changed: bool,
}

/// The evidence by remote, or by network.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    remotes: HashMap<Address, Evidence, Secrets>,
    /// How many targets they have together.
    targets: usize,
    /// Marks of remotes that failed once, empty until they are needed.
    #[serde(skip)]
    marks: Vec<u32>,
    /// When expired contacts were last searched for.
    searched: u32,
    /// Whether a remote was evicted, or not kept, since that was last asked.
    was_full: bool,
    /// How often a remote got each verdict, in the order of [`Verdict::ALL`].
    #[serde(skip)]
    reached: [u64; Verdict::ALL.len()],
}

impl Ledger {
    pub(super) fn get(&self, remote: Address) -> Option<&Evidence> {
        self.remotes.get(&remote)
    }

    pub(super) fn get_mut(&mut self, remote: Address) -> Option<&mut Evidence> {
        self.remotes.get_mut(&remote)
    }

    /// The number of remotes.
    pub(super) fn len(&self) -> usize {
        self.remotes.len()
    }

    /// How often a remote got each verdict since the start, in the order of [`Verdict::ALL`].
    pub(super) const fn reached(&self) -> [u64; Verdict::ALL.len()] {
        self.reached
    }

    /// All remotes, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Address, &Evidence)> {
        self.remotes
            .iter()
            .map(|(&remote, evidence)| (remote, evidence))
    }

    /// Whether a remote was evicted, or not kept, since the last call of
    /// [`Ledger::take_was_full`].
    pub(super) const fn was_full(&self) -> bool {
        self.was_full
    }

    /// Whether a remote was evicted, or not kept, since the last call.
    pub(super) fn take_was_full(&mut self) -> bool {
        std::mem::take(&mut self.was_full)
    }

    /// Adds a result.
    pub(super) fn add(&mut self, remote: Address, result: TargetResult) -> AddedResult {
        let TargetResult { now, oldest, .. } = result;
        let is_first = || !result.outcome.is_success() && !self.remotes.contains_key(&remote);
        if self.remotes.len() >= NEARLY_FULL && is_first() && !self.is_marked(remote) {
            self.was_full = true;
            return AddedResult::default();
        }
        if self.remotes.len() >= MAX_REMOTES && !self.remotes.contains_key(&remote) {
            self.make_room(now, oldest);
        } else if self.targets >= MAX_TARGETS_OF_ALL {
            self.expire(now, oldest);
        }
        let limit = if self.targets < MAX_TARGETS_OF_ALL {
            MAX_TARGETS
        } else {
            FAIR_SHARE
        };
        let evidence = self.remotes.entry(remote).or_default();
        let held = evidence.len();
        let before = (evidence.verdict(), evidence.is_proven());
        let outcome = evidence.add(result, held < limit);
        let (verdict, is_proven) = (evidence.verdict(), evidence.is_proven());
        self.targets += evidence.len() - held;
        if verdict != before.0 {
            self.reached[verdict as usize] += 1;
        }
        AddedResult {
            outcome,
            verdict,
            is_proven,
            is_changed: (verdict, is_proven) != before,
        }
    }

    /// Whether the remote has left a mark before. Leaves one.
    fn is_marked(&mut self, remote: Address) -> bool {
        self.marks.resize(MARKS, 0);
        let hash = self.remotes.hasher().hash_one(remote);
        let mark = (hash >> u32::BITS) as u32 | 1;
        std::mem::replace(&mut self.marks[hash as usize % MARKS], mark) == mark
    }

    /// Drops what is older than `oldest`, unless that was searched for a short time ago.
    pub(super) fn expire(&mut self, now: u32, oldest: u32) {
        if now.abs_diff(self.searched) < SEARCH_INTERVAL {
            return;
        }
        self.searched = now;
        let mut left = 0;
        self.remotes.retain(|_, evidence| {
            evidence.expire(oldest);
            left += evidence.len();
            evidence.len() > 0
        });
        self.targets = left;
    }

    /// Drops remotes until there is room again.
    fn make_room(&mut self, now: u32, oldest: u32) {
        self.expire(now, oldest);
        let share = MAX_REMOTES / EVICTED_SHARE;
        if self.remotes.len() + share <= MAX_REMOTES {
            return;
        }
        self.was_full = true;
        let cheap = self.remotes.values().filter(|of| class(of) == Class::Cheap);
        let is_crowded = cheap.count() < MAX_REMOTES / KEPT_SHARE;
        // Not that of the table, or what is left would be unevenly spread.
        let chance = Secrets::default();
        let rank = |(remote, evidence): (&Address, &Evidence)| match class(evidence) {
            Class::Dear if is_crowded => (Class::Crowding, chance.hash_one(remote) as u32, 0),
            class => (class, evidence.failures(), evidence.last),
        };
        let mut ranks: Vec<_> = self.remotes.iter().map(rank).collect();
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(share - 1);
        let mut left = share;
        let targets = &mut self.targets;
        self.remotes.retain(|remote, evidence| {
            let goes = left > 0 && rank((remote, &*evidence)) <= last_to_go;
            if goes {
                left -= 1;
                *targets -= evidence.len();
            }
            !goes
        });
    }
}

/// How soon evidence is evicted, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Without a handshake, and there are too many of these.
    Crowding,
    /// With so few failures that many addresses can be forged at no cost.
    Cheap,
    /// More failures, without a handshake.
    Dear,
    /// With a handshake.
    Proven,
}

fn class(evidence: &Evidence) -> Class {
    match (evidence.is_proven(), evidence.failures()) {
        (true, _) => Class::Proven,
        (false, ..=CHEAP_FAILURES) => Class::Cheap,
        (false, _) => Class::Dear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::targets::Target;
    use crate::row::ToolSet;

    fn result(port: u16, outcome: Outcome, now: u32) -> TargetResult {
        TargetResult {
            target: Target {
                port,
                local: 0,
                is_udp: false,
            },
            outcome,
            count: 1,
            tools: ToolSet::default(),
            poll: now,
            is_probed: false,
            listener: None,
            now,
            oldest: now.saturating_sub(3600),
        }
    }

    fn remote(number: u32) -> Address {
        Address::v4((0x1400_0000 + number).to_be_bytes())
    }

    #[test]
    fn a_flood_of_forged_sources_evicts_neither_a_scanner_nor_a_client() {
        let mut ledger = Ledger::default();
        let [client, scanner] = [1, 2].map(|last| Address::v4([198, 51, 100, last]));
        ledger.add(client, result(443, Outcome::Accepted, 10));
        for port in 1..=3 {
            ledger.add(scanner, result(port, Outcome::Refused, 10));
        }
        for number in 0..3 * MAX_REMOTES as u32 {
            ledger.add(remote(number), result(80, Outcome::HalfOpen, 11));
            assert!(ledger.remotes.len() <= MAX_REMOTES);
        }
        assert!(ledger.get(client).is_some_and(Evidence::is_proven));
        assert_eq!(ledger.get(scanner).map(Evidence::failures), Some(3));
        let targets: usize = ledger.remotes.values().map(Evidence::len).sum();
        assert_eq!(ledger.targets, targets);
    }

    #[test]
    fn a_newcomer_is_judged_among_sources_that_all_failed_often() {
        let mut ledger = Ledger::default();
        let flood = |ledger: &mut Ledger, first: u32, sources: u32, now| {
            for number in first..first + sources {
                for port in 1..=11 {
                    ledger.add(remote(number), result(port, Outcome::Refused, now));
                }
            }
        };
        let client = Address::v4([198, 51, 100, 2]);
        ledger.add(client, result(443, Outcome::Accepted, 9));
        flood(&mut ledger, 0, 3 * MAX_REMOTES as u32 / 2, 10);
        let late = |number| Address::v4([198, 51, 101, number]);
        // A failure in each poll, and so many new sources with eleven.
        for port in 1..=6 {
            let now = 10 + u32::from(port);
            (0..200).for_each(|number| {
                ledger.add(late(number), result(port, Outcome::Refused, now));
            });
            flood(&mut ledger, 1_000_000 + u32::from(port) * 4_000, 4_000, now);
        }
        assert!(ledger.get(client).is_some_and(Evidence::is_proven));
        // The first failure only leaves a mark, and two in four go at most.
        let failures = |number| ledger.get(late(number)).map_or(0, Evidence::failures);
        let known = (0..200).filter(|&number| failures(number) >= 3).count();
        assert!(known > 50, "{known}");
    }

    #[test]
    fn near_the_bound_a_remote_is_kept_from_its_second_failure_on() {
        let mut ledger = Ledger::default();
        for number in 0..NEARLY_FULL as u32 {
            ledger.add(remote(number), result(80, Outcome::HalfOpen, 10));
        }
        let late = Address::v4([198, 51, 100, 1]);
        // (port, outcome, failures that are known then)
        for (port, outcome, expected) in [
            (1, Outcome::Refused, None),
            (2, Outcome::Refused, Some(1)),
            (3, Outcome::Refused, Some(2)),
        ] {
            ledger.add(late, result(port, outcome, 11));
            assert_eq!(ledger.get(late).map(Evidence::failures), expected, "{port}");
        }
        let client = Address::v4([198, 51, 100, 2]);
        ledger.add(client, result(443, Outcome::Accepted, 11));
        assert!(ledger.get(client).is_some(), "a success is kept at once");
    }

    #[test]
    fn a_remote_holds_its_fair_share_when_targets_are_scarce() {
        let mut ledger = Ledger::default();
        for number in 0..32 {
            for port in 0..=u16::MAX {
                ledger.add(remote(number), result(port, Outcome::Refused, 10));
            }
        }
        let held = |number| ledger.get(remote(number)).map_or(0, Evidence::len);
        assert_eq!([held(0), held(31)], [MAX_TARGETS, FAIR_SHARE]);
        assert!(ledger.targets <= MAX_TARGETS_OF_ALL + 16 * FAIR_SHARE);
    }

    #[test]
    fn contacts_expire() {
        let mut ledger = Ledger::default();
        ledger.add(remote(1), result(1, Outcome::Refused, 100));
        ledger.add(remote(2), result(1, Outcome::Refused, 4000));
        ledger.expire(4000, 400);
        assert!(ledger.get(remote(1)).is_none());
        assert_eq!((ledger.remotes.len(), ledger.targets), (1, 1));
    }
}
