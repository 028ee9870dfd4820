//! What all rules count, in bounded memory.
//!
//! In: rows that a rule takes; the end of a poll. Out: [`Finding`]s.
//! The decisions held here:
//! - A poll costs what it changes: the groups that it has changed are listed, and those whose incident goes on wait in the order of the
//!   times at which they are to be looked at.
//! - Where there is no room, the rule that holds the most makes some. Where nothing can go, what is new is refused, and said to be; each
//!   rule is searched once a poll for what could.

use std::collections::BTreeMap;
use std::hash::RandomState;

use jiff::Timestamp;
use recon_common::Address;

use super::answers::Probes;
use super::groups::{Event, Groups};
use super::key::{GroupKey, Wanted};
use super::memory::Memory;
use super::{Finding, InForce, Interval, Phase};
use crate::rule::Rule;

/// What a row may take at most beside new slots, large tables and sketches: slices and samples, each of a kilobyte or less.
const MARGIN: usize = 1 << 14;

/// Those whose end is waited for, by when to look at them and in the order in which they were told of.
type Told = BTreeMap<(Timestamp, u64), (usize, GroupKey)>;
/// The bytes that one of them takes: nodes of the tree are full to two thirds on average.
pub(super) const WAITING: usize = size_of::<((Timestamp, u64), (usize, GroupKey))>() * 3 / 2;

/// What could not be kept for want of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Groups that were dropped.
    pub evicted: u64,
    /// Rows of new groups that were not counted, as all that were there are suspicious.
    pub refused: u64,
}

/// What is counted.
#[derive(Debug)]
pub(super) struct Counts {
    /// By rule.
    groups: Vec<Groups>,
    memory: Memory,
    hasher: RandomState,
    /// Groups that this poll has changed so far.
    changed: u32,
    /// Those that were told of and whose incident may be going on.
    told: Told,
    /// How many were told of.
    told_of: u64,
    shed: Shed,
}

impl Counts {
    pub(super) fn new(rules: &[InForce], memory: u64) -> Self {
        Self {
            groups: rules.iter().map(|rule| Groups::new(&rule.rule)).collect(),
            memory: Memory::new(memory, rules.len()),
            hasher: RandomState::new(),
            changed: 0,
            told: Told::new(),
            told_of: 0,
            shed: Shed::default(),
        }
    }

    /// Counts a row that the rule at `index` takes.
    pub(super) fn count(&mut self, rules: &[InForce], index: usize, event: &Event<'_>) {
        let rule = &*rules[index].rule;
        let Some(wanted) = Wanted::new(rule, event.row) else {
            return;
        };
        let hash = wanted.hash(&self.hasher);
        let mut found = self.groups[index].find(&wanted, hash);
        let mut may_grow = self.has_room(index, found);
        if !may_grow {
            self.make_room(rules, index, found, event);
            // It may be elsewhere now, or gone.
            found = self.groups[index].find(&wanted, hash);
            may_grow = self.has_room(index, found);
        }
        let room = self.memory.room(index);
        let groups = &mut self.groups[index];
        let position = match found {
            Some(position) => position,
            None if may_grow => {
                let spare = room - (MARGIN + groups.growth(None));
                groups.insert(rule, &wanted, hash, event, spare)
            }
            None => {
                groups.refuse(event.interval.to);
                self.shed.refused += 1;
                return;
            }
        };
        groups.count(rule, position, event, &mut self.changed, may_grow);
        self.memory.note(index, groups.bytes());
    }

    /// Whether there is room for a row of the group that was found, or of a new one.
    fn has_room(&self, index: usize, found: Option<u32>) -> bool {
        self.memory.room(index) >= MARGIN + self.groups[index].growth(found)
    }

    /// Evicts groups until there is room for one more, or for the one that was found to grow, or no more can go.
    fn make_room(
        &mut self,
        rules: &[InForce],
        index: usize,
        found: Option<u32>,
        event: &Event<'_>,
    ) {
        let (now, poll) = (event.interval.to, event.poll);
        let growth = found.map(|_| self.groups[index].growth(found));
        loop {
            let growth = growth.unwrap_or_else(|| self.groups[index].growth(None));
            if self.memory.room(index) >= MARGIN + growth {
                return;
            }
            let may_give = |rule: usize| !self.groups[rule].is_searched(poll);
            let Some(greatest) = self.memory.greatest(index, may_give) else {
                return;
            };
            let groups = &mut self.groups[greatest];
            self.shed.evicted += groups.evict(&rules[greatest].rule, now, poll);
            self.memory.note(greatest, groups.bytes());
        }
    }

