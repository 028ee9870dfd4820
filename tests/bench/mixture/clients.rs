//! Legitimate clients of web and DNS servers.
//!
//! In: a source. Out: its hour.
//! The decisions held here:
//! - Numbers of connections and queries have heavy tails. Transfers of the web do, with shapes a
//!   little above 1 (Crovella, Bestavros: "Self-similarity in World Wide Web traffic", 1997); that
//!   numbers of connections have similar ones is an assumption. Most users then open 1 to 5
//!   connections, a few of thousands open hundreds.
//! - A page opens up to six connections at once, the limit of browsers for HTTP/1.1.
//! - Machines are regular, people are not.

use super::host::{DNS, HTTP, HTTPS, SITES, SSH};
use super::source::{Session, Source};
use super::traffic::{HOUR, MINUTE, Millis, Outcome, SECOND, Sent, Stack};

/// The shape of the numbers of connections, and the most of one user in the hour.
const WEB_SHAPE: f64 = 1.2;
const MOST_CONNECTIONS: u64 = 3_000;
/// The most connections of one page.
const PARALLEL: u64 = 6;
/// The mean time from page to page, and the mean life of a connection.
const THINKING: Millis = 20 * SECOND;
const KEPT: Millis = 15 * SECOND;
/// The part of connections that begin without TLS.
const PLAIN_SHARE: f64 = 0.1;

fn web_port(source: &mut Source<'_>, plain_share: f64) -> u16 {
    match source.random.chance(plain_share) {
        true => HTTP,
        false => HTTPS,
    }
}

/// A number of connections of one user.
pub(super) fn appetite(source: &mut Source<'_>) -> u64 {
    source.random.pareto(WEB_SHAPE, MOST_CONNECTIONS)
}

/// Views pages until so many connections were opened.
pub(super) fn visit(source: &mut Source<'_>, connections: u64) {
    let pages = connections.div_ceil(PARALLEL / 2);
    let thinking = THINKING.min(HOUR / (pages + 1));
    let mut at = source.time_for(thinking * pages);
    let mut left = connections;
    while left > 0 {
        let parallel = source.random.within(1..=PARALLEL).min(left);
        for _ in 0..parallel {
            let port = web_port(source, PLAIN_SHARE);
            let lasts = source.random.gap(KEPT);
            let start = at + source.random.below(SECOND / 2);
            source.connect(port, start, Session::WEB.lasting(lasts));
        }
        left -= parallel;
        at += source.random.gap(thinking);
    }
}

pub(super) fn browser(source: &mut Source<'_>) {
    let connections = appetite(source);
    visit(source, connections);
}

/// The users behind one address.
const USERS: u64 = 200;

/// A gateway that translates addresses: an office, a school, a carrier.
pub(super) fn gateway(source: &mut Source<'_>) {
    for _ in 0..USERS {
        source.stack = source.random.pick(&[Stack::Linux, Stack::Windows]);
        let site = source.random.rank(SITES);
        source.turn_to(site);
        browser(source);
    }
}

/// The slowest and the fastest mean pace of crawlers: a page in so much time.
const CRAWL_PAUSE: [Millis; 2] = [SECOND, 10 * SECOND];
/// The most sites that one crawler reads.
const CRAWLED_SITES: u64 = 40;
const CRAWLED_PLAIN_SHARE: f64 = 0.2;

/// A search engine's reader of many sites, for the whole hour.
pub(super) fn crawler(source: &mut Source<'_>) {
    source.stack = Stack::Linux;
    let [least, most] = CRAWL_PAUSE;
    let pause = source.random.within(least..=most);
    let sites = source.random.within(1..=CRAWLED_SITES);
    let mut at = source.random.gap(pause);
    while at < HOUR {
        let site = source.random.below(sites);
        source.turn_to(site);
        let port = web_port(source, CRAWLED_PLAIN_SHARE);
        let lasts = source.random.within(SECOND / 5..=5 * SECOND);
        source.connect(port, at, Session::WEB.lasting(lasts));
        at += source.random.gap(pause);
    }
}

