//! Which operator computes an aggregate: the only place where it is chosen.
//!
//! In: the aggregates of a plan. Out: an [`AggregatePlan`] each, and the [`Measure`] that alerts
//! name.
//! The decisions held here:
//! - Ports and addresses are counted as such, not as text.
//! - A number of distinct remotes is exact where the threshold is compared with it, and an estimate
//!   everywhere else: a flood has millions. Kusto's own `dcount` is always an estimate.
//! - A row stands for as many events as it counts, except in an aggregate of `Count` itself.

use recon_common::Signal;

use super::fields::{Fields, field, fields};
use super::filter::{holds_for, port_of};
use crate::kql::{Aggregate, AggregateFunction, Expr, Field, Plan};
use crate::row::{SignalSet, port_column};

/// What a threshold is compared with, as alerts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A number of events.
    Count,
    /// A number of distinct ports.
    DistinctPorts,
    /// A number of distinct local addresses.
    DistinctAddresses,
    /// A number of distinct remote addresses.
    DistinctRemotes,
    /// Another aggregate of the query.
    Other,
}

impl Measure {
    /// The name that alerts show as `recon.measure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::DistinctPorts => "distinct_ports",
            Self::DistinctAddresses => "distinct_addresses",
            Self::DistinctRemotes => "distinct_remotes",
            Self::Other => "other",
        }
    }
}

/// How an aggregate is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateOperator {
    /// Adds events up.
    Count,
    /// Counts distinct ports.
    Ports,
    /// Counts distinct local addresses.
    LocalAddresses,
    /// Counts distinct remotes, exactly.
    RemoteAddresses,
    /// Estimates the number of distinct remotes.
    Sources,
    /// Keeps distinct values.
    Values,
    /// Keeps one partial result for each pane of the window.
    Panes,
}

impl AggregateOperator {
    /// Whether it counts or estimates the remotes.
    pub(crate) const fn counts_remotes(self) -> bool {
        matches!(self, Self::RemoteAddresses | Self::Sources)
    }

    /// Whether what one source has added can be taken out of a group of several.
    pub(super) const fn knows_sources(self) -> bool {
        self.counts_remotes() || matches!(self, Self::Ports)
    }
}

/// One aggregate of a query.
#[derive(Clone, Debug)]
pub(crate) struct AggregatePlan {
    pub(crate) operator: AggregateOperator,
    /// Which of the plan's aggregates it is. `None` for the events of a query that has no
    /// threshold.
    pub(crate) position: Option<usize>,
    /// The signals whose rows have a part in it.
    pub(crate) signals: SignalSet,
    /// Whether a row has a part only if a condition holds for it.
    pub(crate) is_conditional: bool,
    /// Whether a row counts for as many events as it stands for.
    pub(crate) is_weighted: bool,
}

impl AggregatePlan {
    /// The plans of the measure and of the other aggregates, for rows of these signals.
    pub(crate) fn all(plan: &Plan, signals: SignalSet) -> (Self, Vec<Self>) {
        let threshold = plan.threshold.map(|threshold| threshold.aggregate);
        let measured = match threshold {
            Some(position) => Self::new(plan, position, signals, true),
            None => Self {
                operator: AggregateOperator::Count,
                position: None,
                signals,
                is_conditional: false,
                is_weighted: true,
            },
        };
        let others = 0..plan.aggregates.len();
        let others = others.filter(|&position| Some(position) != threshold);
        let others = others.map(|position| Self::new(plan, position, signals, false));
        (measured, others.collect())
    }

    fn new(plan: &Plan, position: usize, signals: SignalSet, is_threshold: bool) -> Self {
        let aggregate = &plan.aggregates[position];
        let operator = operator(aggregate, is_threshold);
        let condition = condition(aggregate);
        let is_of_signal = |condition| Fields::of(condition, &plan.extends).are_of_the_signal();
        let column = aggregate.arguments.first().and_then(port_of);
        let has_part = |&signal: &Signal| {
            (operator != AggregateOperator::Ports || port_column(signal) == column)
                && condition.is_none_or(|condition| {
                    !is_of_signal(condition) || holds_for(signal, condition)
                })
        };
        let arguments = aggregate.arguments.iter();
        let mut read = arguments.flat_map(|argument| fields(argument, &plan.extends));
        Self {
            operator,
            position: Some(position),
            signals: signals.iter().filter(has_part).collect(),
            is_conditional: condition.is_some_and(|condition| !is_of_signal(condition)),
            is_weighted: read.all(|field| field != Field::Count),
        }
    }

