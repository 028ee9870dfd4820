//! A rule file: its text, where its lines begin, and which parts of it are KQL.
//!
//! In: a file's name and bytes. Out: [`Source`], and the blocks of it that hold queries, as spans of the original text, so that every
//! message names the line and column that an editor shows.
//! The decisions held here: a file whose name ends in .md or .markdown is Markdown, and its queries are in blocks fenced as kusto or
//! kql; any other file is KQL from end to end. A file is UTF-8 and of limited size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::diagnostic::Diagnostics;

/// The largest rule file. The ten detections take 4 KiB.
const MAX_BYTES: usize = 1 << 20;
/// What a fenced block's info string must begin with to be KQL.
const LANGUAGES: [&str; 2] = ["kusto", "kql"];
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A part of a file, in bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From where this one begins to where `last` ends.
    pub(super) fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end.max(self.start),
        }
    }
}

/// A rule file.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// A part of a file that is KQL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) span: Span,
    /// The Markdown title that stands before it.
    pub(super) title: Option<Span>,
}

/// What is in a file, as far as it may be a rule file: one byte more tells that it is too large.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Source {
    /// The file of that name. What is not UTF-8 or too large is told of, and then there is no text.
    pub(crate) fn new(name: &str, bytes: &[u8], diagnostics: &mut Diagnostics) -> Self {
        let mut text = String::new();
        if bytes.len() > MAX_BYTES {
            let message = format!("a rule file has at most {} KiB", MAX_BYTES >> 10);
            diagnostics.error(Span::default(), message, None);
        } else {
            text = String::from_utf8_lossy(bytes).into_owned();
            if let Err(error) = std::str::from_utf8(bytes) {
                let start = error.valid_up_to();
                let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
                diagnostics.error(Span { start, end }, "this is not UTF-8", None);
            }
        }
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        Self {
            name: name.to_owned(),
            text,
            lines,
        }
    }

    /// A file of that name with nothing in it.
    pub(crate) fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: String::new(),
            lines: vec![0],
        }
    }

    /// The name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span.
    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line of a byte, counted from 0, and its span without the line's end.
    pub(super) fn line(&self, at: usize) -> (usize, Span) {
        let number = self.lines.partition_point(|&start| start <= at) - 1;
        let start = self.lines[number];
        let next = self.lines.get(number + 1).copied();
        let line = &self.text[start..next.unwrap_or(self.text.len())];
        let end = start + line.trim_end_matches(['\r', '\n']).len();
        (number, Span { start, end })
    }

    /// `LINE:COLUMN` of a byte, both counted from 1, the column in characters.
    pub(super) fn place(&self, at: usize) -> String {
        let (line, span) = self.line(at);
        let before = span.start..at.min(span.end);
        let column = self.text[before].chars().count();
        format!("{}:{}", line + 1, column + 1)
    }

    /// `FILE:LINE` of a byte.
    pub(super) fn file_and_line(&self, at: usize) -> String {
        let (line, _) = self.line(at);
        format!("{}:{}", self.name, line + 1)
    }

    fn is_markdown(&self) -> bool {
        let extension = Path::new(&self.name).extension();
        extension.is_some_and(|extension| {
            extension.eq_ignore_ascii_case("md") || extension.eq_ignore_ascii_case("markdown")
        })
    }

    /// The parts that are KQL, in the order in which they stand.
    pub(super) fn blocks(&self) -> Vec<Block> {
        if self.is_markdown() {
            return self.fenced();
        }
        let start = match self.text.starts_with(BYTE_ORDER_MARK) {
            true => BYTE_ORDER_MARK.len_utf8(),
            false => 0,
        };
        let end = self.text.len();
        vec![Block {
            span: Span { start, end },
            title: None,
        }]
    }

    fn fenced(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut title = None;
        let mut open: Option<Fence<'_>> = None;
        for &start in &self.lines {
            let (_, line) = self.line(start);
            let text = self.slice(line);
            if let Some(fence) = &open {
                if !fence.is_closed_by(text) {
                    continue;
                }
                if fence.is_kql() {
                    let (start, end) = (fence.content, start);
                    let span = Span { start, end };
                    blocks.push(Block { span, title });
                    title = None;
                }
                open = None;
            } else if let Some(fence) = Fence::open(text, line.end) {
                open = Some(fence);
            } else if let Some(found) = heading(text) {
                // A slice of the line, so that its place is known.
                let start = line.start + (found.as_ptr() as usize - text.as_ptr() as usize);
                let end = start + found.len();
                title = Some(Span { start, end });
            }
        }
        // A block that is not closed goes on to the file's end.
        if let Some(fence) = open.filter(Fence::is_kql) {
            let (start, end) = (fence.content, self.text.len());
            let span = Span { start, end };
            blocks.push(Block { span, title });
        }
        blocks
    }
}

/// The line that opens a fenced block.
struct Fence<'a> {
    /// The backticks or tildes.
    mark: &'a str,
    language: &'a str,
    /// Where what it encloses begins.
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

    fn is_kql(&self) -> bool {
        LANGUAGES
            .iter()
            .any(|language| self.language.eq_ignore_ascii_case(language))
    }

    /// A closing fence is at least as long as the opening one.
    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim_start_matches([' ', '\t', '>']).trim_end();
        line.starts_with(self.mark) && line.trim_start_matches(&self.mark[..1]).is_empty()
    }
}

/// The title that a line of Markdown is: a heading, or a numbered line such as `**1. Port scan**`.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim().trim_matches(['*', '#']).trim();
    match numbered(text) {
        Some(title) => Some(title),
        None => Some(text).filter(|text| line.trim_start().starts_with('#') && !text.is_empty()),
    }
}

/// What follows the number of a title such as `1. Port scan`.
pub(super) fn numbered(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let title = rest.strip_prefix(['.', ')'])?;
    let is_title = rest.len() < line.len() && title.starts_with([' ', '\t']);
    let title = title.trim().trim_end_matches(['*', '#']).trim_end();
    (is_title && !title.is_empty()).then_some(title)
}
