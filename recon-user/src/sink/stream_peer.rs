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
//!   are over, and a connection that ends within them is a failure. Only so much is kept: a peer
//!   that is back and gone all the time must not fill the memory.
//! - TCP does not tell a peer that has closed its sending side from one that has closed: one line
//!   is sent, and the next only if no reset has come back.
//! - recon reads nothing from a peer, except for what TLS needs to begin and why it ends: none of
//!   these protocols has an answer that could acknowledge a line.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::{CONNECT_TIME, Connection, Peer, SETTLE, closed};
use super::queue::{Counts, LineBatch};
use super::target::{Failure, Target};
use super::whole_lines::{count_lines, ended_lines};
use super::worker::vary;

/// How often to look after a connection that nothing is sent through.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look for a peer that has gone, without new lines.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What has been sent through a younger connection may not be with the peer, whatever its kernel
/// says.
const YOUNG: Duration = Duration::from_secs(2);

/// What is kept of what was sent. A connection that is no longer young has less with the kernel.
const MOST_UNCONFIRMED: usize = 4 << 20;

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
    next_try: Instant,
    /// When lines were first sent through the connection.
    opened: Instant,
    /// It is no longer young.
    is_proven: bool,
    /// Whether a peer that has closed its sending side is there shows with the next line.
    is_doubtful: bool,
}

impl StreamPeer {
    /// Connects when there is something to send.
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            connection: None,
            unconfirmed: VecDeque::new(),
            unconfirmed_bytes: 0,
            next_try: Instant::now(),
            opened: Instant::now(),
            is_proven: false,
            is_doubtful: false,
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
        self.next_try = Instant::now() + vary(TRY_AGAIN);
        let mut connection = Connection::open(&self.peer, CONNECT_TIME)?;
        let mut done = 0;
        self.is_doubtful = matches!(connection, Connection::HalfClosed(_));
        if self.is_doubtful
            && let Some(first) = self.unconfirmed.front()
        {
            done = connection.try_line(&first.bytes)?;
            self.is_doubtful = false;
        }
        for Sent { bytes, counts } in &self.unconfirmed {
            connection.write_from(bytes, &mut done)?;
            counts.note_repeated(count_lines(bytes));
            done = 0;
        }
        self.connection = Some(connection);
        (self.opened, self.is_proven) = (Instant::now(), false);
        Ok(())
    }

    /// Sends the bytes from `done` on, which grows by whole lines.
    fn send(&mut self, batch: &LineBatch, done: &mut usize) -> io::Result<()> {
        self.make_room()?;
        self.connect()?;
        let Some(connection) = &mut self.connection else {
            return Err(ErrorKind::NotConnected.into());
        };
        let mut sent = *done;
        if std::mem::take(&mut self.is_doubtful) {
            match connection.try_line(&batch.bytes[sent..]) {
                Ok(length) => sent += length,
                Err(error) => {
                    self.connection = None;
                    return Err(error);
                }
            }
        }
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

    /// Waits until a young connection has proven itself, if no more can be kept until then.
    fn make_room(&mut self) -> io::Result<()> {
        if self.unconfirmed_bytes < MOST_UNCONFIRMED {
            return Ok(());
        }
        self.connect()?;
        if let Some(connection) = &self.connection {
            let left = YOUNG.saturating_sub(self.opened.elapsed());
            connection.is_over_within(left);
        }
        self.leave()?;
        self.confirm();
        match self.unconfirmed_bytes < MOST_UNCONFIRMED {
            true => Ok(()),
            false => Err(io::Error::new(
                ErrorKind::TimedOut,
                "the peer does not take what was sent",
            )),
        }
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
        let is_early = Instant::now() < self.next_try;
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
