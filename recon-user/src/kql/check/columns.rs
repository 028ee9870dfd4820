//! `extend`, `project` and `project-away`: which columns a step has, and their names.

use std::sync::Arc;

use super::super::ast::{ExprKind, Item, WrittenExpr, WrittenName};
use super::Checker;
use super::expr::Typed;
use super::scope::{ColumnScope, MAX_COLUMNS};
use crate::diagnostic::Span;
use crate::kql::{Column, Expr, Named, Slot};

impl<'a> Checker<'a, '_> {
    /// The place of a computed column. A column that only renames another takes none.
    pub(super) fn place(&mut self, name: &str, typed: Typed) -> Column {
        if let Expr::Column(column) = typed.expr {
            return column;
        }
        let name = self.taken.unique(name);
        match self.plan.is_summary {
            true => add(&mut self.plan.computed, Slot::Computed, name, typed),
            false => add(&mut self.plan.extends, Slot::Extend, name, typed),
        }
    }

    /// The items' columns. All are computed from the columns before the step; one without a name
    /// gets the next `ColumnN`.
    fn items(&mut self, items: &[Item<'a>]) -> ColumnScope {
        let mut columns = ColumnScope::default();
        let mut unnamed = 0;
        for item in items {
            if self.diagnostics.is_full() || self.is_crowded(columns.len(), item.expr.span) {
                break;
            }
            self.column(item, &mut unnamed, &mut columns, |checker, name, typed| {
                Some(checker.place(name, typed))
            });
        }
        columns
    }

    /// Adds the column of an item to those of its step. `place` says where it is.
    pub(super) fn column(
        &mut self,
        item: &Item<'a>,
        unnamed: &mut usize,
        columns: &mut ColumnScope,
        place: impl FnOnce(&mut Self, &str, Typed) -> Option<Column>,
    ) {
        let typed = self.expr(&item.expr);
        let (name, span) = self.name_of(item, unnamed);
        if self.is_new(&name, span, columns) {
            let column = typed.and_then(|typed| place(self, &name, typed));
            columns.set(name, column);
        }
    }

    /// Whether a step has no column of that name yet. Reports one that it has.
    pub(super) fn is_new(&mut self, name: &str, span: Span, columns: &ColumnScope) -> bool {
        let is_new = columns.get(name).is_none();
        if !is_new {
            let message = format!("two columns have the name `{name}`");
            self.diagnostics.error(span, message, None);
        }
        is_new
    }

    /// The name of an item's column.
    fn name_of(&mut self, item: &Item<'a>, unnamed: &mut usize) -> (Arc<str>, Span) {
        if let [first, rest @ ..] = item.names.as_slice() {
            if let Some(second) = rest.first() {
                let message = "an expression has one column, except arg_max in `summarize`";
                self.diagnostics.error(second.span, message, None);
            }
            return (first.text.into(), first.span);
        }
        let name = match implied_name(&item.expr) {
            Some(name) => name.into(),
            None => {
                *unnamed += 1;
                format!("Column{unnamed}").into()
            }
        };
        (name, item.expr.span)
    }

    /// Whether there are too many columns to add one more, `count` being those of this step.
    /// Reports it.
    pub(super) fn is_crowded(&mut self, count: usize, span: Span) -> bool {
        let computed = self.plan.extends.len() + self.plan.computed.len();
        let is_crowded = [count, computed, self.scope.len()]
            .into_iter()
            .any(|count| count >= MAX_COLUMNS);
        if is_crowded {
            let message = format!("a query has at most {MAX_COLUMNS} columns");
            self.diagnostics.error(span, message, None);
        }
        is_crowded
    }

    pub(super) fn extend(&mut self, items: &[Item<'a>]) {
        let columns = self.items(items);
        self.scope.extend(columns);
    }

    pub(super) fn project(&mut self, items: &[Item<'a>]) {
        self.scope = self.items(items);
    }

    pub(super) fn project_away(&mut self, names: &[WrittenName<'a>]) {
        for name in names {
            if self.scope.get(name.text).is_none() {
                let hint = self.diagnostics.did_you_mean(name.text, self.scope.names());
                let message = format!("no column `{}`", name.text);
                self.diagnostics.error(name.span, message, hint);
            }
            self.scope.remove(name.text);
        }
    }
}

/// Adds a column to a list of the plan.
pub(super) fn add(
    list: &mut Vec<Named>,
    slot: fn(usize) -> Slot,
    name: Arc<str>,
    Typed { expr, kind }: Typed,
) -> Column {
    let slot = slot(list.len());
    list.push(Named {
        name: Arc::clone(&name),
        expr,
        kind,
    });
    Column { slot, name, kind }
}

/// The name of a column that is given none: its own, even if it is rounded or converted.
pub(super) fn implied_name<'a>(written: &WrittenExpr<'a>) -> Option<&'a str> {
    const KEEP_NAMES: [&str; 4] = ["bin", "tostring", "toint", "tolong"];
    match &written.kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Call { name, arguments } if KEEP_NAMES.contains(&name.text) => {
            match arguments.first().map(|argument| &argument.kind) {
                Some(ExprKind::Name(name)) => Some(name),
                _ => None,
            }
        }
        _ => None,
    }
}
