//! The version of a rule whose file names none.
//!
//! In: the tokens of its query, and the plan. Out: `rule.version`.
//! The decision held here: the version is a hash of what the rule's file says that it does: of its
//! query, window, cooldown, severity, technique and the rules that it follows. Its name, prose,
//! comments, spaces and line feeds are no part of it, and neither are the settings of a host: two
//! hosts with one rule file have the same versions. It is the same on every platform and in every
//! version of recon that has the same defaults.

use super::lex::Token;
use super::plan::Plan;
use crate::diagnostic::SourceText;
use crate::stable_hash::StableHash;

/// How many hexadecimal digits of the hash: enough to tell the versions of one rule apart.
const DIGITS: usize = 12;

/// The version of a rule.
pub(super) fn version_of(source: &SourceText, tokens: &[Token], plan: &Plan) -> String {
    let add = |hash: StableHash, part: &str| hash.with(part.as_bytes());
    let words = tokens.iter().map(|token| source.slice(token.span));
    let query = words.fold(StableHash::EMPTY, add);
    let follows = [&plan.after, &plan.unless].map(|ids| ids.join(","));
    let cooldown = plan.cooldown.map(|cooldown| cooldown.as_secs());
    let hash = follows
        .iter()
        .map(String::as_str)
        .chain([plan.severity.name()])
        .chain([plan.technique.as_deref().unwrap_or_default()])
        .fold(query, add)
        .with(&plan.window.as_secs().to_be_bytes())
        .with_known(cooldown.map(u64::to_be_bytes));
    let mut text = hash.to_string();
    text.truncate(DIGITS);
    text
}
