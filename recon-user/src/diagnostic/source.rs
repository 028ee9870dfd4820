//! A file that people write: its text, and where its lines begin.
//!
//! In: a file's name and bytes. Out: [`Source`], which gives each byte the line and column that an
//! editor shows. The decisions held here: a file is UTF-8 and of limited size. Its byte order mark
//! is no part of the text. A pipe to which nobody writes is an error, not a wait without end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Diagnostics;

/// The largest file that is read at all.
const MAX_BYTES: usize = 1 << 20;
/// How long a pipe may be silent.
const PIPE_PATIENCE: Duration = Duration::from_secs(5);
/// What Windows writes at the beginning of a file in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What begins a file in UTF-16, of either byte order.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A part of a file, in bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: usize,
    /// The byte after the last.
    pub(crate) end: usize,
}

impl Span {
    /// From the start of this span to the end of `last`.
    pub(crate) fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end.max(self.start),
        }
    }
}

/// What a file is for, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileKind {
    /// In words, such as `a rule file`.
    pub(crate) name: &'static str,
    pub(crate) max_kib: usize,
}

/// A file's name and text.
#[derive(Clone, Debug)]
pub struct SourceText {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Default for SourceText {
    fn default() -> Self {
        Self::of_text("", String::new())
    }
}

/// Reads a file up to one byte more than any [`FileKind`] allows.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    // To open a named pipe would wait for its writer.
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    let mut bytes = Vec::new();
    if !file.metadata()?.file_type().is_fifo() {
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let mut part = [0; 4096];
    while bytes.len() <= MAX_BYTES {
        wait_for_writer(&file)?;
        match file.read(&mut part)? {
            0 => break,
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
    Ok(bytes)
}

/// Waits until a pipe has bytes, or its writer has closed it.
fn wait_for_writer(pipe: &File) -> io::Result<()> {
    let mut ask = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PIPE_PATIENCE).unwrap_or(PollTimeout::MAX);
    match poll(&mut ask, patience)? {
        0 => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "nothing came out of this pipe for {PIPE_PATIENCE:?}: start what writes to it first"
            ),
        )),
        _ => Ok(()),
    }
}

impl SourceText {
    /// Decodes a file. Reports one that is too large, whose text is then empty, or not UTF-8.
    pub(crate) fn new(
        name: &str,
        bytes: &[u8],
        kind: FileKind,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        if bytes.len() > (kind.max_kib << 10).min(MAX_BYTES) {
            let message = format!("{} has at most {} KiB", kind.name, kind.max_kib);
            diagnostics.error(Span::default(), message, None);
            return Self::of_text(name, String::new());
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if let Err(error) = std::str::from_utf8(bytes) {
            let start = error.valid_up_to();
            let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
            let is_utf_16 = UTF_16.iter().any(|mark| bytes.starts_with(mark));
            let hint = "it looks like UTF-16: save the file as UTF-8".to_owned();
            let hint = is_utf_16.then_some(hint);
            diagnostics.error(Span { start, end }, "this is not UTF-8", hint);
        }
        Self::of_text(name, String::from_utf8_lossy(bytes).into_owned())
    }

    fn of_text(name: &str, text: String) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            lines: std::iter::once(0).chain(breaks).collect(),
            name: name.to_owned(),
            text,
        }
    }

    /// The name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line of a byte, counted from 0, and its span without the line's end.
    pub(crate) fn line(&self, at: usize) -> (usize, Span) {
        let number = self.lines.partition_point(|&start| start <= at) - 1;
        let start = self.lines[number];
        let next = self.lines.get(number + 1).copied();
        let line = &self.text[start..next.unwrap_or(self.text.len())];
        let end = start + line.trim_end_matches(['\r', '\n']).len();
        (number, Span { start, end })
    }

    /// The spans of all lines, without the lines' ends.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Span> {
        self.lines.iter().map(|&start| self.line(start).1)
    }

    /// `LINE:COLUMN` of a byte, both counted from 1, the column in characters.
    pub(super) fn place(&self, at: usize) -> String {
        let (line, span) = self.line(at);
        let before = span.start..at.min(span.end);
        let column = self.text[before].chars().count();
        format!("{}:{}", line + 1, column + 1)
    }

    /// `FILE:LINE` of a byte.
    pub(crate) fn file_and_line(&self, at: usize) -> String {
        let (line, _) = self.line(at);
        format!("{}:{}", self.name, line + 1)
    }
}
