//! Whether somebody listens where a sink sends to.
//!
//! In: where a sink writes to. Out: why it can't.
//! The decision held here: the same code connects as that of the sink. With TLS, both sides agree
//! on a key, and a NATS server judges the credentials; no line is sent.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::unistd::gethostname;

use super::connection::{Peer, try_peer};
use super::destination::Destination;
use super::http::HttpPeer;
use super::http_target::JSON_LINES;
use super::nats_peer::NatsPeer;
use super::tls::{TlsFiles, TlsPeer};

/// How long a TCP peer may take to accept.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a sink can't send.
#[derive(Debug)]
pub(crate) enum Unreachable {
    /// recon would not start.
    Files(anyhow::Error),
    /// Lines would wait.
    Peer(io::Error),
}

/// Connects, if it is not a file.
pub(crate) fn probe(destination: &Destination) -> Result<(), Unreachable> {
    match destination {
        Destination::File { .. } => Ok(()),
        Destination::Journal { path } | Destination::Syslog { path } => try_datagram(path),
        Destination::Unix { path, is_datagram } => match is_datagram {
            true => try_datagram(path),
            false => try_peer(&Peer::Unix(path.clone()), PATIENCE),
        },
        Destination::Tcp { address, tls } => {
            return match tls {
                None => try_tcp(address),
                Some(tls) => try_tls(address, &tls.files, &tls.server_name),
            };
        }
        Destination::Webhook(http) | Destination::Otlp(http) => {
            HttpPeer::load(http, JSON_LINES).map_err(Unreachable::Files)?;
            return match http.url.is_secure() {
                false => try_tcp(&http.address),
                true => try_tls(&http.address, &http.tls, http.url.host()),
            };
        }
        Destination::Nats(nats) => {
            let host = gethostname().map_err(|error| Unreachable::Peer(error.into()))?;
            let peer = NatsPeer::load(nats, &host.to_string_lossy());
            let peer = peer.map_err(Unreachable::Files)?;
            peer.connect().map(drop)
        }
    }
    .map_err(Unreachable::Peer)
}

fn try_datagram(path: &Path) -> io::Result<()> {
    UnixDatagram::unbound()?.connect(path)
}

fn try_tcp(address: &SocketAddr) -> Result<(), Unreachable> {
    try_peer(&Peer::Tcp(*address), PATIENCE).map_err(Unreachable::Peer)
}

fn try_tls(address: &SocketAddr, files: &TlsFiles, name: &str) -> Result<(), Unreachable> {
    let peer = TlsPeer::load(files, name).map_err(Unreachable::Files)?;
    try_peer(&Peer::Tls(*address, peer), PATIENCE).map_err(Unreachable::Peer)
}
