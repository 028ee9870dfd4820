//! A query as it is written.
//!
//! The decision held here: every part knows its span, and every expression its nesting depth, so
//! that whoever walks it down knows that it ends before the stack does.

use super::operator::{Arithmetic, Comparison, TextOperator};
use super::value::Literal;
use crate::diagnostic::Span;

/// A name.
#[derive(Clone, Debug)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) span: Span,
}

/// An expression.
#[derive(Debug)]
pub(super) struct Expr<'a> {
    pub(super) kind: ExprKind<'a>,
    pub(super) span: Span,
    pub(super) depth: usize,
}

#[derive(Debug)]
pub(super) enum ExprKind<'a> {
    Literal(Literal),
    Name(&'a str),
    /// `*`, as an argument.
    Star,
    And(Vec<Expr<'a>>),
    Or(Vec<Expr<'a>>),
    Negate(Box<Expr<'a>>),
    Compare(Comparison, Box<[Expr<'a>; 2]>),
    Arithmetic(Arithmetic, Box<[Expr<'a>; 2]>),
    Text(TextOperator, Box<[Expr<'a>; 2]>),
    In {
        value: Box<Expr<'a>>,
        list: Vec<Expr<'a>>,
        is_negated: bool,
        is_case_sensitive: bool,
    },
    Between {
        /// The value, the lower and the upper bound.
        parts: Box<[Expr<'a>; 3]>,
        is_negated: bool,
    },
    Call {
        name: Name<'a>,
        arguments: Vec<Expr<'a>>,
    },
}

/// An expression, with the names of its columns if the query gives any.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) names: Vec<Name<'a>>,
    pub(super) expr: Expr<'a>,
}

/// A sort key.
#[derive(Debug)]
pub(super) struct Key<'a> {
    pub(super) expr: Expr<'a>,
    pub(super) is_descending: bool,
    pub(super) are_nulls_first: bool,
}

/// `let name = value;`
#[derive(Debug)]
pub(super) struct Let<'a> {
    pub(super) name: Name<'a>,
    pub(super) value: Expr<'a>,
}

/// A step of the pipeline.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    pub(super) name: Name<'a>,
    pub(super) kind: OperatorKind<'a>,
    /// False if a part could not be parsed, so that the columns after it are unknown.
    pub(super) is_whole: bool,
}

#[derive(Debug)]
pub(super) enum OperatorKind<'a> {
    Where(Expr<'a>),
    Extend(Vec<Item<'a>>),
    Summarize {
        aggregates: Vec<Item<'a>>,
        by: Vec<Item<'a>>,
    },
    Project(Vec<Item<'a>>),
    ProjectAway(Vec<Name<'a>>),
    Order(Vec<Key<'a>>),
    Top(Expr<'a>, Vec<Key<'a>>),
    Take(Expr<'a>),
}

/// A query.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) lets: Vec<Let<'a>>,
    pub(super) table: Name<'a>,
    pub(super) operators: Vec<Operator<'a>>,
}
