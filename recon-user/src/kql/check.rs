//! A query to a plan: names, types, and whether it can run as a stream.
//!
//! In: a query as it is written and its header. Out: a [`Plan`], or what is wrong.
//! The decisions held here:
//! - A query reads rows, then groups them once at most. What would need all rows of a stream or a second grouping is refused.
//! - What follows an operator that could not be read is not checked: its columns are not known.
//! - The window is that of `bin(TimeGenerated, ...)`, else the annotation's, else that of `TimeGenerated > ago(...)`, else one hour. An
//!   annotation that says something else than `bin` is an error.

mod call;
mod expr;
mod finish;
mod fold;
mod scope;
mod summarize;

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Expr as Written, ExprKind, Item, Key, Name, Operator, OperatorKind, Query};
use super::diagnostic::Diagnostics;
use super::header::Header;
use super::operator::Comparison;
use super::plan::{Aggregate, Column, Expr, Named, Plan, Shown, Slot, SortKey, Threshold};
use super::schema::TABLE;
use super::source::Span;
use super::value::Literal;
use expr::Typed;
use scope::{MAX_COLUMNS, Scope, Taken};

pub(super) use finish::{LONGEST_WINDOW, SHORTEST_WINDOW};

/// The plan of a query, where it has no error.
pub(super) fn plan(query: &Query<'_>, header: Header, diagnostics: &mut Diagnostics) -> Option<Plan> {
    let errors = diagnostics.errors();
    let mut checker = Checker {
        diagnostics,
        lets: HashMap::new(),
        scope: Scope::of_table(),
        taken: Taken::of_table(),
        mode: Mode::Rows,
        body: Body::default(),
    };
    checker.query(query);
    let body = checker.finish(query.table.span, &header)?;
    (diagnostics.errors() == errors).then(|| body.into_plan(header))
}

/// Where an expression stands, which says what its names may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Columns, and no aggregate.
    Rows,
    /// In `summarize`: aggregates, and no column outside of them.
    Aggregates,
    /// In an aggregate: columns, and no other aggregate.
    WithinAggregate,
}

/// What a query has been found to do so far.
#[derive(Debug, Default)]
struct Body {
    extends: Vec<Named>,
    filter: Vec<Expr>,
    groups: Vec<Named>,
    /// The time's bin: its column, its size in ticks and where it is written.
    bin: Option<(Arc<str>, i64, Span)>,
    /// How far back a condition on the time looks, in ticks, and where it is written.
    ago: Option<(i64, Span)>,
    is_grouped: bool,
    aggregates: Vec<Aggregate>,
    threshold: Option<Threshold>,
    computed: Vec<Named>,
    having: Vec<Expr>,
    columns: Vec<Shown>,
    order: Vec<SortKey>,
    limit: Option<u64>,
    window: std::time::Duration,
}

struct Checker<'a, 'd> {
    diagnostics: &'d mut Diagnostics,
    /// What `let` has named; None where it is not known.
    lets: HashMap<&'a str, Option<Typed>>,
    scope: Scope,
    taken: Taken,
    mode: Mode,
    body: Body,
}

