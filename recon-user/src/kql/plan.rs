//! What a query means as a rule: a checked and typed plan.
//!
//! In: nothing; a plan is data. Out: [`Plan`], for whoever runs rules, and as text.
//! The decisions held here:
//! - A plan is: filter rows, compute columns of a row, group, aggregate, compare with a threshold, compute columns of a group, project. A
//!   query without `summarize` is one too: its rows are grouped by the columns that it projects, and one event is enough.
//! - Names are resolved: an expression refers to a [`Slot`], so that steps which rename or replace columns leave no trace.
//! - The threshold stands apart from the other conditions, so that it can be replaced and told of.
//! - Its text is KQL again, with its annotations: what it is read back as is the same plan.

use std::sync::Arc;
use std::time::Duration;

use super::eval::Prepared;
use super::function::{AggregateFunction, Function};
use super::operator::{Arithmetic, Comparison, TextOperator};
use super::schema::Field;
use super::severity::Severity;
use super::value::{Literal, Type};

/// A rule.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `rule.id`, which several measures of one detection may share.
    pub id: String,
    /// `rule.name`
    pub name: String,
    /// How sure its alerts are.
    pub severity: Severity,
    /// The ATT&CK technique, such as `T1595.001`.
    pub technique: Option<String>,
    /// How far back a group's rows reach.
    pub window: Duration,
    /// How long a group's alert keeps others back, where the rule says so.
    pub cooldown: Option<Duration>,
    /// Only those remotes count of which the rule with this id has told in an earlier poll, by its distinct ports.
    pub after: Option<String>,
    /// Those remotes do not count of which the rule with this id has told in its window, by its distinct ports.
    pub unless: Option<String>,
    /// Whether the query has a `summarize`.
    pub is_summary: bool,
    /// Columns of a row that are computed, each from the row and from those before it.
    pub extends: Vec<Named>,
    /// A row counts where all of these hold. They refer to the row and to `extends`.
    pub filter: Vec<Expr>,
    /// What the rows are grouped by. They refer to the row and to `extends`.
    pub groups: Vec<Named>,
    /// The name of the column that says when the window begins: the query groups by `bin(TimeGenerated, ...)`.
    pub window_column: Option<Arc<str>>,
    /// What is kept of a group's rows. They refer to the row and to `extends`.
    pub aggregates: Vec<Aggregate>,
    /// What makes the rule fire, where it is the comparison of one aggregate with a constant.
    pub threshold: Option<Threshold>,
    /// Columns of a group that are computed, each from the group, its aggregates and those before it.
    pub computed: Vec<Named>,
    /// The rule fires where all of these hold too. They refer to groups, aggregates and `computed`.
    pub having: Vec<Expr>,
    /// The columns that an alert carries, in their order.
    pub columns: Vec<Shown>,
    /// In which order one poll's alerts are told of.
    pub order: Vec<SortKey>,
    /// How many of one poll's alerts are told of, in that order.
    pub limit: Option<u64>,
}

/// An expression with the name that it has within the plan, where no other has it.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// What it is computed from.
    pub expr: Expr,
    /// Its type.
    pub kind: Type,
}

/// What is kept of a group's rows.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// What it gives: one column, but for `arg_max`, which gives one for each argument.
    pub outputs: Vec<Output>,
    /// The function.
    pub function: AggregateFunction,
    /// Its arguments.
    pub arguments: Vec<Expr>,
}

/// A column that an aggregate gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// The name that it has within the plan.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Type,
}

/// The rule fires where an aggregate is greater than a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Which of the plan's aggregates. It gives one column, a whole number.
    pub aggregate: usize,
    /// It fires above this, not at it.
    pub above: u64,
}

/// A column of an alert.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name there.
    pub name: Arc<str>,
    /// Where it comes from.
    pub column: Column,
}

/// What alerts are ordered by.
#[derive(Clone, Debug)]
pub struct SortKey {
    /// A column of the group.
    pub column: Column,
    /// Whether the greatest comes first.
    pub is_descending: bool,
    /// Whether those without a value come first.
    pub are_nulls_first: bool,
}

/// A column that is referred to.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Where it is.
    pub slot: Slot,
    /// The name that it has within the plan.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Type,
}

/// Where a column's value is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// In the row.
    Field(Field),
    /// In the plan's `extends`.
    Extend(usize),
    /// In the plan's `groups`.
    Group(usize),
    /// The begin of the window.
    Window,
    /// In the plan's `aggregates`, and which of its outputs.
    Aggregate(usize, usize),
    /// In the plan's `computed`.
    Computed(usize),
}

/// An expression. It is nested to a limit, and its operands have types that its operator takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// The time at which it is evaluated, and ticks more: `now()`, and `ago(1h)` with a negative number.
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
    /// Whether a value is among constants of its kind.
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
    /// Whether a value is one of those from the least to the greatest, both included.
    Between {
        /// The value, the least and the greatest.
        parts: Box<[Expr; 3]>,
        /// `!between`
        is_negated: bool,
    },
    /// A function's value.
    Call(Function, Vec<Expr>),
    /// A condition made fast. No plan has one, only the evaluator's own expressions.
    Prepared(Box<Prepared>),
}
