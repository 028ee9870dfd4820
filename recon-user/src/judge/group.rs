//! One group of a rule: what it is of, its window, its alarm, and a sample of what was seen.
//!
//! In: rows that the rule takes. Out: the [`Finding`] that tells of it.

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};

use super::Finding;
use super::alarm::{Alarm, Told};
use super::sample::Sample;
use crate::rule::{Measure, Rule, SignalSet};
use crate::window::{self, Counted, Distinct, Slice};

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

#[derive(Debug)]
pub(super) enum Window {
    Count(Counted),
    Ports(Distinct<u16>),
    Locals(Distinct<Address>),
    Remotes(Distinct<Address>),
}

impl Window {
    pub(super) fn new(measure: Measure) -> Self {
        match measure {
            Measure::Count => Self::Count(Counted::default()),
            Measure::DistinctPorts => Self::Ports(Distinct::default()),
            Measure::DistinctAddresses => Self::Locals(Distinct::default()),
            Measure::DistinctRemotes => Self::Remotes(Distinct::default()),
        }
    }

    /// Returns whether the event could be held.
    pub(super) fn add(&mut self, now: Slice, key: &Key, count: u64) -> bool {
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

    pub(super) fn expire(&mut self, now: Slice) {
        match self {
            Self::Count(counted) => counted.expire(now),
            Self::Ports(distinct) => distinct.expire(now),
            Self::Locals(distinct) | Self::Remotes(distinct) => distinct.expire(now),
        }
    }

    pub(super) fn total(&self) -> u64 {
        match self {
            Self::Count(counted) => counted.total(),
            Self::Ports(distinct) => distinct.total(),
            Self::Locals(distinct) | Self::Remotes(distinct) => distinct.total(),
        }
    }
}

/// What is known of one group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) window: Window,
    pub(super) alarm: Alarm,
    pub(super) seen: Seen,
    /// The poll that changed it last.
    pub(super) changed_in: u64,
    /// When that was.
    pub(super) changed_at: Timestamp,
    /// What the window held before that.
    pub(super) total_before: u64,
}

/// What was seen since the window was last empty.
#[derive(Debug)]
pub(super) struct Seen {
    since: Timestamp,
    signals: SignalSet,
    ports: Sample<u16, PORTS_SHOWN>,
    locals: Sample<Address, SHOWN>,
    /// Of groups that are not of one remote.
    remotes: Sample<Address, SHOWN>,
    /// Of groups that are not of one process.
    processes: Sample<u32, SHOWN>,
    pub(super) is_lossy: bool,
}

impl Seen {
    pub(super) fn nothing(since: Timestamp) -> Self {
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

    pub(super) fn note(&mut self, rule: &Rule, signal: Signal, key: &Key) {
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

impl Group {
    /// What is told of it at `now`.
    pub(super) fn finding(
        &self,
        rule: &'static Rule,
        key: GroupKey,
        told: Told,
        now: Timestamp,
    ) -> Finding {
        let seen = &self.seen;
        Finding {
            rule,
            phase: told.phase,
            at: now,
            remote: key.remote.or(seen.remotes.only()),
            remotes: shown(key.remote, &seen.remotes),
            port: key.port.or(seen.ports.only()),
            local: key.local.or(seen.locals.only()),
            count: self.window.total(),
            // Events that left the window are not told of, though the group may have begun with them.
            start: seen.since.max(window::begin(now, rule.window)),
            end: self.changed_at,
            signals: seen.signals,
            ports: seen.ports.items().to_vec(),
            locals: seen.locals.items().to_vec(),
            process: key.process.or(seen.processes.only()),
            processes: shown(key.process, &seen.processes),
            answers: None,
            suppressed: told.suppressed,
            lower_bound: seen.is_lossy,
        }
    }
}

/// What an alert lists: what the group is of, or else some of what was seen.
fn shown<T: Copy + Ord>(of: Option<T>, seen: &Sample<T, SHOWN>) -> Vec<T> {
    of.map_or_else(|| seen.items().to_vec(), |one| vec![one])
}
