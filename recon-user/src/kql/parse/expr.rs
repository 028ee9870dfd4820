//! Expressions.
//!
//! From the loosest to the tightest, as in Kusto's grammar: `or`; `and`; `==`, `!=`, `in` and
//! `between`; `<`, `<=`, `>` and `>=`; `+` and `-`; `*`, `/` and `%`; `=~`, `startswith` and the
//! other tests of strings; a sign. Comparisons don't chain. `not` is a function.

use super::super::ast::ExprKind;
use super::super::operator::{continues, words};
use super::super::streamless;
use super::{Kind, MAX_DEPTH, Parsed, Parser, Reported, Span, WrittenExpr, WrittenName, truth};
use crate::kql::{Arithmetic, Comparison, Literal, TextOperator};

type OperandParser<'a, 'd> = fn(&mut Parser<'a, 'd>) -> Parsed<WrittenExpr<'a>>;

impl<'a, 'd> Parser<'a, 'd> {
    pub(super) fn expr(&mut self) -> Parsed<WrittenExpr<'a>> {
        if self.depth == MAX_DEPTH {
            return Err(self.too_deep(self.span()));
        }
        self.depth += 1;
        let read = self.any_of("or", ExprKind::Or, |parser| {
            parser.any_of("and", ExprKind::And, Self::equality)
        });
        self.depth -= 1;
        read
    }

    fn too_deep(&mut self, span: Span) -> Reported {
        let message = format!("an expression is nested at most {MAX_DEPTH} deep");
        self.error(span, message, None)
    }

    /// Operands separated by `word`: one node, however many there are.
    fn any_of(
        &mut self,
        word: &str,
        kind: fn(Vec<WrittenExpr<'a>>) -> ExprKind<'a>,
        operand: OperandParser<'a, 'd>,
    ) -> Parsed<WrittenExpr<'a>> {
        let first = operand(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let start = first.span;
        let mut operands = vec![first];
        while self.eat_word(word) {
            operands.push(operand(self)?);
        }
        let depth = deepest(&operands);
        self.node(kind(operands), start, depth)
    }

    /// An expression around others.
    fn node(&mut self, kind: ExprKind<'a>, start: Span, inner: usize) -> Parsed<WrittenExpr<'a>> {
        let (span, depth) = (self.since(start), inner + 1);
        if depth > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        Ok(WrittenExpr { kind, span, depth })
    }

    /// An operator between two operands, of which the left has been read.
    fn pair(
        &mut self,
        left: WrittenExpr<'a>,
        right: OperandParser<'a, 'd>,
        kind: impl FnOnce(Box<[WrittenExpr<'a>; 2]>) -> ExprKind<'a>,
    ) -> Parsed<WrittenExpr<'a>> {
        self.next += 1;
        let right = right(self)?;
        let (start, depth) = (left.span, left.depth.max(right.depth));
        self.node(kind(Box::new([left, right])), start, depth)
    }

    fn equality(&mut self) -> Parsed<WrittenExpr<'a>> {
        let left = self.relation()?;
        let comparison: Option<Comparison> = self.operator_symbol();
        if let Some(comparison) = comparison.filter(|comparison| !comparison.needs_order()) {
            return self.pair(left, Self::relation, |pair| {
                ExprKind::Compare(comparison, pair)
            });
        }
        let Some(word) = self.word() else {
            return Ok(left);
        };
        let is_negated = word.starts_with('!');
        match word.trim_start_matches('!') {
            "in" | "in~" => self.in_list(left, is_negated, !word.ends_with('~')),
            "between" => self.between(left, is_negated),
            _ => self.end_of_operand(word, left),
        }
    }

    /// A word after an operand that is not an operator is a misspelt one, or the end of the
    /// expression.
    fn end_of_operand(&mut self, word: &str, left: WrittenExpr<'a>) -> Parsed<WrittenExpr<'a>> {
        if continues(word) {
            return Ok(left);
        }
        let positive = word.trim_start_matches('!');
        let hint = streamless::instead_of_operator(positive)
            .or_else(|| self.diagnostics.did_you_mean(word, words()));
        if hint.is_none() && positive == word {
            return Ok(left);
        }
        Err(self.error(self.span(), format!("no operator `{word}`"), hint))
    }

    fn relation(&mut self) -> Parsed<WrittenExpr<'a>> {
        let left = self.sum()?;
        let comparison: Option<Comparison> = self.operator_symbol();
        match comparison.filter(|comparison| comparison.needs_order()) {
            Some(comparison) => {
                self.pair(left, Self::sum, |pair| ExprKind::Compare(comparison, pair))
            }
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Parsed<WrittenExpr<'a>> {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        self.chain(&[Add, Subtract], |parser| {
            parser.chain(&[Multiply, Divide, Remainder], Self::text_test)
        })
    }

    /// Operands joined by arithmetic, from left to right.
    fn chain(
        &mut self,
        level: &[Arithmetic],
        operand: OperandParser<'a, 'd>,
    ) -> Parsed<WrittenExpr<'a>> {
        let mut left = operand(self)?;
        loop {
            let arithmetic = self.operator_symbol::<Arithmetic>();
            let Some(arithmetic) = arithmetic.filter(|found| level.contains(found)) else {
                return Ok(left);
            };
            left = self.pair(left, operand, |pair| ExprKind::Arithmetic(arithmetic, pair))?;
        }
    }

    fn text_test(&mut self) -> Parsed<WrittenExpr<'a>> {
        let left = self.signed()?;
        let name = self.symbol().or(self.word());
        let Some(operator) = name.and_then(TextOperator::of) else {
            return Ok(left);
        };
        self.pair(left, Self::signed, |pair| ExprKind::Text(operator, pair))
    }

    /// At most one sign, as in Kusto.
    fn signed(&mut self) -> Parsed<WrittenExpr<'a>> {
        let start = self.span();
        if self.eat("-") {
            let operand = self.primary()?;
            let depth = operand.depth;
            return self.node(ExprKind::Negate(Box::new(operand)), start, depth);
        }
        self.eat("+");
        self.primary()
    }

    fn primary(&mut self) -> Parsed<WrittenExpr<'a>> {
        let start = self.span();
        let kind = match self.token().map(|token| &token.kind) {
            Some(Kind::Literal(literal)) => ExprKind::Literal(literal.clone()),
            Some(Kind::Symbol("(")) => {
                self.next += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                let span = self.since(start);
                return Ok(WrittenExpr { span, ..inner });
            }
            Some(Kind::Word) => return self.named(start),
            _ => return Err(self.unexpected("a value", None)),
        };
        self.next += 1;
        self.node(kind, start, 0)
    }

    /// A column, a constant that is a word, or a function.
    fn named(&mut self, start: Span) -> Parsed<WrittenExpr<'a>> {
        if let Some(constant) = self.word().and_then(truth) {
            self.next += 1;
            return self.node(ExprKind::Literal(Literal::Bool(constant)), start, 0);
        }
        let name = match self.eat_word("not") {
            true => WrittenName {
                text: "not",
                span: start,
            },
            false => self.name("a value")?,
        };
        let kind = match name.text {
            "dynamic" if self.is("(") => self.dynamic()?,
            "not" if !self.is("(") => {
                let hint = "`not` is a function".to_owned();
                return Err(self.unexpected("`(` after `not`", Some(hint)));
            }
            _ if self.eat("(") => {
                let arguments = self.arguments()?;
                let depth = deepest(&arguments);
                return self.node(ExprKind::Call { name, arguments }, start, depth);
            }
            text => ExprKind::Name(text),
        };
        self.node(kind, start, 0)
    }

    /// Arguments up to the closing parenthesis.
    fn arguments(&mut self) -> Parsed<Vec<WrittenExpr<'a>>> {
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(arguments);
        }
        loop {
            let start = self.span();
            arguments.push(match self.eat("*") {
                true => self.node(ExprKind::Star, start, 0)?,
                false => self.expr()?,
            });
            if self.eat(")") {
                return Ok(arguments);
            }
            if !self.eat(",") {
                return Err(self.unexpected("`,` or `)`", None));
            }
        }
    }

    /// `(["a", "b"])`, after `dynamic`.
    fn dynamic(&mut self) -> Parsed<ExprKind<'a>> {
        const HINT: &str = "a dynamic constant is a list of constants, as in dynamic([22, 23])";
        let hint = || Some(HINT.to_owned());
        self.expect("(")?;
        if !self.eat("[") {
            return Err(self.unexpected("`[`", hint()));
        }
        let mut items = Vec::new();
        while !self.eat("]") {
            let is_negative = self.eat("-");
            let item = match self.token().map(|token| &token.kind) {
                Some(Kind::Literal(Literal::Long(value))) if is_negative => Literal::Long(-value),
                Some(Kind::Literal(Literal::Real(value))) if is_negative => Literal::Real(-value),
                Some(Kind::Literal(literal)) if !is_negative => literal.clone(),
                Some(Kind::Word) if self.is_word("true") => Literal::Bool(true),
                Some(Kind::Word) if self.is_word("false") => Literal::Bool(false),
                _ => return Err(self.unexpected("a constant", hint())),
            };
            items.push(item);
            self.next += 1;
            if !self.eat(",") && !self.is("]") {
                return Err(self.unexpected("`,` or `]`", hint()));
            }
        }
        self.expect(")")?;
        Ok(ExprKind::Literal(Literal::List(items.into())))
    }

    fn in_list(
        &mut self,
        value: WrittenExpr<'a>,
        is_negated: bool,
        is_case_sensitive: bool,
    ) -> Parsed<WrittenExpr<'a>> {
        self.next += 1;
        let place = self.span();
        self.expect("(")?;
        let list = self.arguments()?;
        if list.is_empty() {
            let always = if is_negated { "every row" } else { "no row" };
            let message = format!("this list is empty, so {always} passes");
            let hint = "write what to compare with, or remove the condition";
            return Err(self.error(place, message, Some(hint.to_owned())));
        }
        let (start, depth) = (value.span, value.depth.max(deepest(&list)));
        let kind = ExprKind::In {
            value: Box::new(value),
            list,
            is_negated,
            is_case_sensitive,
        };
        self.node(kind, start, depth)
    }

    fn between(&mut self, value: WrittenExpr<'a>, is_negated: bool) -> Parsed<WrittenExpr<'a>> {
        const HINT: &str = "as in `between (1 .. 1023)`";
        self.next += 1;
        if !self.eat("(") {
            return Err(self.unexpected("`(`", Some(HINT.to_owned())));
        }
        let least = self.sum()?;
        if !self.eat("..") {
            return Err(self.unexpected("`..`", Some(HINT.to_owned())));
        }
        let greatest = self.sum()?;
        self.expect(")")?;
        let parts = [value, least, greatest];
        let (start, depth) = (parts[0].span, deepest(&parts));
        let parts = Box::new(parts);
        self.node(ExprKind::Between { parts, is_negated }, start, depth)
    }
}

fn deepest(operands: &[WrittenExpr<'_>]) -> usize {
    operands
        .iter()
        .map(|operand| operand.depth)
        .max()
        .unwrap_or(0)
}
