//! A sink that sends lines through a connection: a Unix socket, or TCP.
//!
//! In: whole lines. Out: the same lines at the peer, one after the other.
//! The decisions held here:
//! - A connection that breaks is made again, and lines wait in the queue until then. A line that
//!   was sent in part is sent whole on the next connection, so that no two lines merge.
//! - The kernel takes lines long before the peer reads them. What it still holds when the
//!   connection breaks is sent again: the lines that a Unix peer has not read, or that a TCP peer's
//!   kernel has not acknowledged. Some of these may have arrived, and count as repeated.
//! - A peer that accepts a connection and closes it at once gets no line: nothing is sent before a
//!   new connection has stayed for a moment. What is sent in its first seconds is kept until these
//!   are over, and a connection that ends within them is a failure.
//! - recon reads nothing from a peer, except for what TLS needs to begin and why it ends: none of
//!   these protocols has an answer that could acknowledge a line.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::queue::{Counts, LineBatch};
use super::target::{Failure, Target};
use super::tls::{TlsPeer, TlsStream};
use super::whole_lines::{count_lines, ended_lines, write_whole};

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

/// How long a new connection must stay before a line is sent: a peer that refuses recon after it has
/// accepted, as TLS 1.3 does with a certificate, has answered by then.
const SETTLE: Duration = Duration::from_millis(500);
/// What has been sent through a younger connection may not be with the peer, whatever its kernel
/// says.
const YOUNG: Duration = Duration::from_secs(2);

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
    /// When lines were first sent through the connection.
    opened: Instant,
    /// It is no longer young.
    is_proven: bool,
}

impl StreamPeer {
    /// Connects when there is something to send.
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            connection: None,
            unconfirmed: VecDeque::new(),
            unconfirmed_bytes: 0,
            last_try: None,
            opened: Instant::now(),
            is_proven: false,
        }
    }

    /// Leaves a connection that is over.
    ///
    /// # Errors
    /// It has ended as soon as lines were sent, or the peer has said why.
    fn leave(&mut self) -> io::Result<()> {
        let Some(over) = self.connection.take_if(|it| it.is_over()) else {
            return Ok(());
        };
        let is_young = self.opened.elapsed() < YOUNG;
        over.why_over()
            .or_else(|| is_young.then(closed))
            .map_or(Ok(()), Err)
    }

    /// Makes a connection if there is none, and sends what the one before may have lost.
    ///
    /// # Errors
    /// It can't be made, or the one before has ended as soon as lines were sent.
    fn connect(&mut self) -> io::Result<()> {
        self.leave()?;
        if self.connection.is_some() {
            return Ok(());
        }
        self.last_try = Some(Instant::now());
        let mut connection = Connection::open(&self.peer, CONNECT_TIME)?;
        for Sent { bytes, counts } in &self.unconfirmed {
            connection.write_from(bytes, &mut 0)?;
            counts.note_repeated(count_lines(bytes));
        }
        self.connection = Some(connection);
        (self.opened, self.is_proven) = (Instant::now(), false);
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
        if self.opened.elapsed() < YOUNG || connection.is_over() {
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
        if let Err(error) = self.leave() {
            return Some(Err(error));
        }
        if self.connection.is_some() {
            // A young one may be a failure yet.
            let is_new = !self.is_proven && self.opened.elapsed() >= YOUNG;
            self.is_proven |= is_new;
            return is_new.then_some(Ok(()));
        }
        let is_early = self.last_try.is_some_and(|last| last.elapsed() < TRY_AGAIN);
        let failed = (!is_early).then(|| self.connect().err()).flatten();
        failed.map(Err)
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
        // A peer that reads and closes takes a moment, too.
        let is_young = self.opened.elapsed() < YOUNG && !self.unconfirmed.is_empty();
        let left = if is_young { SETTLE } else { Duration::ZERO };
        let connection = self.connection.as_ref();
        if connection.is_none_or(|it| it.is_over_within(left)) {
            for Sent { bytes, counts } in &self.unconfirmed {
                counts.take_back(count_lines(bytes));
            }
        }
    }
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
fn closed() -> io::Error {
    io::Error::new(
        ErrorKind::ConnectionAborted,
        "the peer closes each connection at once",
    )
}

/// Whether a peer is there and keeps a connection, with so much time to accept it.
pub(super) fn try_peer(peer: &Peer, patience: Duration) -> io::Result<()> {
    let mut connection = Connection::open(peer, patience)?;
    connection.close();
    Ok(())
}

impl Connection {
    /// Connects to a peer that does not close at once.
    fn open(peer: &Peer, patience: Duration) -> io::Result<Self> {
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
        if connection.is_over_within(SETTLE) {
            return Err(connection.why_over().unwrap_or_else(closed));
        }
        Ok(connection)
    }

    /// What the peer has said of the end of this connection. Only TLS has words for that.
    fn why_over(self) -> Option<io::Error> {
        match self {
            Self::Unix(_) | Self::Tcp(_) => None,
            Self::Tls(mut stream) => stream.last_alert(),
        }
    }

    /// Writes the bytes from `done` on, and adds to it those that the kernel took.
    fn write_from(&mut self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        match self {
            Self::Unix(stream) => write_whole(stream, bytes, done),
            Self::Tcp(stream) => write_whole(stream, bytes, done),
            Self::Tls(stream) => write_whole(stream, bytes, done),
        }
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
        self.is_over_within(Duration::ZERO)
    }

    /// The same, or whether that happens within a time.
    fn is_over_within(&self, time: Duration) -> bool {
        /// The peer sends nothing more. The crate nix has no name for it.
        const HALF_CLOSED: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
        if matches!(self, Self::Tls(stream) if stream.is_broken()) {
            return true;
        }
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut ask = [PollFd::new(self.as_fd(), HALF_CLOSED)];
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
