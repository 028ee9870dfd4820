//! Twenty scanners and guessers, each with a name.
//!
//! In: a source. Out: its hour.
//! The decisions held here:
//! - They cover what changes the look of a scan: the number of ports, the pace, the order, the
//!   kind of segment, the protocol, the family, the number of sources and of targets, and how much
//!   of it succeeds. Where a tool sets the pace it is the tool's: nmap waits 0.4 s between probes
//!   when polite (`-T2`) and 15 s when sneaky (`-T1`).
//! - Some are meant to be hard: they are slow, hide among successes, or do what clients do. A
//!   detector need not find all.
//! - A guesser's connections are accepted, last as long as a refused password takes, and log
//!   nobody in.

use recon_common::Signal;

use super::host::{DNS, HTTPS, SITES, SSH, is_open};
use super::source::{Session, Source};
use super::traffic::{HOUR, MINUTE, Millis, SECOND, Sent, Stack};

/// One scanner.
pub(crate) struct Scanner {
    pub(crate) name: &'static str,
    /// The sources that share its work, in one network.
    pub(super) members: u8,
    pub(super) is_v6: bool,
    /// What each of them does.
    pub(super) act: fn(&mut Source<'_>),
}

const fn alone(name: &'static str, act: fn(&mut Source<'_>)) -> Scanner {
    Scanner {
        name,
        members: 1,
        is_v6: false,
        act,
    }
}

pub(crate) const SCANNERS: [Scanner; 20] = [
    alone("fast, 1000 ports in 5 s", |source| {
        syn_scan(source, 1_000, 5);
    }),
    alone("polite, 300 ports, 0.4 s apart", |source| {
        syn_scan(source, 300, 400);
    }),
    alone("sneaky, 200 ports, 15 s apart", |source| {
        syn_scan(source, 200, 15 * SECOND);
    }),
    alone("a port a minute", |source| syn_scan(source, 60, MINUTE)),
    alone("40 ports in the hour", irregular),
    alone("21 ports", |source| syn_scan(source, 21, SECOND)),
    alone("15 common ports", |source| syn_scan(source, 15, SECOND)),
    alone("18 ports, Xmas probes", |source| {
        flag_scan(source, 18, Signal::XmasProbe);
    }),
    alone("60 ports, FIN probes", |source| {
        flag_scan(source, 60, Signal::FinProbe);
    }),
    alone("100 ports, connect scan", connect_scan),
    alone("100 ports over UDP", udp_scan),
    alone("random ports of all addresses", random_order),
    alone("one port of 64 addresses", sweep),
    alone("10 ports every 10 minutes", returning),
    alone("40 ports among 200 successes", hidden),
    alone("600 SYNs to one port", repeated),
    alone("ssh, 200 guesses", |source| guess(source, 200)),
    alone("ssh, 60 guesses", |source| guess(source, 60)),
    Scanner {
        name: "100 ports by four neighbours",
        members: 4,
        is_v6: false,
        act: |source| shared_scan(source, 100, 4),
    },
    Scanner {
        name: "200 ports over IPv6",
        members: 1,
        is_v6: true,
        act: |source| syn_scan(source, 200, SECOND / 5),
    },
];

/// Ports that scanners begin with.
const COMMON: [u16; 40] = [
    21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 389, 443, 445, 465, 587, 993, 995, 1433, 1521,
    1723, 2049, 2375, 3000, 3306, 3389, 5432, 5555, 5900, 5985, 6379, 8000, 8080, 8081, 8443, 8888,
    9200, 10_000, 11_211, 27_017,
];

/// The first `count` ports of a scan: common ones, then all others.
fn ports(count: usize) -> Vec<u16> {
    let others = (1..=u16::MAX).filter(|port| !COMMON.contains(port));
    COMMON.into_iter().chain(others).take(count).collect()
}

/// The same, in the random order in which scanners send.
fn shuffled_ports(source: &mut Source<'_>, count: usize) -> Vec<u16> {
    source.random.some_of(&ports(count), count as u64)
}

/// SYNs to so many ports, `pause` apart; answers are reset.
fn syn_scan(source: &mut Source<'_>, count: usize, pause: Millis) {
    let ports = shuffled_ports(source, count);
    scan(source, &ports, pause, |source, port, at| {
        source.half_open(port, at);
    });
}

