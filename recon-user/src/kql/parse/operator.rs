//! The steps of a pipeline.

use super::super::schema::TABLE;
use super::{
    Item, Key, Kind, Name, Operator, OperatorKind, Parsed, Parser, Reported, Span, streamless,
};

/// The supported operators, for hints.
const OPERATORS: [&str; 11] = [
    "where",
    "filter",
    "extend",
    "summarize",
    "project",
    "project-away",
    "order",
    "sort",
    "top",
    "take",
    "limit",
];

impl<'a> Parser<'a, '_> {
    /// Parses an operator after its pipe. Skips what can't be parsed up to the next pipe.
    pub(super) fn operator(&mut self) -> Operator<'a> {
        let name = self.operator_name();
        let (kind, is_whole) = match self.operator_kind(&name) {
            Ok((kind, is_whole)) => (kind, is_whole),
            Err(Reported) => {
                self.skip(&["|"]);
                (OperatorKind::Extend(Vec::new()), false)
            }
        };
        Operator {
            name,
            kind,
            is_whole,
        }
    }

    /// A word, or several joined by dashes such as `project-away`. Empty if there is none. A
    /// table's name is not one.
    fn operator_name(&mut self) -> Name<'a> {
        let start = self.span().start;
        let mut span = Span { start, end: start };
        if self.word().is_some_and(|word| word != TABLE) {
            span = self.span();
            self.next += 1;
        }
        while let Some([dash, word]) = self.tokens.get(self.next..self.next + 2) {
            let is_part = dash.kind == Kind::Symbol("-") && word.kind == Kind::Word;
            if !is_part || dash.span.start != span.end || word.span.start != dash.span.end {
                break;
            }
            span = span.to(word.span);
            self.next += 2;
        }
        let text = self.source.slice(span);
        Name { text, span }
    }

    fn operator_kind(&mut self, name: &Name<'a>) -> Parsed<(OperatorKind<'a>, bool)> {
        let kind = match name.text {
            "where" | "filter" => OperatorKind::Where(self.expr()?),
            "extend" => {
                let (items, is_whole) = self.list(Self::item);
                return Ok((OperatorKind::Extend(items), is_whole));
            }
            "project" => {
                let (items, is_whole) = self.list(Self::item);
                return Ok((OperatorKind::Project(items), is_whole));
            }
            "project-away" => {
                let (names, is_whole) = self.list(|parser| parser.name("a column"));
                return Ok((OperatorKind::ProjectAway(names), is_whole));
            }
            "summarize" => return Ok(self.summarize()),
            "order" | "sort" => {
                self.expect_by()?;
                let (keys, is_whole) = self.list(Self::key);
                return Ok((OperatorKind::Order(keys), is_whole));
            }
            "top" => {
                let count = self.expr()?;
                self.expect_by()?;
                let (keys, is_whole) = self.list(Self::key);
                return Ok((OperatorKind::Top(count, keys), is_whole));
            }
            "take" | "limit" => OperatorKind::Take(self.expr()?),
            _ => return Err(self.unknown_operator(name)),
        };
        Ok((kind, true))
    }

    fn expect_by(&mut self) -> Parsed<()> {
        match self.eat_word("by") {
            true => Ok(()),
            false => Err(self.unexpected("`by`", None)),
        }
    }

    fn unknown_operator(&mut self, name: &Name<'a>) -> Reported {
        if name.text.is_empty() {
            return self.unexpected("an operator such as `where`", None);
        }
        if let Some(reason) = streamless::reason(name.text) {
            return self.error(name.span, reason, None);
        }
        let hint = match streamless::instead(name.text) {
            Some(instead) => Some(instead.to_owned()),
            None => self
                .diagnostics
                .did_you_mean(name.text, OPERATORS)
                .or_else(|| Some(format!("the operators are {}", OPERATORS.join(", ")))),
        };
        self.error(name.span, format!("no operator `{}`", name.text), hint)
    }

    fn summarize(&mut self) -> (OperatorKind<'a>, bool) {
        let (aggregates, mut is_whole) = match self.is_word("by") {
            true => (Vec::new(), true),
            false => self.list(Self::item),
        };
        let mut by = Vec::new();
        if self.eat_word("by") {
            let (groups, are_whole) = self.list(Self::item);
            by = groups;
            is_whole &= are_whole;
        }
        (OperatorKind::Summarize { aggregates, by }, is_whole)
    }

    /// `expr`, `name = expr`, or `(name, name) = expr`.
    fn item(&mut self) -> Parsed<Item<'a>> {
        let mut names = Vec::new();
        if self.is_list_of_names() {
            self.next += 1;
            names.push(self.name("a column's name")?);
            while self.eat(",") {
                names.push(self.name("a column's name")?);
            }
            self.expect(")")?;
            self.expect("=")?;
        } else if self.is_followed_by("=") {
            names.push(self.name("a column's name")?);
            self.next += 1;
        }
        let expr = self.expr()?;
        Ok(Item { names, expr })
    }

    /// Whether `(name, name) =` is next.
    fn is_list_of_names(&self) -> bool {
        let mut rest = self.tokens[self.next..].iter().map(|token| &token.kind);
        if rest.next() != Some(&Kind::Symbol("(")) {
            return false;
        }
        while rest.next() == Some(&Kind::Word) {
            match rest.next() {
                Some(Kind::Symbol(",")) => {}
                Some(Kind::Symbol(")")) => return rest.next() == Some(&Kind::Symbol("=")),
                _ => return false,
            }
        }
        false
    }

    /// Whether a word is next and `symbol` follows it.
    fn is_followed_by(&self, symbol: &str) -> bool {
        let after = self.tokens.get(self.next + 1);
        self.word().is_some()
            && after
                .is_some_and(|after| matches!(after.kind, Kind::Symbol(other) if other == symbol))
    }

    /// `expr [asc | desc] [nulls first | nulls last]`. By default the greatest comes first, and
    /// nulls count as the smallest.
    fn key(&mut self) -> Parsed<Key<'a>> {
        let expr = self.expr()?;
        let is_ascending = self.eat_word("asc");
        let is_descending = !is_ascending;
        if is_descending {
            self.eat_word("desc");
        }
        let mut are_nulls_first = is_ascending;
        if self.eat_word("nulls") {
            are_nulls_first = self.eat_word("first");
            if !are_nulls_first && !self.eat_word("last") {
                return Err(self.unexpected("`first` or `last`", None));
            }
        }
        Ok(Key {
            expr,
            is_descending,
            are_nulls_first,
        })
    }
}
