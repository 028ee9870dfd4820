//! From a plan to a rule that the judge can run.
//!
//! In: a [`Configured`] plan. Out: a [`Rule`].
//! The decisions held here:
//! - What a condition says of the signal alone is found out once, by asking it of a row of each signal; no row is asked again.
//! - The ports that a query demands are taken out of its conditions, so that a rule is not tried on others.
//! - Conditions that do nothing but leave out private remotes are known as such, so that one switch turns them all off.
//! - Of a query with `summarize`, rows do not count that lack a number which it groups by: they would be one group of all that is
//!   not known.

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};

use super::exclusion::{is_exclusion, is_public};
use super::fields::{Fields, field, fields};
use super::{Condition, Configured, GroupBy, Measure, Processes, Rule, SignalSet};
use crate::kql::eval::{Predicate, holds};
use crate::kql::{Aggregate, AggregateFunction, Comparison, Expr, Field, Literal, Plan};
use crate::row::{PortColumn, Row, action_type, port_column};

impl Rule {
    /// The rule that a plan describes.
    #[must_use]
    pub fn new(configured: Configured) -> Self {
        let plan = &configured.plan;
        let groups = Groups::of(plan);
        let mut signals = SignalSet::default();
        for signal in Signal::ALL {
            if action_type(signal).is_some() && groups.has(signal) {
                signals.insert(signal);
            }
        }
        let mut rule = Self {
            signals,
            ports: Vec::new(),
            is_for_public: false,
            needs_remote: groups.by.remote || groups.by.network,
            processes: if groups.by.process {
                Processes::Known
            } else {
                Processes::Any
            },
            conditions: Vec::new(),
            by: groups.by,
            others: groups.others,
            measure: measure(plan),
            measured_signals: SignalSet::default(),
            kept: kept(plan),
            tells_answers: false,
            configured,
        };
        for condition in conjuncts(&rule.configured.plan) {
            rule.take(condition);
        }
        rule.finish();
        rule
    }

    /// Finds out what depends on all of it.
    fn finish(&mut self) {
        let signals = self.signals.iter();
        self.measured_signals = signals.filter(|&signal| self.measures(signal)).collect();
        if self.kept.is_empty() {
            self.signals = self.measured_signals;
        }
        let asks_more = |condition: &Condition| {
            let mut fields = fields(&condition.written, &self.configured.plan.extends);
            fields.any(|field| {
                !matches!(
                    field,
                    Field::RemoteIp | Field::RemoteIpType | Field::ActionType | Field::Protocol
                )
            })
        };
        // Which ports of which addresses were probed is known by the remote alone.
        self.tells_answers = self.by.remote
            && self.signals.is_subset(SignalSet::of(Signal::HITS))
            && !self.conditions.iter().any(asks_more);
    }

    /// Whether rows of that signal have a part in the measure: one of ports only those that have the port, one of events on a condition
    /// only those that meet it.
    fn measures(&self, signal: Signal) -> bool {
        let plan = &self.configured.plan;
        let aggregate = plan
            .threshold
            .map(|threshold| &plan.aggregates[threshold.aggregate]);
        let argument = aggregate.and_then(|aggregate| aggregate.arguments.first());
        match (self.measure, argument) {
            (Measure::DistinctPorts, Some(port)) => port_column(signal) == port_of(port),
            (Measure::Count, Some(condition)) => asked_of(signal, condition),
            _ => true,
        }
    }

    /// Takes a condition into account.
    fn take(&mut self, condition: Expr) {
        let fields = Fields::of(&condition, &self.configured.plan.extends);
        if fields.are_of_the_signal() {
            self.keep_signals(|signal| asked_of(signal, &condition));
            return;
        }
        if is_exclusion(&condition) {
            // Turned off or not, it says something of remotes.
            self.needs_remote |= !asked_of(Signal::Syn, &condition);
            if self.configured.include_private {
                return;
            }
            if is_public(&condition) {
                self.is_for_public = true;
                return;
            }
        }
        if fields.are_of_the_process() && !asked_of(Signal::Syn, &condition) {
            // Only what this host sends has a process.
            self.keep_signals(Signal::is_outbound);
            self.processes = self.processes.max(Processes::Known);
            if is_scanner(&condition) {
                self.processes = Processes::Tools;
                return;
            }
        }
        if let Some((column, ports)) = demanded_ports(&condition)
            && self.ports.is_empty()
        {
            self.keep_signals(|signal| port_column(signal) == Some(column));
            self.ports = ports;
            return;
        }
        self.conditions.push(Condition {
            ready: Predicate::new(&condition),
            written: condition,
        });
    }

    fn keep_signals(&mut self, keep: impl Fn(Signal) -> bool) {
        self.signals = self.signals.iter().filter(|&signal| keep(signal)).collect();
    }
}

/// The conditions of the filter, those that are joined by `and` apart.
fn conjuncts(plan: &Plan) -> Vec<Expr> {
    fn flatten(expr: &Expr, all: &mut Vec<Expr>) {
        match expr {
            Expr::And(parts) => parts.iter().for_each(|part| flatten(part, all)),
            _ => all.push(expr.clone()),
        }
    }
    let mut all = Vec::new();
    plan.filter.iter().for_each(|expr| flatten(expr, &mut all));
    all
}

