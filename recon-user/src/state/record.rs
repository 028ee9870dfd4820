//! A poll as a record of the journal: all that the pipeline was given.
//!
//! In: the rows of a poll as they are pushed, then the poll itself. Out: bytes; and the rows again.
//! The decision held here: a row is written as it is pushed, so that a poll is not kept twice. A
//! process is written once for all rows of a program: a scan brings thousands.

use std::collections::HashMap;

use jiff::Timestamp;
use recon_common::{ImageId, Registers};
use serde::{Deserialize, Serialize};

use super::format::{begin_record, end_record, next_record};
use crate::drain::Commit;
use crate::process::Process;
use crate::row::{Interval, Row, RowKey, Standing};

/// A record.
#[derive(Debug, Serialize, Deserialize)]
enum RecordKind {
    /// The rows of a poll.
    Poll,
    /// The lines of all polls up to this one are written.
    Mark(u64),
}

/// A poll, apart from its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PollHead {
    /// Its number. Numbers go on over restarts.
    pub(crate) number: u64,
    pub(crate) interval: Interval,
    /// Whether the kernel lost something.
    pub(crate) is_lossy: bool,
    /// What the kernel may empty once this record is written.
    pub(crate) commit: Option<Commit>,
    /// What the agent knows besides, opaque to the journal.
    pub(crate) agent: Vec<u8>,
}

/// A row, apart from its time and host, which are those of its poll.
#[derive(Serialize, Deserialize)]
struct RecordedRow {
    key: RowKey,
    count: u64,
    /// Its place among the processes of the poll.
    process: Option<u32>,
    is_scanner: bool,
    listener: Option<bool>,
    sources: Option<Vec<u32>>,
}

/// The rows of the poll that goes on.
#[derive(Debug, Default)]
pub(crate) struct PollRecorder {
    rows: Vec<u8>,
    count: u64,
    processes: Vec<u8>,
    known: HashMap<ImageId, u32>,
    /// Whether something could not be written down.
    is_broken: bool,
}

impl PollRecorder {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: &Row<'_>) {
        let process = row.process.zip(row.key.sender());
        let process = process.map(|(process, sender)| self.number_of(process, sender));
        let recorded = RecordedRow {
            key: row.key,
            count: row.count,
            process,
            is_scanner: row.is_scanner,
            listener: row.listener,
            sources: row.sources.map(|registers| registers.0.to_vec()),
        };
        self.is_broken |= postcard::to_io(&recorded, &mut self.rows).is_err();
        self.count += 1;
    }

    fn number_of(&mut self, process: &Process, sender: ImageId) -> u32 {
        let next = self.known.len() as u32;
        let number = *self.known.entry(sender).or_insert(next);
        if number == next {
            self.is_broken |= postcard::to_io(process, &mut self.processes).is_err();
        }
        number
    }

    /// Ends the poll: the record of it, unless something could not be written down.
    pub(crate) fn end_poll(&mut self, head: &PollHead) -> Option<Vec<u8>> {
        let mut record = Vec::with_capacity(self.rows.len() + self.processes.len() + 256);
        let start = begin_record(&mut record);
        let counts = (self.known.len() as u64, self.count);
        let is_whole = postcard::to_io(&(RecordKind::Poll, head, counts), &mut record).is_ok();
        record.extend(&self.processes);
        record.extend(&self.rows);
        end_record(&mut record, start);
        let is_broken = self.is_broken;
        self.clear();
        (is_whole && !is_broken).then_some(record)
    }

    /// Forgets the rows.
    pub(crate) fn clear(&mut self) {
        /// Bytes of rows that are kept for the next poll: a flood's are freed.
        const KEPT: usize = 1 << 20;
        self.rows.clear();
        self.rows.shrink_to(KEPT);
        self.processes.clear();
        self.known.clear();
        self.count = 0;
        self.is_broken = false;
    }
}

/// The record that the lines of all polls up to this one are written.
pub(super) fn mark(poll: u64) -> Vec<u8> {
    let mut record = Vec::new();
    let start = begin_record(&mut record);
    // Memory never refuses.
    let _ = postcard::to_io(&RecordKind::Mark(poll), &mut record);
    end_record(&mut record, start);
    record
}

/// A record that was read.
#[derive(Debug)]
pub(crate) enum Record {
    /// A poll.
    Poll(RecordedPoll),
    /// The lines of all polls up to this one are written.
    Mark(u64),
}

/// A poll with its rows.
pub(crate) struct RecordedPoll {
    pub(crate) head: PollHead,
    processes: Vec<Process>,
    rows: Vec<RecordedRow>,
}

impl std::fmt::Debug for RecordedPoll {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { head, rows, .. } = self;
        write!(formatter, "{head:?} with {} rows", rows.len())
    }
}

impl RecordedPoll {
    /// Gives its rows, in their order.
    pub(crate) fn for_each_row(&self, device: &str, mut push: impl FnMut(&Row<'_>, Interval)) {
        let interval = self.head.interval;
        for recorded in &self.rows {
            let sources = recorded.sources.as_deref();
            let sources = sources.and_then(|ranks| Some(Registers(ranks.try_into().ok()?)));
            let place = recorded.process.map(|place| place as usize);
            let row = Row {
                key: recorded.key,
                count: recorded.count,
                time: interval.to,
                device,
                process: place.and_then(|place| self.processes.get(place)),
                is_scanner: recorded.is_scanner,
                listener: recorded.listener,
                standing: Standing::default(),
                sources: sources.as_ref(),
            };
            push(&row, interval);
        }
    }

    /// When it was.
    pub(crate) fn time(&self) -> Timestamp {
        self.head.interval.to
    }
}

/// Reads the next record. `None` at the end, and from a record on that is not whole.
pub(super) fn read_record(journal: &mut &[u8]) -> Option<Record> {
    let (payload, rest) = next_record(journal)?;
    *journal = rest;
    let (kind, rest) = postcard::take_from_bytes::<RecordKind>(payload).ok()?;
    match kind {
        RecordKind::Mark(poll) => Some(Record::Mark(poll)),
        RecordKind::Poll => read_poll(rest).map(Record::Poll),
    }
}

fn read_poll(bytes: &[u8]) -> Option<RecordedPoll> {
    let (head, rest) = postcard::take_from_bytes::<PollHead>(bytes).ok()?;
    let ((processes, rows), mut rest) = postcard::take_from_bytes::<(u64, u64)>(rest).ok()?;
    // Without an allocation for what a number promises.
    let mut poll = RecordedPoll {
        head,
        processes: Vec::new(),
        rows: Vec::new(),
    };
    for _ in 0..processes {
        let (process, after) = postcard::take_from_bytes(rest).ok()?;
        poll.processes.push(process);
        rest = after;
    }
    for _ in 0..rows {
        let (row, after) = postcard::take_from_bytes(rest).ok()?;
        poll.rows.push(row);
        rest = after;
    }
    Some(poll)
}
