//! Calls of functions and aggregates.

use std::sync::Arc;

use super::super::ast::{ExprKind, WrittenExpr, WrittenName};
use super::super::function::{AGGREGATES, FUNCTIONS, Signature, Takes, by_name, names};
use super::super::streamless;
use super::expr::Typed;
use super::{Checker, Mode};
use crate::address::ipv4_range;
use crate::diagnostic::{Span, counted};
use crate::kql::{
    Aggregate, AggregateFunction, Column, Expr, Function, Literal, Output, Slot, Type,
};

impl Checker<'_, '_> {
    pub(super) fn call(
        &mut self,
        name: &WrittenName<'_>,
        arguments: &[WrittenExpr<'_>],
        span: Span,
    ) -> Option<Typed> {
        if let Some(signature) = by_name(AGGREGATES, name.text) {
            return self.nested_aggregate(signature, arguments, span);
        }
        let Some(signature) = by_name(FUNCTIONS, name.text) else {
            return self.unknown_function(name);
        };
        if let Function::Now | Function::Ago = signature.function {
            return self.clock(signature, arguments, span);
        }
        let mut checked = self.arguments(signature, arguments, span)?;
        let kind = self.result(signature.function, &checked, arguments)?;
        if signature.function == Function::Iff {
            checked[1..].iter_mut().for_each(|value| value.widen(kind));
        }
        let arguments = checked.into_iter().map(|typed| typed.expr).collect();
        Typed::new(Expr::Call(signature.function, arguments), kind)
    }

    fn unknown_function(&mut self, name: &WrittenName<'_>) -> Option<Typed> {
        if let Some(reason) = streamless::reason(name.text) {
            return self.error(name.span, reason, None);
        }
        let known = names(FUNCTIONS).chain(names(AGGREGATES));
        let hint = self.diagnostics.did_you_mean(name.text, known);
        self.error(name.span, format!("no function `{}`", name.text), hint)
    }

    /// Checks the number and the types of arguments.
    fn arguments<F>(
        &mut self,
        signature: &Signature<F>,
        arguments: &[WrittenExpr<'_>],
        span: Span,
    ) -> Option<Vec<Typed>> {
        let most = signature.takes.len();
        let counts = most - signature.optional..=most;
        if !counts.contains(&arguments.len()) {
            return self.wrong_count(signature, arguments.len(), span);
        }
        let checked: Vec<_> = arguments
            .iter()
            .map(|argument| self.expr(argument))
            .collect();
        for ((typed, takes), written) in checked.iter().zip(signature.takes).zip(arguments) {
            self.takes(signature, *takes, typed.as_ref()?, written.span)?;
        }
        checked.into_iter().collect()
    }

    fn wrong_count<T, F>(
        &mut self,
        signature: &Signature<F>,
        count: usize,
        span: Span,
    ) -> Option<T> {
        let given = counted(count, "argument");
        let message = format!("`{}` does not take {given}", signature.name);
        self.error(span, message, Some(signature.usage.to_owned()))
    }

    fn takes<F>(
        &mut self,
        signature: &Signature<F>,
        takes: Takes,
        typed: &Typed,
        span: Span,
    ) -> Option<()> {
        if takes.accepts(typed.kind) {
            return Some(());
        }
        let Signature { name, usage, .. } = signature;
        let message = format!("`{name}` takes {takes} here, not {}", typed.kind);
        self.error(span, message, Some((*usage).to_owned()))
    }

    fn result(
        &mut self,
        function: Function,
        typed: &[Typed],
        written: &[WrittenExpr<'_>],
    ) -> Option<Type> {
        Some(match (function, typed) {
            (Function::Bin, [value, size]) => {
                let span = written[1].span;
                let is_time = matches!(value.kind, Type::DateTime | Type::Timespan);
                if is_time != (size.kind == Type::Timespan) {
                    let message = format!("can't round {} to {}", value.kind, size.kind);
                    let hint = is_time.then(|| "write a timespan such as 1h".to_owned());
                    return self.error(span, message, hint);
                }
                let is_positive = match &size.expr {
                    Expr::Literal(Literal::Long(size) | Literal::Timespan(size)) => *size > 0,
                    Expr::Literal(Literal::Real(size)) => *size > 0.0,
                    _ => return self.error(span, "the size of a bin must be a constant", None),
                };
                if !is_positive {
                    return self.error(span, "the size of a bin must be above 0", None);
                }
                match is_time {
                    true => value.kind,
                    false => value.kind.common(size.kind)?,
                }
            }
            (Function::Iff, [_, then, otherwise]) => {
                let Some(kind) = then.kind.common(otherwise.kind) else {
                    let message = format!("iff returns {} or {}", then.kind, otherwise.kind);
                    let span = written[1].span.to(written[2].span);
                    return self.error(span, message, Some("both must have one type".to_owned()));
                };
                kind
            }
            (Function::Ipv4IsInRange, [_, range]) => {
                if let Expr::Literal(Literal::String(text)) = &range.expr
                    && ipv4_range(text).is_none()
                {
                    let message = format!("`{text}` is not a range of IPv4 addresses");
                    let hint = "as in \"10.0.0.0/8\"".to_owned();
                    return self.error(written[1].span, message, Some(hint));
                }
                Type::Bool
            }
            (Function::StrLen | Function::ToLong, _) => Type::Long,
            (Function::ToInt, _) => Type::Int,
            (Function::ToLower | Function::ToUpper | Function::ToString, _) => Type::String,
            _ => Type::Bool,
        })
    }

    /// `now()`, `now(offset)` and `ago(timespan)`.
    fn clock(
        &mut self,
        signature: &Signature<Function>,
        arguments: &[WrittenExpr<'_>],
        span: Span,
    ) -> Option<Typed> {
        let is_now = signature.function == Function::Now;
        let ticks = match arguments {
            [] if is_now => 0,
            [offset] => match self.expr(offset)?.expr {
                Expr::Literal(Literal::Timespan(ticks)) if is_now => ticks,
                Expr::Literal(Literal::Timespan(ticks)) => -ticks,
                _ => {
                    let message = format!("`{}` takes a constant timespan", signature.name);
                    return self.error(offset.span, message, Some(signature.usage.to_owned()));
                }
            },
            _ => return self.wrong_count(signature, arguments.len(), span),
        };
        Typed::new(Expr::Now(ticks), Type::DateTime)
    }

    /// An aggregate within an expression of `summarize`, which gets a name of its own.
    fn nested_aggregate(
        &mut self,
        signature: &'static Signature<AggregateFunction>,
        arguments: &[WrittenExpr<'_>],
        span: Span,
    ) -> Option<Typed> {
        let name = signature.name;
        match self.mode {
            Mode::Rows => {
                let message = format!("`{name}` is an aggregate: it belongs in `summarize`");
                return self.error(span, message, None);
            }
            Mode::WithinAggregate => {
                return self.error(span, format!("`{name}` is within another aggregate"), None);
            }
            Mode::Aggregates => {}
        }
        if signature.function == AggregateFunction::ArgMax {
            return self.error(
                span,
                "`arg_max` returns several columns, so it can't be part of an expression",
                None,
            );
        }
        let index = self.aggregate(signature, arguments, &[], span)?;
        let column = self.aggregate_column(index, 0);
        let kind = column.kind;
        Typed::new(Expr::Column(column), kind)
    }

    /// The column of an aggregate.
    pub(super) fn aggregate_column(&self, index: usize, output: usize) -> Column {
        let Output { name, kind } = &self.plan.aggregates[index].outputs[output];
        Column {
            slot: Slot::Aggregate(index, output),
            name: Arc::clone(name),
            kind: *kind,
        }
    }

    /// Adds an aggregate and returns its index. `outputs` are the names that the query gives its
    /// columns.
    pub(super) fn aggregate(
        &mut self,
        signature: &'static Signature<AggregateFunction>,
        arguments: &[WrittenExpr<'_>],
        outputs: &[WrittenName<'_>],
        span: Span,
    ) -> Option<usize> {
        // Aggregates within expressions are not columns of the query, but count towards the limit.
        let outputs_of = |aggregate: &Aggregate| aggregate.outputs.len();
        let kept: usize = self.plan.aggregates.iter().map(outputs_of).sum();
        if self.is_crowded(kept + arguments.len(), span) {
            return None;
        }
        let mode = std::mem::replace(&mut self.mode, Mode::WithinAggregate);
        let checked = match signature.function {
            AggregateFunction::ArgMax => self.arg_max(signature, arguments, span),
            _ => self.arguments(signature, arguments, span),
        };
        self.mode = mode;
        let checked = checked?;
        if let (AggregateFunction::MakeSet, [_, limit]) = (signature.function, checked.as_slice()) {
            let is_limit = matches!(limit.expr, Expr::Literal(Literal::Long(limit)) if limit > 0);
            if !is_limit {
                let message = "the limit of a set must be a constant above 0";
                return self.error(arguments[1].span, message, None);
            }
        }
        let function = signature.function;
        let shown = match function {
            AggregateFunction::ArgMax => checked.as_slice(),
            _ => &checked[..checked.len().min(1)],
        };
        let count = shown.len().max(1);
        if outputs.len() > count {
            let given = counted(count, "column");
            let message = format!("`{}` gives {given}", signature.name);
            return self.error(outputs[count].span, message, None);
        }
        let named = (0..count).map(|index| {
            let value = shown.get(index);
            let name = match outputs.get(index) {
                Some(name) => self.taken.unique(name.text),
                None => self.taken.unique(&default_name(signature, value)),
            };
            let kind = aggregate_type(function, value);
            Output { name, kind }
        });
        let outputs = named.collect();
        let arguments = checked.into_iter().map(|typed| typed.expr).collect();
        Some(self.push_aggregate(function, outputs, arguments))
    }

    /// Adds an aggregate and returns its index.
    pub(super) fn push_aggregate(
        &mut self,
        function: AggregateFunction,
        outputs: Vec<Output>,
        arguments: Vec<Expr>,
    ) -> usize {
        self.plan.aggregates.push(Aggregate {
            outputs,
            function,
            arguments,
        });
        self.plan.aggregates.len() - 1
    }

    /// The column to maximize and those to show; `*` is all that the rows are not grouped by.
    fn arg_max(
        &mut self,
        signature: &Signature<AggregateFunction>,
        arguments: &[WrittenExpr<'_>],
        span: Span,
    ) -> Option<Vec<Typed>> {
        let [by, shown @ ..] = arguments else {
            return self.wrong_count(signature, 0, span);
        };
        if shown.is_empty() {
            return self.wrong_count(signature, 1, span);
        }
        let greatest = self.expr(by)?;
        self.takes(signature, Takes::NumberOrTime, &greatest, by.span)?;
        let mut columns = vec![greatest];
        for written in shown {
            if !matches!(written.kind, ExprKind::Star) {
                let typed = self.expr(written)?;
                self.takes(signature, Takes::Any, &typed, written.span)?;
                columns.push(typed);
                continue;
            }
            for (_, column) in self.scope.shown() {
                let expr = Expr::Column(column.clone());
                let is_there = |typed: &Typed| typed.expr == expr;
                let is_group = self.plan.groups.iter().any(|group| group.expr == expr);
                if !is_group && !columns.iter().any(is_there) {
                    columns.extend(Typed::new(expr, column.kind));
                }
            }
        }
        Some(columns)
    }
}

fn aggregate_type(function: AggregateFunction, value: Option<&Typed>) -> Type {
    let kind = value.map_or(Type::Long, |value| value.kind);
    match function {
        _ if function.is_count() => Type::Long,
        AggregateFunction::Sum | AggregateFunction::SumIf if kind == Type::Int => Type::Long,
        AggregateFunction::Avg if kind.is_number() => Type::Real,
        AggregateFunction::MakeSet => Type::List,
        _ => kind,
    }
}

/// The name that Kusto gives an aggregate's column.
fn default_name(signature: &Signature<AggregateFunction>, value: Option<&Typed>) -> String {
    let column = match value.map(|value| &value.expr) {
        Some(Expr::Column(column)) => &*column.name,
        _ => "",
    };
    match signature.function {
        AggregateFunction::CountIf => "countif_".to_owned(),
        AggregateFunction::MakeSet => format!("set_{column}"),
        AggregateFunction::ArgMax if !column.is_empty() => column.to_owned(),
        _ => format!("{}_{column}", signature.name),
    }
}
