//! The table that rules read from.
//!
//! The decision held here: the columns are those of Microsoft Defender's `DeviceNetworkEvents` that
//! the host can know, with their types, and three more. `InitiatingProcessIsScanner` says what the
//! agent finds out about a process beyond its file's name. `RemoteNetwork` groups a remote with its
//! neighbours (a /24, or a /64 of IPv6). `Count`: a row stands for that many events that are alike
//! in everything else. So `count()` is the sum of `Count`, not the number of rows, and so is
//! `countif()`. A query that does not mention `Count` means the same as if every event had a row.

use super::value::Type;

/// The only table.
pub(crate) const TABLE: &str = "DeviceNetworkEvents";

/// Declares the columns, in the order in which a query without `project` shows them.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal: $kind:ident;)*) => {
        /// A column of a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Whether it is a known scanning tool.
    ProcessIsScanner = "InitiatingProcessIsScanner": Bool;
    /// The network of the remote and its neighbours.
    RemoteNetwork = "RemoteNetwork": String;
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
                | Self::ProcessIsScanner
        )
    }

    /// Whether it is the time of the events.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::TimeGenerated | Self::Timestamp)
    }
}
