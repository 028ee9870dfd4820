//! Aggregates that keep one accumulator for each pane of a window: sums, minima, maxima, whole
//! rows.
//!
//! In: the accumulator of a row. Out: the accumulator of the window.
//! The decision held here: panes are merged only when the result is needed: once a poll, and when
//! an incident is reported. The newest pane is part of the window itself, so that one row takes no
//! heap beyond its values.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::accumulator::{argument, heap_of};
use super::columns::RowColumns;
use super::window::{Pane, allocated};
use crate::kql::eval::{Value, compare, eval};
use crate::kql::{Aggregate, AggregateFunction, Comparison, Type};

/// The accumulators of the panes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Panes {
    newest: Option<(Pane, PaneResult)>,
    /// The other panes, oldest first.
    older: VecDeque<(Pane, PaneResult)>,
    /// The bytes of heap that the values take.
    owned: usize,
}

/// The accumulated value of one or more rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum PaneResult {
    /// The sum of a value over events, and the number of events that have the value.
    Sum(Number, u64),
    /// The minimum or the maximum.
    One(Value<'static>),
    /// The values of the row whose first value is the greatest.
    Row(Vec<Value<'static>>),
}

/// A sum: a whole number as long as all of its terms are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Long(whole) | Value::Timespan(whole) => Some(Self::Whole(i128::from(*whole))),
            Value::Real(real) => Some(Self::Real(*real)),
            _ => None,
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    fn times(self, count: u64) -> Self {
        match self {
            Self::Whole(whole) => Self::Whole(whole.saturating_mul(i128::from(count))),
            Self::Real(real) => Self::Real(real * count as f64),
        }
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Self::Whole(one.saturating_add(other)),
            _ => Self::Real(self.real() + other.real()),
        }
    }

    fn value(self, kind: Type) -> Value<'static> {
        let whole = |whole: i128| i64::try_from(whole).ok();
        match (self, kind) {
            (Self::Whole(sum), Type::Timespan) => whole(sum).map_or(Value::Null, Value::Timespan),
            (Self::Whole(sum), Type::Real) => Value::Real(sum as f64),
            (Self::Whole(sum), _) => whole(sum).map_or(Value::Null, Value::Long),
            (Self::Real(sum), Type::Timespan) => Value::Timespan(sum as i64),
            (Self::Real(sum), _) => Value::Real(sum),
        }
    }
}

impl Panes {
    /// Adds the accumulator of a row, after dropping expired panes. Returns whether the row stays
    /// for the whole window: a row without a pane of its own expires with the newest pane.
    pub(super) fn add(
        &mut self,
        now: Pane,
        new: PaneResult,
        function: AggregateFunction,
        may_grow: bool,
    ) -> bool {
        self.expire(now);
        let has_room = may_grow || self.older.len() < self.older.capacity();
        self.owned += new.heap();
        match &mut self.newest {
            Some((pane, accumulator)) if *pane >= now || !has_room => {
                self.owned -= accumulator.heap() + new.heap();
                accumulator.merge(new, function);
                self.owned += accumulator.heap();
                *pane >= now
            }
            newest => {
                self.older.extend(newest.replace((now, new)));
                true
            }
        }
    }

    pub(super) fn expire(&mut self, now: Pane) {
        let is_over = |pane: &Pane| *pane < now.oldest();
        while let Some((_, accumulator)) = self.older.pop_front_if(|(pane, _)| is_over(pane)) {
            self.owned -= accumulator.heap();
        }
        if let Some((_, accumulator)) = self.newest.take_if(|(pane, _)| is_over(pane)) {
            self.owned -= accumulator.heap();
        }
        if self.older.is_empty() && self.older.capacity() > 0 {
            self.older = VecDeque::new();
        }
    }

    /// The accumulator of the window. `None` if the window is empty.
    pub(super) fn merged(&self, function: AggregateFunction) -> Option<PaneResult> {
        let panes = self.older.iter().chain(&self.newest);
        panes
            .map(|(_, accumulator)| accumulator.clone())
            .reduce(|mut whole, accumulator| {
                whole.merge(accumulator, function);
                whole
            })
    }

    pub(super) fn heap(&self) -> usize {
        allocated(self.older.capacity() * size_of::<(Pane, PaneResult)>()) + self.owned
    }
}

/// The result over no rows.
pub(super) fn empty(aggregate: &Aggregate) -> Vec<Value<'static>> {
    let value = match (aggregate.function, aggregate.outputs[0].kind) {
        (AggregateFunction::Sum | AggregateFunction::SumIf, kind) => Number::Whole(0).value(kind),
        _ => Value::Null,
    };
    vec![value; aggregate.outputs.len()]
}

impl PaneResult {
    /// The accumulator of one row that stands for `count` events. `None` if the row does not take
    /// part in the aggregate.
    pub(super) fn of(aggregate: &Aggregate, row: &RowColumns<'_>, count: u64) -> Option<Self> {
        match aggregate.function {
            AggregateFunction::ArgMax => {
                argument(aggregate, 0, row)?;
                let arguments = aggregate.arguments.iter();
                let values = arguments.map(|argument| eval(argument, row, row.now()).into_owned());
                Some(Self::Row(values.collect()))
            }
            AggregateFunction::Sum | AggregateFunction::SumIf | AggregateFunction::Avg => {
                let value = argument(aggregate, 0, row)?;
                Some(Self::Sum(Number::of(&value)?.times(count), count))
            }
            AggregateFunction::Min | AggregateFunction::Max => {
                Some(Self::One(argument(aggregate, 0, row)?.into_owned()))
            }
            // These have operators of their own.
            AggregateFunction::Count
            | AggregateFunction::CountIf
            | AggregateFunction::DCount
            | AggregateFunction::DCountIf
            | AggregateFunction::MakeSet => None,
        }
    }

    /// The bytes of heap that the accumulator takes.
    fn heap(&self) -> usize {
        match self {
            Self::Sum(..) => 0,
            Self::One(value) => heap_of(value),
            Self::Row(values) => {
                let held: usize = values.iter().map(heap_of).sum();
                allocated(values.capacity() * size_of::<Value<'_>>()) + held
            }
        }
    }

    fn merge(&mut self, other: Self, function: AggregateFunction) {
        match (self, other) {
            (Self::Sum(sum, count), Self::Sum(more, with)) => {
                *sum = sum.plus(more);
                *count += with;
            }
            (Self::One(one), Self::One(other)) => {
                let wanted = match function {
                    AggregateFunction::Min => Comparison::Less,
                    _ => Comparison::Greater,
                };
                if compare(wanted, &other, one) == Some(true) {
                    *one = other;
                }
            }
            (Self::Row(row), Self::Row(other)) => {
                let is_greater = compare(Comparison::Greater, &other[0], &row[0]);
                if is_greater == Some(true) {
                    *row = other;
                }
            }
            // All accumulators of one aggregate are of the same kind.
            _ => {}
        }
    }

    pub(super) fn values(self, aggregate: &Aggregate) -> Vec<Value<'static>> {
        let kind = aggregate.outputs[0].kind;
        let value = match self {
            Self::Sum(sum, count) if aggregate.function == AggregateFunction::Avg => {
                Number::Real(sum.real() / count as f64).value(kind)
            }
            Self::Sum(sum, _) => sum.value(kind),
            Self::One(value) => value,
            Self::Row(values) => return values,
        };
        vec![value]
    }
}
