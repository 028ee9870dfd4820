//! The tables that rules read from.
//!
//! The decisions held here: `DeviceNetworkEvents` has what Microsoft Defender's table of that name
//! has, so that queries written for Defender count the same here. What recon knows beyond it, such
//! as what became of an attempt, is in `ReconEvents`. Both have the same columns.
//!
//! The columns are those of Microsoft Defender's `DeviceNetworkEvents` that
//! the host can know, with their types, and more. `InitiatingProcessIsScanner` says what the
//! agent finds out about a process beyond its file's name. `RemoteNetwork` groups a remote with its
//! neighbours (a /24, or a /64 of IPv6), `RemoteSite` and `RemoteBlock` with those of a /56 and a
//! /48 of IPv6. `Count`: a row stands for that many events that are alike in everything else. So
//! `count()` is the sum of `Count`, not the number of rows, and so is `countif()`. A query that
//! does not mention `Count` means the same as if every event had a row.

use serde::{Deserialize, Serialize};

use super::value::Type;

/// A table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Table {
    /// What Defender records of a host's network.
    #[default]
    Network,
    /// What recon knows beyond that.
    Recon,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 2] = [Self::Network, Self::Recon];

    /// Its name in a query.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "DeviceNetworkEvents",
            Self::Recon => "ReconEvents",
        }
    }

    /// The table of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// Declares the columns, in the order in which a query without `project` shows them.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal: $kind:ident;)*) => {
        /// A column of a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Field {
            $($(#[doc = $doc])+ $field,)*
        }

        impl Field {
            /// All columns with their names and types.
            pub const ALL: [(Self, &'static str, Type); [$($name),*].len()] =
                [$((Self::$field, $name, Type::$kind)),*];
        }
    };
}

fields! {
    /// When the events happened.
    TimeGenerated = "TimeGenerated": DateTime;
    /// The same. Defender uses this name, Sentinel the other.
    Timestamp = "Timestamp": DateTime;
    /// This host.
    DeviceName = "DeviceName": String;
    /// What happened, such as `ConnectionSuccess` or `SYN`.
    ActionType = "ActionType": String;
    /// `Tcp`, `Udp`, `ICMP`.
    Protocol = "Protocol": String;
    /// The remote address.
    RemoteIp = "RemoteIP": String;
    /// The remote port.
    RemotePort = "RemotePort": Int;
    /// This host's address.
    LocalIp = "LocalIP": String;
    /// This host's port.
    LocalPort = "LocalPort": Int;
    /// `Public`, `Private`, `Loopback`.
    RemoteIpType = "RemoteIPType": String;
    /// The name of the executable's file.
    ProcessFileName = "InitiatingProcessFileName": String;
    /// The process's id.
    ProcessId = "InitiatingProcessId": Long;
    /// The arguments that it was started with.
    ProcessCommandLine = "InitiatingProcessCommandLine": String;
    /// The executable's path.
    ProcessFolderPath = "InitiatingProcessFolderPath": String;
    /// The user whose process it is.
    ProcessAccountName = "InitiatingProcessAccountName": String;
    /// The process that started it.
    ProcessParentId = "InitiatingProcessParentId": Long;
    /// The systemd unit of the process or of its container.
    ProcessUnit = "InitiatingProcessUnit": String;
    /// Whether it is a known scanning tool.
    ProcessIsScanner = "InitiatingProcessIsScanner": Bool;
    /// The network of the remote and its neighbours.
    RemoteNetwork = "RemoteNetwork": String;
    /// The /56 of IPv6 that the remote is in.
    RemoteSite = "RemoteSite": String;
    /// The /48 of IPv6 that the remote is in.
    RemoteBlock = "RemoteBlock": String;
    /// What became of an attempt: `accepted`, `answered`, `refused`, `half-open` or `ignored`.
    Outcome = "Outcome": String;
    /// Whether a socket of this host waits at the local port: a listener, or a bound one of UDP.
    LocalListener = "LocalListener": Bool;
    /// This host's address and port.
    LocalEndpoint = "LocalEndpoint": String;
    /// The remote's address and port.
    RemoteEndpoint = "RemoteEndpoint": String;
    /// What the remote's attempts so far show: `client`, `undecided` or `scanner`.
    RemoteVerdict = "RemoteVerdict": String;
    /// The same for the remote's network.
    NetworkVerdict = "NetworkVerdict": String;
    /// Whether the remote has completed a handshake, so that its address is not forged.
    RemoteProven = "RemoteProven": Bool;
    /// The tool whose fingerprint the remote's probes carry, such as `nmap`. Anybody can forge it.
    RemoteTool = "RemoteTool": String;
    /// The interface on which a remote's packets came in.
    InterfaceName = "InterfaceName": String;
    /// The network namespace of the socket, if it is not recon's.
    NetworkNamespace = "NetworkNamespace": String;
    /// The number of the protocol above IP, of packets that are neither TCP, UDP nor ICMP.
    ProtocolNumber = "ProtocolNumber": Int;
    /// The least bytes that the remote sent on a connection that has ended.
    BytesReceived = "BytesReceived": Long;
    /// The least bytes that the remote received on it.
    BytesSent = "BytesSent": Long;
    /// The least seconds that it lived.
    ConnectionSeconds = "ConnectionSeconds": Long;
    /// The number of events that the row stands for.
    Count = "Count": Long;
}

impl Field {
    /// Its name in a query.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(field, ..)| *field == self);
        found.map_or("", |(_, name, _)| name)
    }

    /// Whether it describes the process behind a row.
    pub const fn is_of_process(self) -> bool {
        matches!(
            self,
            Self::ProcessFileName
                | Self::ProcessId
                | Self::ProcessCommandLine
                | Self::ProcessFolderPath
                | Self::ProcessAccountName
                | Self::ProcessParentId
                | Self::ProcessUnit
                | Self::ProcessIsScanner
        )
    }

    /// Whether it follows from other columns or from earlier rows, so that written rows lack it.
    pub const fn is_derived(self) -> bool {
        matches!(
            self,
            Self::LocalEndpoint
                | Self::RemoteEndpoint
                | Self::RemoteSite
                | Self::RemoteBlock
                | Self::RemoteVerdict
                | Self::NetworkVerdict
                | Self::RemoteProven
        )
    }

    /// Whether it is one of recon's own columns that only a query which names them shows.
    pub const fn is_extra(self) -> bool {
        matches!(
            self,
            Self::Outcome
                | Self::LocalListener
                | Self::ProcessUnit
                | Self::RemoteTool
                | Self::InterfaceName
                | Self::NetworkNamespace
                | Self::ProtocolNumber
                | Self::BytesReceived
                | Self::BytesSent
                | Self::ConnectionSeconds
        ) || self.is_derived()
    }

    /// Whether it is the time of the events.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::TimeGenerated | Self::Timestamp)
    }
}
