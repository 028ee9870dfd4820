//! Checks of the sinks of the settings.
//!
//! In: the settings. Out: a line for each sink.
//! The decision held here: a socket is connected to and closed again, with nothing sent. Nobody
//! listening is a note: the order in which services start is not recon's.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::files::check_file;
use super::report::{Line, Report};
use crate::settings::Settings;
use crate::sink::Destination;

const PART: &str = "configuration";
const SINKS: &str = "sinks";
/// How long a TCP peer may take to accept.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn check_sinks(settings: &Settings, report: &mut Report) {
    for (name, sink) in &settings.sinks {
        let Some(destination) = sink.value.destination() else {
            continue;
        };
        let tried = match &destination {
            Destination::File { path, .. } => {
                check_file(SINKS, path, report);
                continue;
            }
            Destination::Journal { path } | Destination::Syslog { path } => try_datagram(path),
            Destination::Unix { path, is_datagram } => match is_datagram {
                true => try_datagram(path),
                false => UnixStream::connect(path).map(drop),
            },
            Destination::Tcp { address } => TcpStream::connect_timeout(address, PATIENCE).map(drop),
        };
        report.push(match tried {
            Ok(()) => Line::ok(PART, SINKS, format!("{name}: {destination} is there")),
            Err(error) => Line::note(PART, SINKS, format!("{name}: {destination}: {error}"))
                .costs("lines wait in its queue until somebody listens, and are dropped once it is full")
                .mend("start whoever is to listen there"),
        });
    }
}

fn try_datagram(path: &Path) -> io::Result<()> {
    UnixDatagram::unbound()?.connect(path)
}
