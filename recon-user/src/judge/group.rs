//! One group of a rule: what it is of, its window, its alarm, and a sample of what was seen.
//!
//! In: rows that the rule takes. Out: the [`Finding`] that tells of it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};

use super::Finding;
use super::aggregate::Sliding;
use super::alarm::{Alarm, Told};
use super::columns::{GroupColumns, RowColumns};
use super::order::order;
use super::sample::Sample;
use crate::kql::eval::{Columns, Value, eval, holds};
use crate::rule::{Measure, Rule, SignalSet};
use crate::window::{self, Counted, Distinct, Slice};

/// Members of a distinct count that a group keeps: all ports there are.
const MAX_MEMBERS: usize = 1 << 16;
/// Ports, and addresses and processes, that an alert lists.
const PORTS_SHOWN: usize = 16;
const SHOWN: usize = 8;

/// What a rule keeps its counts by. Parts that it does not group by are `None`, and so is what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupKey {
    pub(super) remote: Option<Address>,
    pub(super) local: Option<Address>,
    pub(super) port: Option<u16>,
    pub(super) process: Option<u32>,
    /// The values of what it is of beside: of few rules anything.
    pub(super) others: Box<[Value<'static>]>,
}

/// At once, since every row of every rule that takes it is looked up by it. What is not known is hashed as its default.
impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let address = |address: Option<Address>| {
            let [a, b, c, d] = address.unwrap_or(Address::UNSPECIFIED).words();
            [
                u64::from(a) << 32 | u64::from(b),
                u64::from(c) << 32 | u64::from(d),
            ]
        };
        let [[a, b], [c, d]] = [self.remote, self.local].map(address);
        let process = u64::from(self.process.unwrap_or_default());
        let ends = process << 32 | u64::from(self.port.unwrap_or_default());
        [a, b, c, d, ends]
            .into_iter()
            .for_each(|part| state.write_u64(part));
        if !self.others.is_empty() {
            self.others.hash(state);
        }
    }
}

impl GroupKey {
    /// The group of a row. None where something is not known that a summary groups by.
    pub(super) fn new(rule: &Rule, row: &RowColumns<'_>) -> Option<Self> {
        let key = row.row.key;
        let mut others = Vec::new();
        for &position in &rule.others {
            let value = eval(&rule.plan().groups[position].expr, row, row.now());
            if value.is_null() && rule.plan().is_summary {
                return None;
            }
            others.push(value.into_owned());
        }
        Some(Self {
            remote: rule.by.remote.then_some(key.remote),
            local: known_local(key).filter(|_| rule.by.local),
            port: rule.by.port.then_some(key.port),
            process: known_process(key).filter(|_| rule.by.process),
            others: others.into(),
        })
    }

    /// An order of a rule's groups.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let plain = |key: &Self| (key.remote, key.local, key.port, key.process);
        let others = self.others.iter().zip(&other.others);
        let others = others.map(|(one, other)| order(one, other));
        plain(self)
            .cmp(&plain(other))
            .then_with(|| others.fold(Ordering::Equal, Ordering::then))
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
    /// Of rules that measure by an aggregate.
    None,
}

impl Window {
    pub(super) fn new(measure: Measure) -> Self {
        match measure {
            Measure::Count => Self::Count(Counted::default()),
            Measure::DistinctPorts => Self::Ports(Distinct::default()),
            Measure::DistinctAddresses => Self::Locals(Distinct::default()),
            Measure::DistinctRemotes => Self::Remotes(Distinct::default()),
            Measure::Other => Self::None,
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
            Self::None => true,
        }
    }

    pub(super) fn expire(&mut self, now: Slice) {
        match self {
            Self::Count(counted) => counted.expire(now),
            Self::Ports(distinct) => distinct.expire(now),
            Self::Locals(distinct) | Self::Remotes(distinct) => distinct.expire(now),
            Self::None => {}
        }
    }

    pub(super) fn total(&self) -> u64 {
        match self {
            Self::Count(counted) => counted.total(),
            Self::Ports(distinct) => distinct.total(),
            Self::Locals(distinct) | Self::Remotes(distinct) => distinct.total(),
            Self::None => 0,
        }
    }
}