/// Does something every `interval` of the hour.
fn each(source: &mut Source<'_>, interval: Millis, mut check: impl FnMut(&mut Source<'_>, Millis)) {
    let mut at = source.random.below(interval);
    while at < HOUR {
        check(source, at);
        at += interval;
    }
}

const CHECK_INTERVAL: Millis = 5 * SECOND;
/// The most sites that one monitor checks.
const CHECKED_SITES: u64 = 5;

/// A monitor of sites: a page of each every five seconds.
pub(super) fn monitor(source: &mut Source<'_>) {
    source.stack = Stack::Linux;
    let sites = source.random.within(1..=CHECKED_SITES);
    let port = web_port(source, PLAIN_SHARE);
    each(source, CHECK_INTERVAL, |source, at| {
        for site in 0..sites {
            source.turn_to(site);
            source.connect(port, at, Session::WEB);
        }
    });
}

/// Services that a monitor checks after they were shut down.
const FORMER_SERVICES: [u16; 6] = [3306, 5432, 8080, 8443, 9200, 25];

/// A monitor of a service that is down: one port, always in vain.
pub(super) fn monitor_of_closed(source: &mut Source<'_>) {
    source.stack = Stack::Linux;
    let port = source.random.pick(&FORMER_SERVICES);
    let session = Session {
        patience: CHECK_INTERVAL,
        ..Session::EMPTY
    };
    each(source, CHECK_INTERVAL, |source, at| {
        source.connect(port, at, session);
    });
}

const HEALTH_INTERVAL: Millis = 10 * SECOND;

/// A load balancer's check: it connects, and closes without a byte.
pub(super) fn health_check(source: &mut Source<'_>) {
    source.stack = Stack::Linux;
    let port = web_port(source, PLAIN_SHARE);
    each(source, HEALTH_INTERVAL, |source, at| {
        source.connect(port, at, Session::EMPTY);
    });
}

/// How often programs ask an interface.
const API_INTERVALS: [Millis; 5] = [SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE];
/// The part of programs that work in batches, and the size of a batch.
const BATCH_SHARE: f64 = 0.3;
const BATCH: std::ops::RangeInclusive<u64> = 20..=100;
const BATCH_INTERVAL: Millis = 10 * MINUTE;

/// A program that calls an interface over HTTPS, evenly or in batches.
pub(super) fn api_client(source: &mut Source<'_>) {
    source.stack = Stack::Linux;
    let sent = source.random.pick(&[Sent::Requests, Sent::Upload]);
    let session = Session {
        sent,
        ..Session::WEB
    };
    if !source.random.chance(BATCH_SHARE) {
        let interval = source.random.pick(&API_INTERVALS);
        return each(source, interval, |source, at| {
            source.connect(HTTPS, at, session);
        });
    }
    let size = source.random.within(BATCH);
    each(source, BATCH_INTERVAL, |source, at| {
        for _ in 0..size {
            let start = at + source.random.below(5 * SECOND);
            source.connect(HTTPS, start, session);
        }
    });
}

/// The shape of the numbers of queries, and the most of one resolver.
const QUERY_SHAPE: f64 = 1.1;
const MOST_QUERIES: u64 = 5_000;
/// The sites whose addresses are those of the name servers.
const NAME_SERVERS: u64 = 2;
/// The part of answers that are too long for a datagram.
const TRUNCATED_SHARE: f64 = 0.03;

/// A resolver: it asks again over TCP if an answer was truncated.
pub(super) fn resolver(source: &mut Source<'_>) {
    let queries = source.random.pareto(QUERY_SHAPE, MOST_QUERIES);
    for _ in 0..queries {
        let server = source.random.below(NAME_SERVERS);
        source.turn_to(server);
        let at = source.any_time();
        source.query(at);
        if source.random.chance(TRUNCATED_SHARE) {
            source.connect(DNS, at + SECOND / 10, Session::WEB);
        }
    }
}

