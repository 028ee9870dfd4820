//! KQL: the language that rules are written in.
//!
//! In: rule files, `.kql` or Markdown. Out: a checked [`Plan`] for each query, and what is wrong with the others.
//!
//! | step | module | takes | gives |
//! |---|---|---|---|
//! | source | `source` | bytes | text with lines, the parts of it that are KQL |
//! | lex | `lex`, `literal` | text | tokens and comments |
//! | split | `split` | tokens | those of each query |
//! | header | `header` | comments | id, name, severity and the other annotations |
//! | parse | `parse`, `ast` | tokens | a syntax tree |
//! | check | `check`, `function`, `schema` | a syntax tree | a [`Plan`], or why it can't run |
//!
//! [`eval`] computes a plan's expressions. [`diagnostic`](Diagnostic) tells of errors, `canonical` writes a plan as KQL.
//!
//! What is known of Kusto, with its meaning there: `DeviceNetworkEvents`; `where`, `extend`, `summarize` (once), `project`, `project-away`,
//! `order by`, `sort by`, `top`, `take`, `limit`, `let` for constants; the operators and functions in `operator` and `function`;
//! constants of all types. What departs from Kusto:
//! - A window slides, so `bin(TimeGenerated, 1h)` groups by the hour that ends now, not by hours of the clock.
//! - `top` and `take` keep alerts of one poll back, `order by` orders them. There is no end of a stream to look back from.
//! - A row stands for `Count` events, and `count()` counts events.
//! - `dcount` is exact, and takes no accuracy.
//! - `ipv4_is_private` and `ipv4_is_in_range` are false, not null, of what is no IPv4 address: a negation keeps IPv6 remotes.
//! - A constant that is compared with `InitiatingProcessFileName` is met without its `.exe` too.
//! - What divides by zero or is too large is null, of reals too.
//!
//! Every text is read in bounded time and memory, without a panic: files, nesting, columns and messages are limited.

mod ast;
mod check;
pub mod eval;
mod function;
mod header;
mod lex;
mod literal;
mod markdown;
mod operator;
mod parse;
mod plan;
mod schema;
mod severity;
mod split;
mod streamless;
mod value;

use std::collections::HashMap;
use std::path::Path;

pub(crate) use check::WINDOW;
pub use function::{AggregateFunction, Function};
pub use operator::{Arithmetic, Comparison, TextOperator, TextTest};
pub use plan::{Aggregate, Column, Expr, Named, Output, Plan, Shown, Slot, SortKey, Threshold};
pub use schema::Field;
pub(crate) use schema::TABLE;
pub use severity::Severity;
pub use value::{Literal, Type};

pub(crate) use crate::diagnostic::nearest;
pub use crate::diagnostic::{Diagnostic, Diagnostics, Level, Source, Span};

use crate::diagnostic::FileKind;
use header::Header;
use lex::Comment;

/// The ten detections take 4 KiB.
const RULE_FILE: FileKind = FileKind {
    name: "a rule file",
    max_kib: 1024,
};

/// What a rule file holds.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub source: Source,
    /// The queries that are rules.
    pub plans: Vec<Plan>,
    /// What is wrong with the file.
    pub diagnostics: Diagnostics,
}

/// Reads rule files that belong together: no two rules of them are called the same.
#[derive(Debug, Default)]
pub struct Loader {
    /// Where each rule stands, by id and name.
    places: HashMap<(String, String), String>,
}

impl Loader {
    /// Reads a file of that name. Queries with errors are told of and left out.
    pub fn load(&mut self, name: &str, bytes: &[u8]) -> Loaded {
        let mut diagnostics = Diagnostics::default();
        let source = Source::new(name, bytes, RULE_FILE, &mut diagnostics);
        let plans = match diagnostics.errors() {
            0 => self.queries(&source, &mut diagnostics),
            _ => Vec::new(),
        };
        Loaded {
            source,
            plans,
            diagnostics,
        }
    }

    fn queries(&mut self, source: &Source, diagnostics: &mut Diagnostics) -> Vec<Plan> {
        let mut plans = Vec::new();
        let mut number = 0;
        for block in markdown::blocks(source) {
            let lexed = lex::lex(source, block.span, diagnostics);
            let mut title = block.title.map(|title| source.slice(title));
            let mut comments = lexed.comments.as_slice();
            for query in split::queries(source, &lexed.tokens) {
                if diagnostics.is_full() {
                    return plans;
                }
                number += 1;
                let errors = diagnostics.errors();
                let tokens = &lexed.tokens[query];
                let before = comments_before(&mut comments, tokens);
                let fallback = format!("{}-{number}", stem(source.name()));
                let header = header::read(source, before, title.take(), &fallback, diagnostics);
                let plan = self.query(source, tokens, header, diagnostics);
                plans.extend(plan.filter(|_| diagnostics.errors() == errors));
            }
        }
        if number == 0 && diagnostics.errors() == 0 {
            let hint = "Markdown has them in blocks fenced as kusto or kql".to_owned();
            diagnostics.error(
                Span::default(),
                "there is no query in this file",
                Some(hint),
            );
        }
        plans
    }

    fn query(
        &mut self,
        source: &Source,
        tokens: &[lex::Token],
        header: Header,
        diagnostics: &mut Diagnostics,
    ) -> Option<Plan> {
        let is_broken = tokens.iter().any(|token| token.kind == lex::Kind::Broken);
        let query = parse::query(source, tokens, diagnostics)?;
        let key = (header.id.clone(), header.name.clone());
        let plan = check::plan(&query, header, diagnostics);
        let place = source.file_and_line(query.table.span.start);
        if let Some(other) = self.places.insert(key, place) {
            let message = "a rule of this id and name is there already";
            let hint = format!("it is at {other}");
            diagnostics.error(query.table.span, message, Some(hint));
        }
        plan.filter(|_| !is_broken)
    }
}

/// Takes the comments that end before the first token off the front, and skips those within the query.
fn comments_before<'a>(comments: &mut &'a [Comment], tokens: &[lex::Token]) -> &'a [Comment] {
    let start = tokens.first().map_or(0, |token| token.span.start);
    let end = tokens.last().map_or(start, |token| token.span.end);
    let (before, rest) =
        comments.split_at(comments.partition_point(|comment| comment.text.end <= start));
    *comments = &rest[rest.partition_point(|comment| comment.text.end <= end)..];
    before
}

/// The file's name as the beginning of an id.
fn stem(name: &str) -> String {
    let stem = Path::new(name).file_stem().unwrap_or_default();
    let id = header::id_of(&stem.to_string_lossy());
    if id.is_empty() { "rule".to_owned() } else { id }
}

#[cfg(test)]
mod tests;
