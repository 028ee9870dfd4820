//! Judging: rules applied to counts.
//!
//! In: rows of the drain with the interval they belong to. Out: [`Finding`]s, one for each group that has to be told of.
//! The decisions held here: a row is tried only on rules that know its signal; a poll's work is linear in the rows it brings, not in
//! the groups that are tracked; a group's state is created when it is needed, and bounded in number (`groups`).

mod alarm;
mod groups;
mod sample;

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};

use crate::rule::{Rule, Severity, SignalSet, is_private};
use groups::{Event, GroupKey, Groups};

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
    /// The address out there.
    pub remote: Address,
    /// The port, where the rule groups by it or only one was seen.
    pub port: Option<u16>,
    /// The local address, where the rule groups by it or only one was seen.
    pub local: Option<Address>,
    /// What the rule measured in its window.
    pub count: u64,
    /// No event in the window is older.
    pub start: Timestamp,
    /// No event in the window is younger.
    pub end: Timestamp,
    /// Kinds of signals seen.
    pub signals: SignalSet,
    /// Some of the ports seen, ascending.
    pub ports: Vec<u16>,
    /// Some of the local addresses seen, ascending.
    pub locals: Vec<Address>,
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
    /// Each rule in force with its groups.
    rules: Vec<(&'static Rule, Groups)>,
    /// Which of them know each signal.
    by_signal: [Vec<usize>; Signal::ALL.len()],
    /// Rules and groups that this poll has changed.
    changed: Vec<(usize, GroupKey)>,
    /// The poll's number. Times can't tell polls apart when the clock is set back.
    poll: u64,
    evicted: u64,
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let rules: Vec<_> = settings
            .rules
            .iter()
            .filter(|rule| rule.severity >= settings.min_severity)
            .map(|rule| (rule, Groups::default()))
            .collect();
        let by_signal = Signal::ALL.map(|signal| {
            let knows =
                |rule: &Rule| rule.signals.contains(signal) && !settings.ignored.contains(signal);
            (0..rules.len())
                .filter(|&index| knows(rules[index].0))
                .collect()
        });
        Self {
            include_private: settings.include_private,
            rules,
            by_signal,
            changed: Vec::new(),
            poll: 0,
            evicted: 0,
        }
    }

    /// Counts a row of the drain.
    pub fn observe(&mut self, key: &Key, count: u64, interval: Interval) {
        let Some(signal) = Signal::from_number(key.signal) else {
            return;
        };
        let event = Event {
            key,
            signal,
            count,
            interval,
            poll: self.poll,
        };
        // Asked once for all rules.
        let excluded = !self.include_private && is_private(key.remote.to_ip());
        for &index in &self.by_signal[signal as usize] {
            let (rule, groups) = &mut self.rules[index];
            if !rule.takes(key, excluded) {
                continue;
            }
            let group = GroupKey::new(rule, key);
            let outcome = groups.count(rule, group, &event);
            self.evicted += outcome.evicted;
            if outcome.is_first_change {
                self.changed.push((index, group));
            }
        }
    }

    /// Ends a poll: what has to be told, in the order in which it was first counted. `lossy` says that the kernel lost something.
    pub fn findings(&mut self, interval: Interval, lossy: bool) -> Vec<Finding> {
        self.poll += 1;
        let mut findings = Vec::new();
        for (index, group) in self.changed.drain(..) {
            let (rule, groups) = &mut self.rules[index];
            findings.extend(groups.judge(rule, group, interval, lossy));
        }
        findings
    }

    /// Groups that were dropped for want of room since the last call.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests;
