//! What a query means as a rule: a checked and typed plan.
//!
//! In: nothing; a plan is data. Out: [`Plan`], for the code that runs rules.
//! The decisions held here:
//! - A plan filters rows, computes columns of a row, groups, aggregates, compares with a threshold,
//!   computes columns of a group, and projects. A query without `summarize` is one too: its rows
//!   are grouped by the columns that it projects, and one event is enough.
//! - Names are resolved: an expression refers to a [`Slot`], so that steps which rename or replace
//!   columns leave no trace.
//! - The threshold is apart from the other conditions, so that settings can replace it and alerts
//!   can name it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::eval::Prepared;
use crate::diagnostic::Span;
use crate::kql::{
    AggregateFunction, Arithmetic, Comparison, Field, Function, Literal, Severity, Table,
    TextOperator, Type,
};

/// A rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The detection, of which it may be one of several measures: `rule.category`.
    pub id: String,
    /// What tells it from a rule with the same id and measure.
    pub variant: Option<String>,
    /// `rule.version`: as its file says, or a hash of its text.
    pub version: String,
    /// `tags` of its alerts.
    pub tags: Vec<String>,
    /// `rule.name`
    pub name: String,
    /// How sure its alerts are to mean harm.
    pub severity: Severity,
    /// The ATT&CK technique, such as `T1595.001`.
    pub technique: Option<String>,
    /// What is counted, in the plural, as messages name it.
    pub unit: Option<String>,
    /// What is at stake for this host: a sentence that alerts end with.
    pub stake: Option<String>,
    /// How far back a group's rows reach.
    pub window: Duration,
    /// How long an alert of a group holds back further ones, if the rule says so.
    pub cooldown: Option<Duration>,
    /// If there are any: only remotes count that a rule with one of these ids has reported in its
    /// window, up to the end of the poll.
    pub after: Vec<String>,
    /// Remotes do not count that a rule with one of these ids has reported in its window.
    pub unless: Vec<String>,
    /// Whose rows it reads.
    pub table: Table,
    /// Whether the query has a `summarize`.
    pub is_summary: bool,
    /// Computed columns of a row, each from the row and the columns before it.
    pub extends: Vec<Named>,
    /// A row counts if all of these hold. They refer to the row and to `extends`.
    pub filter: Vec<Expr>,
    /// What the rows are grouped by. They refer to the row and to `extends`.
    pub groups: Vec<Named>,
    /// The name of the column with the start of the window, if the query groups by
    /// `bin(TimeGenerated, ...)`.
    pub window_column: Option<Arc<str>>,
    /// The aggregates of a group's rows. They refer to the row and to `extends`.
    pub aggregates: Vec<Aggregate>,
    /// What makes the rule fire, if it is the comparison of one aggregate with a constant.
    pub threshold: Option<Threshold>,
    /// Computed columns of a group, each from the group, its aggregates and the columns before it.
    pub computed: Vec<Named>,
    /// The rule fires only if all of these hold too. They refer to groups, aggregates and
    /// `computed`.
    pub having: Vec<Expr>,
    /// The columns of an alert, in order.
    pub columns: Vec<Shown>,
    /// The order of one poll's alerts.
    pub order: Vec<SortKey>,
    /// How many of one poll's alerts are reported, in that order.
    pub limit: Option<u64>,
    /// Where its file has it.
    #[serde(skip)]
    pub(crate) places: Places,
}

/// Where a rule's file has its parts, for messages about what they mean together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// `FILE:LINE` of the query.
    pub(crate) query: String,
    /// The name of the table.
    pub(crate) table: Span,
    /// The conditions of `filter`, in that order.
    pub(crate) filter: Vec<Span>,
    /// The condition that is the threshold.
    pub(crate) threshold: Span,
    /// The conditions of `having`, in that order.
    pub(crate) having: Vec<Span>,
}

