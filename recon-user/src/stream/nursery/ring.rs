//! A queue of logs in chunks, each log under a number that it keeps.
//!
//! In: logs, at the back. Out: logs by number, and whole chunks from the front.
//! The decisions held here: chunks are allocated and freed as they are, so that a large queue is
//! never copied; logs of the first chunk that stay move to the back, into its own memory if need
//! be.

use std::collections::VecDeque;

use super::super::window::allocated;
use super::log::Log;

/// Logs in a chunk: about 8 KiB.
const CHUNK: usize = 1 << 6;

/// The number of a log. Numbers wrap: what lives is far less than half of them.
pub(in crate::stream) type LogNumber = u32;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// All but the last are full, and none is empty.
    chunks: VecDeque<Vec<Log>>,
    spare: Option<Vec<Log>>,
    /// The number of the first log of the first chunk.
    first: LogNumber,
}

impl Ring {
    /// The bytes that it takes, the heap of logs apart.
    pub(super) fn bytes(&self) -> usize {
        let chunks = self.chunks.len() + usize::from(self.spare.is_some());
        chunks * allocated(CHUNK * size_of::<Log>())
            + allocated(self.chunks.capacity() * size_of::<Vec<Log>>())
    }

    /// The bytes that the next log may take.
    pub(super) fn growth(&self) -> usize {
        let is_full = self.chunks.back().is_none_or(|last| last.len() == CHUNK);
        if is_full && self.spare.is_none() {
            allocated(CHUNK * size_of::<Log>())
        } else {
            0
        }
    }

    /// Whether there is a log of that number.
    pub(super) fn contains(&self, number: LogNumber) -> bool {
        let offset = number.wrapping_sub(self.first) as usize;
        let chunk = self.chunks.get(offset / CHUNK);
        chunk.is_some_and(|chunk| offset % CHUNK < chunk.len())
    }

    #[inline]
    pub(super) fn get(&self, number: LogNumber) -> &Log {
        let offset = number.wrapping_sub(self.first) as usize;
        &self.chunks[offset / CHUNK][offset % CHUNK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: LogNumber) -> &mut Log {
        let offset = number.wrapping_sub(self.first) as usize;
        &mut self.chunks[offset / CHUNK][offset % CHUNK]
    }

    /// Adds a log at the back and returns its number.
    pub(super) fn push(&mut self, log: Log) -> LogNumber {
        if self.chunks.back().is_none_or(|last| last.len() == CHUNK) {
            let chunk = self.spare.take();
            self.chunks
                .push_back(chunk.unwrap_or_else(|| Vec::with_capacity(CHUNK)));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let mut offset = before;
        if let Some(last) = self.chunks.back_mut() {
            offset += last.len();
            last.push(log);
        }
        self.first.wrapping_add(offset as LogNumber)
    }

    /// Whether there is a chunk to take.
    pub(super) fn has_chunk(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Takes the logs of the first chunk, each with its number. Its memory is the spare then.
    pub(super) fn take_chunk(&mut self) -> Vec<(LogNumber, Log)> {
        let Some(mut chunk) = self.chunks.pop_front() else {
            return Vec::new();
        };
        let first = self.first;
        let numbers = (0..chunk.len()).map(|offset| first.wrapping_add(offset as LogNumber));
        let logs = numbers.zip(chunk.drain(..)).collect();
        self.first = first.wrapping_add(CHUNK as LogNumber);
        self.spare = Some(chunk);
        logs
    }

    /// Takes all logs, the oldest first.
    pub(super) fn into_logs(self) -> Vec<Log> {
        self.chunks.into_iter().flatten().collect()
    }

    /// Frees the spare chunk.
    pub(super) fn free_spare(&mut self) {
        self.spare = None;
    }

    /// The logs, the oldest first.
    pub(super) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.chunks.iter().flatten()
    }

    /// The same, to be changed.
    pub(super) fn logs_mut(&mut self) -> impl Iterator<Item = &mut Log> {
        self.chunks.iter_mut().flatten()
    }
}
