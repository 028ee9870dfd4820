//! Lines of a file that may hold anything.
//!
//! In: bytes. Out: each line with its number, or why it is none.
//! The decision held here: a line has a bounded length, so that a file without line breaks does not
//! fill the memory.

use std::io::{self, BufRead, Read as _};

/// The longest line. A row has less than 10 KiB.
pub(crate) const LONGEST: usize = 1 << 20;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextLine<'a> {
    /// The text, without its line break; and whether it has one.
    Text(&'a str, bool),
    /// Why it is not text.
    Broken(&'static str),
}

/// What Windows writes at the beginning of a file in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    is_first: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            is_first: true,
        }
    }

    /// The next line, or `None` at the end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<NextLine<'_>>> {
        self.buffer.clear();
        let limit = LONGEST as u64 + 1;
        let read = self
            .reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        let is_ended = self.buffer.last() == Some(&b'\n');
        if !is_ended && self.buffer.len() > LONGEST {
            self.reader.skip_until(b'\n')?;
            return Ok(Some(NextLine::Broken("the line is longer than 1 MiB")));
        }
        let bytes = match std::mem::take(&mut self.is_first) {
            true => self.buffer.strip_prefix(BYTE_ORDER_MARK),
            false => None,
        };
        Ok(Some(match str::from_utf8(bytes.unwrap_or(&self.buffer)) {
            Ok(text) => NextLine::Text(text.trim_end_matches(['\n', '\r']), is_ended),
            Err(_) => NextLine::Broken("the line is not UTF-8"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_whatever_it_holds() {
        let long = vec![b'x'; LONGEST + 1];
        let text = [b"one\r\n\xff\n", &*long, b"\ntwo\n\nthree"].concat();
        let mut lines = Lines::new(&*text);
        for expected in [
            NextLine::Text("one", true),
            NextLine::Broken("the line is not UTF-8"),
            NextLine::Broken("the line is longer than 1 MiB"),
            NextLine::Text("two", true),
            NextLine::Text("", true),
            NextLine::Text("three", false),
        ] {
            let line = lines.next_line().expect("from memory");
            assert_eq!(line, Some(expected));
        }
        assert_eq!(lines.next_line().expect("from memory"), None);
    }
}
