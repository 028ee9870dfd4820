//! From a query to a plan: names, types, and whether it can run as a stream.
//!
//! In: a parsed query and its header. Out: a [`Plan`], or errors.
//! The decisions held here:
//! - A query reads rows, then groups them once at most. Whatever needs all rows of a stream or a
//!   second grouping is refused.
//! - What follows an operator that could not be parsed is not checked: its columns are unknown.
//! - The window is that of `bin(TimeGenerated, ...)`, else the annotation's, else that of
//!   `TimeGenerated > ago(...)`, else one hour. An annotation that contradicts `bin` is an error.

mod call;
mod columns;
mod expr;
mod finish;
mod fold;
mod scope;
mod summarize;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::ast::{ExprKind, Key, Operator, OperatorKind, WrittenExpr, WrittenQuery};
use super::header::Header;
use crate::diagnostic::{Diagnostics, Span};
use crate::duration;
use crate::kql::{Column, Comparison, Expr, Literal, Plan, Slot, SortKey, Table, Threshold};
use expr::Typed;
use scope::{ColumnScope, MAX_COLUMNS, TakenNames};

pub(crate) use finish::WINDOW;

/// Plans a query. None if it has an error.
pub(super) fn plan(
    query: &WrittenQuery<'_>,
    header: Header,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    let errors = diagnostics.errors();
    let mut checker = Checker {
        diagnostics,
        lets: HashMap::new(),
        scope: ColumnScope::of_table(),
        taken: TakenNames::of_table(),
        mode: Mode::Rows,
        constants: 0,
        plan: header.plan,
        bin: None,
        ago: None,
    };
    checker.query(query);
    checker.window(header.window)?;
    // What follows an error of syntax is unknown, so nothing is said of what is missing.
    let is_whole = query.operators.iter().all(|operator| operator.is_whole);
    if checker.diagnostics.errors() > errors || !is_whole {
        return None;
    }
    let plan = checker.finish(query.table.span);
    (diagnostics.errors() == errors).then_some(plan)
}

/// Where an expression stands, which decides what its names may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Columns, and no aggregate.
    Rows,
    /// In `summarize`: aggregates, and no column outside of them.
    Aggregates,
    /// In an aggregate: columns, and no other aggregate.
    WithinAggregate,
}

struct Checker<'a, 'd> {
    diagnostics: &'d mut Diagnostics,
    /// What `let` names; None if it has an error.
    lets: HashMap<&'a str, Option<Typed>>,
    scope: ColumnScope,
    taken: TakenNames,
    mode: Mode,
    /// Constants counted in lists so far.
    constants: usize,
    /// What the steps checked so far do.
    plan: Plan,
    /// The time's bin: its column, its size and its place.
    bin: Option<(Arc<str>, Duration, Span)>,
    /// How far back a condition on the time looks, and its place.
    ago: Option<(Duration, Span)>,
}

