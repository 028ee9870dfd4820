//! A plan as text.
//!
//! In: a [`Plan`]. Out: KQL with annotations that loads as the same plan. Operands that are
//! operators themselves are in parentheses.

use std::fmt::{self, Formatter, Result, Write};

use crate::duration::{Ticks, text};
use crate::kql::function::{AGGREGATES, AggregateFunction, FUNCTIONS, Function, Signature};
use crate::kql::plan::{Aggregate, Expr, Named, Plan, Shown, SortKey, Threshold};
use crate::kql::value::Literal;

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        self.header(formatter)?;
        write!(formatter, "{}", self.table.name())?;
        extend(&self.extends, formatter)?;
        for condition in &self.filter {
            write!(formatter, "\n| where {condition}")?;
        }
        self.summarize(formatter)?;
        extend(&self.computed, formatter)?;
        if let Some(Threshold { aggregate, above }) = self.threshold {
            let name = &self.aggregates[aggregate].outputs[0].name;
            write!(formatter, "\n| where {name} > {above}")?;
        }
        for condition in &self.having {
            write!(formatter, "\n| where {condition}")?;
        }
        step("order by", &self.order, formatter)?;
        if let Some(limit) = self.limit {
            write!(formatter, "\n| take {limit}")?;
        }
        step("project", &self.columns, formatter)
    }
}

impl Plan {
    fn header(&self, formatter: &mut Formatter<'_>) -> Result {
        writeln!(formatter, "// id: {}\n// name: {}", self.id, self.name)?;
        if let Some(variant) = &self.variant {
            writeln!(formatter, "// variant: {variant}")?;
        }
        if !self.tags.is_empty() {
            writeln!(formatter, "// tags: {}", self.tags.join(", "))?;
        }
        writeln!(formatter, "// severity: {}", self.severity.name())?;
        if let Some(technique) = &self.technique {
            writeln!(formatter, "// technique: {technique}")?;
        }
        if let Some(unit) = &self.unit {
            writeln!(formatter, "// unit: {unit}")?;
        }
        if let Some(stake) = &self.stake {
            writeln!(formatter, "// stake: {stake}")?;
        }
        writeln!(formatter, "// window: {}", text(self.window))?;
        if let Some(cooldown) = self.cooldown {
            writeln!(formatter, "// cooldown: {}", text(cooldown))?;
        }
        if !self.after.is_empty() {
            writeln!(formatter, "// after: {}", self.after.join(", "))?;
        }
        if !self.unless.is_empty() {
            writeln!(formatter, "// unless: {}", self.unless.join(", "))?;
        }
        Ok(())
    }

    fn summarize(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str("\n| summarize")?;
        if !self.aggregates.is_empty() {
            formatter.write_str(" ")?;
            comma_separated(&self.aggregates, formatter)?;
        }
        if !self.groups.is_empty() || self.window_column.is_some() {
            formatter.write_str(" by ")?;
            comma_separated(&self.groups, formatter)?;
        }
        if let Some(name) = &self.window_column {
            let comma = if self.groups.is_empty() { "" } else { ", " };
            let window = text(self.window);
            write!(formatter, "{comma}{name} = bin(TimeGenerated, {window})")?;
        }
        Ok(())
    }
}

/// A step for each column, since columns of one step can't refer to each other.
fn extend(columns: &[Named], formatter: &mut Formatter<'_>) -> Result {
    columns
        .iter()
        .try_for_each(|column| write!(formatter, "\n| extend {column}"))
}

