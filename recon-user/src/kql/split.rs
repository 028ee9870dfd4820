//! Where one query of a file ends and the next begins.
//!
//! In: the tokens of a block. Out: ranges of them, a query each.
//! The decision held here: a query ends at a semicolon that does not end a `let`. It also ends
//! after a blank line or a comment's line, if a word follows that can begin a query and the token
//! before leaves nothing open. So comments and blank lines may stand between the steps of a query,
//! and a broken query does not take the next one with it.

use std::ops::Range;

use super::lex::{Kind, Token};
use super::operator::{continues, is_operator, steps};
use crate::diagnostic::SourceText;

/// The queries, none of them empty.
pub(super) fn queries(source: &SourceText, tokens: &[Token]) -> Vec<Range<usize>> {
    let word = |index: usize| -> Option<&str> {
        let token = tokens.get(index)?;
        (token.kind == Kind::Word).then(|| source.slice(token.span))
    };
    let can_begin = |index| word(index).is_some_and(|word| !continues(word));
    let needs_more = |word| {
        is_operator(word) || ["let", "by"].contains(&word) || steps().any(|step| step == word)
    };
    let leaves_open = |index: usize| match tokens[index].kind {
        Kind::Symbol(symbol) => !matches!(symbol, ")" | "]"),
        _ => word(index).is_some_and(needs_more),
    };
    let mut queries = Vec::new();
    let mut query = 0;
    let mut statement = 0;
    for (index, token) in tokens.iter().enumerate() {
        let is_let = word(statement) == Some("let");
        if token.kind == Kind::Symbol(";") {
            statement = index + 1;
            if !is_let {
                queries.push(query..index);
                query = statement;
            }
        } else if is_let && token.kind == Kind::Symbol("|") {
            // The semicolon is missing, and a query follows already.
            statement = index;
        } else if index > statement
            && token.after_gap
            && can_begin(index)
            && !leaves_open(index - 1)
        {
            statement = index;
            // The parser reports a `let` without its semicolon.
            if !is_let {
                queries.push(query..index);
                query = index;
            }
        }
    }
    queries.push(query..tokens.len());
    queries.retain(|query| !query.is_empty());
    queries
}
