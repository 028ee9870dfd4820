//! From tokens to a query: recursive descent.
//!
//! In: the tokens of one query. Out: its syntax tree, and all errors that can be told apart.
//! The decisions held here: after an error parsing continues at the next comma of a list and the
//! next pipe of the query, so that one run reports several errors. The nesting of expressions is
//! limited, which bounds the stack.

mod expr;
mod operator;

use std::str::FromStr;

use super::ast::{Item, Key, Let, Operator, OperatorKind, WrittenExpr, WrittenName, WrittenQuery};
use super::lex::{Kind, Token};
use super::operator::is_operator;
use super::streamless;
use crate::diagnostic::{Diagnostics, SourceText, Span};

/// The deepest nesting of expressions. The ten detections need two levels.
pub(super) const MAX_DEPTH: usize = 64;

/// An error has been reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

type Parsed<T> = Result<T, Reported>;

/// Parses a query. None if its table is unknown.
pub(super) fn query<'a>(
    source: &'a SourceText,
    tokens: &'a [Token],
    diagnostics: &mut Diagnostics,
) -> Option<WrittenQuery<'a>> {
    let mut parser = Parser {
        source,
        tokens,
        next: 0,
        depth: 0,
        is_whole: true,
        diagnostics,
    };
    parser.query().ok()
}

struct Parser<'a, 'd> {
    source: &'a SourceText,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
    /// Whether the operator has been parsed without an error so far.
    is_whole: bool,
    diagnostics: &'d mut Diagnostics,
}

