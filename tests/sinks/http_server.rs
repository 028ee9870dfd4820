//! An HTTP server of a test, which takes bodies, refuses them, hangs, or closes.
//!
//! The decision held here: it is a few lines of its own, since it must do on command what no server
//! does: read a whole request and then not answer.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use recon_tests::Lab;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does with a request that it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Takes the body, and answers with that status.
    Answers(u16),
    /// Takes the body, and does not answer until the client gives up.
    Hangs,
    /// Takes the body, and closes.
    Closes,
    /// Takes the body, and closes within the answer.
    CutsOff,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The first line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether the answer was none of failure, or there was none.
    pub(crate) is_taken: bool,
}

/// What the threads share.
struct Shared {
    mode: Mode,
    /// What it answers besides the status.
    answer: String,
    received: Vec<Received>,
    connections: Vec<TcpStream>,
}

/// A server that listens.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    listener: TcpListener,
    thread: JoinHandle<()>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpServer {
    /// Listens in the lab's host, with TLS if there is a configuration for that. Port 0 is any.
    pub(crate) fn start(
        lab: &Lab,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self> {
        let listener = lab.host().enter(|| Ok(TcpListener::bind(address)?))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared {
            mode: Mode::Answers(200),
            answer: String::new(),
            received: Vec::new(),
            connections: Vec::new(),
        }));
        let (own, accepting) = (Arc::clone(&shared), listener.try_clone()?);
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let (own, tls) = (Arc::clone(&own), tls.clone());
                if let Ok(copy) = stream.try_clone() {
                    lock(&own).connections.push(copy);
                }
                thread::spawn(move || {
                    let copy = stream.try_clone();
                    serve(stream, tls, &own);
                    // The list holds it open.
                    let _ = copy.and_then(|stream| stream.shutdown(Shutdown::Both));
                });
            }
        });
        Ok(Self {
            address,
            shared,
            listener,
            thread,
        })
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        lock(&self.shared).mode = mode;
    }

    /// What the next answers hold.
    pub(crate) fn set_answer(&self, answer: &str) {
        lock(&self.shared).answer = answer.to_owned();
    }

    /// What has come so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        lock(&self.shared).received.clone()
    }

    /// Ends it with all its connections, as a kill does. Returns what has come.
    pub(crate) fn kill(self) -> Result<Vec<Received>> {
        // The thread is in accept(2), which returns then.
        nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both)?;
        self.thread
            .join()
            .map_err(|_| anyhow!("a server panicked"))?;
        for connection in &lock(&self.shared).connections {
            // It may be closed.
            let _ = connection.shutdown(Shutdown::Both);
        }
        Ok(lock(&self.shared).received.clone())
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, shared: &Mutex<Shared>) {
    let stream: Box<dyn Duplex> = match tls.map(ServerConnection::new) {
        None => Box::new(stream),
        Some(Ok(connection)) => Box::new(StreamOwned::new(connection, stream)),
        Some(Err(_)) => return,
    };
    let mut reader = BufReader::new(stream);
    // A client that goes ends it, too.
    while let Ok(Some((head, body))) = read_request(&mut reader) {
        let (mode, answer) = {
            let mut shared = lock(shared);
            let mode = shared.mode;
            shared.received.push(Received {
                head,
                body,
                is_taken: !matches!(mode, Mode::Answers(300..)),
            });
            (mode, shared.answer.clone())
        };
        match mode {
            Mode::Closes => return,
            Mode::CutsOff => {
                let text = b"HTTP/1.1 200 Test\r\nContent-Length: 100\r\n\r\n{\"partial";
                let stream = reader.get_mut();
                // A client that has gone reads nothing.
                let _ = stream.write_all(text).and_then(|()| stream.flush());
                return;
            }
            Mode::Hangs => {
                // Until the client closes.
                let _ = reader.read(&mut [0]);
                return;
            }
            Mode::Answers(status) => {
                let length = answer.len();
                let text =
                    format!("HTTP/1.1 {status} Test\r\nContent-Length: {length}\r\n\r\n{answer}");
                let stream = reader.get_mut();
                if stream.write_all(text.as_bytes()).is_err() || stream.flush().is_err() {
                    return;
                }
            }
        }
    }
}

/// A head and a body. None if the client has closed.
fn read_request(reader: &mut BufReader<Box<dyn Duplex>>) -> io::Result<Option<(String, String)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Some((head, body)))
}
