//! Which rows a query counts.
//!
//! In: the conditions of a plan. Out: [`Filter`].
//! The decisions held here:
//! - What a condition says about the signal alone is evaluated once, on a synthetic row of each
//!   signal.
//! - Ports that a query demands leave its conditions, so that a query is not tried on other ports.
//! - Conditions that only exclude private remotes are recognised, so that one switch turns all off.

use jiff::Timestamp;
use recon_common::Signal;

use super::exclusion::{is_exclusion, is_public};
use super::fields::{Fields, field};
use crate::kql::eval::{Predicate, holds};
use crate::kql::{Comparison, Expr, Field, Literal, Plan};
use crate::row::{PortColumn, Row, RowKey, SignalSet, port_column};
use crate::rule::Configured;

/// Whose traffic counts, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessFilter {
    /// Any process, and traffic whose process is unknown.
    Any,
    /// Processes that are known.
    Known,
    /// Known scanning tools.
    Tools,
}

/// A condition on a row.
#[derive(Clone, Debug)]
pub struct Condition {
    /// As the query states it.
    pub written: Expr,
    /// Prepared for evaluation.
    pub prepared: Predicate,
}

/// Which rows count.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The signals whose rows can count.
    pub signals: SignalSet,
    /// The ports that count, ascending; all if empty.
    pub ports: Vec<u16>,
    /// Whether only public remotes count.
    pub only_public: bool,
    /// Whether rows without a remote do not count: the query groups by the remote, or demands what
    /// only remotes have.
    pub needs_remote: bool,
    /// Whose traffic counts.
    pub processes: ProcessFilter,
    /// What else a row has to meet.
    pub conditions: Vec<Condition>,
}

impl Filter {
    /// Adds a condition, in the cheapest form that it has.
    pub(super) fn add_condition(&mut self, condition: Expr, rule: &Configured) {
        let fields = Fields::of(&condition, &rule.plan.extends);
        if fields.are_of_the_signal() {
            self.keep_signals(|signal| holds_for(signal, &condition));
            return;
        }
        if is_exclusion(&condition) {
            // Applies even with include_private: the condition still needs a remote.
            self.needs_remote |= !holds_for(Signal::Syn, &condition);
            if rule.include_private {
                return;
            }
            if is_public(&condition) {
                self.only_public = true;
                return;
            }
        }
        if fields.are_of_the_process() && !holds_for(Signal::Syn, &condition) {
            // Only what this host sends has a process.
            self.keep_signals(Signal::is_outbound);
            self.processes = self.processes.max(ProcessFilter::Known);
            if is_scanner(&condition) {
                self.processes = ProcessFilter::Tools;
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
            prepared: Predicate::new(&condition),
            written: condition,
        });
    }

    fn keep_signals(&mut self, keep: impl Fn(Signal) -> bool) {
        self.signals = self.signals.iter().filter(|&signal| keep(signal)).collect();
    }
}

/// The conditions of a plan's filter, with those that `and` joins split up.
pub(super) fn conjuncts(plan: &Plan) -> Vec<Expr> {
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

/// Evaluates `condition` on a synthetic row that carries only `signal`.
pub(super) fn holds_for(signal: Signal, condition: &Expr) -> bool {
    let key = RowKey {
        port: port_column(signal).map(|_| 1),
        ..RowKey::of(signal)
    };
    let row = Row::bare(key, 1, Timestamp::UNIX_EPOCH);
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

/// The port column that an expression is.
pub(super) fn port_of(expr: &Expr) -> Option<PortColumn> {
    match field(expr)? {
        Field::LocalPort => Some(PortColumn::Local),
        Field::RemotePort => Some(PortColumn::Remote),
        _ => None,
    }
}

/// The ports that a condition demands, in ascending order, and their column.
fn demanded_ports(condition: &Expr) -> Option<(PortColumn, Vec<u16>)> {
    let port = |literal: &Literal| match literal {
        Literal::Long(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let (column, mut ports) = match condition {
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
    ports.sort_unstable();
    ports.dedup();
    (!ports.is_empty()).then_some((column, ports))
}