impl<'a> Checker<'a, '_> {
    /// Reports an error. Returns None, for callers that have nothing to return then.
    fn error<T>(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Option<T> {
        self.diagnostics.error(span, message, hint);
        None
    }

    fn query(&mut self, query: &WrittenQuery<'a>) {
        for statement in &query.lets {
            let name = &statement.name;
            let value = self.constant(&statement.value);
            if self.lets.insert(name.text, value).is_some() {
                let message = format!("two `let`s name `{}`", name.text);
                self.diagnostics.error(name.span, message, None);
            }
        }
        let table = &query.table;
        match Table::from_name(table.text) {
            Some(known) => self.plan.table = known,
            None => {
                let hint = "rules read from DeviceNetworkEvents or ReconEvents".to_owned();
                let message = format!("no table `{}`", table.text);
                self.diagnostics.error(table.span, message, Some(hint));
            }
        }
        for operator in &query.operators {
            self.operator(operator);
            if !operator.is_whole || self.diagnostics.is_full() {
                return;
            }
        }
        if self.scope.is_empty() {
            self.diagnostics
                .error(table.span, "no column is left for an alert to show", None);
        }
    }

    fn constant(&mut self, written: &WrittenExpr<'a>) -> Option<Typed> {
        // A constant has no columns.
        let scope = std::mem::take(&mut self.scope);
        let value = self.expr(written);
        self.scope = scope;
        let value = value?;
        if !matches!(value.expr, Expr::Literal(_) | Expr::Now(_)) {
            return self.error(written.span, "a `let` names a constant", None);
        }
        Some(value)
    }

    fn operator(&mut self, operator: &Operator<'a>) {
        let name = &operator.name;
        let is_after_limit = self.plan.limit.is_some();
        match &operator.kind {
            OperatorKind::Extend(items) => self.extend(items),
            OperatorKind::Project(items) => self.project(items),
            OperatorKind::ProjectAway(names) => self.project_away(names),
            _ if is_after_limit => {
                let message = format!(
                    "`{}` after `take` or `top` can't run as a stream",
                    name.text
                );
                let hint = "only extend, project and project-away may follow".to_owned();
                self.diagnostics.error(name.span, message, Some(hint));
            }
            OperatorKind::Where(condition) => self.filter(condition, operator.is_whole),
            OperatorKind::Summarize { aggregates, by } => self.summarize(name, aggregates, by),
            OperatorKind::Order(keys) => self.order(keys),
            OperatorKind::Top(count, keys) => {
                self.order(keys);
                self.limit(count);
            }
            OperatorKind::Take(count) => self.limit(count),
        }
    }

    /// Checks the conditions of a `where`. If it was parsed in part, the last one may be
    /// incomplete.
    fn filter(&mut self, written: &WrittenExpr<'a>, is_whole: bool) {
        let conjuncts = match &written.kind {
            ExprKind::And(operands) => operands.as_slice(),
            _ => std::slice::from_ref(written),
        };
        let known = conjuncts.len() - usize::from(!is_whole);
        for conjunct in &conjuncts[..known] {
            let Some(condition) = self.condition(conjunct) else {
                continue;
            };
            if !self.plan.is_summary {
                let ago = looks_back(&condition).map(|window| (window, conjunct.span));
                self.ago = self.ago.or(ago);
                self.plan.filter.push(condition);
                self.plan.places.filter.push(conjunct.span);
            } else if self.plan.threshold.is_none()
                && let Some(threshold) = self.threshold(&condition)
            {
                self.plan.threshold = Some(threshold);
                self.plan.places.threshold = conjunct.span;
            } else {
                self.plan.having.push(condition);
                self.plan.places.having.push(conjunct.span);
            }
        }
    }

    /// The threshold, if the condition compares a count or a sum with a constant that it exceeds.
    fn threshold(&self, condition: &Expr) -> Option<Threshold> {
        let Expr::Compare(comparison, operands) = condition else {
            return None;
        };
        let (comparison, column, bound) = match operands.as_ref() {
            [Expr::Column(column), Expr::Literal(Literal::Long(bound))] => {
                (*comparison, column, *bound)
            }
            [Expr::Literal(Literal::Long(bound)), Expr::Column(column)] => {
                (comparison.flipped(), column, *bound)
            }
            _ => return None,
        };
        let Slot::Aggregate(aggregate, 0) = column.slot else {
            return None;
        };
        let above = match comparison {
            Comparison::Greater => u64::try_from(bound).ok()?,
            Comparison::GreaterOrEqual => u64::try_from(bound).ok()?.checked_sub(1)?,
            _ => return None,
        };
        let is_measure = self.plan.aggregates[aggregate].is_measure();
        is_measure.then_some(Threshold { aggregate, above })
    }

    /// Only the last order counts.
    fn order(&mut self, keys: &[Key<'a>]) {
        self.plan.order.clear();
        for key in keys {
            let Some(typed) = self.expr(&key.expr) else {
                continue;
            };
            let Expr::Column(column) = typed.expr else {
                let message = "alerts are ordered by columns";
                let hint = "give the expression a name with `extend`".to_owned();
                self.diagnostics.error(key.expr.span, message, Some(hint));
                continue;
            };
            if self.plan.order.len() >= MAX_COLUMNS {
                return;
            }
            self.plan.order.push(SortKey {
                column,
                is_descending: key.is_descending,
                are_nulls_first: key.are_nulls_first,
            });
        }
    }

    fn limit(&mut self, written: &WrittenExpr<'a>) {
        let Some(Typed { expr, .. }) = self.expr(written) else {
            return;
        };
        match expr {
            Expr::Literal(Literal::Long(limit)) if limit > 0 => {
                self.plan.limit = Some(limit.unsigned_abs());
            }
            _ => {
                let message = "expected a constant number of rows above 0";
                self.diagnostics.error(written.span, message, None);
            }
        }
    }
}

/// How far a condition on the row's time looks back, if it does.
fn looks_back(condition: &Expr) -> Option<Duration> {
    let is_time = |expr: &Expr| matches!(expr, Expr::Column(Column { slot: Slot::Field(field), .. }) if field.is_time());
    let (time, ticks) = match condition {
        Expr::Compare(comparison, operands) => match (comparison, operands.as_ref()) {
            (Comparison::Greater | Comparison::GreaterOrEqual, [time, Expr::Now(ticks)])
            | (Comparison::Less | Comparison::LessOrEqual, [Expr::Now(ticks), time]) => {
                (time, ticks)
            }
            _ => return None,
        },
        Expr::Between {
            parts,
            is_negated: false,
        } => match parts.as_ref() {
            [time, Expr::Now(ticks), _] => (time, ticks),
            _ => return None,
        },
        _ => return None,
    };
    (is_time(time) && *ticks < 0).then(|| duration::of_ticks(-ticks))
}
