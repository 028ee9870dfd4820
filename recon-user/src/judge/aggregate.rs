//! What a query keeps of a group's rows, beside the measure: `min`, `make_set`, `arg_max` and the like, over a sliding window.
//!
//! In: rows, a slice of the window at a time. Out: the values that the aggregate gives.
//! The decisions held here:
//! - Each slice has what its rows came to, and all are put together when they are asked for: once a poll, and when something is told.
//! - Of different values each is kept once, up to a limit.
//! - A sum counts each of a row's events, but where it is of `Count` itself, which has counted them already.
//! - `dcount` of the remotes is exact up to a limit and an estimate beyond ([`Sources`]): a flood has millions of them. Kusto's own is an
//!   estimate always.

use std::borrow::Cow;

use super::columns::RowColumns;
use super::key::known_remote;
use super::partial::{Partial, Slices, empty};
use crate::kql::eval::{Value, eval, holds};
use crate::kql::{Aggregate, AggregateFunction, Expr, Field, Literal, Plan};
use crate::row::Row;
use crate::rule::{field, fields};
use crate::seed::seed;
use crate::window::{Distinct, Member, Slice, Sources, allocated};

/// Different values that a group keeps: all ports there are.
const MAX_VALUES: usize = 1 << 16;

/// One aggregate of one group.
#[derive(Clone, Debug)]
pub(super) struct Sliding {
    /// Whether a row counts for as many as its events are: not where a sum is of `Count` itself.
    is_weighted: bool,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// Different values.
    Set(Distinct<Value<'static>>),
    /// Different remotes.
    Sources(Sources),
    /// What rows came to.
    Slices(Slices),
}

impl Sliding {
    /// That of a plan, at that position.
    pub(super) fn new(plan: &Plan, position: usize) -> Self {
        let aggregate = &plan.aggregates[position];
        let is_of_remotes = aggregate.arguments.first().and_then(field) == Some(Field::RemoteIp);
        let kept = match aggregate.function {
            AggregateFunction::DCount | AggregateFunction::DCountIf if is_of_remotes => {
                Kept::Sources(Sources::default())
            }
            AggregateFunction::DCount
            | AggregateFunction::DCountIf
            | AggregateFunction::MakeSet => Kept::Set(Distinct::default()),
            _ => Kept::Slices(Slices::default()),
        };
        let arguments = aggregate.arguments.iter();
        let mut fields = arguments.flat_map(|argument| fields(argument, &plan.extends));
        Self {
            is_weighted: fields.all(|field| field != Field::Count),
            kept,
        }
    }

    /// Adds a row. Returns whether it is held for the whole window: where it takes more memory, `may_grow` has to allow it.
    pub(super) fn add(
        &mut self,
        now: Slice,
        aggregate: &Aggregate,
        row: &RowColumns<'_>,
        may_grow: bool,
    ) -> bool {
        match &mut self.kept {
            Kept::Set(set) => match member(aggregate, row) {
                Some(value) => set.add(now, value, MAX_VALUES, may_grow),
                None => true,
            },
            Kept::Sources(sources) => {
                !is_met(aggregate, row) || add_sources(sources, now, row.row, may_grow)
            }
            Kept::Slices(slices) => {
                let count = if self.is_weighted { row.count() } else { 1 };
                match Partial::of(aggregate, row, count) {
                    Some(new) => slices.add(now, new, aggregate.function, may_grow),
                    None => true,
                }
            }
        }
    }

    /// Drops what has left the window.
    pub(super) fn expire(&mut self, now: Slice) {
        match &mut self.kept {
            Kept::Set(set) => set.expire(now),
            Kept::Sources(sources) => sources.expire(now),
            Kept::Slices(slices) => slices.expire(now),
        }
    }

    /// What the window comes to, where it is a whole number.
    pub(super) fn number(&self, aggregate: &Aggregate) -> Option<i64> {
        let value = match &self.kept {
            Kept::Set(set) => long(set.total()),
            Kept::Sources(sources) => long(sources.total()),
            Kept::Slices(_) => self.values(aggregate).into_iter().next()?,
        };
        match value {
            Value::Long(number) => Some(number),
            _ => None,
        }
    }

    /// What the window comes to: a value for each column that the aggregate gives.
    pub(super) fn values(&self, aggregate: &Aggregate) -> Vec<Value<'static>> {
        match &self.kept {
            Kept::Set(set) if aggregate.function == AggregateFunction::MakeSet => {
                vec![Value::List(listed(set, aggregate.arguments.get(1)))]
            }
            Kept::Set(set) => vec![long(set.total())],
            Kept::Sources(sources) => vec![long(sources.total())],
            Kept::Slices(slices) => match slices.whole(aggregate.function) {
                Some(whole) => whole.values(aggregate),
                None => empty(aggregate),
            },
        }
    }

    /// The bytes of heap that it takes.
    pub(super) fn heap(&self) -> usize {
        match &self.kept {
            Kept::Set(set) => set.heap(),
            Kept::Sources(sources) => sources.heap(),
            Kept::Slices(slices) => slices.heap(),
        }
    }

    /// The bytes that it may grow by at once, beside what any row takes.
    pub(super) fn growth(&self) -> usize {
        match &self.kept {
            Kept::Set(set) => set.growth(),
            Kept::Sources(sources) => sources.growth(),
            Kept::Slices(_) => 0,
        }
    }
}

/// Adds the remote of a row, or those of its sketch. Returns whether all of them are held.
fn add_sources(sources: &mut Sources, now: Slice, row: &Row<'_>, may_grow: bool) -> bool {
    match (known_remote(row.key), row.sources) {
        (Some(remote), _) => sources.add(now, remote.hash(seed()), may_grow),
        (None, Some(sketched)) => sources.join(now, sketched, may_grow),
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

/// The value of an argument. None where it is null.
pub(super) fn argument<'a>(
    aggregate: &'a Aggregate,
    position: usize,
    row: &'a RowColumns<'_>,
) -> Option<Value<'a>> {
    let value = eval(aggregate.arguments.get(position)?, row, row.now());
    (!value.is_null()).then_some(value)
}

/// Whether the condition of an aggregate holds that has one.
pub(super) fn is_met(aggregate: &Aggregate, row: &RowColumns<'_>) -> bool {
    let position = match aggregate.function {
        AggregateFunction::CountIf => 0,
        AggregateFunction::DCountIf | AggregateFunction::SumIf => 1,
        _ => return true,
    };
    let condition = aggregate.arguments.get(position);
    condition.is_some_and(|condition| holds(condition, row, row.now()))
}

/// The value of a row that is one of a set's. None where it does not count.
fn member(aggregate: &Aggregate, row: &RowColumns<'_>) -> Option<Value<'static>> {
    let value = is_met(aggregate, row).then(|| argument(aggregate, 0, row));
    value.flatten().map(Value::into_owned)
}

pub(super) fn long(count: u64) -> Value<'static> {
    Value::Long(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The values of a set in an order, as many as `make_set` was told to keep.
fn listed(set: &Distinct<Value<'static>>, limit: Option<&Expr>) -> Vec<Value<'static>> {
    let mut values: Vec<_> = set.members().cloned().collect();
    values.sort_by(super::order::order);
    if let Some(Expr::Literal(Literal::Long(limit))) = limit {
        values.truncate(usize::try_from(*limit).unwrap_or(0));
    }
    values
}
