//! The types of expressions.
//!
//! In: a parsed expression. Out: one with resolved names and folded constants, and its type; None
//! after an error.

use std::sync::Arc;

use super::super::ast::{ExprKind, WrittenExpr};
use super::{Checker, Mode, fold};
use crate::diagnostic::Span;
use crate::kql::{Arithmetic, Comparison, Expr, Literal, TextOperator, Type};

/// Constants in the lists of a query, with each use of a list that `let` names counted: enough for
/// all ports.
const MAX_CONSTANTS: usize = 1 << 16;

/// An expression and its type.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) kind: Type,
}

impl Typed {
    pub(super) fn new(expr: Expr, kind: Type) -> Option<Self> {
        Some(Self { expr, kind })
    }

    pub(super) fn of(literal: Literal) -> Option<Self> {
        let kind = literal.kind();
        Self::new(Expr::Literal(literal), kind)
    }

    /// Makes a whole number real if `kind` is.
    pub(super) fn widen(&mut self, kind: Type) {
        if kind == Type::Real && self.kind != Type::Real {
            let one = Expr::Literal(Literal::Real(1.0));
            if let Ok(real) = fold::fold(Arithmetic::Multiply, self.expr.clone(), one) {
                self.expr = real;
            }
        }
    }
}

impl Checker<'_, '_> {
    pub(super) fn expr(&mut self, written: &WrittenExpr<'_>) -> Option<Typed> {
        let span = written.span;
        match &written.kind {
            ExprKind::Literal(literal) => Typed::of(literal.clone()),
            ExprKind::Name(name) => self.named(name, span),
            ExprKind::Star => self.error(span, "`*` stands for all columns in arg_max only", None),
            ExprKind::And(operands) => self.conditions(operands, Expr::And),
            ExprKind::Or(operands) => self.conditions(operands, Expr::Or),
            ExprKind::Negate(operand) => self.negate(operand),
            ExprKind::Compare(comparison, operands) => self.compare(*comparison, operands),
            ExprKind::Arithmetic(operator, operands) => self.arithmetic(*operator, operands, span),
            ExprKind::Text(operator, operands) => self.text(*operator, operands),
            ExprKind::In {
                value,
                list,
                is_negated,
                is_case_sensitive,
            } => self.in_list(value, list, *is_negated, *is_case_sensitive),
            ExprKind::Between { parts, is_negated } => self.between(parts, *is_negated),
            ExprKind::Call { name, arguments } => self.call(name, arguments, span),
        }
    }

    /// A column, or a constant that `let` names.
    fn named(&mut self, name: &str, span: Span) -> Option<Typed> {
        if let Some(column) = self.scope.get(name) {
            let column = column.clone()?;
            if self.mode == Mode::Aggregates {
                let message = format!("`{name}` has many values in a group");
                let hint = format!("group by it, or aggregate it as in dcount({name})");
                return self.error(span, message, Some(hint));
            }
            let kind = column.kind;
            return Typed::new(Expr::Column(column), kind);
        }
        if let Some(value) = self.lets.get(name) {
            return value.clone();
        }
        let names = self.scope.names().chain(self.lets.keys().copied());
        let hint = self.diagnostics.did_you_mean(name, names);
        self.error(span, format!("no column `{name}`"), hint)
    }

    /// An expression that is a condition.
    pub(super) fn condition(&mut self, written: &WrittenExpr<'_>) -> Option<Expr> {
        let typed = self.expr(written)?;
        if typed.kind != Type::Bool {
            let message = format!("expected a condition, found {}", typed.kind);
            return self.error(written.span, message, None);
        }
        Some(typed.expr)
    }

