//! A DNS responder that has a few records, or none, and the bytes of a query.
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

/// Kinds of records (IANA numbers).
pub mod kind {
    /// An address of IPv4.
    pub const A: u16 = 1;
    /// Another name.
    pub const CNAME: u16 = 5;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// An address of IPv6.
    pub const AAAA: u16 = 28;
}

/// A record that a responder has: whose it is, in small letters, its kind, its data.
pub type Record = (&'static str, u16, Vec<u8>);

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
    records: Vec<Record>,
    done: AtomicBool,
}

impl Responder {
    /// Starts answering on port 53 of `address` in `namespace`.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, address: impl Into<IpAddr>) -> Result<Self> {
        Self::with_records(namespace, address, Vec::new())
    }

    /// The same with records.
    ///
    /// # Errors
    /// As [`Responder::start`].
    pub fn with_records(
        namespace: &Namespace,
        address: impl Into<IpAddr>,
        records: Vec<Record>,
    ) -> Result<Self> {
        let address = address.into();
        let sockets = namespace.enter(|| {
            let taken = || format!("{address} port {PORT}");
            Ok(Sockets {
                udp: UdpSocket::bind((address, PORT)).with_context(taken)?,
                tcp: TcpListener::bind((address, PORT)).with_context(taken)?,
                records,
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
            let answer = answer(&message[..length], &self.records);
            let _ = self.udp.send_to(&answer, asker);
        }
    }

    fn answer_connections(&self) {
        for connection in self.tcp.incoming().map_while(Result::ok) {
            // The thread ends when the client closes.
            let _ = answer_connection(connection, &self.records);
        }
    }
}

fn answer_connection(mut connection: TcpStream, records: &[Record]) -> io::Result<()> {
    let mut length = [0; 2];
    loop {
        connection.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        connection.read_exact(&mut message)?;
        connection.write_all(&framed(&answer(&message, records)))?;
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

/// A name as labels.
#[must_use]
pub fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.');
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| {
            let length = u8::try_from(label.len()).unwrap_or_default();
            [&[length], label.as_bytes()].concat()
        })
        .collect();
    bytes.push(0);
    bytes
}

/// Response, recursion desired and available, no error.
const FLAGS: [u8; 2] = [0x81, 0x80];
/// The class of the internet.
const IN: u16 = 1;

/// An answer that gives a name an address, to the query of that number, if there is one.
#[must_use]
pub fn forged_answer(number: u16, of: &str, address: [u8; 4]) -> Vec<u8> {
    let counts: [u16; 4] = [1, 1, 0, 0];
    let counts: Vec<u8> = counts
        .iter()
        .flat_map(|count| count.to_be_bytes())
        .collect();
    let question = [name(of), words(&[kind::A, IN])].concat();
    let head = [&number.to_be_bytes()[..], &FLAGS, &counts].concat();
    [head, question, record(of, kind::A, &address)].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn record(of: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    const SECONDS: u16 = 60;
    let length = u16::try_from(data.len()).unwrap_or_default();
    let fixed = words(&[kind, IN, 0, SECONDS, length]);
    [&name(of)[..], &fixed, data].concat()
}

/// The answer to a query, with the records of the name that is asked for, or of those that it leads
/// to.
fn answer(query: &[u8], records: &[Record]) -> Vec<u8> {
    const FLAGS_AT: usize = 2;
    const ANSWERS_AT: usize = 6;
    if query.len() < HEADER {
        return query.to_vec();
    }
    let end = question_end(query);
    // The question stays. The record after it, dig's EDNS options, is dropped.
    let mut answer = query[..end].to_vec();
    answer[FLAGS_AT..FLAGS_AT + FLAGS.len()].copy_from_slice(&FLAGS);
    answer[ANSWERS_AT..HEADER].fill(0);
    let asked = query[HEADER..end].to_ascii_lowercase();
    let Some((mut asked, kind)) = asked
        .split_last_chunk::<4>()
        .map(|(name, rest)| (name.to_vec(), u16::from_be_bytes([rest[0], rest[1]])))
    else {
        return answer;
    };
    let mut answers = 0_u8;
    for (of, has, data) in records {
        let is_asked = *has == kind || *has == kind::CNAME;
        if is_asked && name(of) == asked {
            answer.extend(record(of, *has, data));
            answers += 1;
            if *has == kind::CNAME {
                asked.clone_from(data);
            }
        }
    }
    answer[ANSWERS_AT + 1] = answers;
    answer
}

/// The end of the first question: labels up to the empty one, then type and class.
fn question_end(message: &[u8]) -> usize {
    const TYPE_AND_CLASS: usize = 4;
    let labels = message[HEADER..].iter().position(|&byte| byte == 0);
    let after_name = HEADER + labels.unwrap_or_default() + 1;
    (after_name + TYPE_AND_CLASS).min(message.len())
}
