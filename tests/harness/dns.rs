//! A DNS responder that answers every query with 'no such data', and the bytes of a query.
//!
//! In: a namespace and an address. Out: answers, until the guard is dropped.

use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use nix::sys::socket::{Shutdown, shutdown};

use crate::namespace::Namespace;

/// The port that queries go to.
pub const PORT: u16 = 53;

/// Bytes of a message's header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// A standard query for the address of `a.example` (RFC 1035, 4.1): number 1, recursion desired, one question.
pub const QUERY: &[u8] =
    b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Responder {
    socket: Arc<UdpSocket>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts answering on port 53 of `address` in `namespace`.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, address: impl Into<IpAddr>) -> Result<Self> {
        let address = address.into();
        let bind =
            || UdpSocket::bind((address, PORT)).with_context(|| format!("{address} port {PORT}"));
        let socket = Arc::new(namespace.enter(bind)?);
        let done = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (socket, done) = (Arc::clone(&socket), Arc::clone(&done));
            move || answer(&socket, &done)
        });
        Ok(Self {
            socket,
            done,
            thread: Some(thread),
        })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        // Wakes the thread. On a socket without a peer it does so and still says 'not connected'.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(socket: &UdpSocket, done: &AtomicBool) {
    /// Response, recursion desired and available, no error.
    const FLAGS: [u8; 2] = [0x81, 0x80];
    /// Offsets of the flags and of the number of additional records (dig asks with one, EDNS).
    const FLAGS_AT: usize = 2;
    const ADDITIONAL_AT: usize = 10;
    /// What a query over UDP has room for (RFC 1035, 2.3.4).
    const LONGEST: usize = 512;
    let mut message = [0; LONGEST];
    while let Ok((length, asker)) = socket.recv_from(&mut message) {
        if done.load(Ordering::Acquire) {
            return;
        }
        if length < HEADER {
            continue;
        }
        message[FLAGS_AT..FLAGS_AT + FLAGS.len()].copy_from_slice(&FLAGS);
        // The question stays; a record after it would have to be an answer's, so its count goes and its bytes with it.
        message[ADDITIONAL_AT..HEADER].fill(0);
        let end = question_end(&message[..length]);
        // An asker that has gone needs no answer.
        let _ = socket.send_to(&message[..end], asker);
    }
}

/// Where the first question ends: labels up to the empty one, then type and class.
fn question_end(message: &[u8]) -> usize {
    const TYPE_AND_CLASS: usize = 4;
    let name = message.get(HEADER..).unwrap_or_default();
    let labels = name.iter().position(|&byte| byte == 0).unwrap_or(0) + 1;
    (HEADER + labels + TYPE_AND_CLASS).min(message.len())
}
