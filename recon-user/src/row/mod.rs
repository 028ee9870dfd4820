//! A count of the kernel's as a row of the table that rules read.
//!
//! In: a key with its count, the poll's time, and its process. Out: [`Row`], the value of each column; [`json`], rows as lines.
//! The decisions held here: which row a signal gives, as follows, and that no two give the same, so that a row tells its signal.
//!
#![doc = include_str!("signals.md")]

pub mod json;
pub mod network;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Timestamp;
use recon_common::signal::Transport;
use recon_common::{Address, Key, Registers, Signal};

use crate::kql::eval::{Columns, Value};
use crate::kql::{Field, Slot, TABLE};
use crate::process::Process;

/// A row: what one key of the table counted in one poll.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Who did what to which address and port.
    pub key: &'a Key,
    /// What was counted, the key's.
    pub signal: Signal,
    /// How many events.
    pub count: u64,
    /// When the poll was.
    pub time: Timestamp,
    /// This host's name.
    pub device: &'a str,
    /// The key's process, as far as it is known.
    pub process: Option<&'a Process>,
    /// Whether that is a known scanning tool.
    pub is_scanner: bool,
    /// Which sources, where the row is of many that it does not name: its remote is [`Address::UNSPECIFIED`] then. None where only their
    /// number of events is known.
    pub sources: Option<&'a Registers>,
}

impl Row<'_> {
    /// The remote, but for rows of sources that are not named.
    #[must_use]
    pub fn remote(&self) -> Option<Address> {
        (self.key.remote != Address::UNSPECIFIED).then_some(self.key.remote)
    }

    /// The value of a column.
    #[must_use]
    pub fn value(&self, field: Field) -> Value<'_> {
        let key = self.key;
        let process = self.process.filter(|_| key.process != 0);
        match field {
            Field::TimeGenerated | Field::Timestamp => Value::DateTime(self.time),
            Field::DeviceName => Value::text(self.device),
            Field::ActionType => Value::text(action_type(self.signal).unwrap_or(ANSWERED)),
            Field::Protocol => Value::text(protocol(self.signal)),
            Field::RemoteIp => owned(self.remote().map(|remote| remote.to_ip().to_string())),
            Field::RemoteIpType => {
                let remote = self.remote();
                Value::text(remote.map_or("", |remote| remote_type(remote.to_ip())))
            }
            Field::RemoteNetwork => owned(self.remote().map(network::text)),
            Field::LocalIp if key.local == Address::UNSPECIFIED => Value::text(""),
            Field::LocalIp => Value::String(Cow::Owned(key.local.to_ip().to_string())),
            Field::RemotePort => Value::number(self.port(PortColumn::Remote)),
            Field::LocalPort => Value::number(self.port(PortColumn::Local)),
            Field::ProcessFileName => Value::text(process.map_or("", file_name)),
            Field::ProcessId => Value::number((key.process != 0).then_some(key.process)),
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
            Field::ProcessIsScanner => Value::Bool(key.process != 0 && self.is_scanner),
            Field::Count => Value::Long(i64::try_from(self.count).unwrap_or(i64::MAX)),
        }
    }

    /// The key's port, where that is the one.
    fn port(&self, column: PortColumn) -> Option<u16> {
        (port_column(self.signal) == Some(column)).then_some(self.key.port)
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
            Slot::Field(Field::RemoteIp) => self.remote().map(Address::to_ip),
            Slot::Field(Field::LocalIp) if self.key.local != Address::UNSPECIFIED => {
                Some(self.key.local.to_ip())
            }
            _ => None,
        }
    }
}

/// A string; empty where it is not known.
fn owned(text: Option<String>) -> Value<'static> {
    Value::String(Cow::Owned(text.unwrap_or_default()))
}

fn optional<'a>(
    process: Option<&'a Process>,
    text: impl Fn(&'a Process) -> &'a Option<String>,
) -> &'a str {
    process
        .and_then(|process| text(process).as_deref())
        .unwrap_or_default()
}

/// The name of the file that runs, else the name that the task goes by.
fn file_name(process: &Process) -> &str {
    match (&process.executable, &process.name) {
        (Some(path), _) => path.rsplit('/').next().unwrap_or(path),
        (None, Some(name)) => name,
        (None, None) => "",
    }
}

/// Which column the key's port is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortColumn {
    /// `LocalPort`
    Local,
    /// `RemotePort`
    Remote,
}

/// What the answers of this host are called.
pub const ANSWERED: &str = "PortAnswered";

/// The table of what this host answered.
const ANSWERS_TABLE: &str = "ReconAnswers";

/// The table that a signal's row is in.
#[must_use]
pub const fn table(signal: Signal) -> &'static str {
    match action_type(signal) {
        Some(_) => TABLE,
        None => ANSWERS_TABLE,
    }
}

/// The `ActionType` of a signal. None for those that are no row of the table that rules read.
#[must_use]
pub const fn action_type(signal: Signal) -> Option<&'static str> {
    Some(match signal {
        Signal::Syn => "SYN",
        Signal::NullProbe => "NullProbe",
        Signal::FinProbe => "FinProbe",
        Signal::XmasProbe => "XmasProbe",
        Signal::MaimonProbe => "MaimonProbe",
        Signal::OddProbe => "OddProbe",
        Signal::FragmentProbe => "FragmentProbe",
        Signal::Datagram => "Datagram",
        Signal::DnsQueryUdp | Signal::DnsQueryTcp | Signal::DnsSentUdp | Signal::DnsSentTcp => {
            "Query"
        }
        Signal::EchoRequest => "EchoRequest",
        Signal::HttpGet => "HttpGet",
        Signal::RefusedTcp | Signal::RefusedIcmp | Signal::ConnectFailed => "ConnectionFailed",
        Signal::Accepted => "ConnectionSuccess",
        Signal::SynSent => "ConnectionRequest",
        Signal::ProbeSent => "ProbeSent",
        Signal::DatagramSent => "DatagramSent",
        Signal::EchoSent => "EchoSent",
        Signal::AnsweredTcp | Signal::AnsweredUdp => return None,
    })
}

/// The `Protocol` of a signal: empty for a refusal by ICMP, which quotes either of two.
#[must_use]
pub const fn protocol(signal: Signal) -> &'static str {
    match signal.transport() {
        Some(Transport::Tcp) => "Tcp",
        Some(Transport::Udp) => "Udp",
        Some(Transport::Icmp) => "ICMP",
        None => "",
    }
}

/// Which column a signal's port is in. None where it has none.
#[must_use]
pub const fn port_column(signal: Signal) -> Option<PortColumn> {
    match signal.transport() {
        Some(Transport::Icmp) => None,
        _ if signal.is_outbound() => Some(PortColumn::Remote),
        _ => Some(PortColumn::Local),
    }
}

/// The `RemoteIPType` of an address.
#[must_use]
pub fn remote_type(remote: IpAddr) -> &'static str {
    crate::address::Scope::of(remote).name()
}
