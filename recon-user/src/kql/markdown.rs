//! Which parts of a rule file are KQL.
//!
//! In: a [`Source`]. Out: the blocks of it that hold queries, as spans of the original text.
//! The decision held here: a file whose name ends in .md or .markdown is Markdown, and its queries
//! are in blocks fenced as kusto or kql. Any other file is KQL from end to end.

use std::path::Path;

use crate::diagnostic::{SourceText, Span};

/// Info strings of a fenced block that mark it as KQL.
const LANGUAGES: [&str; 2] = ["kusto", "kql"];

/// A part of a file that is KQL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) span: Span,
    /// The Markdown heading before it.
    pub(super) title: Option<Span>,
}

/// The parts that are KQL, in the order of the file.
pub(super) fn blocks(source: &SourceText) -> Vec<Block> {
    if is_markdown(source.name()) {
        return fenced_blocks(source);
    }
    let (start, end) = (0, source.text().len());
    let span = Span { start, end };
    vec![Block { span, title: None }]
}

fn is_markdown(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| {
        extension.eq_ignore_ascii_case("md") || extension.eq_ignore_ascii_case("markdown")
    })
}

fn fenced_blocks(source: &SourceText) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut title = None;
    let mut open: Option<Fence<'_>> = None;
    for line in source.lines() {
        let text = source.slice(line);
        if let Some(fence) = &open {
            if !fence.is_closed_by(text) {
                continue;
            }
            blocks.extend(fence.block(line.start, &mut title));
            open = None;
        } else if let Some(fence) = Fence::open(text, line.end) {
            open = Some(fence);
        } else if let Some(found) = heading(text) {
            // `found` is a slice of the line, which gives its place.
            let start = line.start + (found.as_ptr() as usize - text.as_ptr() as usize);
            let end = start + found.len();
            title = Some(Span { start, end });
        }
    }
    // An unclosed block ends with the file.
    if let Some(fence) = open {
        blocks.extend(fence.block(source.text().len(), &mut title));
    }
    blocks
}

/// The line that opens a fenced block.
struct Fence<'a> {
    /// The backticks or tildes.
    mark: &'a str,
    language: &'a str,
    /// Where the enclosed text begins.
    content: usize,
}

impl<'a> Fence<'a> {
    /// How many backticks or tildes make a fence.
    const SHORTEST: usize = 3;

    fn open(line: &'a str, content: usize) -> Option<Self> {
        let line = line.trim_start_matches([' ', '\t', '>']);
        let letter = line
            .chars()
            .next()
            .filter(|letter| "`~".contains(*letter))?;
        let after = line.trim_start_matches(letter);
        let mark = &line[..line.len() - after.len()];
        if mark.len() < Self::SHORTEST || letter == '`' && after.contains('`') {
            return None;
        }
        let language = after.split_whitespace().next().unwrap_or_default();
        Some(Self {
            mark,
            language,
            content,
        })
    }

    /// The enclosed block, which ends at `end`, if it is KQL. It takes the title.
    fn block(&self, end: usize, title: &mut Option<Span>) -> Option<Block> {
        let is_kql = LANGUAGES
            .iter()
            .any(|language| self.language.eq_ignore_ascii_case(language));
        let start = self.content;
        let span = Span { start, end };
        is_kql.then(|| Block {
            span,
            title: title.take(),
        })
    }

    /// A closing fence is at least as long as the opening one.
    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim_start_matches([' ', '\t', '>']).trim_end();
        line.starts_with(self.mark) && line.trim_start_matches(&self.mark[..1]).is_empty()
    }
}

/// The title in a line of Markdown: a heading, or a numbered line such as `**1. Port scan**`.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim().trim_matches(['*', '#']).trim();
    match numbered(text) {
        Some(title) => Some(title),
        None => Some(text).filter(|text| line.trim_start().starts_with('#') && !text.is_empty()),
    }
}

/// The text after the number of a title such as `1. Port scan`.
pub(super) fn numbered(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let title = rest.strip_prefix(['.', ')'])?;
    let is_title = rest.len() < line.len() && title.starts_with([' ', '\t']);
    let title = title.trim().trim_end_matches(['*', '#']).trim_end();
    (is_title && !title.is_empty()).then_some(title)
}
