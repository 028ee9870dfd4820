//! Where a sink of the settings writes to.
//!
//! Out: data; what makes a target of it is in the module of the target.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::http::HttpDestination;
use super::nats_peer::NatsDestination;
use super::tls::TlsFiles;

/// What a sink writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A file that is appended to.
    File {
        path: PathBuf,
        rotation: Option<Rotation>,
        fsync: Fsync,
    },
    /// The socket of systemd-journald.
    Journal { path: PathBuf },
    /// The socket of a syslog daemon.
    Syslog { path: PathBuf },
    /// A Unix socket.
    Unix { path: PathBuf, is_datagram: bool },
    /// A peer.
    Tcp {
        address: SocketAddr,
        tls: Option<TlsSettings>,
    },
    /// A peer that gets lines by HTTP.
    Webhook(HttpDestination),
    /// A receiver of OTLP logs.
    Otlp(HttpDestination),
    /// A NATS server with JetStream.
    Nats(NatsDestination),
}

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) files: TlsFiles,
    /// Whose certificate the peer has.
    pub(crate) server_name: String,
}

/// When a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// The file does not become larger, unless a line is larger by itself.
    pub(crate) limit: u64,
    /// Files that were rotated, and are kept.
    pub(crate) keep: u64,
}

/// What a line that counts as written survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fsync {
    /// A power failure.
    Line,
    /// A power failure, once that time has passed.
    Every(Duration),
    /// The end of recon, whatever its cause.
    #[default]
    Never,
}

impl Destination {
    /// The TCP peer that its thread connects to.
    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { address, .. }
            | Self::Nats(NatsDestination { address, .. })
            | Self::Webhook(HttpDestination { address, .. })
            | Self::Otlp(HttpDestination { address, .. }) => Some(*address),
            Self::File { .. } | Self::Journal { .. } | Self::Syslog { .. } | Self::Unix { .. } => {
                None
            }
        }
    }
}

/// What a message adds to the address of an encrypted peer.
const fn tls_suffix(tls: Option<&TlsSettings>) -> &'static str {
    match tls {
        Some(_) => " with TLS",
        None => "",
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Journal { path } => write!(f, "journald at {}", path.display()),
            Self::Syslog { path } => write!(f, "syslog at {}", path.display()),
            Self::Unix { path, .. } => write!(f, "unix socket {}", path.display()),
            Self::Tcp { address, tls } => write!(f, "tcp {address}{}", tls_suffix(tls.as_ref())),
            Self::Nats(nats) => write!(f, "nats {}{}", nats.address, tls_suffix(nats.tls.as_ref())),
            Self::Webhook(http) => write!(f, "webhook {}", http.url),
            Self::Otlp(http) => write!(f, "otlp {}", http.url),
        }
    }
}
