//! The table that rules read from.
//!
//! The decision held here: the columns are those of Microsoft Defender's `DeviceNetworkEvents` which the host can know, with its types.
//! Three more. `InitiatingProcessIsScanner` says what the agent finds out of a process beyond its file's name, `RemoteNetwork` which remotes are
//! neighbours (a /24, or a /64 of IPv6). `Count`: a row stands for that many events that are alike in everything else. So `count()` is the sum
//! of `Count`, not the number of rows, and `countif()` likewise; a query that is not about `Count` means what it means where every event has a
//! row.

use super::value::Type;

/// The only table.
pub(crate) const TABLE: &str = "DeviceNetworkEvents";

/// A column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// When the events happened.
    TimeGenerated,
    /// The same: Defender calls it so, Sentinel the other.
    Timestamp,
    /// This host.
    DeviceName,
    /// What happened, such as `ConnectionSuccess` or `SYN`.
    ActionType,
    /// `Tcp`, `Udp`, `ICMP`.
    Protocol,
    /// The address out there.
    RemoteIp,
    /// Its port.
    RemotePort,
    /// This host's address.
    LocalIp,
    /// Its port.
    LocalPort,
    /// `Public`, `Private`, `Loopback`.
    RemoteIpType,
    /// The name of the executable's file.
    ProcessFileName,
    /// The process.
    ProcessId,
    /// What it was started with.
    ProcessCommandLine,
    /// The executable's path.
    ProcessFolderPath,
    /// Whose it is.
    ProcessAccountName,
    /// The process that started it.
    ProcessParentId,
    /// Whether it is a known scanning tool.
    ProcessIsScanner,
    /// The network of the remote's neighbours.
    RemoteNetwork,
    /// How many events the row stands for.
    Count,
}

impl Field {
    /// All of them, as a query without `project` shows them.
    pub const ALL: [(Self, &'static str, Type); 19] = [
        (Self::TimeGenerated, "TimeGenerated", Type::DateTime),
        (Self::Timestamp, "Timestamp", Type::DateTime),
        (Self::DeviceName, "DeviceName", Type::String),
        (Self::ActionType, "ActionType", Type::String),
        (Self::Protocol, "Protocol", Type::String),
        (Self::RemoteIp, "RemoteIP", Type::String),
        (Self::RemotePort, "RemotePort", Type::Int),
        (Self::LocalIp, "LocalIP", Type::String),
        (Self::LocalPort, "LocalPort", Type::Int),
        (Self::RemoteIpType, "RemoteIPType", Type::String),
        (
            Self::ProcessFileName,
            "InitiatingProcessFileName",
            Type::String,
        ),
        (Self::ProcessId, "InitiatingProcessId", Type::Long),
        (
            Self::ProcessCommandLine,
            "InitiatingProcessCommandLine",
            Type::String,
        ),
        (
            Self::ProcessFolderPath,
            "InitiatingProcessFolderPath",
            Type::String,
        ),
        (
            Self::ProcessAccountName,
            "InitiatingProcessAccountName",
            Type::String,
        ),
        (
            Self::ProcessParentId,
            "InitiatingProcessParentId",
            Type::Long,
        ),
        (
            Self::ProcessIsScanner,
            "InitiatingProcessIsScanner",
            Type::Bool,
        ),
        (Self::RemoteNetwork, "RemoteNetwork", Type::String),
        (Self::Count, "Count", Type::Long),
    ];

    /// Its name in a query.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(field, ..)| *field == self);
        found.map_or("", |(_, name, _)| name)
    }

    /// Whether it is about the process behind a row.
    #[must_use]
    pub const fn is_of_process(self) -> bool {
        matches!(
            self,
            Self::ProcessFileName
                | Self::ProcessId
                | Self::ProcessCommandLine
                | Self::ProcessFolderPath
                | Self::ProcessAccountName
                | Self::ProcessParentId
                | Self::ProcessIsScanner
        )
    }

    /// Whether it says when.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::TimeGenerated | Self::Timestamp)
    }
}
