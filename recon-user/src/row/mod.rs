//! A count of the kernel as a row of the table that rules read.
//!
//! In: a key with its count, the time of the poll, and the process. Out: [`Row`], the value of each
//! column; [`json`], rows as lines.
//! The decision held here: the row that each signal gives, listed below. No two signals give the
//! same row, so that a row determines its signal.
//!
#![doc = include_str!("signals.md")]

pub mod json;
mod name;
mod signal_columns;
mod signal_set;
mod standing;
mod tool_set;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use recon_common::{Address, Detail, Ending, ImageId, Key, Registers, Signal, Tool};
use serde::{Deserialize, Serialize};

use crate::address::{NetworkSize, Scope, endpoint_text};
use crate::kql::eval::{Columns, Value};
use crate::kql::{Field, Slot};
use crate::process::Process;

pub(crate) use name::MAX_NAME;
pub use name::Name;
pub use signal_columns::{PortColumn, action_type, outcome, port_column, protocol, table};
pub use signal_set::SignalSet;
pub use standing::{Standing, Verdict};
pub use tool_set::ToolSet;

/// Who did what to which address and port: what a key of the kernel's table says, with what is
/// unknown as `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowKey {
    /// The remote. Unknown for the overflow key, which stands for many sources.
    pub remote: Option<Address>,
    /// The address of this host. Unknown for a connection that failed before its first packet.
    pub local: Option<Address>,
    /// The port, in the column that [`port_column`] names.
    pub port: Option<u16>,
    /// The id of the process that sent it.
    pub pid: Option<u32>,
    /// Which of that process's programs sent it, see [`ImageId`]. 0 in rows of a file, which say
    /// which program that was.
    pub image: u8,
    /// How the connection ended, for [`Signal::Ended`].
    pub ending: Option<Ending>,
    /// The tool whose fingerprint the probes carry.
    pub tool: Option<Tool>,
    /// The interface on which the packets came in.
    pub interface: Option<Name>,
    /// The network namespace of the socket, if it is not the agent's.
    pub netns: Option<Name>,
    /// What happened.
    pub signal: Signal,
}

impl RowKey {
    /// A key that says no more than what happened.
    #[must_use]
    pub const fn of(signal: Signal) -> Self {
        Self {
            remote: None,
            local: None,
            port: None,
            pid: None,
            image: 0,
            ending: None,
            tool: None,
            interface: None,
            netns: None,
            signal,
        }
    }

    /// Reads a key of the map, where 0 stands for unknown. `None` for a signal of another layout.
    /// The key has the numbers of an interface and a namespace, and not their names.
    #[must_use]
    pub fn unpack(key: &Key) -> Option<Self> {
        Self::unpack_detail(key).map(|(row, _)| row)
    }

    /// The same with the detail of the key.
    pub(crate) fn unpack_detail(key: &Key) -> Option<(Self, Option<Detail>)> {
        let signal = Signal::from_number(key.signal)?;
        let known = |address: Address| (address != Address::UNSPECIFIED).then_some(address);
        let detail = Detail::read(signal, key.detail);
        let (sender, ending) = match detail {
            Some(Detail::Sender(sender)) => (Some(sender), None),
            Some(Detail::Connection { ending, .. }) => (None, ending),
            Some(Detail::Interface(_)) | None => (None, None),
        };
        let row = Self {
            remote: known(key.remote),
            local: known(key.local),
            port: port_column(signal).map(|_| key.port),
            pid: sender.map(|sender| sender.pid),
            image: sender.unwrap_or_default().number,
            ending,
            tool: Tool::from_number(key.tool),
            interface: None,
            netns: None,
            signal,
        };
        Some((row, detail))
    }

    /// The program that sent it.
    #[must_use]
    pub fn sender(&self) -> Option<ImageId> {
        let number = self.image;
        self.pid.map(|pid| ImageId { pid, number })
    }
}

/// The time between two polls, when the events of a poll happened.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// The previous poll.
    #[serde(with = "crate::saved::time")]
    pub from: Timestamp,
    /// This poll.
    #[serde(with = "crate::saved::time")]
    pub to: Timestamp,
}

/// The longest time in which a poll's events are said to have happened: the longest interval that
/// `recon run --interval` accepts.
pub(crate) const LONGEST_POLL: SignedDuration = SignedDuration::from_secs(60);

/// A row: what one key of the table counted in one poll.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Who did what to which address and port.
    pub key: RowKey,
    /// The number of events.
    pub count: u64,
    /// The time of the poll.
    pub time: Timestamp,
    /// This host's name.
    pub device: &'a str,
    /// The process of the key, if known.
    pub process: Option<&'a Process>,
    /// Whether that process is a known scanning tool.
    pub is_scanner: bool,
    /// Whether a socket of this host waits at the local port. `None` if unknown.
    pub listener: Option<bool>,
    /// What is known of the remote.
    pub standing: Standing,
    /// A sketch of the aggregated sources; the remote of such a row is unknown. `None` if only the
    /// number of events is known.
    pub sources: Option<&'a Registers>,
}

