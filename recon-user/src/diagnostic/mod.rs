//! What is wrong with a file, and how recon shows it.
//!
//! In: text that people wrote, errors and warnings with their spans. Out: lines for a terminal.
//! The decisions held here: this module knows nothing of KQL or of settings, so both use it.
//! All errors are reported, up to a number that nobody reads to the end.

mod chain;
mod nearest;
mod render;
mod source;
mod visible;

pub(crate) use chain::error_chain;
pub(crate) use nearest::nearest;
pub use source::SourceText;
pub(crate) use source::{BYTE_ORDER_MARK, FileKind, Span, read_file};
pub use visible::readable;
pub(crate) use visible::{escape_json, visible};

/// Diagnostics kept for one file. Parsing stops at this number.
const MAX_KEPT: usize = 100;
/// Bytes of a message that are kept.
const MAX_MESSAGE: usize = 300;
/// Marks text that was cut.
const CUT: &str = "…";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The file is refused.
    Error,
    /// The file is accepted, but may not mean what its author intended.
    Warning,
}

/// One error or warning.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    /// How bad it is.
    pub(crate) level: Level,
    /// The text it is about.
    pub(crate) span: Span,
    /// What is wrong, in one line.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// What is wrong with a text, and a hint.
pub(crate) type Wrong = (String, Option<String>);

/// The errors and warnings of one file.
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

    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        self.push(Level::Warning, span, message.into(), hint);
    }

    fn push(&mut self, level: Level, span: Span, message: String, hint: Option<String>) {
        if self.is_full() {
            return;
        }
        self.kept.push(Diagnostic {
            level,
            span,
            message: clip(message),
            hint: hint.map(clip),
        });
    }

    /// Whether further diagnostics are dropped, so that a parser can stop.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT
    }

    /// The hint that names the nearest candidate. Skips the search if the hint would be dropped.
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

    /// The number of errors found.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Renders the diagnostics as text, in the order of the source's lines.
    pub fn render(&self, source: &SourceText) -> String {
        let mut sorted: Vec<_> = self.kept.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.span.start);
        let mut text = String::new();
        for diagnostic in sorted {
            text.push_str(&render::render(diagnostic, source));
        }
        if self.is_full() {
            let name = source.name();
            text += &format!("{name}: no more than {MAX_KEPT} messages are shown\n");
        }
        text
    }
}

/// A count and what is counted, such as `2 columns`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Clips a message, which may quote a word as long as the file.
fn clip(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push_str(CUT);
    }
    message
}
