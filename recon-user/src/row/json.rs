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

use std::io::{self, Write};

use jiff::Timestamp;
use recon_common::{Address, Ending, Signal};
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::{Map, Value as Json, json};

use super::{
    PortColumn, Row, RowKey, Standing, action_type, outcome, port_column, protocol, table,
};
use crate::diagnostic::{nearest, visible};
use crate::kql::eval::Value;
use crate::kql::{Field, Table};
use crate::process::Process;

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
    #[error("line {line}: expected a JSON object: {source}")]
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
            Value::Bool(value) if row.key.pid.is_some() => map.serialize_entry(name, &value)?,
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
            ending: reader.ending(signal)?,
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
    })
}

/// Reads the columns of one line.
struct LineReader {
    columns: Map<String, Json>,
    line: usize,
}

impl LineReader {
    /// The value of a column, unless it is missing or null.
    fn get(&self, column: &str) -> Option<&Json> {
        self.columns.get(column).filter(|value| !value.is_null())
    }

    fn missing(&self, column: &'static str, hint: impl Into<String>) -> LineError {
        LineError::Missing {
            line: self.line,
            column,
            hint: hint.into(),
        }
    }

    fn wrong(&self, column: &'static str, hint: impl Into<String>) -> LineError {
        let value = self.columns.get(column).unwrap_or(&Json::Null).to_string();
        LineError::Wrong {
            line: self.line,
            column,
            value: visible(value.as_bytes()).chars().take(MAX_SHOWN).collect(),
            hint: hint.into(),
        }
    }

