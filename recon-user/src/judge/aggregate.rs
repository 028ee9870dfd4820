//! What a query keeps of a group's rows, beside the measure: `min`, `make_set`, `arg_max` and the like, over a sliding window.
//!
//! In: rows, a slice of the window at a time. Out: the values that the aggregate gives.
//! The decisions held here:
//! - Each slice has what its rows came to, and all are put together when they are asked for: once a poll, and when something is told.
//! - Of different values each is kept once, up to a limit.
//! - A sum counts each of a row's events, but where it is of `Count` itself, which has counted them already.

use std::collections::VecDeque;

use super::columns::RowColumns;
use crate::kql::eval::{Value, compare, eval, holds};
use crate::kql::{Aggregate, AggregateFunction, Comparison, Expr, Field, Literal, Plan, Type};
use crate::rule::fields;
use crate::window::{Distinct, Slice};

/// Different values that a group keeps: all ports there are.
const MAX_VALUES: usize = 1 << 16;

/// One aggregate of one group.
#[derive(Debug)]
pub(super) struct Sliding {
    /// Whether a row counts for as many as its events are: not where a sum is of `Count` itself.
    is_weighted: bool,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    /// Different values.
    Set(Distinct<Value<'static>>),
    /// What the rows of each slice came to, oldest first.
    Slices(VecDeque<(Slice, Partial)>),
}

/// What some rows came to.
#[derive(Clone, Debug)]
enum Partial {
    /// Events.
    Count(u64),
    /// The sum of a value over events, and how many have one.
    Sum(Number, u64),
    /// The least or the greatest.
    One(Value<'static>),
    /// The values of the row with the greatest first one.
    Row(Vec<Value<'static>>),
}

/// A sum: whole as long as its parts are.
#[derive(Clone, Copy, Debug)]
enum Number {
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

impl Sliding {
    /// That of a plan, at that position.
    pub(super) fn new(plan: &Plan, position: usize) -> Self {
        let aggregate = &plan.aggregates[position];
        let kept = match aggregate.function {
            AggregateFunction::DCount
            | AggregateFunction::DCountIf
            | AggregateFunction::MakeSet => Kept::Set(Distinct::default()),
            _ => Kept::Slices(VecDeque::new()),
        };
        let arguments = aggregate.arguments.iter();
        let mut fields = arguments.flat_map(|argument| fields(argument, &plan.extends));
        Self {
            is_weighted: fields.all(|field| field != Field::Count),
            kept,
        }
    }

    /// Adds a row. Returns whether it could be held.
    pub(super) fn add(&mut self, now: Slice, aggregate: &Aggregate, row: &RowColumns<'_>) -> bool {
        self.expire(now);
        match &mut self.kept {
            Kept::Set(set) => match member(aggregate, row) {
                Some(value) => set.add(now, value, MAX_VALUES),
                None => true,
            },
            Kept::Slices(slices) => {
                let count = if self.is_weighted { row.count() } else { 1 };
                let Some(new) = Partial::of(aggregate, row, count) else {
                    return true;
                };
                match slices.back_mut() {
                    Some((slice, partial)) if *slice >= now => {
                        partial.merge(new, aggregate.function);
                    }
                    _ => slices.push_back((now, new)),
                }
                true
            }
        }
    }

    /// Drops what has left the window.
    pub(super) fn expire(&mut self, now: Slice) {
        match &mut self.kept {
            Kept::Set(set) => set.expire(now),
            Kept::Slices(slices) => {
                while let Some((slice, _)) = slices.front()
                    && *slice < now.oldest()
                {
                    slices.pop_front();
                }
            }
        }
    }

    /// What the window comes to, where it is a whole number.
    pub(super) fn number(&self, aggregate: &Aggregate) -> Option<i64> {
        let value = match &self.kept {
            Kept::Set(set) => long(set.total()),
            Kept::Slices(_) => self.values(aggregate).into_iter().next()?,
        };
        match value {
            Value::Long(number) => Some(number),
            _ => None,
        }
    }

    /// What the window comes to: a value for each column that the aggregate gives.
    pub(super) fn values(&self, aggregate: &Aggregate) -> Vec<Value<'static>> {
        let slices = match &self.kept {
            Kept::Set(set) if aggregate.function == AggregateFunction::MakeSet => {
                return vec![Value::List(listed(set, aggregate.arguments.get(1)))];
            }
            Kept::Set(set) => return vec![long(set.total())],
            Kept::Slices(slices) => slices,
        };
        let partials = slices.iter().map(|(_, partial)| partial.clone());
        let whole = partials.reduce(|mut whole, partial| {
            whole.merge(partial, aggregate.function);
            whole
        });
        match whole {
            Some(whole) => whole.values(aggregate),
            None => empty(aggregate),
        }
    }
}

/// What no row comes to.
fn empty(aggregate: &Aggregate) -> Vec<Value<'static>> {
    let value = match (aggregate.function, aggregate.outputs[0].kind) {
        (AggregateFunction::Count | AggregateFunction::CountIf, _) => Value::Long(0),
        (AggregateFunction::Sum | AggregateFunction::SumIf, kind) => Number::Whole(0).value(kind),
        _ => Value::Null,
    };
    vec![value; aggregate.outputs.len()]
}

/// The value of an argument. None where it is null.
fn argument<'a>(
    aggregate: &'a Aggregate,
    position: usize,
    row: &'a RowColumns<'_>,
) -> Option<Value<'a>> {
    let value = eval(aggregate.arguments.get(position)?, row, row.now());
    (!value.is_null()).then_some(value)
}

/// Whether the condition of an aggregate holds that has one.
fn is_met(aggregate: &Aggregate, row: &RowColumns<'_>) -> bool {
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

impl Partial {
    /// What one row of so many events comes to. None where it does not count.
    fn of(aggregate: &Aggregate, row: &RowColumns<'_>, count: u64) -> Option<Self> {
        if !is_met(aggregate, row) {
            return None;
        }
        match aggregate.function {
            AggregateFunction::Count | AggregateFunction::CountIf => Some(Self::Count(count)),
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
            // Those are sets.
            AggregateFunction::DCount
            | AggregateFunction::DCountIf
            | AggregateFunction::MakeSet => None,
        }
    }

    fn merge(&mut self, other: Self, function: AggregateFunction) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
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
            // An aggregate has partials of one kind.
            _ => {}
        }
    }

    fn values(self, aggregate: &Aggregate) -> Vec<Value<'static>> {
        let kind = aggregate.outputs[0].kind;
        let value = match self {
            Self::Count(count) => long(count),
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

fn long(count: u64) -> Value<'static> {
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