/// Pings this host once a second.
pub(super) fn pinger(source: &mut Source<'_>) {
    each(source, SECOND, |source, at| source.ping(at));
}

/// The part of connections whose SYN-ACK is lost, and how often in a row at most.
const LOSS_SHARE: f64 = 0.3;
const MOST_LOST: u64 = 3;
const LOSSY_CONNECTIONS: std::ops::RangeInclusive<u64> = 3..=30;

/// A user on a bad link: SYNs are repeated, and the connection is accepted later.
pub(super) fn lossy(source: &mut Source<'_>) {
    let connections = source.random.within(LOSSY_CONNECTIONS);
    for _ in 0..connections {
        let lost = match source.random.chance(LOSS_SHARE) {
            true => source.random.within(1..=MOST_LOST) as usize,
            false => 0,
        };
        let lasts = source.random.gap(KEPT);
        let at = source.any_time();
        let session = Session {
            lost,
            ..Session::WEB.lasting(lasts)
        };
        source.connect(HTTPS, at, session);
    }
}

/// The part of handshakes that a user abandons.
const ABANDONED_SHARE: f64 = 0.2;
const ABANDONING_CONNECTIONS: std::ops::RangeInclusive<u64> = 5..=40;

/// A user who is out of reach now and then: some SYN-ACKs find nobody.
pub(super) fn abandoning(source: &mut Source<'_>) {
    let connections = source.random.within(ABANDONING_CONNECTIONS);
    for _ in 0..connections {
        let at = source.any_time();
        let outcome = match source.random.chance(ABANDONED_SHARE) {
            true => Outcome::Abandoned,
            false => Outcome::Accepted,
        };
        source.connect_to(HTTPS, at, Session::WEB, outcome);
    }
}

/// An administrator's sessions, and the files that are copied.
const SHELLS: std::ops::RangeInclusive<u64> = 1..=6;
const COPIES: std::ops::RangeInclusive<u64> = 0..=30;
/// The part of shells whose password is mistyped first.
const MISTYPED_SHARE: f64 = 0.2;

const fn ssh(lasts: Millis, sent: Sent, logs_in: bool) -> Session {
    Session {
        sent,
        logs_in,
        ..Session::WEB.lasting(lasts)
    }
}

/// An administrator: some shells, and some files that are copied.
pub(super) fn administrator(source: &mut Source<'_>) {
    let shells = source.random.within(SHELLS);
    let copies = source.random.within(COPIES);
    for _ in 0..shells {
        let lasts = source.random.within(MINUTE..=20 * MINUTE);
        let at = source.any_time();
        if source.random.chance(MISTYPED_SHARE) {
            let failed = ssh(10 * SECOND, Sent::Requests, false);
            source.connect(SSH, at.saturating_sub(15 * SECOND), failed);
        }
        source.connect(SSH, at, ssh(lasts, Sent::Upload, true));
    }
    for _ in 0..copies {
        let at = source.any_time();
        source.connect(SSH, at, ssh(2 * SECOND, Sent::Upload, true));
    }
}

/// The connections of a program that logs in for each task, and how many it opens at once.
const TASKS: std::ops::RangeInclusive<u64> = 20..=90;
const AT_ONCE: u64 = 10;

/// git, Ansible and the like: some dozens of short connections over ssh, each logged in.
pub(super) fn automation(source: &mut Source<'_>) {
    source.stack = Stack::Linux;
    let mut left = source.random.within(TASKS);
    while left > 0 {
        let parallel = source.random.within(1..=AT_ONCE).min(left);
        let at = source.any_time();
        for _ in 0..parallel {
            let start = at + source.random.below(3 * SECOND);
            let lasts = source.random.within(SECOND..=5 * SECOND);
            let sent = source.random.pick(&[Sent::Requests, Sent::Upload]);
            source.connect(SSH, start, ssh(lasts, sent, true));
        }
        left -= parallel;
    }
}
