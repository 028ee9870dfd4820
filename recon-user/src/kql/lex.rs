//! From characters to tokens.
//!
//! In: a span of a file. Out: tokens, and the comments between them.
//! The decisions held here: a token knows whether a blank line or a comment's line comes before it,
//! since that separates the queries of a file. A constant is complete when it leaves here, its
//! escapes resolved. An operator that is a word is one token with its `!` before and its `~` after,
//! as in `!startswith` and `in~`.

use super::literal;
use super::value::Literal;
use crate::diagnostic::{Diagnostics, SourceText, Span};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name, or an operator that is a word.
    Word,
    /// Punctuation, or an operator that is not a word.
    Symbol(&'static str),
    /// A constant.
    Literal(Literal),
    /// A malformed constant, which has been reported.
    Broken,
}

/// A word, a symbol or a constant.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
    /// Whether it begins a line and the line before is blank or a comment.
    pub(super) after_gap: bool,
}

/// A comment on a line of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comment {
    /// Without the slashes and the blanks around.
    pub(super) text: Span,
    /// Whether the line before is not a comment.
    pub(super) begins_block: bool,
}

/// The tokens and comments of a text.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
}

/// Those of two characters first. KQL does not have all of them: lexing them as one token gives one
/// clear error.
const SYMBOLS: &[&str] = &[
    "==", "=~", "!=", "!~", "<=", ">=", "<>", "..", "&&", "||", "=", "<", ">", "+", "-", "*", "/",
    "%", "(", ")", "[", "]", "{", "}", ",", ";", "|", ":", ".", "!",
];
const TYPOGRAPHIC_QUOTES: [char; 6] = ['“', '”', '„', '‘', '’', '‚'];

/// The tokens and comments of `span`. Reports characters that are neither.
pub(super) fn lex(source: &SourceText, span: Span, diagnostics: &mut Diagnostics) -> Lexed {
    let mut lexer = Lexer {
        text: &source.text()[..span.end],
        at: span.start,
        breaks: 1,
        comment_breaks: 0,
        is_gap: true,
        lexed: Lexed::default(),
        diagnostics,
    };
    while !lexer.diagnostics.is_full() && lexer.step() {}
    lexer.lexed
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Line ends since the last token or comment.
    breaks: usize,
    /// Line ends since the last comment on a line of its own, 0 if a token came later.
    comment_breaks: usize,
    /// Whether a blank line or a comment on a line of its own came since the last token.
    is_gap: bool,
    lexed: Lexed,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next characters, `length` bytes of them.
    fn span(&self, length: usize) -> Span {
        let (start, end) = (self.at, self.at + length);
        Span { start, end }
    }

    /// Reads one token, comment or run of blanks. False at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest();
        let Some(letter) = rest.chars().next() else {
            return false;
        };
        if letter == '\n' {
            self.at += 1;
            self.breaks += 1;
            self.is_gap |= self.breaks > 1;
        } else if letter.is_whitespace() || letter == '\u{feff}' || letter == '\u{200b}' {
            self.at += letter.len_utf8();
        } else if rest.starts_with("//") {
            self.comment(rest);
        } else if letter.is_ascii_digit() {
            let (read, length) = literal::number(rest);
            self.constant(read, length);
        } else if let Some((read, length)) = literal::string(rest) {
            self.constant(read, length);
        } else if is_word(letter) {
            self.word(rest, 0);
        } else if rest.starts_with('!') && rest[1..].starts_with(|next: char| is_word(next)) {
            self.word(rest, 1);
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.push(Kind::Symbol(symbol), symbol.len());
        } else {
            self.unknown(letter);
        }
        true
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let span = self.span(length);
        self.lexed.tokens.push(Token {
            kind,
            span,
            after_gap: self.is_gap && self.breaks > 0,
        });
        self.at = span.end;
        self.breaks = 0;
        self.comment_breaks = 0;
        self.is_gap = false;
    }

    fn comment(&mut self, rest: &str) {
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let has_line = self.breaks > 0;
        if has_line {
            let text = line.trim_start_matches('/');
            let start = self.at + line.len() - text.trim_start().len();
            let end = start + text.trim().len();
            let begins_block = !(self.comment_breaks > 0 && self.breaks == 1);
            self.lexed.comments.push(Comment {
                text: Span { start, end },
                begins_block,
            });
            self.comment_breaks = 1;
            self.is_gap = true;
            self.breaks = 0;
        }
        self.at += line.len();
    }

    fn word(&mut self, rest: &str, prefix: usize) {
        let letters = &rest[prefix..];
        let mut length = prefix
            + letters
                .find(|letter: char| !is_word(letter) && !letter.is_ascii_digit())
                .unwrap_or(letters.len());
        if rest[prefix..length] == *"in" && rest[length..].starts_with('~') {
            length += 1;
        }
        match literal::typed(rest, length) {
            Some((read, length)) => self.constant(read, length),
            None => self.push(Kind::Word, length),
        }
    }

    fn constant(&mut self, read: Result<Literal, literal::Malformed>, length: usize) {
        let kind = match read {
            Ok(literal) => Kind::Literal(literal),
            Err(malformed) => {
                let (start, end) = (self.at + malformed.at, self.at + malformed.end);
                let hint = malformed.hint.map(str::to_owned);
                self.diagnostics
                    .error(Span { start, end }, malformed.message, hint);
                Kind::Broken
            }
        };
        self.push(kind, length);
    }

    /// One message for a run of the same character, which then stands for a missing token.
    fn unknown(&mut self, letter: char) {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start_matches(letter).len();
        let span = self.span(length);
        let is_quote = TYPOGRAPHIC_QUOTES.contains(&letter);
        let hint = is_quote.then(|| "strings have straight quotes: \"...\"".to_owned());
        self.diagnostics
            .error(span, format!("unexpected `{letter}`"), hint);
        self.push(Kind::Broken, length);
    }
}

/// Whether a word can begin with it. KQL's words are ASCII; other letters are taken as well, so
/// that an error shows the whole word.
fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphabetic()
}