    fn conditions(
        &mut self,
        operands: &[WrittenExpr<'_>],
        join: fn(Vec<Expr>) -> Expr,
    ) -> Option<Typed> {
        // All of them before any failure, so that each error is reported.
        let checked: Vec<_> = operands
            .iter()
            .map(|operand| self.condition(operand))
            .collect();
        let operands: Vec<_> = checked.into_iter().collect::<Option<_>>()?;
        Typed::new(join(operands), Type::Bool)
    }

    fn negate(&mut self, operand: &WrittenExpr<'_>) -> Option<Typed> {
        let Typed { expr, kind } = self.expr(operand)?;
        if !kind.is_number() && kind != Type::Timespan {
            let message = format!("`-` takes a number or a timespan, not {kind}");
            return self.error(operand.span, message, None);
        }
        let expr = match expr {
            Expr::Literal(Literal::Long(value)) => Expr::Literal(Literal::Long(-value)),
            Expr::Literal(Literal::Real(value)) => Expr::Literal(Literal::Real(-value)),
            Expr::Literal(Literal::Timespan(ticks)) => Expr::Literal(Literal::Timespan(-ticks)),
            expr => Expr::Negate(Box::new(expr)),
        };
        Typed::new(expr, kind)
    }

    fn both(&mut self, [left, right]: &[WrittenExpr<'_>; 2]) -> Option<[Typed; 2]> {
        let (left, right) = (self.expr(left), self.expr(right));
        Some([left?, right?])
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        operands: &[WrittenExpr<'_>; 2],
    ) -> Option<Typed> {
        let [left, right] = self.both(operands)?;
        let span = operands[0].span.to(operands[1].span);
        let kind = self.comparable(&left, &right, span)?;
        if comparison.needs_order() && !kind.is_ordered() {
            return self.unordered(&comparison.to_string(), kind, span);
        }
        let operands = Box::new([left.expr, right.expr]);
        Typed::new(Expr::Compare(comparison, operands), Type::Bool)
    }

    /// Reports that an operator needs values with an order.
    fn unordered<T>(&mut self, operator: &str, kind: Type, span: Span) -> Option<T> {
        let message = format!("`{operator}` takes numbers, datetimes and timespans, not {kind}");
        self.error(span, message, None)
    }

    /// The type in which two values are compared.
    fn comparable(&mut self, left: &Typed, right: &Typed, span: Span) -> Option<Type> {
        let common = left.kind.common(right.kind);
        if let Some(kind) = common.filter(|&kind| kind != Type::List) {
            return Some(kind);
        }
        let message = format!("can't compare {} with {}", left.kind, right.kind);
        let hint = match (left.kind, &right.expr) {
            (kind, Expr::Literal(Literal::String(text)))
                if kind.is_number() && text.parse::<i64>().is_ok() =>
            {
                Some(format!("write {text} without quotes"))
            }
            (Type::String, Expr::Literal(Literal::Long(value))) => {
                Some(format!("write \"{value}\""))
            }
            (_, Expr::Literal(Literal::List(_))) => {
                Some("`in` looks for a value in a list".to_owned())
            }
            _ => None,
        };
        self.error(span, message, hint)
    }

    fn arithmetic(
        &mut self,
        operator: Arithmetic,
        operands: &[WrittenExpr<'_>; 2],
        span: Span,
    ) -> Option<Typed> {
        let [left, right] = self.both(operands)?;
        let Some(kind) = operator.result(left.kind, right.kind) else {
            let (left, right) = (left.kind, right.kind);
            let message = format!("`{operator}` does not take {left} and {right}");
            return self.error(span, message, None);
        };
        match fold::fold(operator, left.expr, right.expr) {
            Ok(expr) => Typed::new(expr, kind),
            Err(message) => self.error(span, message, None),
        }
    }

    fn text(&mut self, operator: TextOperator, operands: &[WrittenExpr<'_>; 2]) -> Option<Typed> {
        let checked = self.both(operands)?;
        for (typed, written) in checked.iter().zip(operands) {
            if typed.kind != Type::String {
                let message = format!("`{operator}` tests strings, and this is {}", typed.kind);
                let hint = "tostring() makes a string of a value".to_owned();
                let hint = (typed.kind != Type::List).then_some(hint);
                return self.error(written.span, message, hint);
            }
        }
        let operands = Box::new(checked.map(|typed| typed.expr));
        Typed::new(Expr::Text(operator, operands), Type::Bool)
    }

    fn in_list(
        &mut self,
        written: &WrittenExpr<'_>,
        list: &[WrittenExpr<'_>],
        is_negated: bool,
        is_case_sensitive: bool,
    ) -> Option<Typed> {
        let value = self.expr(written);
        let items: Vec<_> = list.iter().map(|item| self.constants(item)).collect();
        let value = value?;
        if !is_case_sensitive && value.kind != Type::String {
            let message = format!("`in~` tests strings, and this is {}", value.kind);
            return self.error(written.span, message, Some("write `in`".to_owned()));
        }
        let mut literals = Vec::new();
        for (constants, item) in items.into_iter().zip(list) {
            let constants = constants?;
            self.constants += constants.len();
            if self.constants > MAX_CONSTANTS {
                let message =
                    format!("the lists of a query have at most {MAX_CONSTANTS} constants");
                return self.error(item.span, message, None);
            }
            for literal in constants.iter() {
                self.comparable(&value, &Typed::of(literal.clone())?, item.span)?;
                literals.push(literal.clone());
            }
        }
        let expr = Expr::In {
            value: Box::new(value.expr),
            list: literals.into(),
            is_negated,
            is_case_sensitive,
        };
        Typed::new(expr, Type::Bool)
    }

    /// The constants that an item of a list stands for: itself, or the items of a list.
    fn constants(&mut self, item: &WrittenExpr<'_>) -> Option<Arc<[Literal]>> {
        match self.expr(item)?.expr {
            Expr::Literal(Literal::List(items)) => Some(items),
            Expr::Literal(literal) => Some([literal].into()),
            _ => self.error(item.span, "`in` takes constants", None),
        }
    }

    fn between(&mut self, parts: &[WrittenExpr<'_>; 3], is_negated: bool) -> Option<Typed> {
        let checked = parts.each_ref().map(|part| self.expr(part));
        let [value, least, greatest] = checked;
        let (value, least, mut greatest) = (value?, least?, greatest?);
        if !value.kind.is_ordered() {
            return self.unordered("between", value.kind, parts[0].span);
        }
        self.comparable(&value, &least, parts[1].span)?;
        // `between (datetime .. timespan)`: that long after the first.
        if value.kind == Type::DateTime && greatest.kind == Type::Timespan {
            greatest.kind = Type::DateTime;
            greatest.expr = match fold::fold(Arithmetic::Add, least.expr.clone(), greatest.expr) {
                Ok(expr) => expr,
                Err(message) => return self.error(parts[2].span, message, None),
            };
        }
        self.comparable(&value, &greatest, parts[2].span)?;
        let parts = Box::new([value.expr, least.expr, greatest.expr]);
        Typed::new(Expr::Between { parts, is_negated }, Type::Bool)
    }
}
