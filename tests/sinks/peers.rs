//! Sinks to a Unix socket and to a TCP peer, which stop reading, go, and come back.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use recon_tests::scan::{PORTS, ensure_alert};
use recon_tests::{Lab, PATIENCE};

use super::{Watched, lines};

/// Lines that may wait for the peer.
const QUEUE: u64 = 50;
/// Scanned at a time, until the kernel holds no more for a reader that has stopped: some megabytes
/// for one of TCP.
const MANY: Range<u16> = 3000..4000;
const MOST_SCANS: usize = 30;

/// Where a peer listens.
#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    /// Listens there, in the lab's host. Port 0 is any.
    fn bind(lab: &Lab, place: &Place) -> Result<(Self, Place)> {
        /// So that a connection holds little.
        const WINDOW: usize = 64 << 10;
        Ok(match place {
            Place::Unix(path) => (Self::Unix(UnixListener::bind(path)?), place.clone()),
            Place::Tcp(address) => {
                let listener = lab.host().enter(|| Ok(TcpListener::bind(address)?))?;
                setsockopt(&listener, sockopt::RcvBuf, &WINDOW)?;
                let bound = Place::Tcp(listener.local_addr()?);
                (Self::Tcp(listener), bound)
            }
        })
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> Result<Connection> {
        let mut ask = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut ask, PollTimeout::try_from(PATIENCE)?)?;
        ensure!(ready > 0, "nobody connects");
        Ok(match self {
            Self::Unix(listener) => Connection::Unix(listener.accept()?.0),
            Self::Tcp(listener) => Connection::Tcp(listener.accept()?.0),
        })
    }
}

impl Connection {
    fn try_clone(&self) -> Result<Self> {
        Ok(match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
        })
    }

    fn shut_down(&self) -> Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both)?,
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both)?,
        }
        Ok(())
    }

    /// Reads to the end. What is left of a line there is no line.
    fn read_lines(self) -> JoinHandle<Result<Vec<String>>> {
        let read = move || {
            let stream: Box<dyn Read> = match self {
                Self::Unix(stream) => Box::new(stream),
                Self::Tcp(stream) => Box::new(stream),
            };
            let mut text = String::new();
            let mut reader = BufReader::new(stream);
            loop {
                let mut line = String::new();
                // A reset ends it, too.
                if reader.read_line(&mut line).unwrap_or(0) == 0 || !line.ends_with('\n') {
                    return lines(&text);
                }
                text += &line;
            }
        };
        thread::spawn(read)
    }
}

fn joined(reader: JoinHandle<Result<Vec<String>>>) -> Result<Vec<String>> {
    reader.join().map_err(|_| anyhow!("a reader panicked"))?
}

/// The sink `peer`.
fn table(place: &Place, queue: u64) -> String {
    let place = match place {
        Place::Unix(path) => format!("type = 'unix'\npath = '{}'", path.display()),
        Place::Tcp(address) => format!("type = 'tcp'\naddress = '{address}'"),
    };
    format!("[sinks.peer]\n{place}\nlines = ['alerts', 'rows']\nqueue = {queue}\n")
}

fn check_stops(place: &Place, folder: &Path) -> Result<()> {
    let lab = Lab::new()?;
    let (listener, place) = Listener::bind(&lab, place)?;
    let watched = Watched::start(lab, folder, &table(&place, QUEUE))?;
    let first = listener.accept()?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;

    // It does not read. The agent goes on, and so does the other sink.
    let mut slow = watched.state("peer")?;
    for _ in 0..MOST_SCANS {
        // Also while it reads, many rows at once may find the queue full for a moment.
        let before = slow;
        watched.scan(MANY)?;
        slow = watched.state("peer")?;
        if slow.written == before.written && slow.dropped > before.dropped {
            break;
        }
    }
    ensure!(slow.waiting >= QUEUE && slow.dropped > 0, "{slow:?}");
    // It may never read again: the agent says so, and not only its thread once it is over.
    watched.wait_logged("its queue is full")?;
    let fast = watched.wait_empty(super::ALL)?;
    ensure!(fast.dropped == 0 && fast.written > slow.written, "{fast:?}");

    // It reads again.
    let reader = first.try_clone()?.read_lines();
    watched.wait_empty("peer")?;
    // The thread says so once its queue is empty, with a line that follows.
    watched.scan(PORTS)?;
    watched.wait_logged("were dropped while its queue was full")?;
    watched.wait_empty("peer")?;

    // It goes.
    drop(listener);
    first.shut_down()?;
    let mut received = joined(reader)?;
    drop(first);
    if let Place::Unix(path) = &place {
        fs::remove_file(path)?;
    }
    let before = watched.state("peer")?.dropped;
    watched.scan(MANY.start..MANY.start + 200)?;
    watched.wait_state("peer", "more lines are dropped", |it| it.dropped > before)?;
    watched.wait_logged("recon tries on")?;

    // It is back.
    let (listener, _) = Listener::bind(&watched.lab, &place)?;
    let reader = listener.accept()?.read_lines();
    watched.wait_empty("peer")?;
    watched.scan(PORTS)?;
    watched.wait_logged("can be written again")?;
    watched.wait_empty("peer")?;
    let ended = watched.stop()?;
    received.extend(joined(reader)?);
    ended.ensure_agrees("peer", &received)?;
    Ok(())
}

