//! Lines on their way to a stream, and what is known of each.
//!
//! In: batches, and answers. Out: which lines to send, and counts of those that are done.
//! The decision held here: lines of a kind have a subject of their own, and so a fate of their own.

use std::collections::VecDeque;

use super::queue::LineBatch;

/// How much of a subject a refusal must name: the text of a server is cut off.
const MOST_COMPARED: usize = 100;

/// What is known of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineState {
    /// It is not in the stream.
    Waits,
    /// It was sent and nobody has answered: it may be in the stream.
    Unknown,
    /// It is on its way, and may have been in the stream before.
    Sent {
        is_again: bool,
    },
    Stored,
    Lost,
}

/// Lines that came together.
pub(super) struct Sending {
    pub(super) batch: LineBatch,
    /// The number of the first one.
    pub(super) first: u64,
    /// Where each ends, and what is known of it.
    pub(super) lines: Vec<(usize, LineState)>,
}

/// Lines of a kind, in order.
pub(super) struct Lane {
    pub(super) subject: String,
    pub(super) waiting: VecDeque<Sending>,
    /// Lines that may be on their way.
    pub(super) most_sent: usize,
}

impl Sending {
    pub(super) fn is_done(&self) -> bool {
        let mut states = self.lines.iter().map(|(_, state)| state);
        states.all(|state| matches!(state, LineState::Stored | LineState::Lost))
    }

    /// Counts its lines, and returns how many are not written.
    pub(super) fn settle(&self) -> u64 {
        let stored = self.lines.iter();
        let stored = stored.filter(|(_, state)| *state == LineState::Stored);
        let written = (stored.count() as u64).min(self.batch.lines);
        self.batch.counts.settle(self.batch.lines, written);
        self.batch.lines - written
    }

    /// A line, without its end.
    pub(super) fn line(&self, index: usize) -> &[u8] {
        let start = match index {
            0 => 0,
            _ => self.lines[index - 1].0 + 1,
        };
        &self.batch.bytes[start..self.lines[index].0]
    }
}

impl Lane {
    /// The lines that are on their way.
    pub(super) fn sent(&mut self) -> impl Iterator<Item = &mut LineState> {
        let lines = self.waiting.iter_mut().flat_map(|it| &mut it.lines);
        let states = lines.map(|(_, state)| state);
        states.filter(|state| matches!(state, LineState::Sent { .. }))
    }

    /// Nobody will answer what is on its way.
    pub(super) fn note_unknown(&mut self) {
        let mut sent = 0;
        for state in self.sent() {
            *state = LineState::Unknown;
            sent += 1;
        }
        if sent > 0 {
            self.most_sent = 1;
        }
    }

    /// Whether that refusal is one of its lines.
    pub(super) fn is_named_by(&self, says: &str) -> bool {
        let compared = self.subject.len().min(MOST_COMPARED);
        says.contains(&self.subject[..compared])
    }
}