/// Looks at ports in order, `pause` apart.
fn scan(
    source: &mut Source<'_>,
    ports: &[u16],
    pause: Millis,
    mut look: impl FnMut(&mut Source<'_>, u16, Millis),
) {
    source.stack = Stack::Raw;
    let mut at = source.time_for(pause * ports.len() as u64);
    for &port in ports {
        look(source, port, at);
        at += pause;
    }
}

/// 40 ports at random times of the hour.
fn irregular(source: &mut Source<'_>) {
    source.stack = Stack::Raw;
    for port in shuffled_ports(source, 40) {
        let at = source.any_time();
        source.half_open(port, at);
    }
}

/// The pause between the probes of scans whose pace is not their point.
const BRISK: Millis = SECOND / 10;

fn flag_scan(source: &mut Source<'_>, count: usize, signal: Signal) {
    let ports = shuffled_ports(source, count);
    scan(source, &ports, BRISK, |source, port, at| {
        source.probe(port, at, signal);
    });
}

/// As a program without privileges scans: open ports are accepted and closed again.
fn connect_scan(source: &mut Source<'_>) {
    let ports = shuffled_ports(source, 100);
    let session = Session {
        patience: SECOND,
        ..Session::EMPTY
    };
    scan(source, &ports, BRISK, |source, port, at| {
        source.stack = Stack::Linux;
        source.connect(port, at, session);
    });
}

/// As slow as nmap's becomes when refusals are limited to one a second.
fn udp_scan(source: &mut Source<'_>) {
    let ports = shuffled_ports(source, 100);
    scan(source, &ports, SECOND, |source, port, at| match port {
        DNS => source.query(at),
        _ => source.stray_datagram(port, at),
    });
}

/// The packets of a scan in random order, and the pause between them.
const RANDOM_LOOKS: u64 = 500;
const RANDOM_PAUSE: Millis = SECOND;
const RANDOM_PORTS: u64 = 1_024;

/// As masscan sends: address and port are drawn anew for each packet.
fn random_order(source: &mut Source<'_>) {
    source.stack = Stack::Raw;
    let mut at = source.time_for(RANDOM_LOOKS * RANDOM_PAUSE);
    for _ in 0..RANDOM_LOOKS {
        let site = source.random.below(SITES);
        let port = source.random.within(1..=RANDOM_PORTS) as u16;
        source.turn_to(site);
        source.half_open(port, at);
        at += source.random.gap(RANDOM_PAUSE);
    }
}

/// Remote Desktop, a popular target.
const REMOTE_DESKTOP: u16 = 3389;
const SWEEP_PAUSE: Millis = SECOND / 2;

fn sweep(source: &mut Source<'_>) {
    source.stack = Stack::Raw;
    let mut at = source.time_for(SITES * SWEEP_PAUSE);
    for site in 0..SITES {
        source.turn_to(site);
        source.half_open(REMOTE_DESKTOP, at);
        at += SWEEP_PAUSE;
    }
}

/// The ports of each visit, and the time between visits.
const VISIT: usize = 10;
const RETURNS_AFTER: Millis = 10 * MINUTE;

/// Each visit is short and to other ports.
fn returning(source: &mut Source<'_>) {
    source.stack = Stack::Raw;
    let visits = (HOUR / RETURNS_AFTER) as usize;
    let ports = shuffled_ports(source, VISIT * visits);
    let mut begin = source.random.below(RETURNS_AFTER);
    for ports in ports.chunks(VISIT) {
        for (&port, number) in ports.iter().zip(0..) {
            source.half_open(port, begin + number * SECOND);
        }
        begin += RETURNS_AFTER;
    }
}

const SUCCESSES: u64 = 200;
const REFUSALS: usize = 40;

/// Uses the web server like a busy client, and looks at closed ports in between.
fn hidden(source: &mut Source<'_>) {
    let span = 30 * MINUTE;
    let begin = source.time_for(span);
    for _ in 0..SUCCESSES {
        let at = begin + source.random.below(span);
        source.connect(HTTPS, at, Session::WEB);
    }
    source.stack = Stack::Raw;
    let closed = ports(2 * REFUSALS).into_iter();
    for port in closed.filter(|&port| !is_open(port)).take(REFUSALS) {
        let at = begin + source.random.below(span);
        source.half_open(port, at);
    }
}

const HITS: u64 = 600;
const HIT_PAUSE: Millis = SECOND / 10;

/// Hits one closed port again and again.
fn repeated(source: &mut Source<'_>) {
    source.stack = Stack::Raw;
    let begin = source.time_for(HITS * HIT_PAUSE);
    for number in 0..HITS {
        source.half_open(REMOTE_DESKTOP, begin + number * HIT_PAUSE);
    }
}

/// How long a refused password takes.
const REFUSED_PASSWORD: std::ops::RangeInclusive<Millis> = SECOND..=2 * SECOND;

/// Guesses passwords over ssh for the whole hour, one a connection.
fn guess(source: &mut Source<'_>, guesses: u64) {
    source.stack = Stack::Linux;
    let pause = HOUR / guesses;
    for number in 0..guesses {
        let at = number * pause + source.random.below(pause);
        let lasts = source.random.within(REFUSED_PASSWORD);
        let session = Session {
            sent: Sent::Requests,
            logs_in: false,
            ..Session::WEB.lasting(lasts)
        };
        source.connect(SSH, at, session);
    }
}

/// Its share of so many ports, of which each member takes every `members`th.
fn shared_scan(source: &mut Source<'_>, count: usize, members: usize) {
    let all = ports(count);
    let share: Vec<u16> = all
        .into_iter()
        .skip(source.number as usize)
        .step_by(members)
        .collect();
    scan(source, &share, SECOND, |source, port, at| {
        source.half_open(port, at);
    });
}
