//! The columns of one line, as what a row holds.
//!
//! In: a JSON object. Out: the values of columns, or a [`LineError`] that names the column.

use jiff::Timestamp;
use recon_common::ending::SECOND;
use recon_common::{Address, Ending, Signal, Tool};
use serde_json::{Map, Value as Json};

use super::{ANSWERS_TABLE, LineError, MAX_SHOWN, TYPE};
use crate::diagnostic::{nearest, visible};
use crate::kql::{Field, Table};
use crate::process::Process;
use crate::row::{MAX_NAME, Name, PortColumn, action_type, outcome, port_column, protocol, table};

/// Reads the columns of one line.
pub(super) struct LineReader {
    pub(super) columns: Map<String, Json>,
    pub(super) line: usize,
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
    pub(super) fn text(&self, column: &'static str) -> Result<Option<&str>, LineError> {
        match self.get(column) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong(column, "expected a string")),
        }
    }

    pub(super) fn number<T: TryFrom<u64>>(&self, field: Field) -> Result<Option<T>, LineError> {
        let Some(value) = self.get(field.name()) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|value| T::try_from(value).ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => {
                let most = u64::MAX >> (u64::BITS - 8 * size_of::<T>() as u32);
                let hint = format!("expected a whole number from 0 to {most}");
                Err(self.wrong(field.name(), hint))
            }
        }
    }

    pub(super) fn address(&self, field: Field) -> Result<Option<Address>, LineError> {
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
    pub(super) fn time(&self) -> Result<Timestamp, LineError> {
        let hint = "expected a time such as 2026-01-31T10:20:30Z";
        for field in [Field::TimeGenerated, Field::Timestamp] {
            let wrong = |_| self.wrong(field.name(), hint);
            if let Some(text) = self.text(field.name()).map_err(wrong)? {
                return text.parse().map_err(|_| self.wrong(field.name(), hint));
            }
        }
        Err(self.missing(Field::TimeGenerated.name(), hint))
    }

    /// The signal of the row, and its port.
    pub(super) fn signal(&self) -> Result<(Signal, Option<u16>), LineError> {
        let mut candidates = Signal::ALL.to_vec();
        let table_name = match self.text(TYPE)? {
            Some(ANSWERS_TABLE) => Table::Recon.name(),
            _ => {
                let tables = Table::ALL.iter().map(|table| table.name());
                self.one_of(TYPE, tables, Table::default().name())?
            }
        };
        candidates.retain(|&signal| table(signal).name() == table_name);

        let actions = candidates.iter().map(|&signal| action_type(signal));
        let name = self.one_of(Field::ActionType.name(), actions, "")?;
        candidates.retain(|&signal| action_type(signal) == name);

        let outcomes = candidates.iter().map(|&signal| outcome(signal));
        let name = self.one_of(Field::Outcome.name(), outcomes, "")?;
        candidates.retain(|&signal| outcome(signal) == name);

        let protocols = candidates.iter().map(|&signal| protocol(signal));
        let name = self.one_of(Field::Protocol.name(), protocols, "")?;
        candidates.retain(|&signal| protocol(signal) == name);
        self.direction(&candidates)
    }

    /// The value of a column, which must be one of `known`.
    fn one_of<'a>(
        &'a self,
        column: &'static str,
        known: impl IntoIterator<Item = &'static str> + Clone,
        otherwise: &'static str,
    ) -> Result<&'a str, LineError> {
        let text = self.text(column)?.unwrap_or(otherwise);
        match known.clone().into_iter().any(|name| name == text) {
            true => Ok(text),
            false => Err(self.unknown(column, text, known.into_iter().collect())),
        }
    }

    /// The error about a value that is not one of `known`.
    fn unknown(&self, column: &'static str, text: &str, mut known: Vec<&str>) -> LineError {
        known.sort_unstable();
        known.dedup();
        known.retain(|name| !name.is_empty());
        let list = known.join(", ");
        if let [only] = known.as_slice() {
            let hint = format!("expected {only}");
            return match text.is_empty() {
                true => self.missing(column, hint),
                false => self.wrong(column, hint),
            };
        }
        if text.is_empty() {
            return self.missing(column, format!("expected one of {list}"));
        }
        let hint = match nearest(text, known) {
            Some(meant) => format!("did you mean {meant}? Known are {list}"),
            None => format!("known are {list}"),
        };
        self.wrong(column, hint)
    }

    /// Selects the signal by the column that holds the port. If two signals differ only in that
    /// column, the line may have only one of the two.
    fn direction(&self, candidates: &[Signal]) -> Result<(Signal, Option<u16>), LineError> {
        let local = self.number(Field::LocalPort)?;
        let remote = self.number(Field::RemotePort)?;
        let protocol = self.number(Field::ProtocolNumber)?;
        let fits = |&signal: &Signal| match port_column(signal) {
            Some(PortColumn::Local) => local.map(|port| (signal, Some(port))),
            Some(PortColumn::Remote) => remote.map(|port| (signal, Some(port))),
            Some(PortColumn::Protocol) => protocol.map(|number| (signal, Some(number))),
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
                let has = |column| {
                    candidates
                        .iter()
                        .any(|&one| port_column(one) == Some(column))
                };
                let column = match [PortColumn::Local, PortColumn::Protocol].map(has) {
                    [true, _] => Field::LocalPort,
                    [_, true] => Field::ProtocolNumber,
                    _ => Field::RemotePort,
                };
                let hint = "rows of this ActionType have that number";
                Err(self.missing(column.name(), hint))
            }
        }
    }

    /// How the connection ended, for rows about that.
    pub(super) fn ending(&self, signal: Signal) -> Result<Option<Ending>, LineError> {
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

    /// The tool whose fingerprint the probes carry.
    pub(super) fn tool(&self) -> Result<Option<Tool>, LineError> {
        let names = Tool::ALL.iter().map(|tool| tool.name());
        let name = self.one_of(Field::RemoteTool.name(), names.chain([""]), "")?;
        Ok(Tool::ALL.into_iter().find(|tool| tool.name() == name))
    }

    /// The name in a column, unless it is missing or empty.
    pub(super) fn name(&self, field: Field) -> Result<Option<Name>, LineError> {
        let Some(text) = self.text(field.name())? else {
            return Ok(None);
        };
        if text.len() > MAX_NAME {
            let hint = format!("expected a name of up to {MAX_NAME} bytes");
            return Err(self.wrong(field.name(), hint));
        }
        Ok(Name::new(text))
    }

    /// The process, if the line has its id.
    pub(super) fn process(&self) -> Result<Option<Process>, LineError> {
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
            name: file_name,
            executable,
            command_line: text(Field::ProcessCommandLine)?,
            unit: text(Field::ProcessUnit)?,
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

    pub(super) fn is_scanner(&self, pid: Option<u32>) -> Result<bool, LineError> {
        let is_scanner = self.boolean(Field::ProcessIsScanner)?;
        Ok(is_scanner == Some(true) && pid.is_some())
    }

    /// The truth value in a column, unless it is missing or null.
    pub(super) fn boolean(&self, field: Field) -> Result<Option<bool>, LineError> {
        match self.get(field.name()) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong(field.name(), "expected true or false")),
        }
    }
}
