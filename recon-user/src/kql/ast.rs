//! A query as it is written.
//!
//! The decision held here: every part knows its span, and every expression its nesting depth, so
//! that whoever walks it down knows that it ends before the stack does.

use crate::diagnostic::Span;
use crate::kql::{Arithmetic, Comparison, Literal, TextOperator};

/// A name.
#[derive(Clone, Debug)]
pub(super) struct WrittenName<'a> {
    pub(super) text: &'a str,
    pub(super) span: Span,
}

/// An expression.
#[derive(Debug)]
pub(super) struct WrittenExpr<'a> {
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
    And(Vec<WrittenExpr<'a>>),
    Or(Vec<WrittenExpr<'a>>),
    Negate(Box<WrittenExpr<'a>>),
    Compare(Comparison, Box<[WrittenExpr<'a>; 2]>),
    Arithmetic(Arithmetic, Box<[WrittenExpr<'a>; 2]>),
    Text(TextOperator, Box<[WrittenExpr<'a>; 2]>),
    In {
        value: Box<WrittenExpr<'a>>,
        list: Vec<WrittenExpr<'a>>,
        is_negated: bool,
        is_case_sensitive: bool,
    },
    Between {
        /// The value, the lower and the upper bound.
        parts: Box<[WrittenExpr<'a>; 3]>,
        is_negated: bool,
    },
    Call {
        name: WrittenName<'a>,
        arguments: Vec<WrittenExpr<'a>>,
    },
}

/// An expression, with the names of its columns if the query gives any.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) names: Vec<WrittenName<'a>>,
    pub(super) expr: WrittenExpr<'a>,
}

/// A sort key.
#[derive(Debug)]
pub(super) struct Key<'a> {
    pub(super) expr: WrittenExpr<'a>,
    pub(super) is_descending: bool,
    pub(super) are_nulls_first: bool,
}

/// `let name = value;`
#[derive(Debug)]
pub(super) struct Let<'a> {
    pub(super) name: WrittenName<'a>,
    pub(super) value: WrittenExpr<'a>,
}

/// A step of the pipeline.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    pub(super) name: WrittenName<'a>,
    pub(super) kind: OperatorKind<'a>,
    /// False if a part could not be parsed, so that the columns after it are unknown.
    pub(super) is_whole: bool,
}

#[derive(Debug)]
pub(super) enum OperatorKind<'a> {
    Where(WrittenExpr<'a>),
    Extend(Vec<Item<'a>>),
    Summarize {
        aggregates: Vec<Item<'a>>,
        by: Vec<Item<'a>>,
    },
    Project(Vec<Item<'a>>),
    ProjectAway(Vec<WrittenName<'a>>),
    Order(Vec<Key<'a>>),
    Top(WrittenExpr<'a>, Vec<Key<'a>>),
    Take(WrittenExpr<'a>),
}

/// A query.
#[derive(Debug)]
pub(super) struct WrittenQuery<'a> {
    pub(super) lets: Vec<Let<'a>>,
    pub(super) table: WrittenName<'a>,
    pub(super) operators: Vec<Operator<'a>>,
}
