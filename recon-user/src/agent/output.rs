//! What the agent writes: alerts, and the counted rows where they are asked for.
//!
//! In: lines of alerts, rows. Out: stdout and a file; at the end, what became of all lines.
//! The decision held here: a poll's rows go in batches, since there may be a hundred thousand; alerts go one by one, so that none waits.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::row::{Row, json};
use crate::sink::{LineQueue, Sink, Written};

/// Bytes after which rows are handed on.
const BATCH: usize = 1 << 16;
/// Batches of rows that wait for a slow disk.
const ROWS: usize = 1024;
/// Stdout, as the name of a file.
const STDOUT: &str = "-";

/// Where rows go.
#[derive(Debug)]
enum Way {
    /// To stdout, with the alerts.
    Stdout,
    /// To a file.
    File(Sink),
}

#[derive(Debug)]
struct Rows {
    way: Way,
    lines: LineQueue,
    batch: Vec<u8>,
    batched: u64,
}

/// What became of all lines.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) alerts: Written,
    pub(super) rows: Option<Written>,
}

/// Where the agent writes.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Sink,
    rows: Option<Rows>,
    has_alerts: bool,
}

impl Output {
    /// Alerts go to stdout if there `has_alerts`, and rows to the file of that name, if there is one.
    pub(super) fn new(events: Option<&Path>, has_alerts: bool) -> anyhow::Result<Self> {
        let stdout = Sink::new(io::stdout()).context("can't write to stdout")?;
        let rows = match events {
            Some(path) if path == Path::new(STDOUT) => Some((Way::Stdout, stdout.another_queue())),
            Some(path) => {
                let name = path.display().to_string();
                let file =
                    File::create(path).with_context(|| format!("can't write events to {name}"))?;
                let sink = Sink::named(&file, &name, "events", ROWS)?;
                let lines = sink.another_queue();
                Some((Way::File(sink), lines))
            }
            None => None,
        };
        Ok(Self {
            stdout,
            rows: rows.map(|(way, lines)| Rows {
                way,
                lines,
                batch: Vec::with_capacity(BATCH),
                batched: 0,
            }),
            has_alerts,
        })
    }

    /// Whether rows are written.
    pub(super) fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// Writes a row, where rows are written.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let Some(rows) = &mut self.rows else { return };
        match json::write(row, &mut rows.batch) {
            Ok(()) => rows.batched += 1,
            Err(error) => log::error!("can't write a row: {error}"),
        }
        if rows.batch.len() >= BATCH {
            rows.hand_on();
        }
    }

    /// Ends a poll's rows.
    pub(super) fn end_rows(&mut self) {
        if let Some(rows) = &mut self.rows {
            rows.hand_on();
        }
    }

    /// Writes an alert's line, where alerts are written.
    pub(super) fn alert(&mut self, line: Vec<u8>) {
        if self.has_alerts {
            self.stdout.write(line);
        }
    }

    /// Whether the reader of stdout has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.stdout.is_closed()
    }

    /// Waits, not for ever, until all is written.
    pub(super) fn finish(self) -> Total {
        let Some(rows) = self.rows else {
            return Total {
                alerts: self.stdout.finish(),
                rows: None,
            };
        };
        let written = rows.lines.close();
        if let Way::File(sink) = rows.way {
            // It has no lines of its own.
            let _ = sink.finish();
        }
        Total {
            alerts: self.stdout.finish(),
            rows: Some(written()),
        }
    }
}

impl Rows {
    fn hand_on(&mut self) {
        if self.batched > 0 {
            let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
            self.lines
                .write_lines(batch, std::mem::take(&mut self.batched));
        }
    }
}
