//! The groups of one rule: windows, samples and alarms, bounded in number.
//!
//! In: rows that the rule takes. Out: the group's count, and a [`Finding`] where its alarm is due.
//! The decision held here: at the bound, empty groups go first, then an eighth of them at once (so that room costs the same
//! however many there are): those not yet at half their threshold before the others, and of these the longest unchanged. A flood
//! of one-packet sources therefore does not push out a scanner. What is evicted is counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::{SignedDuration, Timestamp};
use recon_common::{Address, Key, Signal};

use super::alarm::Alarm;
use super::sample::Sample;
use super::{Finding, Interval};
use crate::rule::{Measure, Rule, SignalSet};
use crate::window::{self, Counted, Distinct, Slice};

/// Groups that a rule keeps.
const MAX_GROUPS: usize = 1 << 16;
/// The share of them that makes room at once.
const EVICTED_SHARE: usize = 8;
/// Members of a distinct count that a group keeps: all ports there are.
const MAX_MEMBERS: usize = 1 << 16;
/// Ports, and addresses and processes, that an alert lists.
const PORTS_SHOWN: usize = 16;
const SHOWN: usize = 8;

/// What a rule keeps its counts by. Parts that it does not group by are `None`, and so is what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    pub(super) remote: Option<Address>,
    pub(super) local: Option<Address>,
    pub(super) port: Option<u16>,
    pub(super) process: Option<u32>,
}

impl GroupKey {
    pub(super) fn new(rule: &Rule, key: &Key) -> Self {
        Self {
            remote: rule.by.remote.then_some(key.remote),
            local: known_local(key).filter(|_| rule.by.local),
            port: rule.by.port.then_some(key.port),
            process: known_process(key).filter(|_| rule.by.process),
        }
    }

    /// The group of a rule that groups by the remote alone.
    pub(super) fn of_remote(remote: Address) -> Self {
        Self {
            remote: Some(remote),
            ..Self::default()
        }
    }
}

fn known_local(key: &Key) -> Option<Address> {
    (key.local != Address::UNSPECIFIED).then_some(key.local)
}

fn known_process(key: &Key) -> Option<u32> {
    (key.process != 0).then_some(key.process)
}

/// A row of the drain, with the poll that brought it.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) key: &'a Key,
    pub(super) signal: Signal,
    pub(super) count: u64,
    pub(super) interval: Interval,
    pub(super) poll: u64,
}

#[derive(Debug)]
enum Window {
    Count(Counted),
    Ports(Distinct<u16>),
    Locals(Distinct<Address>),
    Remotes(Distinct<Address>),
}

impl Window {
    fn new(measure: Measure) -> Self {
        match measure {
            Measure::Count => Self::Count(Counted::default()),
            Measure::DistinctPorts => Self::Ports(Distinct::default()),
            Measure::DistinctAddresses => Self::Locals(Distinct::default()),
            Measure::DistinctRemotes => Self::Remotes(Distinct::default()),
        }
    }

    /// Returns whether the event could be held.
    fn add(&mut self, now: Slice, key: &Key, count: u64) -> bool {
        match self {
            Self::Count(counted) => {
                counted.add(now, count);
                true
            }
            Self::Ports(distinct) => distinct.add(now, key.port, MAX_MEMBERS),
            Self::Locals(distinct) => distinct.add(now, key.local, MAX_MEMBERS),
            Self::Remotes(distinct) => distinct.add(now, key.remote, MAX_MEMBERS),
        }
    }

    fn expire(&mut self, now: Slice) {
        match self {
            Self::Count(counted) => counted.expire(now),
            Self::Ports(distinct) => distinct.expire(now),
            Self::Locals(distinct) | Self::Remotes(distinct) => distinct.expire(now),
        }
    }

    fn total(&self) -> u64 {
        match self {
            Self::Count(counted) => counted.total(),
            Self::Ports(distinct) => distinct.total(),
            Self::Locals(distinct) | Self::Remotes(distinct) => distinct.total(),
        }
    }
}