#[test]
fn a_unix_peer_stops_and_goes_and_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::Unix(folder.path().join("peer.sock"));
    check_stops(&place, folder.path())
}

#[test]
fn a_tcp_peer_stops_and_goes_and_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::Tcp("127.0.0.1:0".parse()?);
    check_stops(&place, folder.path())
}

/// What a reader has not read when it ends is for the next one, without new lines that would bring
/// it along.
#[test]
fn what_nobody_has_read_comes_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let place = Place::Unix(folder.path().join("peer.sock"));
    let (listener, _) = Listener::bind(&lab, &place)?;
    let watched = Watched::start(lab, folder.path(), &table(&place, 1000))?;
    let first = listener.accept()?;
    watched.scan(PORTS)?;
    let state = watched.wait_state("peer", "all is written", |it| {
        it.waiting == 0 && it.written > 0
    })?;
    drop(first);
    let reader = listener.accept()?.read_lines();
    let ended = watched.stop()?;
    let received = joined(reader)?;
    // Nobody has seen the first ones.
    let totals = ended.ensure_all_came("peer", &received)?;
    ensure!(totals.repeated >= state.written, "{totals:?}, {state:?}");
    Ok(())
}

/// A sink whose peer never comes costs neither the start, nor a poll, nor the end.
#[test]
fn a_peer_that_never_comes_costs_its_own_lines() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    // A port of the lab's host that nobody listens on.
    let (listener, place) = Listener::bind(&lab, &Place::Tcp("127.0.0.1:0".parse()?))?;
    drop(listener);
    let watched = Watched::start(lab, folder.path(), &table(&place, 1000))?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_logged("Connection refused")?;
    let ended = watched.stop()?;
    let totals = ended.ensure_agrees("peer", &[])?;
    ensure!(totals.written == 0, "{totals:?}");
    Ok(())
}

#[test]
fn datagrams_are_lines() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("peer.sock");
    let reader = UnixDatagram::bind(&path)?;
    reader.set_read_timeout(Some(PATIENCE))?;
    let table = format!(
        "[sinks.peer]\ntype = 'unix'\nsocket = 'datagram'\npath = '{}'\nlines = ['alerts', 'rows']\n",
        path.display()
    );
    let watched = Watched::start(Lab::new()?, folder.path(), &table)?;
    let mut received = Vec::new();
    // Nobody reads meanwhile: the kernel holds a few, and the others wait.
    watched.scan(PORTS)?;
    watched.wait_empty(super::ALL)?;
    let mut receive = |reader: &UnixDatagram| -> Result<()> {
        let mut bytes = vec![0; 1 << 16];
        let length = reader.recv(&mut bytes)?;
        let text = std::str::from_utf8(&bytes[..length])?;
        let line = lines(text)?;
        ensure!(line.len() == 1, "{text}");
        received.extend(line);
        Ok(())
    };
    let sent = watched.state(super::ALL)?.written;
    for _ in 0..sent {
        receive(&reader)?;
    }
    // Another reader at the same place.
    drop(reader);
    fs::remove_file(&path)?;
    let reader = UnixDatagram::bind(&path)?;
    reader.set_read_timeout(Some(PATIENCE))?;
    watched.scan(PORTS)?;
    watched.wait_empty(super::ALL)?;
    let more = watched.state(super::ALL)?.written - sent;
    for _ in 0..more {
        receive(&reader)?;
    }
    let own = reader.try_clone()?;
    own.set_nonblocking(true)?;
    let ended = watched.stop()?;
    while receive(&own).is_ok() {}
    ended.ensure_agrees("peer", &received)?;
    Ok(())
}
