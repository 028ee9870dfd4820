//! A diagnostic as text.
//!
//! In: a diagnostic and its source. Out: text of the form
//!
//! ```text
//! rules.kql:3:9: error: no column `LocalPrt`
//!   |
//! 3 | | where LocalPrt == 22
//!   |         ^^^^^^^^
//!   |
//!   = hint: did you mean `LocalPort`?
//! ```
//!
//! The decisions held here: the first line is the one that editors and compilers agree on.
//! annotate-snippets lays out the rest and trims a long line to the width of a terminal. It gets
//! a part of the line only, so that a hostile file costs neither time nor space, and it gets that
//! part with control characters escaped, so that none reaches the terminal.

use annotate_snippets::{AnnotationKind, Level as Heading, Renderer, Snippet};

use super::{Diagnostic, Level, SourceText, Span, visible};

/// Columns that a source line is trimmed to.
const WIDTH: usize = 160;
/// Characters of a line that are looked at on each side of a span's start. Characters that take
/// no column make it more than the width.
const MAX_CHARS: usize = 200;

pub(super) fn render(diagnostic: &Diagnostic, source: &SourceText) -> String {
    let (heading, level) = match diagnostic.level {
        Level::Error => (Heading::ERROR, "error"),
        Level::Warning => (Heading::WARNING, "warning"),
    };
    let place = source.place(diagnostic.span.start);
    let heading = heading.with_name(format!(
        "{}:{place}: {level}",
        visible(source.name().as_bytes())
    ));
    let mut group = heading
        .primary_title(visible(diagnostic.message.as_bytes()))
        .elements(excerpt(source, diagnostic.span));
    if let Some(hint) = &diagnostic.hint {
        group = group.element(
            Heading::HELP
                .with_name("hint")
                .message(visible(hint.as_bytes())),
        );
    }
    Renderer::plain().term_width(WIDTH).render(&[group]) + "\n"
}

/// Whether a line of settings may hold the URL of a sink, whose path may be a secret.
fn may_be_secret(line: &str) -> bool {
    line.contains("://") && ["url", "endpoint"].iter().any(|key| line.contains(key))
}

/// The source line with marks under the span. None if the line is blank, or nobody is to read it in
/// a log.
fn excerpt(
    source: &SourceText,
    span: Span,
) -> Option<Snippet<'static, annotate_snippets::Annotation<'static>>> {
    let (number, line) = source.line(span.start);
    let text = source.slice(line);
    if text.trim().is_empty() || may_be_secret(text) {
        return None;
    }
    let start = span.start.clamp(line.start, line.end);
    let end = span.end.clamp(start, line.end);
    let [before, within, after] = [(line.start, start), (start, end), (end, line.end)]
        .map(|(start, end)| source.slice(Span { start, end }));
    let before = before
        .char_indices()
        .rev()
        .nth(MAX_CHARS - 1)
        .map_or(before, |(at, _)| &before[at..]);
    let within = head(within, MAX_CHARS);
    let after = head(after, MAX_CHARS - within.chars().count());
    let [before, within, after] = [before, within, after].map(shown);
    let marked = before.len()..before.len() + within.len();
    let text = [before, within, after].concat();
    let annotation = AnnotationKind::Primary.span(marked);
    Some(
        Snippet::source(text)
            .line_start(number + 1)
            .annotation(annotation),
    )
}

/// The first characters of a text.
fn head(text: &str, count: usize) -> &str {
    text.char_indices()
        .nth(count)
        .map_or(text, |(at, _)| &text[..at])
}

/// Escapes control characters but for tabs, which annotate-snippets shows as blanks.
fn shown(text: &str) -> String {
    let parts: Vec<_> = text
        .split('\t')
        .map(|part| visible(part.as_bytes()))
        .collect();
    parts.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Diagnostics, FileKind};

    const KIND: FileKind = FileKind {
        name: "a file",
        max_kib: 1024,
    };

    /// What a file of that text shows for an error from `start` to `end`.
    fn shown_for(text: &str, start: usize, end: usize) -> String {
        let mut diagnostics = Diagnostics::default();
        let source = SourceText::new("a\u{1b}.kql", text.as_bytes(), KIND, &mut diagnostics);
        let message = "no\n\t\u{9b}";
        diagnostics.error(Span { start, end }, message, Some("\u{202e}".to_owned()));
        diagnostics.render(&source)
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let all: String = (0..0x300)
            .chain(0x2000..0x2100)
            .filter_map(char::from_u32)
            .collect();
        let line = all.replace(['\n', '\r'], "");
        for start in (0..line.len()).filter(|&at| line.is_char_boundary(at)) {
            let text = shown_for(&line, start, start + 1);
            let escaped = visible(text.replace('\n', "").as_bytes());
            assert_eq!(text.replace('\n', ""), escaped, "{start}");
        }
    }

    #[test]
    fn what_is_rendered_is_bounded() {
        const MOST: usize = 4 << 10;
        for piece in ["a", "\t", "\u{300}", "\u{200d}", "日", "\u{1b}", "🦀"] {
            let text = piece.repeat((1 << 20) / piece.len());
            for (start, end) in [(0, text.len()), (text.len() / 2, text.len()), (0, 0)] {
                let start = text.floor_char_boundary(start);
                let shown = shown_for(&text, start, end);
                assert!(shown.len() < MOST, "{piece:?} {start}: {}", shown.len());
            }
        }
    }
}