/// What is known of one group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) window: Window,
    /// What is kept beside: an aggregate for each of the rule's `kept`.
    pub(super) aggregates: Box<[Sliding]>,
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
    /// Adds a row. Returns whether all of it could be held.
    pub(super) fn add(&mut self, rule: &Rule, now: Slice, row: &RowColumns<'_>) -> bool {
        let is_measured = rule.measured_signals.contains(row.row.signal);
        let mut is_held = !is_measured || self.window.add(now, row.row.key, row.count());
        for (&position, sliding) in rule.kept.iter().zip(&mut self.aggregates) {
            is_held &= sliding.add(now, &rule.plan().aggregates[position], row);
        }
        is_held
    }

    /// Drops what has left the window.
    pub(super) fn expire(&mut self, now: Slice) {
        self.window.expire(now);
        self.aggregates
            .iter_mut()
            .for_each(|sliding| sliding.expire(now));
    }

    /// What the rule measures in its window.
    pub(super) fn total(&self, rule: &Rule) -> u64 {
        let Some(measured) = rule.measured() else {
            return self.window.total();
        };
        let position = rule.kept.iter().position(|&kept| kept == measured);
        let total = position.and_then(|position| {
            self.aggregates[position].number(&rule.plan().aggregates[measured])
        });
        total
            .and_then(|total| u64::try_from(total).ok())
            .unwrap_or(0)
    }

    /// What each aggregate of the plan comes to.
    fn values(&self, rule: &Rule) -> Vec<Vec<Value<'static>>> {
        let aggregates = rule.plan().aggregates.iter().enumerate();
        aggregates
            .map(|(position, aggregate)| {
                match rule.kept.iter().position(|&kept| kept == position) {
                    Some(kept) => self.aggregates[kept].values(aggregate),
                    // The measure.
                    None => vec![Value::Long(
                        i64::try_from(self.window.total()).unwrap_or(i64::MAX),
                    )],
                }
            })
            .collect()
    }

    /// Whether the conditions on a group hold that are beside the threshold.
    pub(super) fn is_wanted(&self, rule: &Rule, key: &GroupKey, now: Timestamp) -> bool {
        let having = &rule.plan().having;
        if having.is_empty() {
            return true;
        }
        let columns = GroupColumns::new(rule, key, self.values(rule), now);
        having
            .iter()
            .all(|condition| holds(condition, &columns, now))
    }

    /// What is told of it at `now`.
    pub(super) fn finding(
        &self,
        rule: &Arc<Rule>,
        key: &GroupKey,
        told: Told,
        now: Timestamp,
    ) -> Finding {
        let seen = &self.seen;
        let columns = GroupColumns::new(rule, key, self.values(rule), now);
        let plan = rule.plan();
        let shown = plan.columns.iter().map(|shown| {
            let value = columns.value(shown.column.slot).into_owned();
            (Arc::clone(&shown.name), value)
        });
        let sorted_by = plan.order.iter();
        Finding {
            rule: Arc::clone(rule),
            phase: told.phase,
            at: now,
            remote: key.remote.or(seen.remotes.only()),
            remotes: self::shown(key.remote, &seen.remotes),
            port: key.port.or(seen.ports.only()),
            local: key.local.or(seen.locals.only()),
            count: self.total(rule),
            // Events that left the window are not told of, though the group may have begun with them.
            start: seen.since.max(window::begin(now, rule.window())),
            end: self.changed_at,
            signals: seen.signals,
            ports: seen.ports.items().to_vec(),
            locals: seen.locals.items().to_vec(),
            process: key.process.or(seen.processes.only()),
            processes: self::shown(key.process, &seen.processes),
            answers: None,
            columns: shown.collect(),
            sorted_by: sorted_by
                .map(|key| columns.value(key.column.slot).into_owned())
                .collect(),
            suppressed: told.suppressed,
            lower_bound: seen.is_lossy,
        }
    }
}

/// What an alert lists: what the group is of, or else some of what was seen.
fn shown<T: Copy + Ord>(of: Option<T>, seen: &Sample<T, SHOWN>) -> Vec<T> {
    of.map_or_else(|| seen.items().to_vec(), |one| vec![one])
}
