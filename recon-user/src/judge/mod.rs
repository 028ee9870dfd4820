//! Judging: rules applied to counts.
//!
//! In: rows of the drain with the interval they belong to. Out: [`Finding`]s, one for each group that has to be told of.
//! The decisions held here: a row is tried only on rules that know its signal; a poll's work is linear in the rows it brings, not in
//! the groups that are tracked, but for those whose incident goes on; a group's state is created when it is needed, and bounded in number (`groups`). What depends on the whole
//! poll waits for its end: a poll's rows are in no order (`answers`, `later`).

mod aggregate;
mod alarm;
mod answers;
mod candidates;
mod columns;
mod group;
mod groups;
mod later;
mod order;
mod sample;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, Signal};

use crate::kql::eval::Value;
use crate::row::Row;
use crate::rule::{Configured, Network, Rule, Severity, SignalSet, is_private};
use answers::{Answer, Probes};
use candidates::Candidates;
use columns::RowColumns;
use group::GroupKey;
use groups::{Event, Groups};
use later::{Later, Waiting};

pub use alarm::Phase;
pub use answers::Answers;
pub use candidates::Asked;

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
    pub rule: Arc<Rule>,
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
    /// The columns that the query shows, in its order.
    pub columns: Vec<(Arc<str>, Value<'static>)>,
    /// What one poll's findings are ordered by.
    pub(crate) sorted_by: Vec<Value<'static>>,
    /// Polls since the group's last alert that were over the threshold and not told of.
    pub suppressed: u64,
    /// Whether something was lost while counting, so that the true count may be higher.
    pub lower_bound: bool,
}

impl Finding {
    /// Whether this host is the sender of what was counted.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.signals.iter().all(Signal::is_outbound)
    }
}

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules. One that comes after another stands behind it.
    pub rules: Vec<Configured>,
    /// Rules below are not applied.
    pub min_severity: Severity,
    /// Whether private remotes count for every rule.
    pub include_private: bool,
    /// Networks that are private as well.
    pub local_networks: Vec<Network>,
    /// Signals that can't be trusted on this host's hooks.
    pub ignored: SignalSet,
}

/// The state of all rules.
#[derive(Debug)]
pub struct Judge {
    include_private: bool,
    local_networks: Vec<Network>,
    counts: Counts,
    /// Which rules can count each signal.
    by_signal: [Candidates; Signal::ALL.len()],
    probes: Probes,
    later: Later,
    /// The poll's number. Times can't tell polls apart when the clock is set back.
    poll: u64,
}

