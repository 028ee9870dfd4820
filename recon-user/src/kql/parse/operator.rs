//! The steps of a pipeline.

use super::super::operator::{STEPS, steps};
use super::super::schema::Table;
use super::{
    Item, Key, Kind, Operator, OperatorKind, Parsed, Parser, Reported, Span, WrittenName,
    streamless,
};

impl<'a> Parser<'a, '_> {
    /// Parses an operator after its pipe. Skips what can't be parsed up to the next pipe.
    pub(super) fn operator(&mut self) -> Operator<'a> {
        self.is_whole = true;
        let name = self.operator_name();
        let kind = self.operator_kind(&name).unwrap_or_else(|Reported| {
            self.is_whole = false;
            self.skip(&["|"]);
            OperatorKind::Extend(Vec::new())
        });
        Operator {
            name,
            kind,
            is_whole: self.is_whole,
        }
    }

    /// A word, or several joined by dashes such as `project-away`. Empty if there is none. A
    /// table's name is not one.
    fn operator_name(&mut self) -> WrittenName<'a> {
        let start = self.span().start;
        let mut span = Span { start, end: start };
        if self
            .word()
            .is_some_and(|word| Table::from_name(word).is_none())
        {
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
        WrittenName { text, span }
    }

    fn operator_kind(&mut self, name: &WrittenName<'a>) -> Parsed<OperatorKind<'a>> {
        Ok(match name.text {
            "where" | "filter" => OperatorKind::Where(self.expr()?),
            "extend" => OperatorKind::Extend(self.list(Self::item)),
            "project" => OperatorKind::Project(self.list(Self::item)),
            "project-away" => {
                OperatorKind::ProjectAway(self.list(|parser| parser.name("a column")))
            }
            "summarize" => self.summarize(),
            "order" | "sort" => OperatorKind::Order(self.keys()?),
            "top" => OperatorKind::Top(self.expr()?, self.keys()?),
            "take" | "limit" => OperatorKind::Take(self.expr()?),
            _ => return Err(self.unknown_operator(name)),
        })
    }

    fn keys(&mut self) -> Parsed<Vec<Key<'a>>> {
        match self.eat_word("by") {
            true => Ok(self.list(Self::key)),
            false => Err(self.unexpected("`by`", None)),
        }
    }

    fn unknown_operator(&mut self, name: &WrittenName<'a>) -> Reported {
        if name.text.is_empty() {
            return self.unexpected("an operator such as `where`", None);
        }
        if let Some(reason) = streamless::reason(name.text) {
            return self.error(name.span, reason, None);
        }
        let hint = streamless::instead(name.text)
            .or_else(|| self.diagnostics.did_you_mean(name.text, steps()))
            .or_else(|| Some(format!("the operators are {STEPS}")));
        self.error(name.span, format!("no operator `{}`", name.text), hint)
    }

    fn summarize(&mut self) -> OperatorKind<'a> {
        let aggregates = match self.is_word("by") {
            true => Vec::new(),
            false => self.list(Self::item),
        };
        let by = match self.eat_word("by") {
            true => self.list(Self::item),
            false => Vec::new(),
        };
        OperatorKind::Summarize { aggregates, by }
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
        } else if self.is_name_of_item() {
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

    /// Whether `name =` is next.
    fn is_name_of_item(&self) -> bool {
        let equals = self.tokens.get(self.next + 1);
        self.word().is_some() && equals.is_some_and(|equals| equals.kind == Kind::Symbol("="))
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
