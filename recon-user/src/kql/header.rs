//! What stands before a query: its annotations and its title.
//!
//! In: the comments before a query. Out: the rule's [`Header`].
//! The decisions held here: the block of comments right before the query counts. A line of the form
//! `word: text` is an annotation if the word is a known key or in lower case; other lines are
//! prose. So a misspelt key is reported, and `Note: ...` is not. Without an annotated `name`, the
//! name is the title: a numbered line, else the text after `Purpose:`, else the Markdown heading
//! before the query.

use std::time::Duration;

use super::check::WINDOW;
use super::lex::Comment;
use super::markdown::numbered;
use crate::diagnostic::{Diagnostics, SourceText, Span, Wrong, nearest};
use crate::kql::{Plan, Severity};

/// The keys of annotations. `purpose` is prose, and the title if there is no other.
const KEYS: &str = "id, name, variant, version, tags, severity, technique, unit, stake, window, cooldown, after, unless, purpose";
const MAX_ID: usize = 64;
const MAX_VERSION: usize = 64;
const MAX_TAG: usize = 64;
const MAX_TAGS: usize = 16;
const MAX_NAME: usize = 200;
const MAX_STAKE: usize = 200;
const MAX_UNIT: usize = 100;

/// A rule's name and what else its query does not say.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// The plan as far as the header says it.
    pub(super) plan: Plan,
    pub(super) window: Option<(Duration, Span)>,
}

/// Reads the comments before a query. `title` is the Markdown heading before its block, `fallback`
/// its id if there is no title.
pub(super) fn read(
    source: &SourceText,
    comments: &[Comment],
    title: Option<&str>,
    fallback: &str,
    diagnostics: &mut Diagnostics,
) -> Header {
    let block = comments
        .iter()
        .rposition(|comment| comment.begins_block)
        .unwrap_or(0);
    let mut reader = HeaderReader {
        diagnostics,
        seen: Vec::new(),
        header: Header::default(),
        title: None,
        purpose: None,
    };
    for comment in &comments[block..] {
        reader.line(source.slice(comment.text), comment.text);
    }
    let title = reader.title.or(reader.purpose).or(title);
    let mut header = reader.header;
    let plan = &mut header.plan;
    if plan.name.is_empty() {
        plan.name = cut(title.unwrap_or(fallback), MAX_NAME).to_owned();
    }
    if plan.id.is_empty() {
        plan.id = id_of(title.unwrap_or(&plan.name));
    }
    if plan.id.is_empty() {
        fallback.clone_into(&mut plan.id);
    }
    header
}

struct HeaderReader<'a, 'd> {
    diagnostics: &'d mut Diagnostics,
    seen: Vec<&'static str>,
    header: Header,
    title: Option<&'a str>,
    purpose: Option<&'a str>,
}