/// A step of the pipeline, if it has items.
fn step<T: fmt::Display>(name: &str, items: &[T], formatter: &mut Formatter<'_>) -> Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(formatter, "\n| {name} ")?;
    comma_separated(items, formatter)
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match &self.expr {
            Expr::Column(column) if column.name == self.name => formatter.write_str(&self.name),
            expr => write!(formatter, "{} = {expr}", self.name),
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self.outputs.as_slice() {
            [output] => formatter.write_str(&output.name)?,
            outputs => {
                formatter.write_str("(")?;
                comma_separated(outputs.iter().map(|output| &output.name), formatter)?;
                formatter.write_str(")")?;
            }
        }
        write!(formatter, " = {}(", self.function)?;
        comma_separated(&self.arguments, formatter)?;
        formatter.write_str(")")
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        if self.column.name == self.name {
            return formatter.write_str(&self.name);
        }
        write!(formatter, "{} = {}", self.name, self.column.name)
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let direction = if self.is_descending { "desc" } else { "asc" };
        write!(formatter, "{} {direction}", self.column.name)?;
        // By default, nulls are where the smallest values are.
        if self.are_nulls_first == self.is_descending {
            let place = if self.are_nulls_first {
                "first"
            } else {
                "last"
            };
            write!(formatter, " nulls {place}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::Literal(literal) => write!(formatter, "{literal}"),
            Self::Now(0) => formatter.write_str("now()"),
            Self::Now(ticks) => write!(formatter, "ago({})", Literal::Timespan(-ticks)),
            Self::Column(column) => formatter.write_str(&column.name),
            Self::And(operands) => joined(operands, " and ", formatter),
            Self::Or(operands) => joined(operands, " or ", formatter),
            Self::Negate(operand) => write!(formatter, "-{}", Operand(operand)),
            Self::Compare(operator, operands) => binary(operator, operands, formatter),
            Self::Arithmetic(operator, operands) => binary(operator, operands, formatter),
            Self::Text(operator, operands) => binary(operator, operands, formatter),
            Self::In {
                value,
                list,
                is_negated,
                is_case_sensitive,
            } => {
                let negation = if *is_negated { "!" } else { "" };
                let case = if *is_case_sensitive { "" } else { "~" };
                write!(formatter, "{} {negation}in{case} (", Operand(value))?;
                comma_separated(list.iter(), formatter)?;
                formatter.write_str(")")
            }
            Self::Between { parts, is_negated } => {
                let [value, least, greatest] = parts.as_ref().each_ref().map(Operand);
                let negation = if *is_negated { "!" } else { "" };
                write!(
                    formatter,
                    "{value} {negation}between ({least} .. {greatest})"
                )
            }
            Self::Prepared(prepared) => prepared.written.fmt(formatter),
            Self::Call(function, arguments) => {
                write!(formatter, "{function}(")?;
                comma_separated(arguments, formatter)?;
                formatter.write_str(")")
            }
        }
    }
}

fn binary(
    operator: &dyn fmt::Display,
    operands: &[Expr; 2],
    formatter: &mut Formatter<'_>,
) -> Result {
    let [left, right] = operands.each_ref().map(Operand);
    write!(formatter, "{left} {operator} {right}")
}

fn joined(operands: &[Expr], word: &str, formatter: &mut Formatter<'_>) -> Result {
    for (index, operand) in operands.iter().enumerate() {
        let word = if index > 0 { word } else { "" };
        write!(formatter, "{word}{}", Operand(operand))?;
    }
    Ok(())
}

/// An expression within another.
struct Operand<'a>(&'a Expr);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self.0 {
            Expr::Literal(_) | Expr::Now(_) | Expr::Column(_) | Expr::Call(..) => {
                write!(formatter, "{}", self.0)
            }
            composite => write!(formatter, "({composite})"),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(name_of(FUNCTIONS, *self))
    }
}

impl fmt::Display for AggregateFunction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(name_of(AGGREGATES, *self))
    }
}

/// As KQL writes it.
impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Long(value) => write!(formatter, "{value}"),
            // With a point or an exponent, so that it is read as a real again.
            Self::Real(value) => write!(formatter, "{value:?}"),
            Self::DateTime(value) => write!(formatter, "datetime({value})"),
            Self::Timespan(ticks) => Ticks(*ticks).fmt(formatter),
            Self::String(text) => quoted(text, formatter),
            Self::List(items) => {
                formatter.write_str("dynamic([")?;
                comma_separated(items.iter(), formatter)?;
                formatter.write_str("])")
            }
        }
    }
}

/// Items with commas between them.
fn comma_separated<T: fmt::Display>(
    items: impl IntoIterator<Item = T>,
    formatter: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(formatter, "{comma}{item}")?;
    }
    Ok(())
}

fn quoted(text: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(formatter, "\\{letter}")?,
            '\n' => formatter.write_str("\\n")?,
            '\t' => formatter.write_str("\\t")?,
            // All controls are below U+00A0.
            _ if letter.is_control() => write!(formatter, "\\u{:04x}", u32::from(letter))?,
            _ => formatter.write_char(letter)?,
        }
    }
    formatter.write_char('"')
}

fn name_of<F: PartialEq>(all: &'static [Signature<F>], function: F) -> &'static str {
    let found = all.iter().find(|signature| signature.function == function);
    found.map_or("", |signature| signature.name)
}