    /// The string in a column, unless it is missing or empty.
    fn text(&self, column: &'static str) -> Result<Option<&str>, LineError> {
        match self.get(column) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong(column, "expected a string")),
        }
    }

    fn number<T: TryFrom<u64>>(&self, field: Field) -> Result<Option<T>, LineError> {
        let Some(value) = self.get(field.name()) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|value| T::try_from(value).ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(
                field.name(),
                "expected a whole number that is not too large",
            )),
        }
    }

    fn address(&self, field: Field) -> Result<Option<Address>, LineError> {
        let Some(text) = self.text(field.name())? else {
            return Ok(None);
        };
        let address: std::net::IpAddr = text
            .parse()
            .map_err(|_| self.wrong(field.name(), "expected an IPv4 or IPv6 address"))?;
        let address = Address::from(address);
        Ok((address != Address::UNSPECIFIED).then_some(address))
    }

    /// `TimeGenerated`, or `Timestamp` if there is only that.
    fn time(&self) -> Result<Timestamp, LineError> {
        let hint = "expected a time such as 2026-01-31T10:20:30Z";
        for field in [Field::TimeGenerated, Field::Timestamp] {
            if let Some(text) = self.text(field.name())? {
                return text.parse().map_err(|_| self.wrong(field.name(), hint));
            }
        }
        Err(self.missing(Field::TimeGenerated.name(), hint))
    }

    /// The signal of the row, and its port.
    fn signal(&self) -> Result<(Signal, Option<u16>), LineError> {
        let mut candidates = Signal::ALL.to_vec();
        let table_name = match self.text(TYPE)? {
            Some(ANSWERS_TABLE) => Table::Recon.name(),
            _ => {
                let tables = Table::ALL.iter().map(|table| table.name()).collect();
                self.one_of(TYPE, tables, Table::default().name())?
            }
        };
        candidates.retain(|&signal| table(signal).name() == table_name);

        let actions = candidates
            .iter()
            .map(|&signal| action_type(signal))
            .collect();
        let name = self.one_of(Field::ActionType.name(), actions, "")?;
        candidates.retain(|&signal| action_type(signal) == name);

        let outcomes = candidates.iter().map(|&signal| outcome(signal)).collect();
        let name = self.one_of(Field::Outcome.name(), outcomes, "")?;
        candidates.retain(|&signal| outcome(signal) == name);

        let protocols = candidates.iter().map(|&signal| protocol(signal)).collect();
        let name = self.one_of(Field::Protocol.name(), protocols, "")?;
        candidates.retain(|&signal| protocol(signal) == name);
        self.direction(&candidates)
    }

    /// The value of a column, which must be one of `known`.
    fn one_of<'a>(
        &'a self,
        column: &'static str,
        mut known: Vec<&'static str>,
        otherwise: &'static str,
    ) -> Result<&'a str, LineError> {
        known.sort_unstable();
        known.dedup();
        let text = self.text(column)?.unwrap_or(otherwise);
        if known.contains(&text) {
            return Ok(text);
        }
        known.retain(|name| !name.is_empty());
        let list = known.join(", ");
        if text.is_empty() {
            return Err(self.missing(column, format!("expected one of {list}")));
        }
        let hint = match nearest(text, known) {
            Some(meant) => format!("did you mean {meant}? Known are {list}"),
            None => format!("known are {list}"),
        };
        Err(self.wrong(column, hint))
    }

    /// Selects the signal by the column that holds the port. If two signals differ only in that
    /// column, the line may have only one of the two.
    fn direction(&self, candidates: &[Signal]) -> Result<(Signal, Option<u16>), LineError> {
        let local = self.number(Field::LocalPort)?;
        let remote = self.number(Field::RemotePort)?;
        let fits = |&signal: &Signal| match port_column(signal) {
            Some(PortColumn::Local) => local.map(|port| (signal, Some(port))),
            Some(PortColumn::Remote) => remote.map(|port| (signal, Some(port))),
            None => Some((signal, None)),
        };
        let mut found = candidates.iter().filter_map(fits);
        let (first, second) = (found.next(), found.next());
        match (first, second) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => {
                let hint = "LocalPort means that the remote sent it, RemotePort that this host did; keep only one of them";
                Err(self.wrong(Field::RemotePort.name(), hint))
            }
            (None, _) => {
                let is_local = |&signal: &Signal| port_column(signal) == Some(PortColumn::Local);
                let column = match candidates.iter().any(is_local) {
                    true => Field::LocalPort,
                    false => Field::RemotePort,
                };
                let hint = "rows of this ActionType have a port";
                Err(self.missing(column.name(), hint))
            }
        }
    }

    /// How the connection ended, for rows about that.
    fn ending(&self, signal: Signal) -> Result<Option<Ending>, LineError> {
        /// Milliseconds in a second.
        const SECOND: u64 = 1000;
        if signal != Signal::Ended {
            return Ok(None);
        }
        let number = |field| Ok(self.number::<u64>(field)?.unwrap_or(0));
        let seconds = number(Field::ConnectionSeconds)?;
        Ok(Some(Ending::new(
            number(Field::BytesReceived)?,
            number(Field::BytesSent)?,
            seconds.saturating_mul(SECOND),
        )))
    }

    /// The process, if the line has its id.
    fn process(&self) -> Result<Option<Process>, LineError> {
        let text = |field: Field| -> Result<Option<String>, LineError> {
            Ok(self.text(field.name())?.map(str::to_owned))
        };
        let executable = text(Field::ProcessFolderPath)?;
        let file_name = text(Field::ProcessFileName)?;
        let user = match self.text(Field::ProcessAccountName.name())? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let hint = "expected a user's number, as a string";
                self.wrong(Field::ProcessAccountName.name(), hint)
            })?),
        };
        let process = Process {
            pid: self.number(Field::ProcessId)?.unwrap_or(0),
            parent: self.number(Field::ProcessParentId)?,
            user,
            // A known path contains the file name.
            name: file_name.filter(|_| executable.is_none()),
            executable,
            command_line: text(Field::ProcessCommandLine)?,
            ..Process::default()
        };
        match process.pid {
            0 if process == Process::default() => Ok(None),
            0 => {
                let hint = "columns of a process need its id, which is not 0";
                Err(self.missing(Field::ProcessId.name(), hint))
            }
            _ => Ok(Some(process)),
        }
    }

    fn is_scanner(&self, pid: Option<u32>) -> Result<bool, LineError> {
        let column = Field::ProcessIsScanner.name();
        match self.get(column) {
            None => Ok(false),
            Some(Json::Bool(is_scanner)) => Ok(*is_scanner && pid.is_some()),
            Some(_) => Err(self.wrong(column, "expected true or false")),
        }
    }
}

#[cfg(test)]
mod tests;
