//! `summarize`: from rows to groups.

use std::sync::Arc;
use std::time::Duration;

use super::super::ast::{ExprKind, Item, WrittenName};
use super::super::function::{AGGREGATES, by_name};
use super::columns::{add, implied_name};
use super::expr::Typed;
use super::scope::{ColumnScope, TakenNames};
use super::{Checker, Mode};
use crate::diagnostic::Span;
use crate::duration::of_ticks;
use crate::kql::{Aggregate, AggregateFunction, Column, Expr, Function, Literal, Slot, Type};

impl Aggregate {
    /// Whether it counts or adds, so that a threshold on it says how much is too much.
    pub(super) fn is_measure(&self) -> bool {
        let is_sum = matches!(
            self.function,
            AggregateFunction::Sum | AggregateFunction::SumIf
        );
        (is_sum || self.function.is_count()) && self.outputs[0].kind == Type::Long
    }
}

impl<'a> Checker<'a, '_> {
    pub(super) fn summarize(
        &mut self,
        name: &WrittenName<'a>,
        aggregates: &[Item<'a>],
        by: &[Item<'a>],
    ) {
        if self.plan.is_summary {
            let message = "a second `summarize` can't run as a stream: a rule groups its rows once";
            self.diagnostics.error(name.span, message, None);
            return;
        }
        if !self.plan.order.is_empty() {
            let message = "an order before `summarize` has no effect";
            self.diagnostics.warning(name.span, message, None);
            self.plan.order.clear();
        }
        self.taken = TakenNames::default();
        let mut groups = ColumnScope::default();
        let mut unnamed = 0;
        for item in by {
            if self.diagnostics.is_full() || self.is_crowded(groups.len(), item.expr.span) {
                break;
            }
            self.column(item, &mut unnamed, &mut groups, |checker, name, typed| {
                checker.group_column(name, typed, item.expr.span)
            });
        }
        self.mode = Mode::Aggregates;
        for item in aggregates {
            if self.diagnostics.is_full() || self.is_crowded(groups.len(), item.expr.span) {
                break;
            }
            self.aggregate_item(item, &mut unnamed, &mut groups);
        }
        self.mode = Mode::Rows;
        self.scope = groups;
        self.plan.is_summary = true;
    }

    fn group_column(&mut self, name: &str, typed: Typed, span: Span) -> Option<Column> {
        if let Some(window) = self.bin_of_time(&typed.expr) {
            if self.bin.is_some() {
                return self.error(span, "a rule has one window", None);
            }
            let name = self.taken.unique(name);
            self.bin = Some((Arc::clone(&name), window, span));
            let (slot, kind) = (Slot::Window, typed.kind);
            return Some(Column { slot, name, kind });
        }
        if typed.kind == Type::DateTime {
            let message = "rows grouped by their time form a group each";
            let hint = "group by bin(TimeGenerated, 1h), which is the rule's window".to_owned();
            return self.error(span, message, Some(hint));
        }
        if typed.kind == Type::List {
            return self.error(span, "rows can't be grouped by dynamic values", None);
        }
        let name = self.taken.unique(name);
        Some(add(&mut self.plan.groups, Slot::Group, name, typed))
    }

    /// The size if an expression is `bin(TimeGenerated, size)` or a column that is one.
    fn bin_of_time(&self, expr: &Expr) -> Option<Duration> {
        let expr = match expr {
            Expr::Column(Column {
                slot: Slot::Extend(index),
                ..
            }) => &self.plan.extends[*index].expr,
            expr => expr,
        };
        let Expr::Call(Function::Bin, arguments) = expr else {
            return None;
        };
        match arguments.as_slice() {
            [
                Expr::Column(Column {
                    slot: Slot::Field(field),
                    ..
                }),
                Expr::Literal(Literal::Timespan(ticks)),
            ] if field.is_time() => Some(of_ticks(*ticks)),
            _ => None,
        }
    }

    fn aggregate_item(&mut self, item: &Item<'a>, unnamed: &mut usize, groups: &mut ColumnScope) {
        if let ExprKind::Call { name, arguments } = &item.expr.kind
            && let Some(signature) = by_name(AGGREGATES, name.text)
        {
            let index = self.aggregate(signature, arguments, &item.names, item.expr.span);
            let Some(index) = index else {
                for name in &item.names {
                    groups.set(name.text.into(), None);
                }
                return;
            };
            for output in 0..self.plan.aggregates[index].outputs.len() {
                let column = self.aggregate_column(index, output);
                let (visible, span) = match item.names.get(output) {
                    Some(name) => (name.text.into(), name.span),
                    None => (Arc::clone(&column.name), item.expr.span),
                };
                if self.is_new(&visible, span, groups) {
                    groups.set(visible, Some(column));
                }
            }
            return;
        }
        self.column(item, unnamed, groups, |checker, name, typed| {
            if implied_name(&item.expr).is_some() {
                // A constant says nothing of the group.
                let message = "expected an aggregate such as count()";
                return checker.error(item.expr.span, message, None);
            }
            checker.plan.is_summary = true;
            let column = checker.place(name, typed);
            checker.plan.is_summary = false;
            Some(column)
        });
    }
}
