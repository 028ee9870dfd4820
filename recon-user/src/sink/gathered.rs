//! Lines that are gathered before sinks get them.
//!
//! In: whole lines, one at a time. Out: many of them in one piece of memory, which sinks share.
//! The decisions held here: to wake the thread of a sink costs as much as to format a line, so that
//! sinks get the lines of a poll together. The memory of a piece is as long as its lines, since it
//! may wait for hours until a peer is back.

use bytes::Bytes;

/// From so many bytes on, lines are handed on.
const FULL: usize = 1 << 16;
/// Room for the line that makes it full, so that the memory seldom moves.
const LAST_LINE: usize = 1 << 13;

/// Lines that no sink has yet.
#[derive(Debug, Default)]
pub struct GatheredLines {
    bytes: Vec<u8>,
    lines: u64,
}

impl GatheredLines {
    /// Adds a line with its line feed.
    pub fn add(&mut self, line: &[u8]) {
        self.make_room();
        self.bytes.extend_from_slice(line);
        self.lines += 1;
    }

    /// Takes memory for as many lines as are handed on together.
    fn make_room(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(FULL + LAST_LINE);
        }
    }

    /// Adds the line that `write` appends, or nothing if that fails.
    pub(crate) fn add_written<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.make_room();
        let before = self.bytes.len();
        let written = write(&mut self.bytes);
        match written {
            Ok(()) => self.lines += 1,
            Err(_) => self.bytes.truncate(before),
        }
        written
    }

    /// Whether it is time to take them.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// The lines, if there are any, and how many.
    pub fn take(&mut self) -> Option<(Bytes, u64)> {
        let lines = std::mem::take(&mut self.lines);
        // The allocator takes back what is left of the memory without moving the rest: to copy the
        // lines costs 50 ns for each.
        (lines > 0).then(|| {
            let bytes = std::mem::take(&mut self.bytes).into_boxed_slice();
            (Bytes::from(bytes), lines)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fails_leaves_nothing() {
        let mut gathered = GatheredLines::default();
        assert_eq!(gathered.take(), None);
        gathered.add(b"first\n");
        let failed = gathered.add_written(|bytes| {
            bytes.extend_from_slice(b"half a li");
            Err(())
        });
        assert_eq!(failed, Err(()));
        let added = gathered.add_written(|bytes| {
            bytes.extend_from_slice(b"second\n");
            Ok::<_, ()>(())
        });
        assert_eq!(added, Ok(()));
        assert_eq!(
            gathered.take(),
            Some((Bytes::from_static(b"first\nsecond\n"), 2))
        );
        assert_eq!(gathered.take(), None);
    }

    #[test]
    fn lines_are_taken_before_they_are_many() {
        let mut gathered = GatheredLines::default();
        let line = [b'a'; 1000];
        let added = (0..).take_while(|_| {
            gathered.add(&line);
            !gathered.is_full()
        });
        assert_eq!(added.count() + 1, FULL.div_ceil(line.len()));
    }
}
