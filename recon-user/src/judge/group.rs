//! One group of a rule: what it is of, its window, its alarm, and what was seen.
//!
//! In: rows that the rule takes. Out: the [`Finding`] that tells of it.
//! The decision held here: a group holds the key of a row of its own instead of those parts of it that the rule groups by, and of its rows the
//! first says what was seen until one differs. So a group of one event is less than 200 bytes and takes no heap.

use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, Key};

use super::Finding;
use super::aggregate::{Sliding, heap_of};
use super::alarm::{Alarm, Told};
use super::columns::{GroupColumns, RowColumns};
use super::key::{GroupKey, Wanted, known_local, known_process, known_remote};
use super::sample::Sample;
use super::seen::Seen;
use crate::kql::eval::{Columns, Value, holds};
use crate::row::Row;
use crate::rule::{GroupBy, Measure, Rule, SignalSet};
use crate::window::{self, Counted, Distinct, Slice, allocated};

/// Members of a distinct count that a group keeps: all ports there are.
const MAX_MEMBERS: usize = 1 << 16;

#[derive(Debug)]
pub(super) enum Window {
    Count(Counted),
    Ports(Distinct<u16>),
    /// Local or remote ones.
    Addresses(Distinct<Address>),
    /// Of rules that measure by an aggregate.
    None,
}

impl Window {
    pub(super) fn new(measure: Measure) -> Self {
        match measure {
            Measure::Count => Self::Count(Counted::default()),
            Measure::DistinctPorts => Self::Ports(Distinct::default()),
            Measure::DistinctAddresses | Measure::DistinctRemotes => {
                Self::Addresses(Distinct::default())
            }
            Measure::Other => Self::None,
        }
    }

    /// Returns whether the event is held for the whole window.
    fn add(&mut self, measure: Measure, now: Slice, row: &RowColumns<'_>, may_grow: bool) -> bool {
        let key = row.row.key;
        let member = match measure {
            Measure::DistinctRemotes => known_remote(key),
            _ => Some(key.local),
        };
        match (self, member) {
            (Self::Count(counted), _) => counted.add(now, row.count(), may_grow),
            (Self::Ports(distinct), _) => distinct.add(now, key.port, MAX_MEMBERS, may_grow),
            (Self::Addresses(distinct), Some(member)) => {
                distinct.add(now, member, MAX_MEMBERS, may_grow)
            }
            // Of the remotes that it is of none is known.
            (Self::Addresses(_), None) => false,
            (Self::None, _) => true,
        }
    }

    fn expire(&mut self, now: Slice) {
        match self {
            Self::Count(counted) => counted.expire(now),
            Self::Ports(distinct) => distinct.expire(now),
            Self::Addresses(distinct) => distinct.expire(now),
            Self::None => {}
        }
    }

    pub(super) fn total(&self) -> u64 {
        match self {
            Self::Count(counted) => counted.total(),
            Self::Ports(distinct) => distinct.total(),
            Self::Addresses(distinct) => distinct.total(),
            Self::None => 0,
        }
    }

    fn heap(&self) -> usize {
        match self {
            Self::Count(counted) => counted.heap(),
            Self::Ports(distinct) => distinct.heap(),
            Self::Addresses(distinct) => distinct.heap(),
            Self::None => 0,
        }
    }

    fn growth(&self) -> usize {
        match self {
            Self::Ports(distinct) => distinct.growth(),
            Self::Addresses(distinct) => distinct.growth(),
            Self::Count(_) | Self::None => 0,
        }
    }
}

/// What is known of one group.
#[derive(Debug)]
pub(super) struct Group {
    /// The key of its first row since the window was last empty.
    of: Key,
    /// What it is of beside.
    others: Box<[Value<'static>]>,
    pub(super) window: Window,
    /// What is kept beside: an aggregate for each of the rule's `kept`.
    aggregates: Box<[Sliding]>,
    pub(super) alarm: Alarm,
    pub(super) seen: Seen,
    /// The poll that changed it last.
    pub(super) changed_in: u64,
    /// When that was.
    pub(super) changed_at: Timestamp,
    /// What the window held before that.
    pub(super) total_before: u64,
    /// The bytes of heap that are accounted for.
    pub(super) accounted: usize,
}

impl Group {
    /// One that has seen nothing yet.
    pub(super) fn new(
        rule: &Rule,
        wanted: &Wanted<'_>,
        aggregates: Box<[Sliding]>,
        poll: u64,
        from: Timestamp,
    ) -> Self {
        let others = wanted.others.iter().cloned().map(Value::into_owned);
        Self {
            of: wanted.key,
            others: others.collect(),
            window: Window::new(rule.measure),
            aggregates,
            alarm: Alarm::default(),
            seen: Seen::nothing(from),
            changed_in: poll,
            changed_at: from,
            total_before: 0,
            accounted: 0,
        }
    }

