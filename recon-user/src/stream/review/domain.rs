//! The values that a column can have.
//!
//! In: a column, and the signal of its row. Out: all of its values, or of a number those next to
//! the constants that conditions name; `None` for a column whose values nobody can list.

use std::collections::BTreeSet;

use recon_common::ending::{BYTE_CLASSES, SECOND_CLASSES};
use recon_common::{Signal, Tool};

use super::{holds_for_some, numbers, slots};
use crate::address::Scope;
use crate::kql::eval::{Predicate, Value};
use crate::kql::{AggregateFunction, Expr, Field, Function, Plan, Slot};
use crate::row::{PortColumn, Verdict, action_type, outcome, port_column, protocol};
use crate::stream::fields::field;

/// More constants than this are not tried. The number of ports, with their neighbours.
const MAX_NUMBERS: usize = 1 << 10;
/// How many ports there are.
const PORTS: u64 = 1 << u16::BITS;

/// What conditions can be tried on.
pub(super) struct Domain<'p> {
    /// Whole numbers next to the constants of the conditions. `None` if there are too many.
    numbers: Option<BTreeSet<i64>>,
    /// The plan, for conditions on groups.
    plan: Option<&'p Plan>,
}

impl<'p> Domain<'p> {
    /// For conditions on rows.
    pub(super) fn of(conditions: &[&Expr]) -> Self {
        let named = numbers(conditions);
        let near = |number: &i64| [number.saturating_sub(1), *number, number.saturating_add(1)];
        let numbers = (named.len() <= MAX_NUMBERS).then(|| {
            let edges = [0, 1, i64::from(u16::MAX), i64::MAX];
            named.iter().flat_map(near).chain(edges).collect()
        });
        Self {
            numbers,
            plan: None,
        }
    }

    /// For conditions on groups.
    pub(super) fn of_groups(conditions: &[&Expr], plan: &'p Plan) -> Self {
        Self {
            plan: Some(plan),
            ..Self::of(conditions)
        }
    }

    /// Whether a row of that signal may meet all conditions: each of them, and those that read one
    /// column together.
    pub(super) fn may_hold(&self, conditions: &[&Expr], signal: Signal) -> bool {
        self.may(conditions, |slot| self.of_row(slot, signal))
    }

    /// Whether a group may meet all conditions.
    pub(super) fn may_all_hold(&self, conditions: &[&Expr]) -> bool {
        self.may(conditions, |slot| self.of_group(slot))
    }

    fn may(
        &self,
        conditions: &[&Expr],
        values: impl Fn(Slot) -> Option<Vec<Value<'static>>>,
    ) -> bool {
        // The conditions that read one column with several values, by that column.
        let mut by_column: Vec<(Slot, Vec<&Expr>)> = Vec::new();
        for &condition in conditions {
            if !self.may_one(&[condition], &values) {
                return false;
            }
            let varies = |slot: &Slot| values(*slot).is_none_or(|values| values.len() > 1);
            let varying: Vec<_> = slots(condition).into_iter().filter(varies).collect();
            let [slot] = varying[..] else { continue };
            match by_column.iter_mut().find(|(other, _)| *other == slot) {
                Some((_, of)) => of.push(condition),
                None => by_column.push((slot, vec![condition])),
            }
        }
        let mut several = by_column.iter().filter(|(_, of)| of.len() > 1);
        several.all(|(_, of)| self.may_one(of, &values))
    }

    /// Whether one combination of values meets all conditions.
    fn may_one(
        &self,
        conditions: &[&Expr],
        values: &impl Fn(Slot) -> Option<Vec<Value<'static>>>,
    ) -> bool {
        let mut read: Vec<_> = conditions.iter().flat_map(|it| slots(it)).collect();
        read.sort_by_key(|slot| format!("{slot:?}"));
        read.dedup();
        let domains: Option<Vec<_>> = read.iter().map(|&slot| values(slot)).collect();
        let Some(domains) = domains else { return true };
        let computes = conditions.iter().any(|it| computes(it));
        let has_numbers = domains
            .iter()
            .flatten()
            .any(|it| matches!(it, Value::Long(_)));
        if computes && has_numbers {
            // The values next to the constants are not enough then.
            return true;
        }
        let conditions: Vec<_> = conditions.iter().map(|it| Predicate::new(it)).collect();
        holds_for_some(&conditions, &read, &domains)
    }

