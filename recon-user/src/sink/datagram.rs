//! A sink that sends each line as a datagram to a Unix socket: journald, syslog, or any.
//!
//! In: whole lines. Out: datagrams.
//! The decisions held here: the socket is opened again whenever nobody listens, and lines wait in
//! the queue until somebody does. What a reader had not read when it ended is lost, and counts as
//! written: no kernel says what has become of a datagram. systemd keeps the socket of journald
//! open, with what is in it, while journald restarts.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::queue::LineBatch;
use super::target::{Failure, Target};
use super::whole_lines::first_line;
use super::{journal, syslog};

/// How a line becomes a datagram.
pub(crate) enum Encoding {
    /// As it is.
    Line,
    /// The fields of a journal's entry.
    Journal,
    /// A message of RFC 5424.
    Syslog(syslog::Header),
}

/// A socket that somebody listens on, or did.
pub(crate) struct DatagramTarget {
    path: PathBuf,
    encoding: Encoding,
    socket: Option<UnixDatagram>,
    datagram: Vec<u8>,
}

impl DatagramTarget {
    /// Opens the socket when there is something to send.
    pub(crate) const fn new(path: PathBuf, encoding: Encoding) -> Self {
        Self {
            path,
            encoding,
            socket: None,
            datagram: Vec::new(),
        }
    }

    /// Sends a line, which ends with a line break. Tries a second socket if nobody listens on the
    /// one that was open.
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.datagram.clear();
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        match &self.encoding {
            Encoding::Line => self.datagram.extend_from_slice(line),
            Encoding::Journal => journal::encode(text, &mut self.datagram),
            Encoding::Syslog(header) => header.encode(text, &mut self.datagram),
        }
        if let Some(socket) = &self.socket {
            match self.send_through(socket) {
                Err(error) if is_gone(&error) => self.socket = None,
                sent => return sent,
            }
        }
        let socket = open(&self.path)?;
        self.send_through(&socket)?;
        self.socket = Some(socket);
        Ok(())
    }

    fn send_through(&self, socket: &UnixDatagram) -> io::Result<()> {
        let is_journal = matches!(self.encoding, Encoding::Journal);
        loop {
            return match socket.send(&self.datagram) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_journal && is_too_large(&error) => {
                    journal::send_as_file(socket, &self.datagram)
                }
                sent => sent.map(drop),
            };
        }
    }
}

fn open(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Whether nobody listens on the socket any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
    )
}

/// Whether a file may be sent in its place: the kernel has no room for a datagram that large.
fn is_too_large(error: &io::Error) -> bool {
    [libc::EMSGSIZE, libc::ENOBUFS]
        .iter()
        .any(|&number| error.raw_os_error() == Some(number))
}

/// Whether the same datagram would fail again. Without memory (ENOBUFS), it may not.
fn is_lost(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

impl Target for DatagramTarget {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        while *done < batch.bytes.len() {
            let rest = &batch.bytes[*done..];
            let line = &rest[..first_line(rest)];
            match self.send(line) {
                Ok(()) => *done += line.len(),
                // It would be too large next time, too. The others are not.
                Err(error) if is_lost(&error) => {
                    *done += line.len();
                    return Err(Failure::LostPart(1, error));
                }
                Err(error) => return Err(Failure::Later(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_large_is_lost() {
        for (number, expected) in [
            (libc::EMSGSIZE, true),
            (libc::ENOBUFS, false),
            (libc::EAGAIN, false),
            (libc::ECONNREFUSED, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_lost(&error), expected, "{error}");
        }
    }
}