impl Plan {
    /// Whether it fires for the same rows as another rule.
    pub(crate) fn counts_as(&self, other: &Self) -> bool {
        let window = |plan: &Self| (plan.table, plan.window, plan.is_summary);
        let order = |plan: &Self| (plan.limit, plan.threshold);
        window(self) == window(other)
            && order(self) == order(other)
            && self.filter == other.filter
            && self.extends == other.extends
            && self.groups == other.groups
            && self.aggregates == other.aggregates
            && self.computed == other.computed
            && self.having == other.having
            && self.after == other.after
            && self.unless == other.unless
    }
}

/// An expression with a name that is unique within the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// What it is computed from.
    pub expr: Expr,
    /// Its type.
    pub kind: Type,
}

/// An aggregate of a group's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Its columns: one, except for `arg_max`, which has one for each argument.
    pub outputs: Vec<Output>,
    /// The function.
    pub function: AggregateFunction,
    /// Its arguments.
    pub arguments: Vec<Expr>,
}

/// A column of an aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name within the plan.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Type,
}

/// The rule fires if an aggregate exceeds a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Which of the plan's aggregates. It has one column, a whole number.
    pub aggregate: usize,
    /// The rule fires above this, not at it.
    pub above: u64,
}

/// A column of an alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Its name in the alert.
    pub name: Arc<str>,
    /// Where it comes from.
    pub column: Column,
}

/// A sort key of alerts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SortKey {
    /// A column of the group.
    pub column: Column,
    /// Whether the greatest comes first.
    pub is_descending: bool,
    /// Whether those without a value come first.
    pub are_nulls_first: bool,
}

/// A reference to a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Where its value is.
    pub slot: Slot,
    /// Its name within the plan.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Type,
}

/// Where a column's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// In the row.
    Field(Field),
    /// In the plan's `extends`.
    Extend(usize),
    /// In the plan's `groups`.
    Group(usize),
    /// The start of the window.
    Window,
    /// In the plan's `aggregates`, and which of its outputs.
    Aggregate(usize, usize),
    /// In the plan's `computed`.
    Computed(usize),
}

/// An expression. Its nesting is limited, and its operands have types that its operator takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// The time of evaluation plus ticks: `now()`, and `ago(1h)` with a negative number.
    Now(i64),
    /// A column's value.
    Column(Column),
    /// Whether all hold.
    And(Vec<Expr>),
    /// Whether one holds.
    Or(Vec<Expr>),
    /// `-`
    Negate(Box<Expr>),
    /// Numbers of different types are compared by value.
    Compare(Comparison, Box<[Expr; 2]>),
    /// Of numbers, timespans and dates.
    Arithmetic(Arithmetic, Box<[Expr; 2]>),
    /// A test of two strings.
    Text(TextOperator, Box<[Expr; 2]>),
    /// Whether a value is in a list of constants.
    In {
        /// The value.
        value: Box<Expr>,
        /// The constants.
        list: Arc<[Literal]>,
        /// `!in`
        is_negated: bool,
        /// False for `in~`, which takes strings.
        is_case_sensitive: bool,
    },
    /// Whether a value is within bounds, both included.
    Between {
        /// The value, the lower and the upper bound.
        parts: Box<[Expr; 3]>,
        /// `!between`
        is_negated: bool,
    },
    /// A function's value.
    Call(Function, Vec<Expr>),
    /// A condition with a faster test. Plans have none; [`Predicate`](super::eval::Predicate) adds
    /// them.
    #[serde(skip)]
    Prepared(Box<Prepared>),
}

impl Expr {
    /// Visits the expression and all its operands.
    pub(crate) fn visit<'e>(&'e self, visit: &mut dyn FnMut(&'e Self)) {
        visit(self);
        match self {
            Self::Literal(_) | Self::Now(_) | Self::Column(_) => {}
            Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => {
                parts.iter().for_each(|part| part.visit(visit));
            }
            Self::Negate(part) | Self::In { value: part, .. } => part.visit(visit),
            Self::Compare(_, parts) | Self::Arithmetic(_, parts) | Self::Text(_, parts) => {
                parts.iter().for_each(|part| part.visit(visit));
            }
            Self::Between { parts, .. } => parts.iter().for_each(|part| part.visit(visit)),
            Self::Prepared(prepared) => prepared.written.visit(visit),
        }
    }
}
