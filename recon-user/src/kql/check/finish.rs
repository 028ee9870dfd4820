//! The defaults of a query: its window, what fires it, and the groups of one without `summarize`.

use std::sync::Arc;
use std::time::Duration;

use super::Checker;
use super::columns::add;
use super::expr::Typed;
use super::scope::TakenNames;
use crate::diagnostic::Span;
use crate::duration::{Range, text};
use crate::kql::{
    Aggregate, AggregateFunction, Column, Expr, Field, Output, Plan, Shown, Slot, SortKey,
    Threshold, Type,
};

/// The window of a rule that names none.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3_600);
/// A shorter window would end before a poll has brought its rows, a longer one would be a log.
pub(crate) const WINDOW: Range = Range {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30 * 86_400),
    example: "10m",
};

impl Checker<'_, '_> {
    /// Completes the plan. `table` is the place of errors about what is not written.
    pub(super) fn finish(mut self, table: Span) -> Plan {
        let columns: Vec<_> = self
            .scope
            .shown()
            .map(|(name, column)| (Arc::clone(name), column.clone()))
            .collect();
        if self.plan.is_summary {
            let shown = |(name, column)| Shown { name, column };
            self.plan.columns = columns.into_iter().map(shown).collect();
        } else {
            self.group_rows(columns, table);
        }
        if self.plan.threshold.is_none() && self.plan.having.is_empty() {
            self.fire_at_once(table);
        }
        self.plan.window_column = self.bin.map(|(name, ..)| name);
        self.plan
    }

    /// The window, from the first source that has one. None after an error.
    pub(super) fn window(&mut self, annotated: Option<(Duration, Span)>) -> Option<()> {
        let bin = self.bin.as_ref().map(|(_, window, span)| (*window, *span));
        if let (Some((bin, _)), Some((annotated, span))) = (bin, annotated)
            && bin != annotated
        {
            let (annotated, bin) = (text(annotated), text(bin));
            let message = format!("the window is {annotated} here and {bin} in `bin`");
            let hint = "remove one of them".to_owned();
            return self.error(span, message, Some(hint));
        }
        self.plan.window = match bin.or(annotated).or(self.ago) {
            Some((window, _)) if WINDOW.contains(window) => window,
            Some((window, span)) => {
                let (least, most, window) = (text(WINDOW.least), text(WINDOW.most), text(window));
                let message = format!("a window is from {least} to {most}, not {window}");
                return self.error(span, message, None);
            }
            None => DEFAULT_WINDOW,
        };
        Some(())
    }

    /// A query without `summarize`: rows that look the same are one group. Times and counts do not
    /// count as looks: a group shows the last time and the sum of `Count`.
    fn group_rows(&mut self, columns: Vec<(Arc<str>, Column)>, table: Span) {
        self.taken = TakenNames::default();
        let mut shown: Vec<(Shown, Slot)> = Vec::new();
        for (name, column) in columns {
            let unique = self.taken.unique(&name);
            let before = column.slot;
            let function = match (column.slot, column.kind) {
                (_, Type::List) => {
                    let message =
                        format!("rows can't be grouped by dynamic values such as `{name}`");
                    self.diagnostics.error(table, message, None);
                    continue;
                }
                (Slot::Field(Field::Count), _) => Some(AggregateFunction::Sum),
                (_, Type::DateTime) => Some(AggregateFunction::Max),
                _ => None,
            };
            let kind = column.kind;
            let expr = Expr::Column(column);
            let column = match function {
                Some(function) => {
                    let output = Output { name: unique, kind };
                    let index = self.push_aggregate(function, vec![output], vec![expr]);
                    self.aggregate_column(index, 0)
                }
                None => add(
                    &mut self.plan.groups,
                    Slot::Group,
                    unique,
                    Typed { expr, kind },
                ),
            };
            shown.push((Shown { name, column }, before));
        }
        self.regroup_order(&shown, table);
        self.plan.columns = shown.into_iter().map(|(shown, _)| shown).collect();
    }

    /// The order of rows becomes one of groups.
    fn regroup_order(&mut self, shown: &[(Shown, Slot)], table: Span) {
        let mut order = Vec::new();
        for key in std::mem::take(&mut self.plan.order) {
            let found = shown.iter().find(|(_, before)| *before == key.column.slot);
            match found {
                Some((shown, _)) => order.push(SortKey {
                    column: shown.column.clone(),
                    ..key
                }),
                None => {
                    let name = &key.column.name;
                    let message = format!("an order by `{name}` has no effect: it is not shown");
                    let hint = "add it to `project`".to_owned();
                    self.diagnostics.warning(table, message, Some(hint));
                }
            }
        }
        self.plan.order = order;
    }

    /// A query without a condition on its groups fires at a group's first event.
    fn fire_at_once(&mut self, table: Span) {
        if self.plan.is_summary {
            let message =
                "no `where` after `summarize`: this fires at the first event of each group";
            self.diagnostics.warning(table, message, None);
        }
        let is_count = |aggregate: &Aggregate| aggregate.function == AggregateFunction::Count;
        let counted = self.plan.aggregates.iter().position(is_count);
        let aggregate = counted.unwrap_or_else(|| {
            let (name, kind) = (self.taken.unique("count_"), Type::Long);
            self.push_aggregate(
                AggregateFunction::Count,
                vec![Output { name, kind }],
                vec![],
            )
        });
        self.plan.threshold = Some(Threshold {
            aggregate,
            above: 0,
        });
    }
}