impl Row<'_> {
    /// A row of which no more is known than what its key says, how often, and when.
    #[must_use]
    pub fn bare(key: RowKey, count: u64, time: Timestamp) -> Self {
        Self {
            key,
            count,
            time,
            device: "",
            process: None,
            is_scanner: false,
            listener: None,
            standing: Standing::default(),
            sources: None,
        }
    }

    /// The value of a column.
    #[must_use]
    pub fn value(&self, field: Field) -> Value<'_> {
        let RowKey {
            remote,
            local,
            port,
            pid,
            ending,
            tool,
            interface,
            netns,
            signal,
            ..
        } = self.key;
        let ending = |part: fn(Ending) -> u32| Value::number(ending.map(part));
        let process = self.process.filter(|_| pid.is_some());
        let port = |column| port.filter(|_| port_column(signal) == Some(column));
        match field {
            Field::TimeGenerated | Field::Timestamp => Value::DateTime(self.time),
            Field::DeviceName => Value::text(self.device),
            Field::ActionType => Value::text(action_type(signal)),
            Field::Protocol => Value::text(protocol(signal)),
            Field::RemoteIp => owned(remote.map(|remote| remote.to_ip().to_string())),
            Field::RemoteIpType => {
                Value::text(remote.map_or("", |remote| Scope::of(remote.to_ip()).name()))
            }
            Field::RemoteNetwork => network(remote, NetworkSize::Neighbours),
            Field::RemoteSite => network(remote, NetworkSize::Site),
            Field::RemoteBlock => network(remote, NetworkSize::Block),
            Field::LocalIp => owned(local.map(|local| local.to_ip().to_string())),
            Field::RemotePort => Value::number(port(PortColumn::Remote)),
            Field::LocalPort => Value::number(port(PortColumn::Local)),
            Field::ProtocolNumber => Value::number(port(PortColumn::Protocol)),
            Field::Outcome => Value::text(outcome(signal)),
            Field::LocalListener => self.listener.map_or(Value::Null, Value::Bool),
            Field::LocalEndpoint => owned(self.endpoint(local, PortColumn::Local)),
            Field::RemoteEndpoint => owned(self.endpoint(remote, PortColumn::Remote)),
            Field::RemoteVerdict => Value::text(self.standing.remote.name()),
            Field::NetworkVerdict => Value::text(self.standing.network.name()),
            Field::RemoteProven => Value::Bool(self.standing.is_proven),
            Field::RemoteTool => Value::text(tool.map_or("", Tool::name)),
            Field::InterfaceName => Value::text(interface.map_or("", Name::text)),
            Field::NetworkNamespace => Value::text(netns.map_or("", Name::text)),
            Field::BytesReceived => ending(Ending::received_bytes),
            Field::BytesSent => ending(Ending::sent_bytes),
            Field::ConnectionSeconds => ending(Ending::seconds),
            Field::ProcessFileName => Value::text(process.map_or("", file_name)),
            Field::ProcessId => Value::number(pid),
            Field::ProcessCommandLine => {
                Value::text(optional(process, |process| &process.command_line))
            }
            Field::ProcessFolderPath => {
                Value::text(optional(process, |process| &process.executable))
            }
            Field::ProcessAccountName => {
                let user = process.and_then(|process| process.user);
                owned(user.map(|user| user.to_string()))
            }
            Field::ProcessParentId => Value::number(process.and_then(|process| process.parent)),
            Field::ProcessUnit => Value::text(optional(process, |process| &process.unit)),
            Field::ProcessIsScanner => Value::Bool(pid.is_some() && self.is_scanner),
            Field::Count => Value::Long(i64::try_from(self.count).unwrap_or(i64::MAX)),
        }
    }

    /// An address and the port of that column as one text, for rows that have both.
    fn endpoint(&self, address: Option<Address>, column: PortColumn) -> Option<String> {
        let RowKey { port, signal, .. } = self.key;
        let port = port.filter(|_| port_column(signal) == Some(column))?;
        Some(endpoint_text(address?.to_ip(), port))
    }
}

impl Columns for Row<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Field(field) => self.value(field),
            _ => Value::Null,
        }
    }

    fn address(&self, slot: Slot) -> Option<IpAddr> {
        match slot {
            Slot::Field(Field::RemoteIp) => self.key.remote.map(Address::to_ip),
            Slot::Field(Field::LocalIp) => self.key.local.map(Address::to_ip),
            _ => None,
        }
    }
}

/// A string, empty if unknown.
fn owned(text: Option<String>) -> Value<'static> {
    Value::String(Cow::Owned(text.unwrap_or_default()))
}

/// The network of a remote, empty if it has none of that size.
fn network(remote: Option<Address>, size: NetworkSize) -> Value<'static> {
    let first = remote.and_then(|remote| size.first(remote));
    owned(first.map(|first| size.text(first)))
}

fn optional<'a>(
    process: Option<&'a Process>,
    text: impl Fn(&'a Process) -> &'a Option<String>,
) -> &'a str {
    process
        .and_then(|process| text(process).as_deref())
        .unwrap_or_default()
}

/// The name of the executable file, or else the name of the task.
fn file_name(process: &Process) -> &str {
    match (&process.executable, &process.name) {
        (Some(path), _) => path.rsplit('/').next().unwrap_or(path),
        (None, Some(name)) => name,
        (None, None) => "",
    }
}
