//! Aggregates the rows of a group over a sliding window: the one set of accumulators.
//!
//! In: rows, one pane of the window at a time. Out: a number for the threshold, values for columns.
//! The decisions held here:
//! - Keeps each distinct value once, up to a limit.
//! - A number of remotes is exact up to a limit and an estimate beyond it ([`Sources`]).
//! - Accumulators that few queries have are boxed, so that a group of a count stays small.

use std::borrow::Cow;

use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::columns::RowColumns;
use super::operator::{AggregateOperator, AggregatePlan, condition};
use super::panes::{PaneResult, Panes, empty};
use super::window::{Counted, Distinct, Member, OwnedPorts, Pane, Sources, allocated};
use crate::kql::eval::{Value, eval, holds, total_order};
use crate::kql::{Aggregate, AggregateFunction, Expr, Literal, Plan};
use crate::row::Row;
use crate::seed::hash_secrets;

/// Distinct members that a group keeps: as many as there are ports.
const MAX_MEMBERS: usize = 1 << 16;

/// One aggregate of one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Accumulator {
    Count(Counted),
    Ports(Distinct<u16>),
    /// The ports of sources of which another rule may report one.
    OwnedPorts(Box<OwnedPorts>),
    Addresses(Distinct<Address>),
    Sources(Box<Sources>),
    Values(Box<Distinct<Value<'static>>>),
    Panes(Box<Panes>),
}

impl Accumulator {
    /// Takes out what only that source has added, if the operator knows its sources.
    pub(super) fn withdraw(&mut self, source: Address, operator: AggregateOperator) {
        match self {
            Self::OwnedPorts(ports) => ports.withdraw(source),
            Self::Sources(sources) => sources.withdraw(source.hash(hash_secrets())),
            Self::Addresses(remotes) if operator == AggregateOperator::RemoteAddresses => {
                remotes.remove(&source);
            }
            _ => {}
        }
    }

    /// An empty one. If `is_shared`, sources share a group, and one of them may be taken out.
    pub(super) fn new(operator: AggregateOperator, is_shared: bool) -> Self {
        match operator {
            AggregateOperator::Ports if is_shared => Self::OwnedPorts(Box::default()),
            AggregateOperator::Count => Self::Count(Counted::default()),
            AggregateOperator::Ports => Self::Ports(Distinct::default()),
            AggregateOperator::LocalAddresses | AggregateOperator::RemoteAddresses => {
                Self::Addresses(Distinct::default())
            }
            AggregateOperator::Sources => Self::Sources(Box::default()),
            AggregateOperator::Values => Self::Values(Box::default()),
            AggregateOperator::Panes => Self::Panes(Box::default()),
        }
    }

    /// Adds a row. Returns whether it is held for the whole window: where it takes more memory,
    /// `may_grow` must allow that.
    #[inline]
    pub(super) fn add(
        &mut self,
        now: Pane,
        aggregate_plan: &AggregatePlan,
        plan: &Plan,
        row: &RowColumns<'_>,
        may_grow: bool,
    ) -> bool {
        if !aggregate_plan.signals.contains(row.row.key.signal) {
            return true;
        }
        let aggregate = aggregate_plan.of(plan);
        if aggregate_plan.is_conditional
            && !aggregate.is_some_and(|aggregate| is_met(aggregate, row))
        {
            return true;
        }
        let count = if aggregate_plan.is_weighted {
            row.count()
        } else {
            1
        };
        let key = &row.row.key;
        match self {
            Self::Count(counted) => counted.add(now, count, may_grow),
            Self::Ports(distinct) => match key.port {
                Some(port) => distinct.add(now, port, MAX_MEMBERS, may_grow),
                None => true,
            },
            Self::OwnedPorts(ports) => match (key.port, key.remote) {
                (Some(port), Some(source)) => ports.add(now, port, source, MAX_MEMBERS, may_grow),
                _ => true,
            },
            Self::Addresses(distinct) => {
                let address = match aggregate_plan.operator {
                    AggregateOperator::RemoteAddresses => key.remote,
                    // What is unknown is one more value, as an empty string is in Kusto.
                    _ => Some(key.local.unwrap_or(Address::UNSPECIFIED)),
                };
                // Aggregated sources have no address: the number is a lower bound.
                address.is_some_and(|address| distinct.add(now, address, MAX_MEMBERS, may_grow))
            }
            Self::Sources(sources) => add_sources(sources, now, row.row, count, may_grow),
            Self::Values(set) => {
                match aggregate.and_then(|aggregate| argument(aggregate, 0, row)) {
                    Some(value) => set.add(now, value.into_owned(), MAX_MEMBERS, may_grow),
                    None => true,
                }
            }
            Self::Panes(panes) => {
                let result = aggregate.and_then(|aggregate| {
                    Some((aggregate, PaneResult::of(aggregate, row, count)?))
                });
                match result {
                    Some((aggregate, result)) => {
                        panes.add(now, result, aggregate.function, may_grow)
                    }
                    None => true,
                }
            }
        }
    }

