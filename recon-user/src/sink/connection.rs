//! A connection to a peer: a Unix socket, TCP, or TLS.
//!
//! In: an address. Out: bytes at the peer; whether it is there, and what the kernel still holds.
//! The decision held here: a connection is one once it has stayed for a moment. The peer is asked
//! for nothing but that.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::tls::{TlsPeer, TlsStream};
use super::whole_lines::{first_line, write_whole};

/// How long a TCP peer may take to accept.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Nothing sent and nothing heard for so many seconds: the peer is asked whether it is there.
const ASK_AFTER: u32 = 30;
const ASK_EVERY: u32 = 10;
/// A peer that takes nothing for that long, in milliseconds, is gone.
const PEER_TIME: u32 = 120_000;
/// How long a new connection must stay before a line is sent: a peer that refuses recon after it
/// has accepted, as TLS 1.3 does with a certificate, has answered by then.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// Whom to connect to.
#[derive(Clone)]
pub(crate) enum Peer {
    Unix(PathBuf),
    Tcp(SocketAddr),
    Tls(SocketAddr, TlsPeer),
}

pub(super) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// The peer sent its end at once: it has closed the connection, or only reads.
    HalfClosed(TcpStream),
    Tls(TlsStream),
}

/// Lets the kernel find out that a TCP peer is gone.
pub(super) fn watch(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &ASK_AFTER)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &ASK_EVERY)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &PEER_TIME)?;
    Ok(())
}

/// A peer that does not say why.
pub(super) fn closed() -> io::Error {
    io::Error::new(
        ErrorKind::ConnectionAborted,
        "the peer closes each connection at once",
    )
}

/// Whether a peer is there and keeps a connection, with so much time to accept it.
pub(super) fn try_peer(peer: &Peer, patience: Duration) -> io::Result<()> {
    let mut connection = Connection::open(peer, patience)?;
    if let Connection::HalfClosed(_) = connection {
        return Err(io::Error::new(
            ErrorKind::ConnectionAborted,
            "the peer closes each connection at once, or only reads and has closed its sending side",
        ));
    }
    connection.close();
    Ok(())
}

impl Connection {
    /// Connects to a peer that does not close at once.
    pub(super) fn open(peer: &Peer, patience: Duration) -> io::Result<Self> {
        let connection = match peer {
            Peer::Unix(path) => UnixStream::connect(path).map(Self::Unix)?,
            Peer::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)?;
                watch(&stream)?;
                Self::Tcp(stream)
            }
            Peer::Tls(address, peer) => {
                let stream = peer.connect(address, patience)?;
                watch(stream.tcp())?;
                Self::Tls(stream)
            }
        };
        if !connection.is_over_within(SETTLE) {
            return Ok(connection);
        }
        if let Self::Tcp(stream) = connection {
            let half_closed = Self::HalfClosed(stream);
            return match half_closed.is_over() {
                true => Err(closed()),
                false => Ok(half_closed),
            };
        }
        Err(connection.why_over().unwrap_or_else(closed))
    }

    /// Sends the first of these lines to a peer that may have closed the connection. Returns its
    /// length.
    ///
    /// # Errors
    /// The peer has: a line that is answered by a reset was not read.
    pub(super) fn try_line(&mut self, lines: &[u8]) -> io::Result<usize> {
        let length = first_line(lines);
        self.write_from(&lines[..length], &mut 0)?;
        match self.is_over_within(SETTLE) {
            true => Err(closed()),
            false => Ok(length),
        }
    }

    /// What the peer has said of the end of this connection. Only TLS has alerts.
    pub(super) fn why_over(self) -> Option<io::Error> {
        match self {
            Self::Unix(_) | Self::Tcp(_) | Self::HalfClosed(_) => None,
            Self::Tls(mut stream) => stream.last_alert(),
        }
    }

    /// Writes the bytes from `done` on, and adds to it those that the kernel took.
    pub(super) fn write_from(&mut self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        match self {
            Self::Unix(stream) => write_whole(stream, bytes, done),
            Self::Tcp(stream) | Self::HalfClosed(stream) => write_whole(stream, bytes, done),
            Self::Tls(stream) => write_whole(stream, bytes, done),
        }
    }

    /// Ends what has an end of its own. Returns whether the peer has done so, too.
    pub(super) fn close(&mut self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp(_) | Self::HalfClosed(_) => false,
            Self::Tls(stream) => stream.close(),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) | Self::HalfClosed(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.tcp().as_fd(),
        }
    }

    /// Whether the peer has closed it, or it has broken.
    pub(super) fn is_over(&self) -> bool {
        self.is_over_within(Duration::ZERO)
    }

    /// The same, or whether that happens within a time.
    pub(super) fn is_over_within(&self, time: Duration) -> bool {
        /// The peer sends nothing more. The crate nix has no name for it.
        const HALF_CLOSED: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
        if matches!(self, Self::Tls(stream) if stream.is_broken()) {
            return true;
        }
        // A Unix peer that has closed the connection hangs up.
        let sign = match self {
            Self::Unix(_) | Self::HalfClosed(_) => PollFlags::empty(),
            Self::Tcp(_) | Self::Tls(_) => HALF_CLOSED,
        };
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut ask = [PollFd::new(self.as_fd(), sign)];
            // Whatever the kernel answers is an end: errors and hang-ups need not be asked for.
            match poll(&mut ask, left) {
                // A signal, as those by which threads are reduced at the start.
                Err(Errno::EINTR) => {}
                ready => return ready.is_ok_and(|ready| ready > 0),
            }
        }
    }

    /// The bytes that the kernel holds for the peer, or more: those of TLS are some more than what
    /// they encrypt.
    pub(super) fn held_bytes(&self) -> io::Result<usize> {
        let mut held: libc::c_int = 0;
        let own = self.as_fd().as_raw_fd();
        // SAFETY: the kernel writes one integer.
        match unsafe { libc::ioctl(own, libc::TIOCOUTQ, &raw mut held) } {
            0 => Ok(usize::try_from(held).unwrap_or(0)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