    /// Adds what has to be told of the groups that were changed, in the order in which they were.
    pub(super) fn judge(
        &mut self,
        rules: &[InForce],
        findings: &mut Vec<Finding>,
        probes: &Probes,
        interval: Interval,
        lossy: bool,
    ) {
        let mut found = Vec::new();
        let mut began = Vec::new();
        // A rule that leaves out whom another one tells of stands behind that.
        for (index, InForce { rule, .. }) in rules.iter().enumerate() {
            let groups = &mut self.groups[index];
            for (order, position) in groups.take_changed() {
                let (finding, watched) = groups.judge(rule, position, interval.to, lossy);
                if let Some((
                    key,
                    Finding {
                        phase: Phase::Began,
                        ..
                    },
                )) = &finding
                {
                    began.extend(key.remote);
                }
                found.extend(finding.map(|(key, finding)| (order, key, finding)));
                if let Some(key) = watched {
                    self.told.insert((interval.to, self.told_of), (index, key));
                    self.told_of += 1;
                }
            }
            self.memory.note(index, groups.bytes());
            self.leave_out(rules, index, &began);
            began.clear();
        }
        found.sort_unstable_by_key(|&(order, ..)| order);
        let found = found.into_iter();
        findings.extend(found.map(|(_, key, finding)| with_answers(finding, &key, probes)));
        self.changed = 0;
    }

    /// Has rules forget what remotes did of whom the rule at `told` tells now, where they leave out its remotes. What their neighbours did
    /// goes too: a group does not know who did what.
    fn leave_out(&mut self, rules: &[InForce], told: usize, remotes: &[Address]) {
        if remotes.is_empty() {
            return;
        }
        for (index, InForce { rule, unless, .. }) in rules.iter().enumerate() {
            if *unless != Some(told) {
                continue;
            }
            let groups = &mut self.groups[index];
            for &remote in remotes {
                if let Some(key) = GroupKey::of_network(rule, remote) {
                    groups.forget(rule, &key, &self.hasher);
                }
            }
            self.memory.note(index, groups.bytes());
        }
    }

    /// Adds what has to be told of incidents that are over.
    pub(super) fn end(
        &mut self,
        rules: &[InForce],
        findings: &mut Vec<Finding>,
        probes: &Probes,
        now: Timestamp,
    ) {
        while let Some(first) = self.told.first_entry()
            && first.key().0 <= now
        {
            let ((_, order), (index, key)) = first.remove_entry();
            let groups = &mut self.groups[index];
            match groups.look(&rules[index].rule, &key, &self.hasher, now) {
                Ok(found) => {
                    findings.extend(found.map(|finding| with_answers(finding, &key, probes)));
                }
                // Later than now.
                Err(again) => {
                    self.told.insert((again, order), (index, key));
                }
            }
            self.memory.note(index, groups.bytes());
        }
    }

    /// Tells of every group that has grown since it was told of, as if all incidents were over.
    pub(super) fn finish(
        &mut self,
        rules: &[InForce],
        probes: &Probes,
        now: Timestamp,
    ) -> Vec<Finding> {
        let all = rules.iter().zip(&mut self.groups);
        let found = all.flat_map(|(InForce { rule, .. }, groups)| groups.end(rule, now));
        found
            .map(|(key, finding)| with_answers(finding, &key, probes))
            .collect()
    }

    /// Whether the rule at `index` has told of that remote in an earlier poll, as long as its window is.
    pub(super) fn has_told(
        &self,
        rule: &Rule,
        index: usize,
        remote: Address,
        now: Timestamp,
    ) -> bool {
        let key = GroupKey::of_remote(remote);
        self.groups[index].was_over(rule, &key, &self.hasher, now)
    }

    /// By how much `poll` has made the scan of that remote grow, as the rule at `index` counts it.
    pub(super) fn grown_in(
        &self,
        rule: &Rule,
        index: usize,
        remote: Address,
        poll: u64,
    ) -> Option<u64> {
        let key = GroupKey::of_remote(remote);
        self.groups[index].grown_in(rule, &key, &self.hasher, poll)
    }

    /// What could not be kept since the last call.
    pub(super) fn take_shed(&mut self) -> Shed {
        std::mem::take(&mut self.shed)
    }

    #[cfg(test)]
    pub(super) fn groups(&self) -> &[Groups] {
        &self.groups
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

fn with_answers(mut finding: Finding, group: &GroupKey, probes: &Probes) -> Finding {
    if finding.rule.tells_answers {
        finding.answers = probes.of(&finding.rule, group, finding.at);
    }
    finding
}