    /// Drops what has left the window.
    pub(super) fn expire(&mut self, now: Pane) {
        match self {
            Self::Count(counted) => counted.expire(now),
            Self::Ports(distinct) => distinct.expire(now),
            Self::OwnedPorts(ports) => ports.expire(now),
            Self::Addresses(distinct) => distinct.expire(now),
            Self::Sources(sources) => sources.expire(now),
            Self::Values(set) => set.expire(now),
            Self::Panes(panes) => panes.expire(now),
        }
    }

    /// What is compared with a threshold, if the accumulator knows it without any work; else 0.
    pub(super) fn known_total(&self) -> u64 {
        match self {
            Self::Count(counted) => counted.total(),
            Self::Ports(distinct) => distinct.total(),
            Self::OwnedPorts(ports) => ports.total(),
            Self::Addresses(distinct) => distinct.total(),
            Self::Values(set) => set.total(),
            Self::Sources(_) | Self::Panes(_) => 0,
        }
    }

    /// What is compared with a threshold; 0 for what is no whole number, or negative.
    pub(super) fn total(&self, aggregate: Option<&Aggregate>) -> u64 {
        match (self, aggregate) {
            (Self::Sources(sources), _) => sources.total(),
            (Self::Panes(_), Some(aggregate)) => match self.values(aggregate).first() {
                Some(Value::Long(number)) => u64::try_from(*number).unwrap_or(0),
                _ => 0,
            },
            _ => self.known_total(),
        }
    }

    /// The results over the window: a value for each column that the aggregate gives.
    pub(super) fn values(&self, aggregate: &Aggregate) -> Vec<Value<'static>> {
        match self {
            Self::Values(set) if aggregate.function == AggregateFunction::MakeSet => {
                vec![Value::List(listed(set, aggregate.arguments.get(1)))]
            }
            Self::Panes(panes) => match panes.merged(aggregate.function) {
                Some(whole) => whole.values(aggregate),
                None => empty(aggregate),
            },
            _ => vec![long(self.total(Some(aggregate)))],
        }
    }

    /// The bytes of heap that it takes.
    #[inline]
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Count(counted) => counted.heap(),
            Self::Ports(distinct) => distinct.heap(),
            Self::OwnedPorts(ports) => allocated(size_of::<OwnedPorts>()) + ports.heap(),
            Self::Addresses(distinct) => distinct.heap(),
            Self::Sources(sources) => allocated(size_of::<Sources>()) + sources.heap(),
            Self::Values(set) => allocated(size_of_val(&**set)) + set.heap(),
            Self::Panes(panes) => allocated(size_of::<Panes>()) + panes.heap(),
        }
    }

    /// The bytes that one row may add, beyond what any row takes.
    #[inline]
    pub(super) fn growth(&self) -> usize {
        match self {
            Self::Ports(distinct) => distinct.growth(),
            Self::OwnedPorts(ports) => ports.growth(),
            Self::Addresses(distinct) => distinct.growth(),
            Self::Sources(sources) => sources.growth(),
            Self::Values(set) => set.growth(),
            Self::Count(_) | Self::Panes(_) => 0,
        }
    }
}

/// Adds the remote of a row, or those of its sketch. Returns whether all of them are held.
fn add_sources(
    sources: &mut Sources,
    now: Pane,
    row: &Row<'_>,
    count: u64,
    may_grow: bool,
) -> bool {
    match (row.key.remote, row.sources) {
        (Some(remote), _) => sources.add(now, remote.hash(hash_secrets()), count, may_grow),
        (None, Some(sketched)) => sources.join(now, sketched, count, may_grow),
        (None, None) => false,
    }
}

impl Member for Value<'static> {
    fn heap(&self) -> usize {
        heap_of(self)
    }
}

/// The bytes of heap that a value takes.
pub(super) fn heap_of(value: &Value<'_>) -> usize {
    match value {
        Value::String(Cow::Owned(text)) => allocated(text.capacity()),
        Value::List(items) => {
            let held: usize = items.iter().map(heap_of).sum();
            allocated(items.capacity() * size_of::<Value<'_>>()) + held
        }
        _ => 0,
    }
}

/// The value of an argument. `None` where it is null.
pub(super) fn argument<'a>(
    aggregate: &'a Aggregate,
    position: usize,
    row: &'a RowColumns<'_>,
) -> Option<Value<'a>> {
    let value = eval(aggregate.arguments.get(position)?, row, row.now());
    (!value.is_null()).then_some(value)
}

/// Whether the condition of an aggregate holds, if it has one.
fn is_met(aggregate: &Aggregate, row: &RowColumns<'_>) -> bool {
    condition(aggregate).is_none_or(|condition| holds(condition, row, row.now()))
}

pub(super) fn long(count: u64) -> Value<'static> {
    Value::Long(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The values of a set in order, as many as `make_set` keeps.
fn listed(set: &Distinct<Value<'static>>, limit: Option<&Expr>) -> Vec<Value<'static>> {
    let mut values: Vec<_> = set.members().cloned().collect();
    values.sort_by(total_order);
    if let Some(Expr::Literal(Literal::Long(limit))) = limit {
        values.truncate(usize::try_from(*limit).unwrap_or(0));
    }
    values
}
