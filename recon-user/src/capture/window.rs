//! A view of a stream that slides: whole headers and packets in one piece.
//!
//! In: a reader. Out: as many bytes from the current place on as somebody asks for, in a slice.
//! The decision held here: the buffer grows in steps by what the stream has really given, and never
//! at once to a length that a file claims.

use std::io::{self, Read};

/// How much is read at once.
const STEP: usize = 64 << 10;

/// The bytes of a stream from the current place on.
pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the current place is in the buffer, and where the bytes end.
    start: usize,
    end: usize,
    /// The current place in the stream.
    position: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            position: 0,
        }
    }

    /// The current place in the stream.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes are there without reading.
    pub(super) const fn available(&self) -> usize {
        self.end - self.start
    }

    /// Reads until `length` bytes are there, or the stream ends. Returns whether they are.
    #[inline]
    pub(super) fn fill(&mut self, length: usize) -> io::Result<bool> {
        match self.available() >= length {
            true => Ok(true),
            false => self.read_until(length),
        }
    }

    fn read_until(&mut self, length: usize) -> io::Result<bool> {
        while self.available() < length {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.buffer.len() - self.end < STEP {
                self.buffer.resize(self.end + STEP, 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The first `length` bytes from the current place on, or all if there are fewer.
    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        let end = self.start.saturating_add(length).min(self.end);
        &self.buffer[self.start..end]
    }

    /// Moves the current place over bytes that are there.
    pub(super) fn skip(&mut self, length: usize) {
        let length = length.min(self.available());
        self.start += length;
        self.position += length as u64;
    }

    /// The last `length` bytes that were skipped and are still there.
    pub(super) fn skipped(&self, length: usize) -> &[u8] {
        &self.buffer[self.start.saturating_sub(length)..self.start]
    }

    /// Moves it over any number of bytes. Returns whether there were so many.
    pub(super) fn skip_over(&mut self, mut length: u64) -> io::Result<bool> {
        while length > 0 {
            if self.available() == 0 && !self.fill(1)? {
                return Ok(false);
            }
            let here = usize::try_from(length).unwrap_or(usize::MAX);
            let here = here.min(self.available());
            self.skip(here);
            length -= here as u64;
        }
        Ok(true)
    }
}
