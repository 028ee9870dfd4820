//! From what the settings say to a sink.
//!
//! In: a destination. Out: a sink whose thread runs, or why there can't be one.
//! The decision held here: a file is opened at the start, so that a mistake is an error there.
//! Nobody has to listen on a socket yet: an agent must not depend on the order of services.

use std::fs;

use anyhow::{Context as _, ensure};

use super::connection::Peer;
use super::datagram::{DatagramTarget, Encoding};
use super::destination::Destination;
use super::file::FileTarget;
use super::http::HttpPeer;
use super::http_target::{HttpEncoding, HttpTarget, JSON, JSON_LINES};
use super::line_file::{LineFile, OpenFiles};
use super::nats::NatsTarget;
use super::nats_peer::NatsPeer;
use super::otlp::OtlpEncoder;
use super::stream_peer::StreamPeer;
use super::syslog::Header;
use super::target::Target;
use super::tls::TlsPeer;
use super::{Sink, SinkName};

impl Sink {
    /// A sink that writes there. Up to `limit` of its own lines wait. `host` is what a syslog
    /// daemon is told.
    ///
    /// # Errors
    /// The file can't be written or has another use, or the system has no more threads.
    pub(crate) fn open(
        name: SinkName,
        destination: &Destination,
        limit: u64,
        host: &str,
        files: &OpenFiles,
    ) -> anyhow::Result<Self> {
        let target: Box<dyn Target> = match destination.clone() {
            Destination::File {
                path,
                rotation,
                fsync,
            } => {
                let is_link = || fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink());
                ensure!(
                    rotation.is_none() || !is_link(),
                    "can't rotate {}: it is a link, and the file that it leads to would stay; name that file",
                    path.display()
                );
                let (file, opened) = LineFile::open(&path, name.what, files)?;
                ensure!(
                    rotation.is_none() || file.is_regular(),
                    "can't rotate {}: it is no regular file; remove `rotate`",
                    path.display()
                );
                Box::new(FileTarget::new(file, opened).with(rotation, fsync))
            }
            Destination::Journal { path } => Box::new(DatagramTarget::new(path, Encoding::Journal)),
            Destination::Syslog { path } => {
                let header = Header::new(host);
                Box::new(DatagramTarget::new(path, Encoding::Syslog(header)))
            }
            Destination::Unix { path, is_datagram } => match is_datagram {
                true => Box::new(DatagramTarget::new(path, Encoding::Line)),
                false => Box::new(StreamPeer::new(Peer::Unix(path))),
            },
            Destination::Tcp { address, tls: None } => {
                Box::new(StreamPeer::new(Peer::Tcp(address)))
            }
            Destination::Tcp {
                address,
                tls: Some(tls),
            } => {
                let peer = TlsPeer::load(&tls.files, &tls.server_name)?;
                Box::new(StreamPeer::new(Peer::Tls(address, peer)))
            }
            Destination::Webhook(http) => {
                let peer = HttpPeer::load(&http, JSON_LINES)?;
                Box::new(HttpTarget::new(peer, HttpEncoding::Lines))
            }
            Destination::Otlp(http) => {
                let encoding = HttpEncoding::Otlp(OtlpEncoder::new(host));
                Box::new(HttpTarget::new(HttpPeer::load(&http, JSON)?, encoding))
            }
            Destination::Nats(nats) => {
                Box::new(NatsTarget::new(NatsPeer::load(&nats, host)?, &nats, host))
            }
        };
        let place = name.place.clone();
        Self::start_thread(name, target, limit, true)
            .with_context(|| format!("{place}: no thread to write it"))
    }
}