/// A rule in force.
#[derive(Debug)]
struct InForce {
    rule: Arc<Rule>,
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
        let Some(group) = GroupKey::new(rule, event.row) else {
            return;
        };
        let outcome = groups.count(rule, group.clone(), event);
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
            let finding = groups.judge(rule, &group, interval.to, lossy);
            findings.extend(finding.map(|finding| with_answers(finding, &group, probes)));
            if groups.watch(&group) {
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
            match groups.look(rule, group, now) {
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
    if finding.rule.tells_answers {
        finding.answers = probes.of(&finding.rule, group, finding.at);
    }
    finding
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let include_private = settings.include_private;
        let applied: Vec<_> = settings
            .rules
            .into_iter()
            .filter(|rule| rule.plan.severity >= settings.min_severity)
            .map(|mut rule| {
                rule.include_private |= include_private;
                Arc::new(Rule::new(rule))
            })
            .collect();
        let position = |id: &str| {
            applied
                .iter()
                .position(|rule| rule.id() == id && rule.tells_of_scanners())
        };
        let rules: Vec<_> = applied
            .iter()
            .map(|rule| InForce {
                rule: Arc::clone(rule),
                after: rule.after().and_then(position),
                groups: Groups::default(),
            })
            .collect();
        let by_signal = Signal::ALL.map(|signal| {
            // A rule that comes after one which is not in force has nothing to go by.
            let knows = |InForce { rule, after, .. }: &InForce| {
                rule.signals.contains(signal)
                    && !settings.ignored.contains(signal)
                    && after.is_some() == rule.after().is_some()
            };
            let known = rules.iter().enumerate().filter(|(_, rule)| knows(rule));
            Candidates::new(known.map(|(index, rule)| (index, &*rule.rule)))
        });
        Self {
            include_private,
            local_networks: settings.local_networks,
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

    /// What the rules want to know of the process behind rows of that signal.
    #[must_use]
    pub fn asks(&self, signal: Signal) -> Asked {
        self.by_signal[signal as usize].asked()
    }

    /// Counts a row of the drain.
    pub fn observe(&mut self, row: &Row<'_>, interval: Interval) {
        let key = row.key;
        if let Some(answer) = Answer::of(row.signal) {
            self.probes.answered(key, answer);
        }
        // Asked once for all rules.
        let excluded = !self.include_private && self.is_private(key.remote.to_ip());
        let mut is_probe = false;
        for &index in self.by_signal[row.signal as usize].of_port(key.port) {
            let InForce { rule, after, .. } = &self.counts.rules[index];
            if !rule.takes(row, excluded) {
                continue;
            }
            let rule = Arc::clone(rule);
            let columns = RowColumns::new(row, rule.plan());
            if !rule.holds(&columns, row.time) {
                continue;
            }
            if let Some(before) = *after {
                if self.counts.has_told(before, key.remote, interval.to) {
                    self.later.push(Waiting {
                        rule: index,
                        key: *key,
                        signal: row.signal,
                        count: row.count,
                        device: row.device.into(),
                    });
                }
                continue;
            }
            is_probe |= rule.tells_answers;
            let event = Event {
                row: &columns,
                interval,
                poll: self.poll,
            };
            self.counts.count(index, &event);
        }
        if is_probe {
            self.probes.hit(key, interval.to);
        }
    }

    fn is_private(&self, remote: IpAddr) -> bool {
        let mut networks = self.local_networks.iter();
        is_private(remote) || networks.any(|network| network.contains(remote))
    }

    /// Ends a poll: what has to be told, in the order in which it was first counted. `lossy` says that the kernel lost something.
    pub fn findings(&mut self, interval: Interval, lossy: bool) -> Vec<Finding> {
        self.probes.settle();
        let mut findings = Vec::new();
        self.counts
            .judge(&mut findings, &self.probes, interval, lossy);
        self.count_waiting(interval);
        self.counts
            .judge(&mut findings, &self.probes, interval, lossy);
        self.counts.end(&mut findings, &self.probes, interval.to);
        self.poll += 1;
        order::arrange(findings)
    }

    fn count_waiting(&mut self, interval: Interval) {
        let grown = |rule, remote| self.counts.grown_before(rule, remote, self.poll);
        for waiting in self.later.settle(grown) {
            let rule = Arc::clone(&self.counts.rules[waiting.rule].rule);
            let row = Row {
                key: &waiting.key,
                signal: waiting.signal,
                count: waiting.count,
                time: interval.to,
                device: &waiting.device,
                process: None,
                is_scanner: false,
                sources: None,
            };
            let columns = RowColumns::new(&row, rule.plan());
            let event = Event {
                row: &columns,
                interval,
                poll: self.poll,
            };
            self.counts.count(waiting.rule, &event);
        }
    }

    /// Ends all incidents, as nothing comes any more: tells of every group that has grown since it was told of.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        for InForce { rule, groups, .. } in &mut self.counts.rules {
            let found = groups.end(rule, now).into_iter();
            findings.extend(found.map(|(key, finding)| with_answers(finding, &key, &self.probes)));
        }
        order::arrange(findings)
    }

    /// Groups that were dropped for want of room since the last call.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.counts.evicted)
    }
}

#[cfg(test)]
mod tests;
