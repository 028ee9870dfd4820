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
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(FULL + LAST_LINE);
        }
        self.bytes.extend_from_slice(line);
        self.lines += 1;
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
    fn lines_are_taken_together() {
        let mut gathered = GatheredLines::default();
        assert_eq!(gathered.take(), None);
        gathered.add(b"first\n");
        gathered.add(b"second\n");
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
