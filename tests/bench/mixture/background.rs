//! Background radiation: sources that pass by.
//!
//! In: a source. Out: its few packets.
//! The decisions held here:
//! - Most sources look for one service and see this host once or twice. Durumeric and others ("An
//!   Internet-wide view of Internet-wide scanning", 2014) count 10.8 million scans of one month
//!   from 1.76 million hosts; only 17,918 reach more than a hundredth of the addresses. One address
//!   without services saw 1,018 sources on 1,167 ports in a day (weberblog.net, "Internet's
//!   noise"): a few sources look at many ports. That 70 % look at one port, 26 % at up to five and
//!   4 % at up to ten is an assumption in between.
//! - Services are those that the same authors, Richter and Berger ("Scanning the scanners", 2019)
//!   and later reports name: Telnet and its variants for bots, remote logins, the web, databases.
//!   Their weights are estimates. A part of the sources looks at any port.
//! - Bots and fast scanners send from raw sockets and never complete a handshake; the others
//!   connect, and close at once.

use std::ops::RangeInclusive;

use super::host::{DNS, SITES};
use super::source::{Session, Source};
use super::traffic::{Millis, Outcome, SECOND, Sent, Stack};

/// Popular services, each with its weight.
const POPULAR: [(u16, u64); 30] = [
    (23, 200),
    (22, 110),
    (445, 90),
    (80, 70),
    (443, 60),
    (8080, 60),
    (3389, 60),
    (6379, 40),
    (1433, 40),
    (2323, 30),
    (5555, 30),
    (5900, 30),
    (3306, 25),
    (8443, 25),
    (81, 20),
    (21, 20),
    (25, 20),
    (8728, 15),
    (37_215, 15),
    (52_869, 15),
    (5432, 15),
    (9200, 15),
    (27_017, 10),
    (11_211, 10),
    (2375, 10),
    (8888, 10),
    (7547, 10),
    (5060, 10),
    (2222, 10),
    (1080, 10),
];
/// The part of looks at a port that is none of them.
const ANY_PORT_SHARE: f64 = 0.12;

/// The part of sources with raw sockets.
const RAW_SHARE: f64 = 0.5;
/// The part of sources that send datagrams, and to which ports.
const UDP_SHARE: f64 = 0.07;
const UDP_PORTS: [u16; 7] = [DNS, 123, 161, 389, 1900, 5060, 11_211];

/// How often a source looks at a port.
const LOOKS: RangeInclusive<u64> = 1..=3;
/// The mean time from look to look.
const PAUSE: Millis = 3 * SECOND;

fn popular_port(source: &mut Source<'_>) -> u16 {
    match source.random.chance(ANY_PORT_SHARE) {
        true => source.random.within(1..=u16::MAX.into()) as u16,
        false => source.random.weighted(&POPULAR),
    }
}

fn look_at(source: &mut Source<'_>, port: u16, at: Millis) {
    let greeting = Session {
        sent: source.random.pick(&[Sent::Nothing, Sent::Hello]),
        patience: SECOND / 2,
        ..Session::EMPTY
    };
    match (source.stack, source.traffic.outcome(port)) {
        (Stack::Raw, Outcome::Accepted) => source.half_open(port, at),
        (_, outcome) => source.connect_to(port, at, greeting, outcome),
    }
}

fn look_at_ports(source: &mut Source<'_>, count: u64) {
    if source.random.chance(RAW_SHARE) {
        source.stack = Stack::Raw;
    }
    let is_udp = count <= UDP_PORTS.len() as u64 && source.random.chance(UDP_SHARE);
    let site = source.random.below(SITES);
    source.turn_to(site);
    let mut at = source.any_time();
    let mut ports = Vec::new();
    while (ports.len() as u64) < count {
        let port = match is_udp {
            true => source.random.pick(&UDP_PORTS),
            false => popular_port(source),
        };
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    for port in ports {
        let looks = source.random.within(LOOKS);
        for _ in 0..looks {
            match (is_udp, port) {
                (true, DNS) => source.query(at),
                (true, _) => source.stray_datagram(port, at),
                (false, _) => look_at(source, port, at),
            }
            // A second look is at the same address or at another one.
            if source.random.chance(0.5) {
                let site = source.random.below(SITES);
                source.turn_to(site);
            }
            at += source.random.gap(PAUSE);
        }
    }
}

/// A source that looks for one service.
pub(super) fn one_port(source: &mut Source<'_>) {
    look_at_ports(source, 1);
}

const FEW: RangeInclusive<u64> = 2..=5;

pub(super) fn few_ports(source: &mut Source<'_>) {
    let count = source.random.within(FEW);
    look_at_ports(source, count);
}

const SEVERAL: RangeInclusive<u64> = 6..=10;

pub(super) fn several_ports(source: &mut Source<'_>) {
    let count = source.random.within(SEVERAL);
    look_at_ports(source, count);
}