/// What a query groups by.
struct Groups {
    by: GroupBy,
    /// Positions of what is no plain column among the plan's groups.
    others: Vec<usize>,
    ports: Vec<PortColumn>,
    is_summary: bool,
}

impl Groups {
    fn of(plan: &Plan) -> Self {
        let mut groups = Self {
            by: GroupBy::default(),
            others: Vec::new(),
            ports: Vec::new(),
            is_summary: plan.is_summary,
        };
        for (position, group) in plan.groups.iter().enumerate() {
            match field(&group.expr) {
                Some(Field::RemoteIp) => groups.by.remote = true,
                Some(Field::RemoteNetwork) => groups.by.network = true,
                Some(Field::LocalIp) => groups.by.local = true,
                Some(Field::ProcessId) if plan.is_summary => groups.by.process = true,
                Some(Field::LocalPort) if plan.is_summary => {
                    groups.by.port = true;
                    groups.ports.push(PortColumn::Local);
                }
                Some(Field::RemotePort) if plan.is_summary => {
                    groups.by.port = true;
                    groups.ports.push(PortColumn::Remote);
                }
                _ => groups.others.push(position),
            }
        }
        groups
    }

    /// Whether rows of that signal have what they are grouped by.
    fn has(&self, signal: Signal) -> bool {
        let has_port = |column: &PortColumn| port_column(signal) == Some(*column);
        !self.is_summary
            || self.ports.iter().all(has_port) && (!self.by.process || signal.is_outbound())
    }
}

/// What the threshold is compared with.
pub(crate) fn measure(plan: &Plan) -> Measure {
    let Some(threshold) = plan.threshold else {
        return Measure::Count;
    };
    let aggregate = &plan.aggregates[threshold.aggregate];
    let of = aggregate.arguments.first().and_then(field);
    match (aggregate.function, of) {
        (AggregateFunction::Count, _) => Measure::Count,
        (AggregateFunction::CountIf, _) if is_of_the_signal(aggregate, plan) => Measure::Count,
        (AggregateFunction::DCount, Some(Field::LocalPort | Field::RemotePort)) => {
            Measure::DistinctPorts
        }
        (AggregateFunction::DCount, Some(Field::LocalIp)) => Measure::DistinctAddresses,
        (AggregateFunction::DCount, Some(Field::RemoteIp)) => Measure::DistinctRemotes,
        _ => Measure::Other,
    }
}

/// Whether an aggregate asks for nothing but what a row's signal says.
fn is_of_the_signal(aggregate: &Aggregate, plan: &Plan) -> bool {
    let mut arguments = aggregate.arguments.iter();
    arguments.all(|argument| Fields::of(argument, &plan.extends).are_of_the_signal())
}

/// The aggregates that are not the measure, where a window of the judge's own counts that.
fn kept(plan: &Plan) -> Vec<usize> {
    let own = plan
        .threshold
        .filter(|_| measure(plan) != Measure::Other)
        .map(|threshold| threshold.aggregate);
    (0..plan.aggregates.len())
        .filter(|&position| Some(position) != own)
        .collect()
}

/// What a condition holds of for a row of that signal of which nothing else is known.
fn asked_of(signal: Signal, condition: &Expr) -> bool {
    let key = Key {
        remote: Address::UNSPECIFIED,
        local: Address::UNSPECIFIED,
        pid: 0,
        port: 1,
        signal: signal as u8,
        reserved: 0,
    };
    let row = Row {
        key: &key,
        signal,
        count: 1,
        time: Timestamp::UNIX_EPOCH,
        device: "",
        process: None,
        is_scanner: false,
        sources: None,
    };
    holds(condition, &row, Timestamp::UNIX_EPOCH)
}

fn is_scanner(condition: &Expr) -> bool {
    match condition {
        Expr::Compare(Comparison::Equal, sides) => {
            let [left, right] = &**sides;
            field(left) == Some(Field::ProcessIsScanner)
                && matches!(right, Expr::Literal(Literal::Bool(true)))
        }
        _ => field(condition) == Some(Field::ProcessIsScanner),
    }
}

/// The port's column that an expression is.
fn port_of(expr: &Expr) -> Option<PortColumn> {
    match field(expr)? {
        Field::LocalPort => Some(PortColumn::Local),
        Field::RemotePort => Some(PortColumn::Remote),
        _ => None,
    }
}

/// The ports that a condition demands, in ascending order, and of which column.
fn demanded_ports(condition: &Expr) -> Option<(PortColumn, Vec<u16>)> {
    let port = |literal: &Literal| match literal {
        Literal::Long(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let (column, ports) = match condition {
        Expr::Compare(Comparison::Equal, sides) => match &**sides {
            [value, Expr::Literal(literal)] => (port_of(value)?, vec![port(literal)?]),
            _ => return None,
        },
        Expr::In {
            value,
            list,
            is_negated: false,
            ..
        } => (
            port_of(value)?,
            list.iter().map(port).collect::<Option<Vec<u16>>>()?,
        ),
        _ => return None,
    };
    let mut ports = ports;
    ports.sort_unstable();
    ports.dedup();
    (!ports.is_empty()).then_some((column, ports))
}

#[cfg(test)]
mod tests;
