//! The rows of a poll, or of a part of it, before sinks get them.
//!
//! In: rows, as they are drained. Out: lines, which a sink's thread formats.
//! The decision held here: a row is copied and not formatted here, so that a poll takes no longer
//! for its readers. What rows have in common is kept once: the host's name, and a process for the
//! rows that follow each other.

use bytes::Bytes;
use jiff::Timestamp;

use crate::process::Process;
use crate::row::{Row, RowKey, Standing, json};
use crate::sink::SharedLines;

/// From so many rows on, they are handed on: some 64 KiB of text.
const FULL: usize = 128;
/// What the line of a row seldom exceeds, in bytes.
const LINE: usize = 512;

/// Rows that no sink has yet.
#[derive(Debug, Default)]
pub(super) struct GatheredRows {
    device: String,
    rows: Vec<GatheredRow>,
    processes: Vec<Process>,
    /// The time, and how many events were lost until then.
    loss: Option<(Timestamp, u64)>,
}

#[derive(Debug)]
struct GatheredRow {
    key: RowKey,
    count: u64,
    time: Timestamp,
    /// Its place in `processes`.
    process: Option<usize>,
    is_scanner: bool,
    listener: Option<bool>,
}

impl GatheredRows {
    /// Adds a row. All have the same device.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        self.name_device(row.device);
        let process = row.process.map(|process| self.place(row, process));
        if self.rows.capacity() == 0 {
            self.rows.reserve_exact(FULL);
        }
        self.rows.push(GatheredRow {
            key: row.key,
            count: row.count,
            time: row.time,
            process,
            is_scanner: row.is_scanner,
            listener: row.listener,
        });
    }

    /// Adds what the poll lost, after its rows.
    pub(super) fn add_loss(&mut self, time: Timestamp, device: &str, events: u64) {
        self.name_device(device);
        self.loss = Some((time, events));
    }

    fn name_device(&mut self, device: &str) {
        if self.device != device {
            device.clone_into(&mut self.device);
        }
    }

    /// The place of a row's process, which is that of the row before if both have the same one.
    fn place(&mut self, row: &Row<'_>, process: &Process) -> usize {
        let last = self.rows.last();
        let same = last.filter(|last| last.key.sender() == row.key.sender());
        same.and_then(|last| last.process).unwrap_or_else(|| {
            self.processes.push(process.clone());
            self.processes.len() - 1
        })
    }

    /// Whether it is time to take them.
    pub(super) const fn is_full(&self) -> bool {
        self.rows.len() >= FULL
    }

    /// The lines, if there are any, and how many.
    pub(super) fn take(&mut self) -> Option<(SharedLines, u64)> {
        let lines = self.rows.len() + usize::from(self.loss.is_some());
        (lines > 0).then(|| {
            let rows = std::mem::take(self);
            (SharedLines::later(|| rows.format()), lines as u64)
        })
    }

    fn format(self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.rows.len() * LINE);
        for row in &self.rows {
            let row = Row {
                key: row.key,
                count: row.count,
                time: row.time,
                device: &self.device,
                process: row.process.and_then(|place| self.processes.get(place)),
                is_scanner: row.is_scanner,
                listener: row.listener,
                // No column of a line has it.
                standing: Standing::default(),
                sources: None,
            };
            let before = bytes.len();
            if let Err(error) = json::write(&row, &mut bytes) {
                bytes.truncate(before);
                tracing::error!("can't write a row: {error}");
            }
        }
        if let Some((time, events)) = self.loss
            && let Err(error) = json::write_loss(time, &self.device, events, &mut bytes)
        {
            tracing::error!("can't write a loss: {error}");
        }
        bytes.into_boxed_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use recon_common::Signal;

    use super::*;

    fn row<'a>(signal: Signal, process: Option<&'a Process>) -> Row<'a> {
        let mut key = RowKey::of(signal);
        key.pid = process.map(|process| process.pid);
        Row {
            device: "web1",
            process,
            is_scanner: process.is_some(),
            listener: Some(true),
            ..Row::bare(key, 7, Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn lines_are_those_of_the_rows() {
        let named = |pid, name: &str| Process {
            pid,
            name: Some(name.to_owned()),
            ..Process::default()
        };
        let [nmap, masscan] = [named(77, "nmap"), named(78, "masscan")];
        let rows = [
            row(Signal::Syn, None),
            row(Signal::SynSent, Some(&nmap)),
            row(Signal::SynSent, Some(&nmap)),
            row(Signal::SynSent, Some(&masscan)),
            row(Signal::EchoRequest, None),
            row(Signal::SynSent, Some(&nmap)),
        ];
        let mut gathered = GatheredRows::default();
        assert!(gathered.take().is_none());
        let mut expected = Vec::new();
        for row in &rows {
            gathered.add(row);
            json::write(row, &mut expected).expect("memory");
        }
        assert_eq!(gathered.processes.len(), 3);
        gathered.add_loss(Timestamp::UNIX_EPOCH, "web1", 9);
        json::write_loss(Timestamp::UNIX_EPOCH, "web1", 9, &mut expected).expect("memory");
        let (lines, number) = gathered.take().expect("rows");
        assert_eq!(number, rows.len() as u64 + 1);
        assert_eq!(lines.bytes(), expected);
        assert!(gathered.take().is_none());
    }

    #[test]
    fn rows_are_taken_before_they_are_many() {
        let mut gathered = GatheredRows::default();
        for _ in 0..FULL {
            assert!(!gathered.is_full());
            gathered.add(&row(Signal::Syn, None));
        }
        assert!(gathered.is_full());
    }
}