    fn of_row(&self, slot: Slot, signal: Signal) -> Option<Vec<Value<'static>>> {
        let Slot::Field(field) = slot else {
            return None;
        };
        match field {
            Field::LocalPort => self.ports(signal, PortColumn::Local),
            Field::RemotePort => self.ports(signal, PortColumn::Remote),
            Field::Count => self.between(1, i64::MAX),
            _ => listed(field, signal),
        }
    }

    fn of_group(&self, slot: Slot) -> Option<Vec<Value<'static>>> {
        let Slot::Aggregate(position, 0) = slot else {
            return None;
        };
        let plan = self.plan?;
        if !plan.aggregates[position].function.is_count() {
            return None;
        }
        let most = greatest(plan, position).map_or(i64::MAX, |most| most as i64);
        self.between(0, most)
    }

    fn ports(&self, signal: Signal, column: PortColumn) -> Option<Vec<Value<'static>>> {
        if port_column(signal) != Some(column) {
            return Some(vec![Value::Null]);
        }
        self.between(0, i64::from(u16::MAX))
    }

    fn between(&self, least: i64, most: i64) -> Option<Vec<Value<'static>>> {
        let numbers = self.numbers.as_ref()?;
        let edges = [least, most];
        let inside = numbers.range(least..=most).chain(&edges);
        Some(inside.map(|&number| Value::Long(number)).collect())
    }
}

/// The values of a column in rows of that signal, if they can all be listed.
pub(super) fn listed(field: Field, signal: Signal) -> Option<Vec<Value<'static>>> {
    let texts = |texts: &[&'static str]| texts.iter().map(|&it| Value::text(it)).collect();
    let numbers = |numbers: &[u32]| match signal == Signal::Ended {
        true => numbers
            .iter()
            .map(|&number| Value::Long(number.into()))
            .collect(),
        false => vec![Value::Null],
    };
    Some(match field {
        Field::ActionType => texts(&[action_type(signal)]),
        Field::Protocol => texts(&[protocol(signal)]),
        Field::Outcome => texts(&[outcome(signal)]),
        Field::RemoteIpType => {
            let mut types = Scope::ALL.map(Scope::name).to_vec();
            types.push("");
            texts(&types)
        }
        Field::RemoteVerdict | Field::NetworkVerdict => {
            texts(&[Verdict::Client, Verdict::Undecided, Verdict::Scanner].map(Verdict::name))
        }
        Field::RemoteTool => {
            let mut tools = Tool::ALL.map(Tool::name).to_vec();
            tools.push("");
            texts(&tools)
        }
        Field::InterfaceName if !signal.has_interface() => texts(&[""]),
        Field::RemoteProven => [false, true].map(Value::Bool).to_vec(),
        Field::BytesReceived | Field::BytesSent => numbers(&BYTE_CLASSES),
        Field::ConnectionSeconds => numbers(&SECOND_CLASSES),
        Field::ProcessIsScanner if signal.is_outbound() => [false, true].map(Value::Bool).to_vec(),
        Field::ProcessIsScanner => vec![Value::Bool(false)],
        Field::ProcessId | Field::ProcessParentId if !signal.is_outbound() => vec![Value::Null],
        _ if field.is_of_process() && !signal.is_outbound() => texts(&[""]),
        _ => return None,
    })
}

/// The greatest result of an aggregate, if it has one.
pub(super) fn greatest(plan: &Plan, position: usize) -> Option<u64> {
    let aggregate = plan.aggregates.get(position)?;
    let counts_values = matches!(
        aggregate.function,
        AggregateFunction::DCount | AggregateFunction::DCountIf
    );
    let counted = aggregate.arguments.first().and_then(field);
    let is_port = matches!(counted, Some(Field::LocalPort | Field::RemotePort));
    (counts_values && is_port).then_some(PORTS)
}

/// Whether an expression computes a value that is not one of its columns or constants.
fn computes(expr: &Expr) -> bool {
    let mut computes = false;
    expr.visit(&mut |part| {
        computes |= match part {
            Expr::Arithmetic(..) | Expr::Negate(_) => true,
            Expr::Call(function, _) => !matches!(
                function,
                Function::Not
                    | Function::IsNull
                    | Function::IsNotNull
                    | Function::IsEmpty
                    | Function::IsNotEmpty
            ),
            _ => false,
        };
    });
    computes
}
