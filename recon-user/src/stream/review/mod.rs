//! Conditions of a rule that no row can meet.
//!
//! In: a plan. Out: a [`Doubt`] for each condition that never holds, alone or with those before it,
//! and for each constant that its column never has.
//! The decisions held here: a rule that can never fire is an error, since its author relies on a
//! rule that never fires. A constant that no row has is a warning: the rest of the rule may still
//! mean something. Conditions are not solved but tried, on the values that [`domain`]
//! lists; a condition that reads any other column may hold.

mod constant;
mod domain;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use recon_common::Signal;

use super::key::KeyPlan;
use super::operator::AggregatePlan;
use super::query::has_key;
use crate::diagnostic::{Diagnostics, Span};
use crate::kql::eval::{Columns, Predicate, Value};
use crate::kql::{Column, Comparison, Expr, Field, Literal, Loaded, Plan, Slot, Table, Type};
use crate::row::{PortColumn, SignalSet, port_column, table};

use domain::Domain;

/// How many combinations of values are tried. A condition with more may hold.
const MAX_TRIES: usize = 1 << 14;

/// What is wrong with a part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    place: Span,
    message: String,
    hint: Option<String>,
    /// Whether the rule can never fire.
    is_hopeless: bool,
}

/// Reports what no row can meet in the rules of a file.
pub(crate) fn review(loaded: &mut Loaded) {
    for plan in &loaded.plans {
        for doubt in doubts(plan, &loaded.diagnostics) {
            let Doubt {
                place,
                message,
                hint,
                is_hopeless,
            } = doubt;
            match is_hopeless {
                true => loaded.diagnostics.error(place, message, hint),
                false => loaded.diagnostics.warning(place, message, hint),
            }
        }
    }
}

/// The greatest result of the aggregate that a threshold is compared with, if it has one: there are
/// only so many ports.
pub(crate) fn greatest_measure(plan: &Plan) -> Option<u64> {
    domain::greatest(plan, plan.threshold?.aggregate)
}

fn doubts(plan: &Plan, diagnostics: &Diagnostics) -> Vec<Doubt> {
    let conditions = placed(&plan.filter, &plan.places.filter);
    let mut doubts = Vec::new();
    let mut left = of_table(plan.table);
    for (position, &(condition, place)) in conditions.iter().enumerate() {
        let mut of_constants = constant::doubts(condition, place, plan.table, diagnostics);
        let together: Vec<_> = conditions[..=position].iter().map(|(it, _)| *it).collect();
        let next = possible(&together, left);
        if next.is_empty() && !left.is_empty() {
            if of_constants.is_empty() {
                of_constants.push(contradiction(condition, place, plan.table, left));
            }
            for doubt in &mut of_constants {
                doubt.is_hopeless = true;
            }
        }
        left = next;
        doubts.append(&mut of_constants);
    }
    if !left.is_empty() {
        doubts.extend(unkeyed(plan, left));
    }
    doubts.extend(of_groups(plan));
    doubts
}

/// The conditions and their places, with those that `and` joins split up.
fn placed<'p>(conditions: &'p [Expr], places: &[Span]) -> Vec<(&'p Expr, Span)> {
    fn flatten<'p>(condition: &'p Expr, place: Span, all: &mut Vec<(&'p Expr, Span)>) {
        match condition {
            Expr::And(parts) => parts.iter().for_each(|part| flatten(part, place, all)),
            _ => all.push((condition, place)),
        }
    }
    let mut all = Vec::new();
    for (condition, place) in conditions.iter().zip(places) {
        flatten(condition, *place, &mut all);
    }
    all
}

/// The signals whose rows are in that table.
fn of_table(of: Table) -> SignalSet {
    let signals = Signal::ALL.into_iter();
    signals.filter(|&signal| table(signal) == of).collect()
}

/// Those of `signals` with a row that may meet all conditions.
fn possible(conditions: &[&Expr], signals: SignalSet) -> SignalSet {
    let domain = Domain::of(conditions);
    let may_hold = |&signal: &Signal| domain.may_hold(conditions, signal);
    signals.iter().filter(may_hold).collect()
}

/// What to say of a condition that holds for none of the rows that are left.
fn contradiction(condition: &Expr, place: Span, of: Table, left: SignalSet) -> Doubt {
    let is_alone = possible(&[condition], of_table(of)).is_empty();
    let others = Table::ALL.into_iter().filter(|&table| table != of);
    let other = others
        .into_iter()
        .find(|&table| !possible(&[condition], of_table(table)).is_empty());
    let (message, hint) = match (is_alone, other) {
        (true, Some(other)) => (
            format!("no row of {} meets this condition", of.name()),
            Some(format!(
                "rows of {0} do: write {0} as the table",
                other.name()
            )),
        ),
        (true, None) => ("no row meets this condition".to_owned(), None),
        (false, _) => (
            "no row that meets the conditions before this one meets it too".to_owned(),
            missing_column(condition, left),
        ),
    };
    Doubt {
        place,
        message,
        hint,
        is_hopeless: true,
    }
}