/// What is known of one group.
#[derive(Debug)]
struct Group {
    window: Window,
    alarm: Alarm,
    seen: Seen,
    /// The poll that changed it last.
    changed_in: u64,
    /// What the window held before that.
    total_before: u64,
}

/// What was seen since the window was last empty.
#[derive(Debug)]
struct Seen {
    since: Timestamp,
    signals: SignalSet,
    ports: Sample<u16, PORTS_SHOWN>,
    locals: Sample<Address, SHOWN>,
    /// Of groups that are not of one remote.
    remotes: Sample<Address, SHOWN>,
    /// Of groups that are not of one process.
    processes: Sample<u32, SHOWN>,
    is_lossy: bool,
}

impl Seen {
    fn nothing(since: Timestamp) -> Self {
        Self {
            since,
            signals: SignalSet::default(),
            ports: Sample::default(),
            locals: Sample::default(),
            remotes: Sample::default(),
            processes: Sample::default(),
            is_lossy: false,
        }
    }

    fn note(&mut self, rule: &Rule, signal: Signal, key: &Key) {
        self.signals.insert(signal);
        self.ports.insert(key.port);
        if let Some(local) = known_local(key) {
            self.locals.insert(local);
        }
        if !rule.by.remote {
            self.remotes.insert(key.remote);
        }
        if !rule.by.process
            && let Some(process) = known_process(key)
        {
            self.processes.insert(process);
        }
    }
}

/// What counting a row did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether it is the first change of this group in this poll.
    pub(super) is_first_change: bool,
    /// Groups that had to go.
    pub(super) evicted: u64,
}

/// The groups of one rule.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<GroupKey, Group>);

impl Groups {
    /// Counts a row that the rule takes.
    pub(super) fn count(&mut self, rule: &Rule, group: GroupKey, event: &Event<'_>) -> Outcome {
        let Event {
            key,
            signal,
            count,
            interval,
            poll,
        } = *event;
        let now = Slice::of(interval.to, rule.window);
        let mut outcome = Outcome::default();
        if self.0.len() >= MAX_GROUPS && !self.0.contains_key(&group) {
            outcome.evicted = self.make_room(rule, now);
        }
        let group = match self.0.entry(group) {
            Entry::Occupied(entry) => {
                let group = entry.into_mut();
                outcome.is_first_change = group.changed_in != poll;
                group
            }
            Entry::Vacant(entry) => {
                outcome.is_first_change = true;
                entry.insert(Group {
                    window: Window::new(rule.measure),
                    alarm: Alarm::default(),
                    seen: Seen::nothing(interval.from),
                    changed_in: poll,
                    total_before: 0,
                })
            }
        };
        group.window.expire(now);
        if group.window.total() == 0 {
            group.seen = Seen::nothing(interval.from);
        }
        if outcome.is_first_change {
            group.total_before = group.window.total();
        }
        group.changed_in = poll;
        group.seen.is_lossy |= !group.window.add(now, key, count) || outcome.evicted > 0;
        group.seen.note(rule, signal, key);
        outcome
    }

    /// Whether a group was told of, and over its threshold within the rule's window, at the last poll that changed it or before.
    pub(super) fn was_over(&self, rule: &Rule, group: &GroupKey, now: Timestamp) -> bool {
        self.0
            .get(group)
            .is_some_and(|group| group.alarm.was_over(window::begin(now, rule.window)))
    }

    /// By how much `poll` has made the group's total grow.
    pub(super) fn grown_in(&self, poll: u64, group: &GroupKey) -> Option<u64> {
        let group = self.0.get(group)?;
        Some(if group.changed_in == poll {
            group.window.total() - group.total_before
        } else {
            0
        })
    }

