//! A DNS responder that answers every query with 'no such data', and the bytes of a query.
//!
//! In: a namespace and an address. Out: answers over UDP and TCP, until the guard is dropped.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use nix::sys::socket::{Shutdown, shutdown};

use crate::namespace::Namespace;

/// The port that queries go to.
pub const PORT: u16 = 53;

/// Bytes of a message header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// A standard query for the address of `a.example` (RFC 1035, 4.1): number 1, recursion desired,
/// one question.
pub const QUERY: &[u8] =
    b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";

/// A running responder. Dropping it ends it.
#[derive(Debug)]
pub struct Responder {
    sockets: Arc<Sockets>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    done: AtomicBool,
}

impl Responder {
    /// Starts answering on port 53 of `address` in `namespace`.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, address: impl Into<IpAddr>) -> Result<Self> {
        let address = address.into();
        let sockets = namespace.enter(|| {
            let taken = || format!("{address} port {PORT}");
            Ok(Sockets {
                udp: UdpSocket::bind((address, PORT)).with_context(taken)?,
                tcp: TcpListener::bind((address, PORT)).with_context(taken)?,
                done: AtomicBool::new(false),
            })
        })?;
        let sockets = Arc::new(sockets);
        let threads = [Sockets::answer_datagrams, Sockets::answer_connections]
            .map(|answer| {
                let sockets = Arc::clone(&sockets);
                thread::spawn(move || answer(&sockets))
            })
            .into();
        Ok(Self { sockets, threads })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.sockets.done.store(true, Ordering::Release);
        // Wakes the threads. A socket without a peer is woken too, and returns 'not connected'.
        let _ = shutdown(self.sockets.udp.as_raw_fd(), Shutdown::Both);
        let _ = shutdown(self.sockets.tcp.as_raw_fd(), Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Sockets {
    fn answer_datagrams(&self) {
        /// The maximum size of a query over UDP (RFC 1035, 2.3.4).
        const LONGEST: usize = 512;
        let mut message = [0; LONGEST];
        // Checked first: the shutdown that wakes this thread is no datagram and has no sender.
        while self.udp.peek(&mut message).is_ok() && !self.done.load(Ordering::Acquire) {
            let Ok((length, asker)) = self.udp.recv_from(&mut message) else {
                return;
            };
            // A client that has gone needs no answer.
            let _ = self.udp.send_to(answer(&mut message[..length]), asker);
        }
    }

    fn answer_connections(&self) {
        for connection in self.tcp.incoming().map_while(Result::ok) {
            // The thread ends when the client closes.
            let _ = answer_connection(connection);
        }
    }
}

fn answer_connection(mut connection: TcpStream) -> io::Result<()> {
    let mut length = [0; 2];
    loop {
        connection.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        connection.read_exact(&mut message)?;
        connection.write_all(&framed(answer(&mut message)))?;
    }
}

/// A message as TCP carries it, with its length in front (RFC 1035, 4.2.2).
///
/// # Panics
/// When the message is too long for that length field.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a DNS message has at most 64 KiB");
    [&length.to_be_bytes(), message].concat()
}

/// Turns a query into its answer in place, and returns the answer's part of the buffer.
fn answer(query: &mut [u8]) -> &[u8] {
    /// Response, recursion desired and available, no error.
    const FLAGS: [u8; 2] = [0x81, 0x80];
    const FLAGS_AT: usize = 2;
    const ADDITIONAL_AT: usize = 10;
    if query.len() < HEADER {
        return query;
    }
    query[FLAGS_AT..FLAGS_AT + FLAGS.len()].copy_from_slice(&FLAGS);
    // The question stays. The record after it, dig's EDNS options, is dropped.
    query[ADDITIONAL_AT..HEADER].fill(0);
    let end = question_end(query);
    &query[..end]
}

/// The end of the first question: labels up to the empty one, then type and class.
fn question_end(message: &[u8]) -> usize {
    const TYPE_AND_CLASS: usize = 4;
    let labels = message[HEADER..].iter().position(|&byte| byte == 0);
    let after_name = HEADER + labels.unwrap_or_default() + 1;
    (after_name + TYPE_AND_CLASS).min(message.len())
}
