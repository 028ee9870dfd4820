//! Judging: rules applied to counts.
//!
//! In: rows of the drain with the interval they belong to. Out: [`Finding`]s, one for each group that has to be told of.
//! The decisions held here: a row is tried only on rules that know its signal; a poll's work is linear in the rows it brings, not in
//! the groups that are tracked; a group's state is created when it is needed, and all of it is bounded in bytes (`counts`, `memory`). What depends on
//! the whole poll waits for its end: a poll's rows are in no order (`answers`, `later`).

mod aggregate;
mod alarm;
mod answers;
mod candidates;
mod columns;
mod counts;
mod finding;
mod group;
mod groups;
mod key;
mod later;
mod memory;
mod order;
mod partial;
mod sample;
mod seen;
mod store;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Signal;

use crate::row::Row;
use crate::rule::{Configured, Network, Rule, Severity, SignalSet, is_private};
use answers::{Answer, Probes};
use candidates::Candidates;
use columns::RowColumns;
use counts::Counts;
use groups::Event;
use later::{Later, Waiting};

pub use alarm::Phase;
pub use answers::Answers;
pub use candidates::Asked;
pub use counts::Shed;
pub use finding::Finding;

/// Memory for what rules count, where nothing else is said, in bytes: half of the agent's.
pub const DEFAULT_MEMORY: u64 = 128 << 20;

/// The time between two polls, in which a poll's events happened.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// The poll before.
    pub from: Timestamp,
    /// This poll.
    pub to: Timestamp,
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
    /// The most that the state of all rules takes, in bytes.
    pub memory: u64,
}

/// The state of all rules.
#[derive(Debug)]
pub struct Judge {
    include_private: bool,
    local_networks: Vec<Network>,
    rules: Vec<InForce>,
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
    /// The rule whose remotes do not count.
    unless: Option<usize>,
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
                unless: rule.unless().and_then(position),
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
            counts: Counts::new(&rules, settings.memory),
            rules,
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
        if let Some(answer) = Answer::of(row.signal)
            && row.remote().is_some()
        {
            self.probes.answered(key, answer);
        }
        // Asked once for all rules.
        let remote = row.remote();
        let excluded =
            !self.include_private && remote.is_some_and(|remote| self.is_private(remote.to_ip()));
        let mut is_probe = false;
        for &index in self.by_signal[row.signal as usize].of_port(key.port) {
            let InForce {
                rule,
                after,
                unless,
            } = &self.rules[index];
            if !rule.takes(row, excluded) {
                continue;
            }
            let columns = RowColumns::new(row, rule.plan());
            if !rule.holds(&columns, row.time) {
                continue;
            }
            let has_told = |before: usize| {
                let scans = &self.rules[before].rule;
                self.counts.has_told(scans, before, key.remote, interval.to)
            };
            if unless.is_some_and(has_told) {
                continue;
            }
            if let Some(before) = *after {
                if has_told(before) {
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
            self.counts.count(&self.rules, index, &event);
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
            .judge(&self.rules, &mut findings, &self.probes, interval, lossy);
        self.count_waiting(interval);
        self.counts
            .judge(&self.rules, &mut findings, &self.probes, interval, lossy);
        self.counts
            .end(&self.rules, &mut findings, &self.probes, interval.to);
        self.poll += 1;
        order::arrange(findings)
    }

    fn count_waiting(&mut self, interval: Interval) {
        let grown = |rule: usize, remote| {
            let before = self.rules[rule].after?;
            let scans = &self.rules[before].rule;
            self.counts.grown_in(scans, before, remote, self.poll)
        };
        for waiting in self.later.settle(grown) {
            let rule = &self.rules[waiting.rule].rule;
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
            self.counts.count(&self.rules, waiting.rule, &event);
        }
    }

    /// Ends all incidents, as nothing comes any more: tells of every group that has grown since it was told of.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Finding> {
        order::arrange(self.counts.finish(&self.rules, &self.probes, now))
    }

    /// What could not be kept for want of memory since the last call.
    pub fn take_shed(&mut self) -> Shed {
        self.counts.take_shed()
    }
}

#[cfg(test)]
mod tests;