    /// Whether it is the one.
    pub(super) fn is(&self, wanted: &Wanted<'_>) -> bool {
        let Wanted { by, key, others } = wanted;
        (by.remote_of(&self.of) == by.remote_of(key))
            && (!by.local || self.of.local == key.local)
            && (!by.port || self.of.port == key.port)
            && (!by.process || self.of.pid == key.pid)
            && *self.others == **others
    }

    /// Whether no row was added yet.
    pub(super) fn is_new(&self) -> bool {
        self.seen.signals == SignalSet::default()
    }

    pub(super) fn key(&self, by: GroupBy) -> GroupKey {
        GroupKey {
            remote: by.remote_of(&self.of),
            local: known_local(&self.of).filter(|_| by.local),
            port: by.port.then_some(self.of.port),
            process: known_process(&self.of).filter(|_| by.process),
            others: self.others.clone(),
        }
    }

    /// Begins the first change of a poll: drops what has left the window, and what was seen with it once it is empty.
    pub(super) fn turn(&mut self, rule: &Rule, now: Slice, row: &RowColumns<'_>, from: Timestamp) {
        self.expire(now);
        self.total_before = self.total(rule);
        if self.total_before == 0 {
            self.seen = Seen::nothing(from);
            self.of = *row.row.key;
        }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, rule: &Rule, now: Slice, row: &RowColumns<'_>, may_grow: bool) {
        let is_measured = rule.measured_signals.contains(row.row.signal);
        let mut is_held = !is_measured || self.window.add(rule.measure, now, row, may_grow);
        for (&position, sliding) in rule.kept.iter().zip(&mut self.aggregates) {
            is_held &= sliding.add(now, &rule.plan().aggregates[position], row, may_grow);
        }
        self.seen.is_lossy |= !is_held;
        // A sum by an aggregate takes time, and is asked for once a poll.
        let total = self.window.total().max(self.total_before);
        self.seen.is_near |= total > rule.threshold() / 2;
        let Row { signal, key, .. } = row.row;
        self.seen.note(rule.by, &self.of, *signal, key, may_grow);
    }

    /// The bytes of heap that it takes.
    pub(super) fn heap(&self) -> usize {
        let others = match &self.others[..] {
            [] => 0,
            others => allocated(size_of_val(others)) + others.iter().map(heap_of).sum::<usize>(),
        };
        let aggregates = match &self.aggregates[..] {
            [] => 0,
            all => allocated(size_of_val(all)) + all.iter().map(Sliding::heap).sum::<usize>(),
        };
        let alarm = if self.seen.is_near || self.alarm.has_sounded() {
            Alarm::HEAP
        } else {
            0
        };
        others + aggregates + self.window.heap() + alarm + self.seen.heap()
    }

    /// The bytes that a large set of it may grow by at once.
    pub(super) fn growth(&self) -> usize {
        let aggregates = self.aggregates.iter().map(Sliding::growth);
        self.window.growth() + aggregates.sum::<usize>()
    }

    /// Whether it has come more than half the way to an alert, or had one in the window that begins then.
    pub(super) fn is_suspicious(&self, rule: &Rule, total: u64, begin: Timestamp) -> bool {
        total > rule.threshold() / 2 || self.alarm.was_over(begin)
    }

    /// Drops all that the window holds. That it was told of stays.
    pub(super) fn forget(&mut self, rule: &Rule) {
        self.window = Window::new(rule.measure);
        let kept = rule.kept.iter();
        self.aggregates = kept
            .map(|&position| Sliding::new(rule.plan(), position))
            .collect();
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
        let samples = seen.samples(rule.by, &self.of);
        let columns = GroupColumns::new(rule, key, self.values(rule), now);
        let plan = rule.plan();
        let shown = plan.columns.iter().map(|shown| {
            let value = columns.value(shown.column.slot).into_owned();
            (Arc::clone(&shown.name), value)
        });
        let sorted_by = plan.order.iter();
        let remote = key.remote.filter(|_| rule.by.remote);
        Finding {
            rule: Arc::clone(rule),
            phase: told.phase,
            at: now,
            remote: remote.or(samples.remotes.only().filter(|_| !samples.has_unnamed)),
            network: key.remote.filter(|_| rule.by.network),
            remotes: self::shown(remote, &samples.remotes),
            port: key.port.or(samples.ports.only()),
            local: key.local.or(samples.locals.only()),
            count: self.total(rule),
            // Events that left the window are not told of, though the group may have begun with them.
            start: seen.since.max(window::begin(now, rule.window())),
            end: self.changed_at,
            signals: seen.signals,
            ports: samples.ports.items().to_vec(),
            locals: samples.locals.items().to_vec(),
            process: key.process.or(samples.processes.only()),
            processes: self::shown(key.process, &samples.processes),
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
fn shown<T: Copy + Ord, const LIMIT: usize>(of: Option<T>, seen: &Sample<T, LIMIT>) -> Vec<T> {
    of.map_or_else(|| seen.items().to_vec(), |one| vec![one])
}
