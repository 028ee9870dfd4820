//! Legitimate clients that reach many ports, or closed ones.
//!
//! In: a source. Out: its hour.
//! The decisions held here:
//! - Mail programs try the ports of RFC 6409, RFC 8314 and their predecessors when they guess an
//!   account's settings, then ask the web server for them.
//! - A passive FTP transfer has a port of its own (RFC 959), and so has each stream of a call
//!   through a selective forwarding unit, which the client first checks (ICE, RFC 8445).
//! - People who mistype a port try again once or twice, and find the right one.

use std::ops::RangeInclusive;

use super::clients::visit;
use super::host::{FTP, HTTPS};
use super::source::{Session, Source};
use super::traffic::{MINUTE, Millis, Outcome, SECOND, Sent};

/// Opens a few connections to the web server.
fn find_the_web(source: &mut Source<'_>, at: Millis) {
    let connections = source.random.within(1..=4);
    for number in 0..connections {
        source.connect(HTTPS, at + number * SECOND / 5, Session::WEB);
    }
}

/// Tries ports one after the other, each so often, and returns when it gives up.
fn try_ports(
    source: &mut Source<'_>,
    ports: &[u16],
    tries: RangeInclusive<u64>,
    pause: RangeInclusive<Millis>,
) -> Millis {
    let mut at = source.any_time();
    for &port in ports {
        let tries = source.random.within(tries.clone());
        for _ in 0..tries {
            source.connect(port, at, Session::EMPTY);
            at += source.random.within(pause.clone());
        }
    }
    at
}

const MAIL_PORTS: [u16; 8] = [993, 143, 995, 110, 465, 587, 25, 2525];
const MAIL_PORTS_TRIED: RangeInclusive<u64> = 4..=8;
const MAIL_TRIES: RangeInclusive<u64> = 1..=2;
const MAIL_PAUSE: RangeInclusive<Millis> = SECOND / 10..=2 * SECOND;

/// A mail program that guesses the settings of an account.
pub(super) fn mail_program(source: &mut Source<'_>) {
    let count = source.random.within(MAIL_PORTS_TRIED) as usize;
    let at = try_ports(source, &MAIL_PORTS[..count], MAIL_TRIES, MAIL_PAUSE);
    find_the_web(source, at);
}

/// The panels of cPanel, Webmin, Plesk and application servers.
const PANELS: [u16; 6] = [8080, 8443, 2083, 2087, 10_000, 8880];
const PANELS_TRIED: RangeInclusive<u64> = 1..=3;
const PANEL_TRIES: RangeInclusive<u64> = 1..=4;
const PANEL_PAUSE: RangeInclusive<Millis> = 2 * SECOND..=20 * SECOND;

/// A user of an administration panel that is closed.
pub(super) fn panel_user(source: &mut Source<'_>) {
    let count = source.random.within(PANELS_TRIED);
    let panels = source.random.some_of(&PANELS, count);
    let at = try_ports(source, &panels, PANEL_TRIES, PANEL_PAUSE);
    find_the_web(source, at);
}

const TYPOS: [u16; 10] = [4433, 442, 433, 444, 8000, 8081, 81, 88, 3000, 2222];
const TYPOS_TRIED: RangeInclusive<u64> = 1..=2;
const TYPO_TRIES: RangeInclusive<u64> = 1..=3;
const TYPO_PAUSE: RangeInclusive<Millis> = 2 * SECOND..=15 * SECOND;

/// Somebody who mistypes a port.
pub(super) fn mistyper(source: &mut Source<'_>) {
    let count = source.random.within(TYPOS_TRIED);
    let typos = source.random.some_of(&TYPOS, count);
    let at = try_ports(source, &typos, TYPO_TRIES, TYPO_PAUSE);
    find_the_web(source, at);
}

/// The ports of transfers, and how many one client makes.
const PASSIVE: RangeInclusive<u64> = 50_000..=50_999;
const TRANSFERS: RangeInclusive<u64> = 30..=100;
/// The mean time from transfer to transfer.
const TRANSFER_PAUSE: Millis = 3 * SECOND;

/// A client of a passive FTP server: a login, then a port for each transfer.
pub(super) fn ftp_client(source: &mut Source<'_>) {
    let transfers = source.random.within(TRANSFERS);
    let span = 2 * TRANSFER_PAUSE * transfers;
    let begin = source.time_for(span);
    let control = Session {
        logs_in: true,
        ..Session::WEB.lasting(span)
    };
    source.connect(FTP, begin, control);
    let mut at = begin + SECOND;
    for _ in 0..transfers {
        let port = source.random.within(PASSIVE) as u16;
        // A download sends nothing to this host.
        let sent = source.random.pick(&[Sent::Nothing, Sent::Upload]);
        let session = Session {
            sent,
            ..Session::EMPTY
        };
        source.connect_to(port, at, session, Outcome::Accepted);
        at += source.random.gap(TRANSFER_PAUSE);
    }
}

/// The ports of a forwarding unit, and how many a call uses.
const MEDIA: RangeInclusive<u64> = 40_000..=40_999;
const STREAMS: RangeInclusive<u64> = 20..=30;
const STREAM_PAUSE: RangeInclusive<Millis> = SECOND / 50..=SECOND / 2;
/// The calls of one client in the hour.
const CALLS: RangeInclusive<u64> = 1..=3;
const CALL: Millis = 15 * MINUTE;

/// A participant of video calls: each stream is a flow of its own, and is answered.
pub(super) fn caller(source: &mut Source<'_>) {
    visit(source, 2);
    let calls = source.random.within(CALLS);
    let mut at = source.time_for(CALL * calls);
    for _ in 0..calls {
        let streams = source.random.within(STREAMS);
        let mut start = at;
        for _ in 0..streams {
            let port = source.random.within(MEDIA) as u16;
            source.answered_flow(port, start);
            start += source.random.within(STREAM_PAUSE);
        }
        at += CALL;
    }
}
