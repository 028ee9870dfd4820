//! A sink that sends lines through a connection: a Unix socket, or TCP.
//!
//! In: whole lines. Out: the same lines at the peer, one after the other.
//! The decisions held here:
//! - A connection that breaks is made again, and lines wait in the queue until then. A line that
//!   was sent in part is sent whole on the next connection, so that no two lines merge.
//! - The kernel takes lines long before the peer reads them. What it still holds when the
//!   connection breaks is sent again: the lines that a Unix peer has not read, or that a TCP peer's
//!   kernel has not acknowledged. Some of these may have arrived, and count as repeated.
//! - recon reads nothing from a peer, except for what TLS needs to begin: none of these protocols
//!   has an answer that could acknowledge a line.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::queue::{Counts, LineBatch};
use super::target::{Failure, Target};
use super::tls::{TlsPeer, TlsStream};
use super::whole_lines::{count_lines, ended_lines};

/// How long a TCP peer may take to accept.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Nothing sent and nothing heard for so many seconds: the peer is asked whether it is there.
const ASK_AFTER: u32 = 30;
const ASK_EVERY: u32 = 10;
/// A peer that takes nothing for that long, in milliseconds, is gone.
const PEER_TIME: u32 = 120_000;
/// How often to look after a connection that nothing is sent through.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look for a peer that has gone, without new lines.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Whom to connect to.
#[derive(Clone)]
pub(crate) enum Peer {
    Unix(PathBuf),
    Tcp(SocketAddr),
    Tls(SocketAddr, TlsPeer),
}

enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(TlsStream),
}

/// Lines that the kernel has taken, and that may not be with the peer.
struct Sent {
    bytes: Bytes,
    counts: Arc<Counts>,
}

/// A peer, and what was sent to it.
pub(crate) struct StreamPeer {
    peer: Peer,
    connection: Option<Connection>,
    unconfirmed: VecDeque<Sent>,
    unconfirmed_bytes: usize,
    last_try: Option<Instant>,
}

impl StreamPeer {
    /// Connects when there is something to send.
    pub(crate) const fn new(peer: Peer) -> Self {
        Self {
            peer,
            connection: None,
            unconfirmed: VecDeque::new(),
            unconfirmed_bytes: 0,
            last_try: None,
        }
    }

    /// Makes a connection if there is none, and sends what the one before may have lost.
    fn connect(&mut self) -> io::Result<()> {
        if self.connection.as_ref().is_some_and(Connection::is_over) {
            self.connection = None;
        }
        if self.connection.is_some() {
            return Ok(());
        }
        self.last_try = Some(Instant::now());
        let mut connection = Connection::open(&self.peer)?;
        for Sent { bytes, counts } in &self.unconfirmed {
            connection.write_from(bytes, &mut 0)?;
            counts.note_repeated(count_lines(bytes));
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Sends the bytes from `done` on, which grows by whole lines.
    fn send(&mut self, batch: &LineBatch, done: &mut usize) -> io::Result<()> {
        self.connect()?;
        let Some(connection) = &mut self.connection else {
            return Err(ErrorKind::NotConnected.into());
        };
        let mut sent = *done;
        let result = connection.write_from(&batch.bytes, &mut sent);
        let whole = ended_lines(&batch.bytes[*done..sent]);
        if whole > 0 {
            let end = *done + whole;
            self.unconfirmed_bytes += whole;
            self.unconfirmed.push_back(Sent {
                bytes: batch.bytes.slice(*done..end),
                counts: Arc::clone(&batch.counts),
            });
            *done = end;
        }
        match result {
            Ok(()) => self.confirm(),
            Err(_) => self.connection = None,
        }
        result
    }

    /// Forgets lines that the kernel no longer holds. It frees those of a peer that has gone, too:
    /// so it is asked first what it holds, and then whether the peer is there.
    fn confirm(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let Ok(held) = connection.held_bytes() else {
            return;
        };
        if connection.is_over() {
            return;
        }
        while let Some(first) = self.unconfirmed.front_mut() {
            let arrived = self.unconfirmed_bytes.saturating_sub(held);
            if arrived >= first.bytes.len() {
                self.unconfirmed_bytes -= first.bytes.len();
                self.unconfirmed.pop_front();
                continue;
            }
            let whole = ended_lines(&first.bytes[..arrived]);
            self.unconfirmed_bytes -= whole;
            first.bytes = first.bytes.slice(whole..);
            return;
        }
    }
}

impl Target for StreamPeer {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        self.send(batch, done).map_err(Failure::Later)
    }

    fn longest_pause(&self) -> Option<Duration> {
        Some(LOOK)
    }

    /// Finds a peer that has gone, and brings it what it had not read once it is back.
    fn look(&mut self) -> Option<io::Result<()>> {
        self.confirm();
        let is_over = self.connection.as_ref().is_none_or(Connection::is_over);
        let is_early = self.last_try.is_some_and(|last| last.elapsed() < TRY_AGAIN);
        if !is_over || is_early {
            return None;
        }
        Some(self.connect())
    }

    /// Lines that nobody will send again are lost.
    fn end(&mut self) {
        if let Some(connection) = &mut self.connection
            && connection.close()
            && connection.held_bytes().is_ok_and(|held| held == 0)
        {
            // The peer has read all, and has ended only then.
            return;
        }
        if self.connection.as_ref().is_none_or(Connection::is_over) {
            for Sent { bytes, counts } in &self.unconfirmed {
                counts.take_back(count_lines(bytes));
            }
        }
    }
}

/// Lets the kernel find out that a TCP peer is gone.
fn watch(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &ASK_AFTER)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &ASK_EVERY)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &PEER_TIME)?;
    Ok(())
}

impl Connection {
    fn open(peer: &Peer) -> io::Result<Self> {
        match peer {
            Peer::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            Peer::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, CONNECT_TIME)?;
                watch(&stream)?;
                Ok(Self::Tcp(stream))
            }
            Peer::Tls(address, peer) => {
                let stream = peer.connect(address, CONNECT_TIME)?;
                watch(stream.tcp())?;
                Ok(Self::Tls(stream))
            }
        }
    }

    /// Writes the bytes from `done` on, and adds to it those that the kernel took.
    fn write_from(&mut self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        while *done < bytes.len() {
            let rest = &bytes[*done..];
            let written = match self {
                Self::Unix(stream) => stream.write(rest),
                Self::Tcp(stream) => stream.write(rest),
                Self::Tls(stream) => stream.write(rest),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => *done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends what has an end of its own. Returns whether the peer has done so, too.
    fn close(&mut self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp(_) => false,
            Self::Tls(stream) => stream.close(),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.tcp().as_fd(),
        }
    }

    /// Whether the peer has closed it, or it has broken.
    fn is_over(&self) -> bool {
        /// The peer sends nothing more. The crate nix has no name for it.
        const HALF_CLOSED: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
        let mut ask = [PollFd::new(self.as_fd(), HALF_CLOSED)];
        // Whatever the kernel answers is an end: errors and hang-ups need not be asked for.
        poll(&mut ask, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// The bytes that the kernel holds for the peer, or more: those of TLS are some more than what
    /// they encrypt.
    fn held_bytes(&self) -> io::Result<usize> {
        let mut held: libc::c_int = 0;
        let own = self.as_fd().as_raw_fd();
        // SAFETY: the kernel writes one integer.
        match unsafe { libc::ioctl(own, libc::TIOCOUTQ, &raw mut held) } {
            0 => Ok(usize::try_from(held).unwrap_or(0)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
