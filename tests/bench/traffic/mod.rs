//! Traffic of a network with 32 servers, packet by packet: connections of 20,000 clients, questions
//! of DNS, calls over UDP, and scans of several kinds.
//!
//! In: the mean time between two packets. Out: frames with their times.
//!
//! | file | holds |
//! |---|---|
//! | `connection` | a TCP connection from its SYN to its last FIN |
//! | `datagrams` | DNS, and calls in both directions |
//! | `scan` | scanners, and how the network answers |
//!
//! The decisions held here: most packets belong to established connections, as on real links, and
//! half of those carry as much data as Ethernet allows. Some connections are older than the
//! capture. Where packets come more slowly there are fewer connections at a time, and each is as
//! fast. Draws come from one stream, so that the same packets come in each run.

mod connection;
mod datagrams;
mod scan;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::random::Random;
use connection::Connection;
use datagrams::Calls;
use scan::Scanner;

/// The mean time between two packets of a connection, in microseconds.
const CONNECTION_GAP: u64 = 200_000;
/// How many of the connections at the start are older than the capture.
const OLDER_SHARE: f64 = 0.5;
const CLIENTS: u64 = 20_000;
/// Clients that have an IPv6 address.
const IPV6_SHARE: f64 = 0.1;
const SERVERS: u64 = 32;
const SEED: u64 = 1;

/// What comes next, and how often.
#[derive(Clone, Copy)]
enum Kind {
    Connection,
    Name,
    Call,
    Scan,
}

const KINDS: [(Kind, u64); 4] = [
    (Kind::Connection, 93),
    (Kind::Name, 1),
    (Kind::Call, 5),
    (Kind::Scan, 1),
];

/// The traffic.
pub(crate) struct Traffic {
    random: Random,
    /// The mean time between two packets, in microseconds.
    gap: u64,
    /// Microseconds since the start.
    time: u64,
    connections: Vec<Connection>,
    calls: Calls,
    scanners: Vec<Scanner>,
    /// Frames that follow the latest one at once.
    pending: VecDeque<Vec<u8>>,
}

impl Traffic {
    pub(crate) fn new(gap: u64) -> Self {
        let mut random = Random::part(SEED, 0);
        let at_a_time = (CONNECTION_GAP / gap.max(1)).max(1);
        let connections = (0..at_a_time).map(|_| {
            let is_older = random.chance(OLDER_SHARE);
            Connection::new(&mut random, is_older)
        });
        Self {
            gap,
            time: 0,
            connections: connections.collect(),
            calls: Calls::default(),
            scanners: scan::all(),
            pending: VecDeque::new(),
            random,
        }
    }

    /// The next frame, and the microseconds since the start.
    pub(crate) fn next_packet(&mut self) -> Result<(u64, Vec<u8>)> {
        self.time += self.random.gap(self.gap);
        loop {
            if let Some(frame) = self.pending.pop_front() {
                return Ok((self.time, frame));
            }
            self.add_packets()?;
        }
    }

    fn add_packets(&mut self) -> Result<()> {
        let random = &mut self.random;
        match random.weighted(&KINDS) {
            Kind::Connection => {
                let place = random.below(self.connections.len() as u64) as usize;
                let connection = &mut self.connections[place];
                self.pending.push_back(connection.next_segment(random)?);
                if connection.is_over() {
                    *connection = Connection::new(random, false);
                }
            }
            Kind::Name => self.pending.extend(datagrams::question(random)?),
            Kind::Call => self.pending.push_back(self.calls.next_datagram(random)?),
            Kind::Scan => {
                let place = random.below(self.scanners.len() as u64) as usize;
                self.pending.extend(self.scanners[place].next_probe()?);
            }
        }
        Ok(())
    }
}

/// A client and a server, of one family. Few clients cause most of the traffic.
fn ends(random: &mut Random) -> (IpAddr, IpAddr) {
    let client = random.rank(CLIENTS) as u32;
    let server = random.rank(SERVERS) as u8 + 1;
    match random.chance(IPV6_SHARE) {
        true => {
            let [a, b] = [(client >> 16) as u16, client as u16];
            (
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, a, b).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, server.into()).into(),
            )
        }
        false => (
            Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + client).into(),
            server_address(server).into(),
        ),
    }
}

/// An address of the network.
fn server_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, number)
}
