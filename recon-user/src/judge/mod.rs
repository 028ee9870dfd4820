//! Judging: rules applied to counts.
//!
//! In: rows of the drain with the interval they belong to. Out: [`Finding`]s, one for each group that has to be told of.
//! The decisions held here: a row is tried only on rules that know its signal; a poll's work is linear in the rows it brings, not in
//! the groups that are tracked, but for those whose incident goes on; a group's state is created when it is needed, and bounded in number (`groups`). What depends on the whole
//! poll waits for its end: a poll's rows are in no order (`answers`, `later`).

mod alarm;
mod answers;
mod group;
mod groups;
mod later;
mod sample;

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};

use crate::rule::{Measure, Processes, Rule, Severity, SignalSet, is_private};
use answers::{Answer, Probes};
use group::GroupKey;
use groups::{Event, Groups};
use later::{Later, Row};

pub use alarm::Phase;
pub use answers::Answers;

/// The time between two polls, in which a poll's events happened.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// The poll before.
    pub from: Timestamp,
    /// This poll.
    pub to: Timestamp,
}

/// A group that is over its threshold and has to be told of.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that fired.
    pub rule: &'static Rule,
    /// Whether the incident begins, grows or is over.
    pub phase: Phase,
    /// When this was found.
    pub at: Timestamp,
    /// The address out there, where the rule groups by it or only one was seen.
    pub remote: Option<Address>,
    /// Some of the remote addresses seen, ascending.
    pub remotes: Vec<Address>,
    /// The port, where the rule groups by it or only one was seen.
    pub port: Option<u16>,
    /// The local address, where the rule groups by it or only one is known.
    pub local: Option<Address>,
    /// What the rule measured in its window.
    pub count: u64,
    /// No event in the window is older.
    pub start: Timestamp,
    /// The last poll that brought an event: none in the window is younger.
    pub end: Timestamp,
    /// Kinds of signals seen.
    pub signals: SignalSet,
    /// Some of the ports seen, ascending.
    pub ports: Vec<u16>,
    /// Some of the local addresses seen, ascending.
    pub locals: Vec<Address>,
    /// The process of this host, where the rule groups by it or only one is known. Never 0.
    pub process: Option<u32>,
    /// Some of the processes seen, ascending, without those that are not known.
    pub processes: Vec<u32>,
    /// What this host answered, for rules on what one remote sends to ports.
    pub answers: Option<Answers>,
    /// Polls since the group's last alert that were over the threshold and not told of.
    pub suppressed: u64,
    /// Whether something was lost while counting, so that the true count may be higher.
    pub lower_bound: bool,
}

/// What to judge, and how.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The rules.
    pub rules: &'static [Rule],
    /// Rules below are not applied.
    pub min_severity: Severity,
    /// Whether private remotes count for every rule.
    pub include_private: bool,
    /// Signals that can't be trusted on this host's hooks.
    pub ignored: SignalSet,
}

/// The state of all rules.
#[derive(Debug)]
pub struct Judge {
    include_private: bool,
    counts: Counts,
    /// Which rules know each signal.
    by_signal: [Vec<usize>; Signal::ALL.len()],
    probes: Probes,
    later: Later,
    /// The poll's number. Times can't tell polls apart when the clock is set back.
    poll: u64,
}

/// A rule in force.
#[derive(Debug)]
struct InForce {
    rule: &'static Rule,
    /// The rule that it comes after.
    after: Option<usize>,
    groups: Groups,
}

/// What is counted.
#[derive(Debug)]
struct Counts {
    rules: Vec<InForce>,
    /// Rules and groups that this poll has changed.
    changed: Vec<(usize, GroupKey)>,
    /// Those that were told of and whose incident may be going on, with when to look at them.
    told: Vec<(Timestamp, usize, GroupKey)>,
    evicted: u64,
}

impl Counts {
    fn count(&mut self, index: usize, event: &Event<'_>) {
        let InForce { rule, groups, .. } = &mut self.rules[index];
        let group = GroupKey::new(rule, event.key);
        let outcome = groups.count(rule, group, event);
        self.evicted += outcome.evicted;
        if outcome.is_first_change {
            self.changed.push((index, group));
        }
    }

    /// Adds what has to be told of the groups that were changed.
    fn judge(
        &mut self,
        findings: &mut Vec<Finding>,
        probes: &Probes,
        interval: Interval,
        lossy: bool,
    ) {
        for (index, group) in self.changed.drain(..) {
            let InForce { rule, groups, .. } = &mut self.rules[index];
            if let Some(finding) = groups.judge(rule, group, interval.to, lossy) {
                findings.push(with_answers(finding, &group, probes));
                self.told.push((interval.to, index, group));
            }
        }
    }

