//! What is wrong with a rule file, and how that is shown.
//!
//! In: errors and warnings with the span they are about. Out: text of the form
//!
//! ```text
//! rules.kql:3:9: error: no column `LocalPrt`
//! | where LocalPrt == 22
//!         ^~~~~~~~
//! hint: did you mean `LocalPort`?
//! ```
//!
//! The decisions held here: all errors are told of, up to a number that nobody reads to the end. A line that is too long for a terminal is
//! shown around the span. Tabs are shown as blanks, letters that take two columns get two marks, and what could play with the
//! terminal is shown by its number.

use super::nearest::nearest;
use super::source::{Source, Span};
use crate::diagnostic::visible;

/// Diagnostics of one file that are kept. What comes after is not read.
const MAX_KEPT: usize = 100;
/// Bytes of a message that are kept.
const MAX_MESSAGE: usize = 300;
/// Columns of a source line that are shown, and how many of them before the span.
const MAX_SHOWN: usize = 160;
const SHOWN_BEFORE: usize = 80;
/// Letters that are shown for each column: those that take none would otherwise go on without end.
const LETTERS_PER_COLUMN: usize = 4;
/// What a tab is shown as.
const TAB: &str = "    ";
/// What stands for the rest of a line.
const CUT: &str = "…";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The query is no rule.
    Error,
    /// The query is a rule, but perhaps not the one that was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All that is wrong with one file.
#[derive(Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
}

impl Diagnostics {
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        self.errors += 1;
        self.push(Level::Error, span, message.into(), hint);
    }

    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        self.push(Level::Warning, span, message.into(), hint);
    }

    fn push(&mut self, level: Level, span: Span, message: String, hint: Option<String>) {
        if self.is_full() {
            return;
        }
        self.kept.push(Diagnostic {
            level,
            span,
            message: clipped(message),
            hint: hint.map(clipped),
        });
    }

    /// Whether nothing more is kept: whoever reads on can stop.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT
    }

    /// The hint that names what was probably meant. Nothing is looked for where it would not be kept.
    pub(crate) fn did_you_mean<'a>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        if self.is_full() {
            return None;
        }
        let meant = nearest(name, candidates)?;
        Some(format!("did you mean `{meant}`?"))
    }

    /// How many errors were found.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// What is kept, as text, in the order of the source's lines.
    #[must_use]
    pub fn render(&self, source: &Source) -> String {
        let mut sorted: Vec<_> = self.kept.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.span.start);
        let mut text = String::new();
        for diagnostic in sorted {
            text.push_str(&diagnostic.render(source));
        }
        if self.is_full() {
            let name = source.name();
            text.push_str(&format!(
                "{name}: no more than {MAX_KEPT} messages are shown\n"
            ));
        }
        text
    }
}

/// A message, which may quote a word as long as the file.
fn clipped(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push_str(CUT);
    }
    message
}

impl Diagnostic {
    fn render(&self, source: &Source) -> String {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let (name, place) = (source.name(), source.place(self.span.start));
        let message = visible(self.message.as_bytes());
        let mut text = format!("{name}:{place}: {level}: {message}\n");
        text.push_str(&excerpt(source, self.span));
        if let Some(hint) = &self.hint {
            let hint = visible(hint.as_bytes());
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

/// The source line and the marks under the span. Nothing where the line is empty.
fn excerpt(source: &Source, span: Span) -> String {
    let (_, line) = source.line(span.start);
    let clip = |at: usize| at.clamp(line.start, line.end);
    let [before, within, after] = [
        (line.start, clip(span.start)),
        (clip(span.start), clip(span.end)),
        (clip(span.end), line.end),
    ]
    .map(|(start, end)| source.slice(Span { start, end }));
    if source.slice(line).trim().is_empty() {
        return String::new();
    }
    let (before, cut_before) = shown(before.chars().rev(), SHOWN_BEFORE);
    let before: String = before.into_iter().rev().collect();
    let mut left = MAX_SHOWN.saturating_sub(width(&before));
    let (within, cut_within) = shown(within.chars(), left);
    let within = within.concat();
    left = left.saturating_sub(width(&within));
    let (after, cut_after) = match cut_within {
        true => (Vec::new(), true),
        false => shown(after.chars(), left),
    };
    let head = if cut_before { CUT } else { "" };
    let tail = if cut_after { CUT } else { "" };
    let after = after.concat();
    let line = format!("{head}{before}{within}{after}{tail}");
    let indent = " ".repeat(width(head) + width(&before));
    let marks = "~".repeat(width(&within).saturating_sub(1));
    format!("{}\n{indent}^{marks}\n", line.trim_end())
}

/// Letters as they are shown, as many as fit, and whether some did not.
fn shown(letters: impl Iterator<Item = char>, columns: usize) -> (Vec<String>, bool) {
    let mut pieces = Vec::new();
    let mut taken = 0;
    for letter in letters {
        let piece = match letter {
            '\t' => TAB.to_owned(),
            _ => visible(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        };
        taken += width(&piece);
        if taken > columns || pieces.len() > columns * LETTERS_PER_COLUMN {
            return (pieces, true);
        }
        pieces.push(piece);
    }
    (pieces, false)
}

/// Columns of a terminal that a text takes.
fn width(text: &str) -> usize {
    text.chars().map(letter_width).sum()
}

/// Columns that a letter takes: none for marks that combine with the letter before, two for what Unicode's annex 11 calls wide.
/// The ranges are those of whole scripts: coarser than the annex's table, and right for what people write in comments.
fn letter_width(letter: char) -> usize {
    match letter {
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{200b}'..='\u{200d}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}