    /// The plan's aggregate.
    pub(crate) fn of<'a>(&self, plan: &'a Plan) -> Option<&'a Aggregate> {
        plan.aggregates.get(self.position?)
    }

    /// Whether its arguments are evaluated on every row.
    pub(crate) fn is_evaluated(&self) -> bool {
        self.is_conditional
            || matches!(
                self.operator,
                AggregateOperator::Values | AggregateOperator::Panes
            )
    }
}

/// The condition of an aggregate such as `countif`.
pub(crate) fn condition(aggregate: &Aggregate) -> Option<&Expr> {
    use AggregateFunction::{CountIf, DCountIf, SumIf};
    match aggregate.function {
        CountIf => aggregate.arguments.first(),
        DCountIf | SumIf => aggregate.arguments.get(1),
        _ => None,
    }
}

fn operator(aggregate: &Aggregate, is_threshold: bool) -> AggregateOperator {
    use AggregateFunction::{Count, CountIf, DCount, DCountIf, MakeSet};
    let of = aggregate.arguments.first().and_then(field);
    match (aggregate.function, of) {
        (Count | CountIf, _) => AggregateOperator::Count,
        (DCount | DCountIf, Some(Field::LocalPort | Field::RemotePort)) => AggregateOperator::Ports,
        (DCount | DCountIf, Some(Field::LocalIp)) => AggregateOperator::LocalAddresses,
        (DCount, Some(Field::RemoteIp)) if is_threshold => AggregateOperator::RemoteAddresses,
        (DCount | DCountIf, Some(Field::RemoteIp)) => AggregateOperator::Sources,
        (DCount | DCountIf | MakeSet, _) => AggregateOperator::Values,
        _ => AggregateOperator::Panes,
    }
}

/// The name that alerts show as `recon.measure`: that of the column, for an aggregate of the
/// query's own.
pub(crate) fn measure_name(plan: &Plan) -> &str {
    name_measure(plan, measure(plan))
}

/// The same, if what the plan measures is known.
pub(crate) fn name_measure(plan: &Plan, measured: Measure) -> &str {
    let threshold = plan.threshold.map(|threshold| threshold.aggregate);
    match (measured, threshold) {
        (Measure::Other, Some(position)) => &plan.aggregates[position].outputs[0].name,
        (measure, _) => measure.name(),
    }
}

/// What tells a rule from all others, as its alerts show it in `rule.id`.
pub(crate) fn rule_id(plan: &Plan) -> String {
    let Plan { id, variant, .. } = plan;
    let measure = measure_name(plan);
    match variant {
        Some(variant) => format!("{id}/{measure}/{variant}"),
        None => format!("{id}/{measure}"),
    }
}

/// What is counted against a threshold, under whatever condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Events,
    /// Distinct values of a field.
    Distinct(Field),
    /// What another aggregate says.
    Other,
}

/// What the threshold of a plan counts.
pub(crate) fn counted(plan: &Plan) -> Counted {
    use AggregateFunction::{Count, CountIf, DCount, DCountIf};
    let Some(threshold) = plan.threshold else {
        return Counted::Events;
    };
    let aggregate = &plan.aggregates[threshold.aggregate];
    let of = aggregate.arguments.first().and_then(field);
    match (aggregate.function, of) {
        (Count | CountIf, _) => Counted::Events,
        (DCount | DCountIf, Some(of)) => Counted::Distinct(of),
        _ => Counted::Other,
    }
}

/// What the threshold of a plan is compared with.
pub(crate) fn measure(plan: &Plan) -> Measure {
    let Some(threshold) = plan.threshold else {
        return Measure::Count;
    };
    let aggregate = &plan.aggregates[threshold.aggregate];
    let of = aggregate.arguments.first().and_then(field);
    let is_of_signal = |condition| Fields::of(condition, &plan.extends).are_of_the_signal();
    match (aggregate.function, of) {
        (AggregateFunction::Count, _) => Measure::Count,
        (AggregateFunction::CountIf, _) if condition(aggregate).is_some_and(is_of_signal) => {
            Measure::Count
        }
        (AggregateFunction::DCount, Some(Field::LocalPort | Field::RemotePort)) => {
            Measure::DistinctPorts
        }
        (AggregateFunction::DCount, Some(Field::LocalIp)) => Measure::DistinctAddresses,
        (AggregateFunction::DCount, Some(Field::RemoteIp)) => Measure::DistinctRemotes,
        _ => Measure::Other,
    }
}