    /// Adds what has to be told of incidents that are over.
    fn end(&mut self, findings: &mut Vec<Finding>, probes: &Probes, now: Timestamp) {
        let Self { rules, told, .. } = self;
        told.retain_mut(|(due, index, group)| {
            if *due > now {
                return true;
            }
            let InForce { rule, groups, .. } = &mut rules[*index];
            match groups.look(rule, *group, now) {
                Ok(found) => {
                    findings.extend(found.map(|finding| with_answers(finding, group, probes)));
                    false
                }
                Err(again) => {
                    *due = again;
                    true
                }
            }
        });
    }

    /// Whether the rule has told of that remote in an earlier poll, as long as its window is.
    fn has_told(&self, index: usize, remote: Address, now: Timestamp) -> bool {
        let InForce { rule, groups, .. } = &self.rules[index];
        groups.was_over(rule, &GroupKey::of_remote(remote), now)
    }

    /// By how much `poll` has made the scan grow that a rule comes after.
    fn grown_before(&self, index: usize, remote: Address, poll: u64) -> Option<u64> {
        let before = &self.rules[self.rules[index].after?];
        before.groups.grown_in(poll, &GroupKey::of_remote(remote))
    }
}

fn with_answers(mut finding: Finding, group: &GroupKey, probes: &Probes) -> Finding {
    if finding.rule.tells_answers() {
        finding.answers = probes.of(finding.rule, group, finding.at);
    }
    finding
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let applied: Vec<_> = settings
            .rules
            .iter()
            .filter(|rule| rule.severity >= settings.min_severity)
            .collect();
        let position = |id| {
            applied
                .iter()
                .position(|rule| rule.id == id && rule.measure == Measure::DistinctPorts)
        };
        let rules: Vec<_> = applied
            .iter()
            .map(|rule| InForce {
                rule,
                after: rule.after.and_then(position),
                groups: Groups::default(),
            })
            .collect();
        let by_signal = Signal::ALL.map(|signal| {
            // A rule that comes after one which is not in force has nothing to go by.
            let knows = |InForce { rule, after, .. }: &InForce| {
                rule.signals.contains(signal)
                    && !settings.ignored.contains(signal)
                    && after.is_some() == rule.after.is_some()
            };
            (0..rules.len())
                .filter(|&index| knows(&rules[index]))
                .collect()
        });
        Self {
            include_private: settings.include_private,
            counts: Counts {
                rules,
                changed: Vec::new(),
                told: Vec::new(),
                evicted: 0,
            },
            by_signal,
            probes: Probes::default(),
            later: Later::default(),
            poll: 0,
        }
    }

    /// Counts a row of the drain. `is_tool` says whether a process is a known scanning tool; it is asked only of a known process, and
    /// where a rule depends on it.
    pub fn observe(
        &mut self,
        key: &Key,
        count: u64,
        interval: Interval,
        is_tool: &mut dyn FnMut(u32) -> bool,
    ) {
        let Some(signal) = Signal::from_number(key.signal) else {
            return;
        };
        if let Some(answer) = Answer::of(signal) {
            self.probes.answered(key, answer);
        }
        let event = self.event(key, signal, count, interval);
        // Asked once for all rules.
        let excluded = !self.include_private && is_private(key.remote.to_ip());
        let mut is_probe = false;
        for &index in &self.by_signal[signal as usize] {
            let InForce { rule, after, .. } = self.counts.rules[index];
            if !rule.takes(key, excluded)
                || rule.processes == Processes::Tools && !is_tool(key.process)
            {
                continue;
            }
            if let Some(before) = after {
                if self.counts.has_told(before, key.remote, interval.to) {
                    self.later.push(Row {
                        rule: index,
                        key: *key,
                        count,
                    });
                }
                continue;
            }
            is_probe |= rule.tells_answers();
            self.counts.count(index, &event);
        }
        if is_probe {
            self.probes.hit(key, interval.to);
        }
    }

    fn event<'a>(&self, key: &'a Key, signal: Signal, count: u64, interval: Interval) -> Event<'a> {
        Event {
            key,
            signal,
            count,
            interval,
            poll: self.poll,
        }
    }

    /// Ends a poll: what has to be told, in the order in which it was first counted. `lossy` says that the kernel lost something.
    pub fn findings(&mut self, interval: Interval, lossy: bool) -> Vec<Finding> {
        self.probes.settle();
        let mut findings = Vec::new();
        self.counts
            .judge(&mut findings, &self.probes, interval, lossy);
        let grown = |rule, remote| self.counts.grown_before(rule, remote, self.poll);
        for Row { rule, key, count } in self.later.settle(grown) {
            if let Some(signal) = Signal::from_number(key.signal) {
                let event = self.event(&key, signal, count, interval);
                self.counts.count(rule, &event);
            }
        }
        self.counts
            .judge(&mut findings, &self.probes, interval, lossy);
        self.counts.end(&mut findings, &self.probes, interval.to);
        self.poll += 1;
        findings
    }

    /// Groups that were dropped for want of room since the last call.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.counts.evicted)
    }
}

#[cfg(test)]
mod tests;
