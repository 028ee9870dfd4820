//! The bytes of a connection to a NATS server, plain or encrypted.
//!
//! In: bytes, and until when. Out: bytes at the server.
//! The decisions held here: a server that takes a byte now and then has no longer than another one.
//! This is no [`super::connection::Connection`], which knows of whole lines, of peers that only
//! read and of Unix sockets, and reads nothing: the two have no more than [`TlsStream`] in common.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::tls::TlsStream;

/// How the server is reached.
pub(super) enum NatsStream {
    Tcp(TcpStream),
    Tls(TlsStream),
}

/// Writes to a stream, but no longer than until then.
pub(super) struct TimedWriter<'a> {
    pub(super) stream: &'a mut NatsStream,
    pub(super) until: Instant,
}

impl NatsStream {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.tcp(),
        }
    }
}

impl Read for NatsStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for TimedWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.tcp().set_write_timeout(Some(left))?;
        match self.stream {
            NatsStream::Tcp(stream) => stream.write(bytes),
            NatsStream::Tls(stream) => stream.write(bytes),
        }
    }

    /// Each write goes to the kernel.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