/// The column that a condition reads and rows of these signals never have.
fn missing_column(condition: &Expr, left: SignalSet) -> Option<String> {
    let reads = |wanted: fn(Field) -> bool| {
        slots(condition)
            .iter()
            .any(|slot| matches!(slot, Slot::Field(field) if wanted(*field)))
    };
    let has = |column| {
        left.iter()
            .any(|signal| port_column(signal) == Some(column))
    };
    let sends = |is_outbound| left.iter().all(|it| it.is_outbound() == is_outbound);
    let hint = if reads(|field| field == Field::LocalPort) && !has(PortColumn::Local) {
        match sends(true) {
            true => "what this host sends has RemotePort and no LocalPort",
            false => "these rows have no LocalPort",
        }
    } else if reads(|field| field == Field::RemotePort) && !has(PortColumn::Remote) {
        match sends(false) {
            true => "what remotes send has LocalPort and no RemotePort",
            false => "these rows have no RemotePort",
        }
    } else if reads(Field::is_of_process) && sends(false) {
        "only what this host sends has a process"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// What to say if rows that meet the conditions lack what the query groups by or counts.
fn unkeyed(plan: &Plan, left: SignalSet) -> Option<Doubt> {
    let key = KeyPlan::new(plan);
    let keyed: SignalSet = left
        .iter()
        .filter(|&signal| has_key(plan, &key, signal))
        .collect();
    let message = if keyed.is_empty() {
        "no row that meets the conditions has all columns that the query groups by"
    } else {
        let position = plan.threshold?.aggregate;
        let counted = AggregatePlan::all(plan, keyed).0.signals;
        if position >= plan.aggregates.len() || !counted.is_empty() {
            return None;
        }
        "no row that meets the conditions counts in what the threshold is compared with"
    };
    Some(Doubt {
        place: plan.places.table,
        message: message.to_owned(),
        hint: Some(
            "what remotes send has LocalPort; what this host sends has RemotePort and a process"
                .to_owned(),
        ),
        is_hopeless: true,
    })
}

/// Conditions on a group that no group can meet.
fn of_groups(plan: &Plan) -> Option<Doubt> {
    let threshold = plan.threshold.map(|threshold| {
        let output = plan.aggregates[threshold.aggregate].outputs.first();
        let column = Column {
            slot: Slot::Aggregate(threshold.aggregate, 0),
            name: output.map_or_else(|| "".into(), |output| output.name.clone()),
            kind: Type::Long,
        };
        let above = Literal::Long(i64::try_from(threshold.above).unwrap_or(i64::MAX));
        let sides = [Expr::Column(column), Expr::Literal(above)];
        Expr::Compare(Comparison::Greater, Box::new(sides))
    });
    let mut conditions: Vec<_> = threshold
        .iter()
        .map(|threshold| (threshold, plan.places.threshold))
        .collect();
    conditions.extend(placed(&plan.having, &plan.places.having));
    for count in 1..=conditions.len() {
        let together: Vec<_> = conditions[..count].iter().map(|(it, _)| *it).collect();
        if Domain::of_groups(&together, plan).may_all_hold(&together) {
            continue;
        }
        let (condition, place) = conditions[count - 1];
        let is_alone = !Domain::of_groups(&[condition], plan).may_all_hold(&[condition]);
        let greatest = greatest_measure(plan);
        let (message, hint) = match (is_alone, greatest) {
            (true, Some(greatest)) => (
                "no group meets this condition".to_owned(),
                Some(format!("there are only {greatest} ports")),
            ),
            (true, None) => ("no group meets this condition".to_owned(), None),
            (false, _) => {
                let message = "no group that meets the conditions before this one meets it too";
                (message.to_owned(), None)
            }
        };
        return Some(Doubt {
            place,
            message,
            hint,
            is_hopeless: true,
        });
    }
    None
}

/// The columns that an expression reads.
fn slots(expr: &Expr) -> Vec<Slot> {
    let mut slots = Vec::new();
    expr.visit(&mut |part| {
        if let Expr::Column(column) = part
            && !slots.contains(&column.slot)
        {
            slots.push(column.slot);
        }
    });
    slots
}

/// One value for each column.
struct Guess<'g> {
    slots: &'g [Slot],
    values: Vec<&'g Value<'static>>,
}

impl Columns for Guess<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        let position = self.slots.iter().position(|known| *known == slot);
        position.map_or(Value::Null, |position| self.values[position].clone())
    }
}

/// Whether all conditions hold for one combination of the values of these columns.
fn holds_for_some(
    conditions: &[Predicate],
    slots: &[Slot],
    domains: &[Vec<Value<'static>>],
) -> bool {
    let sizes = domains.iter().map(Vec::len);
    let tries = sizes.fold(1_usize, usize::saturating_mul);
    if tries > MAX_TRIES {
        return true;
    }
    (0..tries).any(|mut number| {
        let mut values = Vec::with_capacity(slots.len());
        for domain in domains {
            values.push(&domain[number % domain.len()]);
            number /= domain.len();
        }
        let guess = Guess { slots, values };
        let mut conditions = conditions.iter();
        conditions.all(|condition| condition.holds(&guess, Timestamp::UNIX_EPOCH))
    })
}

/// The whole numbers that conditions name.
fn numbers(conditions: &[&Expr]) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    let mut add = |literal: &Literal| match literal {
        Literal::Long(number) => drop(numbers.insert(*number)),
        Literal::Real(number) => numbers.extend([number.floor() as i64, number.ceil() as i64]),
        _ => {}
    };
    for condition in conditions {
        condition.visit(&mut |part| match part {
            Expr::Literal(literal) => add(literal),
            Expr::In { list, .. } => list.iter().for_each(&mut add),
            _ => {}
        });
    }
    numbers
}