impl<'a> Checker<'a, '_> {
    /// Tells of an error. None, for whoever has nothing to return then.
    fn error<T>(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) -> Option<T> {
        self.diagnostics.error(span, message, hint);
        None
    }

    fn query(&mut self, query: &Query<'a>) {
        for statement in &query.lets {
            let name = &statement.name;
            let value = self.constant(&statement.value);
            if self.lets.insert(name.text, value).is_some() {
                let message = format!("two `let`s name `{}`", name.text);
                self.diagnostics.error(name.span, message, None);
            }
        }
        let table = &query.table;
        if table.text != TABLE {
            let hint = format!("rules read from {TABLE}");
            self.diagnostics
                .error(table.span, format!("no table `{}`", table.text), Some(hint));
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

    fn constant(&mut self, written: &Written<'a>) -> Option<Typed> {
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
        let is_after_limit = self.body.limit.is_some();
        match &operator.kind {
            OperatorKind::Extend(items) => self.extend(items),
            OperatorKind::Project(items) => self.project(items),
            OperatorKind::ProjectAway(names) => self.project_away(names),
            _ if is_after_limit => {
                let message = format!("`{}` after `take` or `top` can't run as a stream", name.text);
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

    /// The conditions of a `where`. Of one that could be read in part the last is not known to be whole.
    fn filter(&mut self, written: &Written<'a>, is_whole: bool) {
        let conjuncts = match &written.kind {
            ExprKind::And(operands) => operands.as_slice(),
            _ => std::slice::from_ref(written),
        };
        let known = conjuncts.len() - usize::from(!is_whole);
        for conjunct in &conjuncts[..known] {
            let Some(condition) = self.condition(conjunct) else {
                continue;
            };
            if !self.body.is_grouped {
                if let Some(ticks) = looks_back(&condition) {
                    self.body.ago.get_or_insert((ticks, conjunct.span));
                }
                self.body.filter.push(condition);
            } else if self.body.threshold.is_none()
                && let Some(threshold) = self.threshold(&condition)
            {
                self.body.threshold = Some(threshold);
            } else {
                self.body.having.push(condition);
            }
        }
    }

    /// The threshold that a condition is: a count or a sum is greater than a constant.
    fn threshold(&self, condition: &Expr) -> Option<Threshold> {
        let Expr::Compare(comparison, operands) = condition else {
            return None;
        };
        let (comparison, column, bound) = match operands.as_ref() {
            [Expr::Column(column), Expr::Literal(Literal::Long(bound))] => (*comparison, column, *bound),
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
        let is_measure = self.body.aggregates[aggregate].is_measure();
        is_measure.then_some(Threshold { aggregate, above })
    }

    /// Where a computed column is to be had. A column that is just another one takes no place.
    fn place(&mut self, name: &str, typed: Typed) -> Column {
        let Typed { expr, kind } = typed;
        if let Expr::Column(column) = expr {
            return column;
        }
        let name = self.taken.unique(name);
        let (list, slot): (_, fn(usize) -> Slot) = match self.body.is_grouped {
            true => (&mut self.body.computed, Slot::Computed),
            false => (&mut self.body.extends, Slot::Extend),
        };
        let slot = slot(list.len());
        list.push(Named {
            name: Arc::clone(&name),
            expr,
            kind,
        });
        Column { slot, name, kind }
    }

    /// The items' columns by their names. All are computed from the columns before; one that has no name gets the next `ColumnN`.
    fn items(&mut self, items: &[Item<'a>]) -> Vec<(Arc<str>, Span, Option<Column>)> {
        let mut columns: Vec<(Arc<str>, Span, Option<Column>)> = Vec::new();
        let mut unnamed = 0;
        for item in items {
            if self.diagnostics.is_full() || self.is_crowded(columns.len(), item.expr.span) {
                break;
            }
            let typed = self.expr(&item.expr);
            let (name, span) = self.name_of(item, &mut unnamed);
            if columns.iter().any(|(other, ..)| *other == name) {
                let message = format!("two columns are called `{name}`");
                self.diagnostics.error(span, message, None);
            }
            let column = typed.map(|typed| self.place(&name, typed));
            columns.push((name, span, column));
        }
        columns
    }

    /// The name of an item's column.
    fn name_of(&mut self, item: &Item<'a>, unnamed: &mut usize) -> (Arc<str>, Span) {
        if let [first, rest @ ..] = item.names.as_slice() {
            if let Some(second) = rest.first() {
                let message = "an expression gives one column, but for arg_max in `summarize`";
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

    fn is_crowded(&mut self, more: usize, span: Span) -> bool {
        let is_crowded = self.scope.is_full() || more >= MAX_COLUMNS
            || self.body.extends.len() + self.body.computed.len() >= MAX_COLUMNS;
        if is_crowded {
            let message = format!("a query has at most {MAX_COLUMNS} columns");
            self.diagnostics.error(span, message, None);
        }
        is_crowded
    }

    fn extend(&mut self, items: &[Item<'a>]) {
        for (name, _, column) in self.items(items) {
            self.scope.set(name, column);
        }
    }

    fn project(&mut self, items: &[Item<'a>]) {
        let columns = self.items(items);
        self.scope = Scope::default();
        for (name, _, column) in columns {
            self.scope.set(name, column);
        }
    }

    fn project_away(&mut self, names: &[Name<'a>]) {
        for name in names {
            if self.scope.get(name.text).is_none() {
                let hint = self.diagnostics.did_you_mean(name.text, self.scope.names());
                let message = format!("no column `{}`", name.text);
                self.diagnostics.error(name.span, message, hint);
            }
            self.scope.remove(name.text);
        }
    }

    /// The last order is the one that counts.
    fn order(&mut self, keys: &[Key<'a>]) {
        self.body.order.clear();
        for key in keys {
            let column = match self.expr(&key.expr) {
                Some(Typed {
                    expr: Expr::Column(column),
                    ..
                }) => column,
                Some(_) => {
                    let message = "alerts are ordered by columns";
                    let hint = "give the expression a name with `extend`".to_owned();
                    self.diagnostics.error(key.expr.span, message, Some(hint));
                    continue;
                }
                None => continue,
            };
            if self.body.order.len() >= MAX_COLUMNS {
                return;
            }
            self.body.order.push(SortKey {
                column,
                is_descending: key.is_descending,
                are_nulls_first: key.are_nulls_first,
            });
        }
    }

    fn limit(&mut self, written: &Written<'a>) {
        let Some(Typed { expr, .. }) = self.expr(written) else {
            return;
        };
        match expr {
            Expr::Literal(Literal::Long(limit)) if limit > 0 => {
                self.body.limit = Some(limit.unsigned_abs());
            }
            _ => {
                let message = "expected a constant number of rows above 0";
                self.diagnostics.error(written.span, message, None);
            }
        }
    }
}

/// The name that a column has without being given one: its own, also where it is rounded or converted.
fn implied_name<'a>(written: &Written<'a>) -> Option<&'a str> {
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

/// How many ticks a condition on the row's time looks back, where it is one.
fn looks_back(condition: &Expr) -> Option<i64> {
    let is_time = |expr: &Expr| {
        matches!(expr, Expr::Column(Column { slot: Slot::Field(field), .. }) if field.is_time())
    };
    let (time, ticks) = match condition {
        Expr::Compare(comparison, operands) => match (comparison, operands.as_ref()) {
            (Comparison::Greater | Comparison::GreaterOrEqual, [time, Expr::Now(ticks)])
            | (Comparison::Less | Comparison::LessOrEqual, [Expr::Now(ticks), time]) => (time, ticks),
            _ => return None,
        },
        Expr::Between { parts, is_negated: false } => match parts.as_ref() {
            [time, Expr::Now(ticks), _] => (time, ticks),
            _ => return None,
        },
        _ => return None,
    };
    (is_time(time) && *ticks < 0).then_some(-ticks)
}
