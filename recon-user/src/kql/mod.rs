//! KQL: the language that rules are written in.
//!
//! In: rule files, `.kql` or Markdown. Out: a checked [`Plan`] for each query, and the errors of
//! the others.
//!
//! | step | module | takes | gives |
//! |---|---|---|---|
//! | blocks | `markdown` | a file | the parts of it that are KQL |
//! | lex | `lex`, `literal` | text | tokens and comments |
//! | split | `split` | tokens | those of each query |
//! | header | `header` | comments | id, name, severity and the other annotations |
//! | version | `version` | tokens | the version of a rule that names none |
//! | parse | `parse`, `ast` | tokens | a syntax tree |
//! | check | `check`, `function`, `schema` | a syntax tree | a [`Plan`], or errors |
//!
//! [`eval`] evaluates a plan's expressions. This module is a leaf: of this crate it imports only
//! other leaves: `diagnostic`, `address`, `duration` and `stable_hash`.
//!
//! Supported, with Kusto's meaning: `DeviceNetworkEvents` and `ReconEvents`; `where`, `extend`,
//! `summarize` (once), `project`, `project-away`, `order by`, `sort by`, `top`, `take`, `limit`,
//! `let` for constants;
//! the operators and functions in `operator` and `function`; constants of all types. Differences
//! from Kusto:
//! - A window slides, so `bin(TimeGenerated, 1h)` groups by the hour that ends now, not by hours of
//!   the clock.
//! - `top` and `take` limit the alerts of one poll, and `order by` sorts them. A stream has no end
//!   to look back from.
//! - A row stands for `Count` events, and `count()` counts events.
//! - `dcount` is exact, and takes no accuracy.
//! - `ipv4_is_private` and `ipv4_is_in_range` are false, not null, for anything but an IPv4
//!   address, so that a negation keeps IPv6 remotes.
//! - A constant compared with `InitiatingProcessFileName` also matches without its `.exe`.
//! - Division by zero and overflow give null, for reals too.
//!
//! Every text is read in bounded time and memory, without a panic: files, nesting, columns and
//! messages are limited.

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
mod version;

use std::collections::HashMap;
use std::path::Path;

pub(crate) use check::WINDOW;
pub use function::{AggregateFunction, Function};
pub use operator::{Arithmetic, Comparison, TextOperator, TextTest};
pub use plan::{Aggregate, Column, Expr, Named, Output, Plan, Shown, Slot, SortKey, Threshold};
pub use schema::Field;
pub use schema::Table;
pub use severity::Severity;
pub use value::{Literal, Type};

pub use crate::diagnostic::{Diagnostics, SourceText};

use crate::diagnostic::{FileKind, Span};
use header::Header;
use lex::Comment;

/// The ten detections take 4 KiB.
const RULE_FILE: FileKind = FileKind {
    name: "a rule file",
    max_kib: 1024,
};

/// The content of a rule file.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub source: SourceText,
    /// The queries without errors, which are rules.
    pub plans: Vec<Plan>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
}

/// Loads rule files that belong together: no two of their rules have the same id and name.
#[derive(Debug, Default)]
pub struct Loader {
    /// The place of each rule, by id and name.
    places: HashMap<(String, String), String>,
}

impl Loader {
    /// Loads a file of that name. Queries with errors are reported and skipped.
    pub fn load(&mut self, name: &str, bytes: &[u8]) -> Loaded {
        let mut diagnostics = Diagnostics::default();
        let source = SourceText::new(name, bytes, RULE_FILE, &mut diagnostics);
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

    fn queries(&mut self, source: &SourceText, diagnostics: &mut Diagnostics) -> Vec<Plan> {
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
            let hint = "in Markdown, queries are in blocks fenced as kusto or kql".to_owned();
            diagnostics.error(Span::default(), "this file has no query", Some(hint));
        }
        plans
    }

    fn query(
        &mut self,
        source: &SourceText,
        tokens: &[lex::Token],
        header: Header,
        diagnostics: &mut Diagnostics,
    ) -> Option<Plan> {
        let is_broken = tokens.iter().any(|token| token.kind == lex::Kind::Broken);
        let query = parse::query(source, tokens, diagnostics)?;
        let key = (header.plan.id.clone(), header.plan.name.clone());
        let mut plan = check::plan(&query, header, diagnostics);
        let place = source.file_and_line(query.table.span.start);
        if let Some(plan) = &mut plan {
            plan.places.query.clone_from(&place);
            plan.places.table = query.table.span;
            if plan.version.is_empty() {
                plan.version = version::version_of(source, tokens, plan);
            }
        }
        if let Some(other) = self.places.insert(key, place) {
            let message = "another rule has this id and name";
            let hint = format!("it is at {other}");
            diagnostics.error(query.table.span, message, Some(hint));
        }
        plan.filter(|_| !is_broken)
    }
}

/// Takes the comments that end before the first token off the front, and skips those within the
/// query.
fn comments_before<'a>(comments: &mut &'a [Comment], tokens: &[lex::Token]) -> &'a [Comment] {
    let start = tokens.first().map_or(0, |token| token.span.start);
    let end = tokens.last().map_or(start, |token| token.span.end);
    let (before, rest) =
        comments.split_at(comments.partition_point(|comment| comment.text.end <= start));
    *comments = &rest[rest.partition_point(|comment| comment.text.end <= end)..];
    before
}

/// The file's name as the start of an id.
fn stem(name: &str) -> String {
    let stem = Path::new(name).file_stem().unwrap_or_default();
    let id = header::id_of(&stem.to_string_lossy());
    if id.is_empty() { "rule".to_owned() } else { id }
}

#[cfg(test)]
mod tests;
