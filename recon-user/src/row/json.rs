//! Rows as lines of JSON, and back.
//!
//! In: a row, or a line. Out: a line, or an [`OwnedRow`].
//! The decisions held here:
//! - A line has the name of the table as `Type`, then the columns in their order, without those
//!   that are null or empty.
//! - A row that is read back has the same columns. What no column holds, such as the container and
//!   the unit of a process, is not in a line.
//! - Keys that are not columns are ignored, so that lines with more keys can be read. A value that
//!   a column can't have is an error, never a guess.

mod line_reader;

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::json;

use super::{Row, RowKey, Standing, table};
use crate::kql::Field;
use crate::kql::eval::Value;
use crate::process::Process;
use line_reader::LineReader;

/// The key that holds the name of the table.
const TYPE: &str = "Type";
/// What the table of what this host answered was called in rows of recon 0.1.
const ANSWERS_TABLE: &str = "ReconAnswers";
/// The table of polls whose counts are a lower bound.
const LOSSES_TABLE: &str = "ReconLosses";
/// How many characters of a wrong value a message shows.
const MAX_SHOWN: usize = 80;

/// Why a line is not a row.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is not a JSON object.
    #[error("line {line}: expected a JSON object: {}", within_line(.source))]
    Json {
        /// The number of the line, from 1.
        line: usize,
        /// What the parser reports.
        source: serde_json::Error,
    },
    /// A required column is missing.
    #[error("line {line}: no {column}: {hint}")]
    Missing {
        /// The number of the line, from 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// What to add.
        hint: String,
    },
    /// A column has an invalid value.
    #[error("line {line}: {column} is {value}: {hint}")]
    Wrong {
        /// The number of the line, from 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// The value, as JSON.
        value: String,
        /// Which values are valid.
        hint: String,
    },
}

/// An error of the parser, which counts lines within the one that it got.
fn within_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what} in column {}", error.column()),
        None => text,
    }
}

/// A row that owns its device name and process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// Who did what to which address and port.
    pub key: RowKey,
    /// The number of events.
    pub count: u64,
    /// The time of the poll.
    pub time: Timestamp,
    /// The name of the host.
    pub device: String,
    /// The process of the key.
    pub process: Option<Process>,
    /// Whether that process is a known scanning tool.
    pub is_scanner: bool,
    /// Whether a socket of this host waits at the local port.
    pub listener: Option<bool>,
}

impl OwnedRow {
    /// Borrows the row.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        Row {
            key: self.key,
            count: self.count,
            time: self.time,
            device: &self.device,
            process: self.process.as_ref(),
            is_scanner: self.is_scanner,
            listener: self.listener,
            standing: Standing::default(),
            sources: None,
        }
    }
}

/// Writes a row as a line.
///
/// # Errors
/// `out` can't be written.
pub fn write(row: &Row<'_>, mut out: impl Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::new(&mut out);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(TYPE, table(row.key.signal).name())?;
    for (field, name, _) in Field::ALL {
        if field.is_derived() {
            continue;
        }
        match row.value(field) {
            Value::Bool(value) if !field.is_of_process() || row.key.pid.is_some() => {
                map.serialize_entry(name, &value)?;
            }
            Value::Long(value) => map.serialize_entry(name, &value)?,
            Value::DateTime(time) => map.serialize_entry(name, &time)?,
            Value::String(text) if !text.is_empty() => map.serialize_entry(name, &text)?,
            // Unknown values. Columns have no other types.
            _ => {}
        }
    }
    map.end()?;
    out.write_all(b"\n")
}

/// What a line says.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is a row, and a reader holds one line at a time"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// What a key counted in a poll.
    Row(OwnedRow),
    /// That the counts of the poll of that time are a lower bound.
    Loss(Timestamp),
}

/// Writes that the counts of a poll are a lower bound, as so many events were lost, or are known by
/// the address and port of this host alone.
///
/// # Errors
/// `out` can't be written.
pub fn write_loss(
    time: Timestamp,
    device: &str,
    events: u64,
    mut out: impl Write,
) -> io::Result<()> {
    let loss = json!({
        TYPE: LOSSES_TABLE,
        Field::TimeGenerated.name(): time,
        Field::DeviceName.name(): device,
        Field::Count.name(): events,
    });
    writeln!(out, "{loss}")
}

/// Reads a line. Errors name the line by `number`.
///
/// # Errors
/// The line is neither a row nor a loss.
pub fn parse_line(line: &str, number: usize) -> Result<Line, LineError> {
    let columns = serde_json::from_str(line).map_err(|source| LineError::Json {
        line: number,
        source,
    })?;
    let reader = LineReader {
        columns,
        line: number,
    };
    if reader.text(TYPE)? == Some(LOSSES_TABLE) {
        return reader.time().map(Line::Loss);
    }
    parse_row(&reader).map(Line::Row)
}

fn parse_row(reader: &LineReader) -> Result<OwnedRow, LineError> {
    let (signal, port) = reader.signal()?;
    let process = reader.process()?;
    let pid = process.as_ref().map(|process| process.pid);
    Ok(OwnedRow {
        key: RowKey {
            remote: reader.address(Field::RemoteIp)?,
            local: reader.address(Field::LocalIp)?,
            port,
            pid,
            image: 0,
            ending: reader.ending(signal)?,
            tool: reader.tool()?,
            interface: reader.name(Field::InterfaceName)?,
            netns: reader.name(Field::NetworkNamespace)?,
            signal,
        },
        count: reader.number(Field::Count)?.unwrap_or(1),
        time: reader.time()?,
        device: reader
            .text(Field::DeviceName.name())?
            .unwrap_or_default()
            .to_owned(),
        process,
        is_scanner: reader.is_scanner(pid)?,
        listener: reader.boolean(Field::LocalListener)?,
    })
}

#[cfg(test)]
mod tests;