    /// The finding for a group that this poll has changed, if its alarm is due.
    pub(super) fn judge(
        &mut self,
        rule: &'static Rule,
        key: GroupKey,
        interval: Interval,
        lossy: bool,
    ) -> Option<Finding> {
        let group = self.0.get_mut(&key)?;
        let count = group.window.total();
        group.seen.is_lossy |= lossy;
        let suppressed = group.alarm.note(count, rule.threshold, interval.to)?;
        let window = SignedDuration::try_from(rule.window).unwrap_or(SignedDuration::MAX);
        // Events that left the window are not told of, though the group may have begun with them.
        let reach = interval.to.checked_sub(window).unwrap_or(Timestamp::MIN);
        Some(Finding {
            rule,
            remote: key.remote.or(group.seen.remotes.only()),
            remotes: shown(key.remote, &group.seen.remotes),
            port: key.port.or(group.seen.ports.only()),
            local: key.local.or(group.seen.locals.only()),
            count,
            start: group.seen.since.max(reach),
            end: interval.to,
            signals: group.seen.signals,
            ports: group.seen.ports.items().to_vec(),
            locals: group.seen.locals.items().to_vec(),
            process: key.process.or(group.seen.processes.only()),
            processes: shown(key.process, &group.seen.processes),
            answers: None,
            suppressed,
            lower_bound: group.seen.is_lossy,
        })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops groups until there is room again. Returns how many of them held something.
    fn make_room(&mut self, rule: &Rule, now: Slice) -> u64 {
        self.0.retain(|_, group| {
            group.window.expire(now);
            group.window.total() > 0
        });
        let share = MAX_GROUPS / EVICTED_SHARE;
        if self.0.len() + share <= MAX_GROUPS {
            return 0;
        }
        let rank = |group: &Group| (group.window.total() > rule.threshold / 2, group.changed_in);
        let mut ranks: Vec<_> = self.0.values().map(rank).collect();
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(share - 1);
        let before = self.0.len();
        let mut left = share;
        self.0.retain(|_, group| {
            let goes = left > 0 && rank(group) <= last_to_go;
            left -= usize::from(goes);
            !goes
        });
        (before - self.0.len()) as u64
    }
}

/// What an alert lists: what the group is of, or else some of what was seen.
fn shown<T: Copy + Ord>(of: Option<T>, seen: &Sample<T, SHOWN>) -> Vec<T> {
    of.map_or_else(|| seen.items().to_vec(), |one| vec![one])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::CATALOGUE;

    #[test]
    fn a_flood_of_sources_does_not_push_out_a_scanner() {
        let rule = CATALOGUE
            .iter()
            .find(|rule| rule.id == "port-scan")
            .expect("in the catalogue");
        let mut groups = Groups::default();
        let mut evicted = 0;
        let mut hit = |groups: &mut Groups, remote: u32, port: u16, second: i64| {
            let time = Timestamp::from_second(second).expect("in range");
            let key = Key {
                remote: Address::v4(remote.to_be_bytes()),
                local: Address::v4([203, 0, 113, 1]),
                port,
                process: 0,
                signal: Signal::Syn as u8,
                reserved: 0,
            };
            let interval = Interval {
                from: time,
                to: time,
            };
            let event = Event {
                key: &key,
                signal: Signal::Syn,
                count: 1,
                interval,
                poll: second as u64,
            };
            let outcome = groups.count(rule, GroupKey::new(rule, &key), &event);
            evicted += outcome.evicted;
        };
        let scanner = u32::from_be_bytes([198, 51, 100, 1]);
        for port in 1..=15 {
            hit(&mut groups, scanner, port, 0);
        }
        let sources = 3 * MAX_GROUPS as u32;
        for source in 0..sources {
            hit(&mut groups, source, 80, 1 + i64::from(source / 1000));
        }
        assert!(groups.0.len() <= MAX_GROUPS, "{} groups", groups.0.len());
        assert!(
            groups.0.values().any(|group| group.window.total() == 15),
            "the scanner is gone"
        );
        assert_eq!(evicted + groups.0.len() as u64, u64::from(sources) + 1);
    }
}