impl<'a> Parser<'a, '_> {
    fn query(&mut self) -> Parsed<WrittenQuery<'a>> {
        let mut lets = Vec::new();
        while self.is_word("let") {
            match self.let_statement() {
                Ok(statement) => lets.push(statement),
                // What follows without a semicolon may still be part of the constant.
                Err(Reported) => self.skip_to_semicolon()?,
            }
            if !self.eat(";") && !self.is_at_end() {
                let hint = "a `let` ends with `;`";
                self.unexpected("`;`", Some(hint.to_owned()));
            }
        }
        let table = self.name("the table's name, DeviceNetworkEvents or ReconEvents")?;
        if let Some(reason) = streamless::reason(table.text) {
            return Err(self.error(table.span, reason, None));
        }
        let mut operators = Vec::new();
        while !self.is_at_end() && !self.diagnostics.is_full() {
            if self.eat("|") {
                operators.push(self.operator());
            } else {
                self.unexpected("`|`", None);
                self.skip(&["|"]);
                // The skipped tokens may have belonged to the operator before.
                if let Some(operator) = operators.last_mut() {
                    operator.is_whole = false;
                }
            }
        }
        Ok(WrittenQuery {
            lets,
            table,
            operators,
        })
    }

    fn let_statement(&mut self) -> Parsed<Let<'a>> {
        self.next += 1;
        let name = self.name("a name")?;
        self.expect("=")?;
        let value = self.expr()?;
        if self.is("|") {
            let message = "a `let` names a constant, not a table";
            return Err(self.error(self.span(), message, None));
        }
        Ok(Let { name, value })
    }

    // Peeking.

    fn token(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn is_at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    /// The span of the next token, or the place after the last.
    fn span(&self) -> Span {
        match (self.token(), self.tokens.last()) {
            (Some(token), _) => token.span,
            (None, Some(Token { span, .. })) => Span {
                start: span.end,
                ..*span
            },
            (None, None) => Span::default(),
        }
    }

    /// From `start` to the last token that was read.
    fn since(&self, start: Span) -> Span {
        let last = self.tokens.get(..self.next).and_then(<[_]>::last);
        last.map_or(start, |last| start.to(last.span))
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.token()?.kind {
            Kind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// The operator whose symbol is next.
    fn operator_symbol<T: FromStr>(&self) -> Option<T> {
        self.symbol()?.parse().ok()
    }

    fn is(&self, symbol: &str) -> bool {
        self.symbol() == Some(symbol)
    }

    fn word(&self) -> Option<&'a str> {
        let token = self.token()?;
        (token.kind == Kind::Word).then(|| self.source.slice(token.span))
    }

    fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    // Consuming.

    fn eat(&mut self, symbol: &str) -> bool {
        let is_there = self.is(symbol);
        self.next += usize::from(is_there);
        is_there
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word(word);
        self.next += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        match self.eat(symbol) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{symbol}`"), None)),
        }
    }

    /// A name: a word without another meaning.
    fn name(&mut self, expected: &str) -> Parsed<WrittenName<'a>> {
        let is_reserved = |text: &str| {
            is_operator(text) || ["by", "not"].contains(&text) || truth(text).is_some()
        };
        let is_name = |text: &str| !is_reserved(text) && !text.starts_with('!');
        match self.word() {
            Some(text) if is_name(text) => {
                let span = self.span();
                self.next += 1;
                Ok(WrittenName { text, span })
            }
            _ => Err(self.unexpected(expected, None)),
        }
    }

    // Reporting.

    fn error(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) -> Reported {
        self.diagnostics.error(span, message, hint);
        Reported
    }

    /// Reports that the next token is not the expected one. A malformed constant has been reported
    /// already.
    fn unexpected(&mut self, expected: &str, hint: Option<String>) -> Reported {
        let Some(token) = self.token() else {
            let message = format!("expected {expected}, but the query ends here");
            return self.error(self.span(), message, hint);
        };
        if token.kind == Kind::Broken {
            return Reported;
        }
        let found = self.source.slice(token.span);
        let hint = hint.or_else(|| {
            let hint = match self.symbol() {
                Some("=") => "`=` gives a column its name; `==` compares",
                Some("&&") => "write `and`",
                Some("||") => "write `or`",
                Some("|") => "a pipe comes before each operator, and nowhere else",
                Some("{") => "functions and objects are not supported",
                _ if found.starts_with('!') => "write `not(...)`",
                None if token.after_gap || super::schema::Table::from_name(found).is_some() => {
                    "queries are separated by a blank line and by `;`"
                }
                _ => return None,
            };
            Some(hint.to_owned())
        });
        let message = format!("expected {expected}, found `{found}`");
        self.error(token.span, message, hint)
    }

    // Recovering.

    fn skip_to_semicolon(&mut self) -> Parsed<()> {
        let rest = &self.tokens[self.next..];
        let ahead = rest
            .iter()
            .position(|token| token.kind == Kind::Symbol(";"));
        self.next += ahead.ok_or(Reported)?;
        Ok(())
    }

    /// Skips to the next of these symbols outside of parentheses, to the next pipe or semicolon
    /// anywhere, or to the end.
    fn skip(&mut self, symbols: &[&str]) {
        let mut open = 0_usize;
        while let Some(token) = self.token() {
            match token.kind {
                Kind::Symbol("|" | ";") => return,
                Kind::Symbol("(" | "[" | "{") => open += 1,
                Kind::Symbol(")" | "]" | "}") => open = open.saturating_sub(1),
                Kind::Symbol(symbol) if open == 0 && symbols.contains(&symbol) => return,
                Kind::Word if open == 0 && symbols.contains(&",") && self.is_word("by") => return,
                _ => {}
            }
            self.next += 1;
        }
    }

    /// Items separated by commas, at least one. Notes if not all were parsed.
    fn list<T>(&mut self, item: fn(&mut Self) -> Parsed<T>) -> Vec<T> {
        let mut items = Vec::new();
        loop {
            match item(self) {
                Ok(item) => items.push(item),
                Err(Reported) => {
                    self.is_whole = false;
                    self.skip(&[","]);
                }
            }
            // What stands between an item and the next comma is an error; the item is kept.
            if !self.is_at_end() && !self.is_end_of_list() {
                self.unexpected("`,` or `|`", None);
                self.is_whole = false;
                self.skip(&[","]);
            }
            if !self.eat(",") || self.diagnostics.is_full() {
                return items;
            }
        }
    }

    fn is_end_of_list(&self) -> bool {
        matches!(self.symbol(), Some("," | "|" | ";")) || self.is_word("by")
    }
}

/// The constant that a word is.
fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