impl<'a> HeaderReader<'a, '_> {
    fn line(&mut self, line: &'a str, span: Span) {
        if let Some(title) = numbered(line) {
            self.title.get_or_insert(title);
            return;
        }
        let Some((word, text)) = annotation(line) else {
            return;
        };
        let Some(key) = keys().find(|key| key.eq_ignore_ascii_case(word)) else {
            return self.unknown(word, span);
        };
        let start = span.start + line.len() - text.len();
        let place = Span { start, ..span };
        if self.seen.contains(&key) {
            self.diagnostics
                .error(span, format!("a second `{key}`"), None);
            return;
        }
        self.seen.push(key);
        if let Err((message, hint)) = self.set(key, text, place) {
            self.diagnostics.error(place, message, hint);
        }
    }

    /// A capitalized word is prose, unless it is nearly a key.
    fn unknown(&mut self, word: &str, span: Span) {
        let meant = nearest(word, keys());
        if meant.is_none() && word.starts_with(|first: char| !first.is_lowercase()) {
            return;
        }
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the annotations are {KEYS}"),
        };
        let end = span.start + word.len();
        let span = Span { end, ..span };
        self.diagnostics
            .error(span, format!("no annotation `{word}`"), Some(hint));
    }

    fn set(&mut self, key: &str, text: &'a str, span: Span) -> Result<(), Wrong> {
        let Header { plan, window } = &mut self.header;
        match key {
            // Its text is in the next lines.
            "purpose" if text.is_empty() => {}
            _ if text.is_empty() => {
                let hint = format!("write it after the colon, or remove `{key}:`");
                return Err((format!("`{key}` has no value"), Some(hint)));
            }
            "id" if is_id(text) => text.clone_into(&mut plan.id),
            "variant" if is_id(text) => plan.variant = Some(text.to_owned()),
            "version" if is_word(text, MAX_VERSION) => text.clone_into(&mut plan.version),
            "version" => {
                let hint =
                    "write up to 64 printable characters without a space, as in 3 or 2026-11-30";
                return Err((format!("`{text}` is not a version"), Some(hint.to_owned())));
            }
            "tags" => plan.tags = tags(text)?,
            "after" if ids(text).all(is_id) => plan.after = ids(text).map(str::to_owned).collect(),
            "unless" if ids(text).all(is_id) => {
                plan.unless = ids(text).map(str::to_owned).collect()
            }
            "id" | "variant" | "after" | "unless" => {
                let hint = "an id has lower-case letters, digits and hyphens, as in port-scan";
                return Err((format!("`{text}` is not an id"), Some(hint.to_owned())));
            }
            "name" => cut(text, MAX_NAME).clone_into(&mut plan.name),
            "severity" => plan.severity = Severity::parse(text)?,
            "technique" if is_technique(text) => plan.technique = Some(text.to_owned()),
            "technique" => {
                let hint = "write an ATT&CK technique as T1595 or T1595.001";
                return Err((
                    format!("`{text}` is not a technique"),
                    Some(hint.to_owned()),
                ));
            }
            "unit" => plan.unit = Some(cut(text, MAX_UNIT).to_owned()),
            "stake" => plan.stake = Some(cut(text, MAX_STAKE).to_owned()),
            "window" => *window = Some((WINDOW.parse(text)?, span)),
            "cooldown" => plan.cooldown = Some(WINDOW.parse(text)?),
            _ => self.purpose = Some(text),
        }
        Ok(())
    }
}

fn is_key(word: &str) -> bool {
    keys().any(|key| key == word)
}

fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.split(", ")
}

/// The word and the text of `word: text`.
fn annotation(line: &str) -> Option<(&str, &str)> {
    let (word, text) = line.split_once(':')?;
    let is_word = word.starts_with(|first: char| first.is_alphabetic())
        && word
            .chars()
            .all(|letter| letter.is_alphanumeric() || "-_".contains(letter));
    // A URL is not an annotation, and neither is prose before a list.
    let is_prose = text.starts_with("//") || (text.trim().is_empty() && !is_key(word));
    let is_annotation = is_word && !is_prose;
    is_annotation.then_some((word, text.trim_start()))
}

/// The ids in a list.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// Each tag once, in their order.
fn tags(text: &str) -> Result<Vec<String>, Wrong> {
    let mut tags: Vec<String> = Vec::new();
    for tag in ids(text) {
        if !is_word(tag, MAX_TAG) {
            let hint = "write tags without spaces, with commas between them, as in dmz, pci";
            return Err((format!("`{tag}` is not a tag"), Some(hint.to_owned())));
        }
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    match tags.len() {
        ..=MAX_TAGS => Ok(tags),
        more => {
            let hint = format!("a rule has at most {MAX_TAGS}");
            Err((format!("{more} tags are too many"), Some(hint)))
        }
    }
}

/// Whether it is one printable word.
fn is_word(text: &str, most: usize) -> bool {
    let is_part = |letter: char| !letter.is_whitespace() && !letter.is_control();
    (1..=most).contains(&text.len()) && text.chars().all(is_part)
}

fn is_id(text: &str) -> bool {
    let is_part =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    text.len() <= MAX_ID
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(is_part)
}

/// `T1595` or `T1595.001`.
fn is_technique(text: &str) -> bool {
    let (technique, sub) = text.split_once('.').unwrap_or((text, "000"));
    let is_number = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|digit| digit.is_ascii_digit())
    };
    technique
        .strip_prefix('T')
        .is_some_and(|number| is_number(number, 4))
        && is_number(sub, 3)
}

/// An id for a title: its words in lower case, joined by hyphens, as many as fit. Empty if it has
/// no words.
pub(super) fn id_of(title: &str) -> String {
    let mut id = String::new();
    for word in title.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        if word.is_empty() {
            continue;
        }
        if id.len() + 1 + word.len() > MAX_ID {
            break;
        }
        if !id.is_empty() {
            id.push('-');
        }
        id.push_str(&word.to_ascii_lowercase());
    }
    id
}

fn cut(text: &str, length: usize) -> &str {
    text[..text.floor_char_boundary(length)].trim_end()
}
