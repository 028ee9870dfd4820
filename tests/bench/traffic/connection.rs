//! A TCP connection of a client, from its SYN to the last acknowledgement.
//!
//! In: draws. Out: its segments in order.
//! The decision held here: a side acknowledges every second segment of data, as TCP stacks do. The
//! lengths of answers have a heavy tail: most are a few segments, some are downloads.

use std::net::IpAddr;

use anyhow::Result;
use etherparse::TcpHeader;
use recon_tests::frame::{Path, segment};

use super::ends;
use crate::random::Random;

/// The ports of services, by how many connections they have.
const SERVICES: [(u16, u64); 4] = [(443, 75), (80, 15), (22, 6), (25, 4)];
/// The first port of clients.
const FIRST_PORT: u64 = 32_768;
const PORTS: u64 = 28_000;
/// Data of a full segment.
const FULL: usize = 1460;
/// Bytes of a request.
const REQUEST: std::ops::RangeInclusive<u64> = 120..=700;
const REQUESTS: u64 = 6;
/// Full segments of an answer.
const ANSWER_SHAPE: f64 = 0.9;
const LONGEST_ANSWER: u64 = 20_000;
/// Connections in which the client sends most.
const UPLOAD_SHARE: f64 = 0.1;
const GET: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example\r\n";
const TLS_DATA: &[u8] = &[0x17, 3, 3];
const HTTP: u16 = 80;

/// What a connection sends next.
#[derive(Clone, Copy)]
enum Step {
    Syn,
    SynAck,
    Complete,
    Request,
    /// So many full segments are left, and the latest is acknowledged or not.
    Answer(u64),
    Acknowledge(u64),
    Close,
    CloseBack,
    LastAcknowledge,
    Over,
}

/// One end.
#[derive(Clone, Copy)]
struct End {
    address: IpAddr,
    port: u16,
    /// The number of its next byte.
    next: u32,
}

/// A connection.
pub(crate) struct Connection {
    client: End,
    server: End,
    step: Step,
    requests: u64,
    is_upload: bool,
}

impl Connection {
    /// A connection that begins now, or before the capture did.
    pub(super) fn new(random: &mut Random, is_older: bool) -> Self {
        let (client, server) = ends(random);
        let port = (FIRST_PORT + random.below(PORTS)) as u16;
        let mut end = |address, port| End {
            address,
            port,
            next: random.next() as u32,
        };
        let (client, mut server) = (end(client, port), end(server, 0));
        server.port = random.weighted(&SERVICES);
        Self {
            client,
            server,
            step: match is_older {
                true => Step::Answer(random.pareto(ANSWER_SHAPE, LONGEST_ANSWER)),
                false => Step::Syn,
            },
            requests: random.within(1..=REQUESTS),
            is_upload: random.chance(UPLOAD_SHARE),
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    /// Its next segment.
    pub(super) fn next_segment(&mut self, random: &mut Random) -> Result<Vec<u8>> {
        let answers_by_client = self.is_upload;
        let plain = TcpHeader::default();
        let ack = TcpHeader {
            ack: true,
            ..plain.clone()
        };
        let syn = |ack| TcpHeader {
            syn: true,
            ack,
            ..TcpHeader::default()
        };
        let fin = TcpHeader {
            fin: true,
            ..ack.clone()
        };
        let push = TcpHeader {
            psh: true,
            ..ack.clone()
        };
        let (by_client, flags, data, next) = match self.step {
            Step::Syn => (true, syn(false), 0, Step::SynAck),
            Step::SynAck => (false, syn(true), 0, Step::Complete),
            Step::Complete => (true, ack, 0, Step::Request),
            Step::Request => {
                let answer = random.pareto(ANSWER_SHAPE, LONGEST_ANSWER);
                let length = random.within(REQUEST) as usize;
                (true, push, length, Step::Answer(answer))
            }
            Step::Answer(left) => {
                let next = match left {
                    0 | 1 => Step::Acknowledge(0),
                    left if left.is_multiple_of(2) => Step::Answer(left - 1),
                    left => Step::Acknowledge(left - 1),
                };
                (answers_by_client, ack, FULL, next)
            }
            Step::Acknowledge(left) => {
                let next = match (left, self.requests) {
                    (0, 0) => Step::Close,
                    (0, _) => {
                        self.requests -= 1;
                        Step::Request
                    }
                    (left, _) => Step::Answer(left),
                };
                (!answers_by_client, ack, 0, next)
            }
            Step::Close => (true, fin, 0, Step::CloseBack),
            Step::CloseBack => (false, fin, 0, Step::LastAcknowledge),
            Step::LastAcknowledge | Step::Over => (true, ack, 0, Step::Over),
        };
        self.step = next;
        self.send(by_client, flags, data)
    }

    fn send(&mut self, by_client: bool, flags: TcpHeader, data: usize) -> Result<Vec<u8>> {
        let (from, to) = match by_client {
            true => (&mut self.client, &mut self.server),
            false => (&mut self.server, &mut self.client),
        };
        let header = TcpHeader {
            sequence_number: from.next,
            acknowledgment_number: if flags.ack { to.next } else { 0 },
            source_port: from.port,
            destination_port: to.port,
            window_size: segment([0, 0]).window_size,
            ..flags
        };
        let mut payload = vec![b'x'; data];
        let start = match (by_client, to.port) {
            (true, HTTP) => GET,
            _ => TLS_DATA,
        };
        if let Some(place) = payload.get_mut(..start.len()) {
            place.copy_from_slice(start);
        }
        let marks = u32::from(header.syn) + u32::from(header.fin);
        let frame = Path::new(from.address, to.address).tcp(header, &payload)?;
        from.next = from.next.wrapping_add(data as u32).wrapping_add(marks);
        Ok(frame)
    }
}
