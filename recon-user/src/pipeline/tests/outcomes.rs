//! The built-in rules of the default profile: N attempts that failed stay quiet, N + 1 fire, and
//! attempts that succeeded never count.

use super::*;
use recon_common::Ending;
use recon_common::ending::SECOND;

use crate::rule::Configured;

/// What one event of a rule is: the rows of number `number`, for one remote.
type Event = fn(number: u64) -> Vec<(Signal, Address, u16)>;

fn local(number: u64) -> Address {
    Address::v4([203, 0, (113 + number / 250) as u8, (number % 250 + 1) as u8])
}

const ON_PORTS: Event = |number| {
    let port = 1000 + number as u16;
    vec![
        (Signal::Syn, local(0), port),
        (Signal::RefusedTcp, local(0), port),
    ]
};
const ON_ADDRESSES: Event = |number| {
    vec![
        (Signal::Syn, local(number), 22),
        (Signal::AnsweredTcp, local(number), 22),
    ]
};

/// Pipelines of the default profile.
fn pipeline() -> Pipeline {
    let plans = defaults(Profile::Outcomes).into_iter();
    Pipeline::new(settings(plans.map(Configured::plain).collect()))
}

/// The names of the rules with that id that fire on the events, in one poll or the two after it.
fn fired(id: &str, events: &[(Signal, Address, u16)], pid: u32) -> Vec<String> {
    let mut pipeline = pipeline();
    for &(signal, local, port) in events {
        let pid = match signal {
            Signal::Ended => Ending::new(2_000, 2_000, 2 * SECOND).pack(),
            _ if signal.is_outbound() => pid,
            _ => 0,
        };
        let key = key(signal, REMOTE, local, port, pid);
        observe(&mut pipeline, &key, 1, at(Duration::from_secs(7200)), false);
    }
    let mut names = Vec::new();
    for second in 7200..7203 {
        let found = pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
        let of_id = found.iter().filter(|finding| finding.query.id() == id);
        names.extend(of_id.map(|finding| finding.query.plan().name.clone()));
    }
    names
}

#[test]
fn failed_attempts_fire_above_the_threshold() {
    let half_open: Event = |_| {
        vec![
            (Signal::Syn, local(0), 80),
            (Signal::AnsweredTcp, local(0), 80),
        ]
    };
    let ignored: Event = |number| vec![(Signal::Syn, local(0), 1000 + number as u16)];
    let datagrams: Event = |number| {
        let port = 1000 + number as u16;
        vec![
            (Signal::Datagram, local(0), port),
            (Signal::RefusedIcmp, local(0), port),
        ]
    };
    let xmas: Event = |number| vec![(Signal::XmasProbe, local(0), 1000 + number as u16)];
    let maimon: Event = |number| vec![(Signal::MaimonProbe, local(0), 1000 + number as u16)];
    let stamp: Event = |number| vec![(Signal::IcmpRequest, local(number), 0)];
    let protocol: Event = |number| vec![(Signal::ProtocolProbe, local(number), 47)];
    let smb: Event = |_| {
        vec![
            (Signal::Syn, local(0), 445),
            (Signal::RefusedTcp, local(0), 445),
        ]
    };
    let shares: Event = |number| {
        vec![
            (Signal::Syn, local(number), 445),
            (Signal::RefusedTcp, local(number), 445),
        ]
    };
    let sent: Event = |number| {
        let port = 1000 + number as u16;
        vec![
            (Signal::SynSent, local(0), port),
            (Signal::ResetReceived, local(0), port),
        ]
    };
    let guess: Event = |_| {
        [Signal::Syn, Signal::Accepted, Signal::Ended]
            .map(|signal| (signal, local(0), 22))
            .to_vec()
    };
    let amplifier: Event = |number| {
        const PORTS: [u16; 6] = [17, 19, 69, 389, 1900, 11_211];
        let port = PORTS[number as usize];
        vec![(Signal::Datagram, local(0), port)]
    };
    let open: Event = |_| {
        [Signal::Syn, Signal::Accepted]
            .map(|signal| (signal, local(0), 22))
            .to_vec()
    };
    for (id, name, threshold, event) in [
        ("login-guessing", "Connections to SSH that ended", 10, guess),
        (
            "login-guessing",
            "Connections to SSH that no login",
            30,
            open,
        ),
        (
            "login-guessing",
            "Many connections to SSH in a day",
            100,
            guess,
        ),
        ("amplifier-scan", "Services searched", 4, amplifier),
        ("port-scan", "Multiple ports", 20, ON_PORTS),
        ("port-scan", "Multiple ports", 20, ignored),
        ("port-scan", "Multiple ports", 20, datagrams),
        ("few-ports", "A few ports", 9, ON_PORTS),
        ("odd-flags", "Ports probed", 2, xmas),
        ("odd-flags", "Many ports probed", 10, maimon),
        ("slow-scan", "Ports scanned slowly", 20, ON_ADDRESSES),
        ("address-sweep", "Many addresses", 50, ON_ADDRESSES),
        ("address-sweep", "Many addresses probed by other", 50, stamp),
        (
            "address-sweep",
            "Many addresses probed by other",
            50,
            protocol,
        ),
        ("rapid-scan", "Rapid", 50, ON_PORTS),
        (
            "failed-connections",
            "Multiple failed connection",
            100,
            ON_PORTS,
        ),
        ("smb-scan", "Scan for SMB shares", 10, smb),
        ("smb-scan", "Scan for SMB shares on several", 4, shares),
        ("syn-flood", "High number of handshakes", 500, half_open),
        ("syn-flood", "High number of SYN packets", 500, half_open),
        ("outbound-port-scan", "Many ports", 20, sent),
        (
            "failed-connections",
            "Multiple failed connections made",
            100,
            sent,
        ),
    ] {
        for (events, expected) in [(threshold, 0), (threshold + 1, 1)] {
            let rows: Vec<_> = (0..events).flat_map(event).collect();
            let fired = fired(id, &rows, 4242);
            let count = fired.iter().filter(|fired| fired.starts_with(name)).count();
            assert_eq!(count, expected, "{id}, {events} events: {fired:?}");
        }
    }
}

#[test]
fn a_scan_that_port_scan_reports_is_not_reported_by_lesser_rules() {
    for (ports, expected) in [(15, [1, 0, 0]), (21, [0, 0, 1]), (200, [0, 0, 1])] {
        let rows: Vec<_> = (0..ports).flat_map(ON_PORTS).collect();
        let count = |id| {
            let fired = fired(id, &rows, 0);
            fired
                .iter()
                .filter(|name| !name.starts_with("One port"))
                .count()
        };
        let counts = ["few-ports", "slow-scan", "port-scan"].map(count);
        assert_eq!(counts, expected, "{ports}");
    }
}

#[test]
fn attempts_that_succeed_never_count() {
    let accepted: Event = |number| {
        let port = 1000 + number as u16;
        [Signal::Syn, Signal::AnsweredTcp, Signal::Accepted]
            .map(|signal| (signal, local(number % 60), port))
            .to_vec()
    };
    let answered: Event = |number| {
        [Signal::Datagram, Signal::AnsweredUdp]
            .map(|signal| (signal, local(number % 60), 1000 + number as u16))
            .to_vec()
    };
    let traced: Event = |number| {
        [Signal::TraceProbe, Signal::RefusedIcmp]
            .map(|signal| (signal, local(0), 33_434 + number as u16))
            .to_vec()
    };
    let connected: Event = |number| {
        [Signal::SynSent, Signal::SynAckReceived]
            .map(|signal| (signal, local(0), 1000 + number as u16))
            .to_vec()
    };
    let logged_in: Event = |_| {
        [Signal::Syn, Signal::Accepted, Signal::Login]
            .map(|signal| (signal, local(0), 22))
            .to_vec()
    };
    for (what, event) in [
        ("logged in", logged_in),
        ("accepted", accepted),
        ("answered", answered),
        ("traced", traced),
        ("connected", connected),
    ] {
        let rows: Vec<_> = (0..600).flat_map(event).collect();
        let mut pipeline = pipeline();
        let mut found = Vec::new();
        for (signal, local, port) in rows {
            let pid = if signal.is_outbound() { 4242 } else { 0 };
            let key = key(signal, REMOTE, local, port, pid);
            observe(&mut pipeline, &key, 1, at(Duration::from_secs(7200)), false);
        }
        for second in 7200..7210 {
            found.extend(pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false));
        }
        let alarms = found
            .iter()
            .filter(|finding| finding.severity > Severity::Informational);
        let ids: Vec<_> = alarms
            .map(|finding| finding.query.id().to_owned())
            .collect();
        assert_eq!(ids, [""; 0], "{what}");
    }
}

#[test]
fn a_scan_in_the_name_of_a_client_is_medium_and_unproven() {
    // (what the remote did before, severity, whether it is proven)
    for (visits, severity, is_proven) in [(0, Severity::High, false), (3, Severity::Medium, false)]
    {
        let mut pipeline = pipeline();
        let mut poll = |second: u64, rows: &[(Signal, Address, u16)]| {
            let interval = at(Duration::from_secs(second));
            for &(signal, local, port) in rows {
                observe(
                    &mut pipeline,
                    &key(signal, REMOTE, local, port, 0),
                    1,
                    interval,
                    false,
                );
            }
            let found = pipeline.end_poll_unlimited(interval, false);
            let scans = found
                .into_iter()
                .filter(|finding| finding.query.id() == "port-scan");
            scans
                .map(|scan| (scan.severity, scan.is_proven))
                .collect::<Vec<_>>()
        };
        for visit in 0..visits {
            let rows = [Signal::Syn, Signal::Accepted].map(|signal| (signal, local(0), 443));
            poll(7000 + visit, &rows);
        }
        let scan: Vec<_> = (0..40).flat_map(ON_PORTS).collect();
        assert_eq!(
            poll(7200, &scan),
            [(severity, is_proven)],
            "{visits} visits"
        );
    }
}

/// The names of the rules with that id that fire over polls of a second, each with these events and
/// their numbers.
fn fired_by_polls(id: &str, polls: &[Vec<(Signal, u16, u64)>]) -> Vec<String> {
    let mut pipeline = pipeline();
    let mut names = Vec::new();
    for (second, events) in (7200..).zip(polls) {
        let interval = at(Duration::from_secs(second));
        for &(signal, port, count) in events {
            let key = key(signal, REMOTE, local(0), port, 0);
            observe(&mut pipeline, &key, count, interval, false);
        }
        let found = pipeline.end_poll_unlimited(interval, false);
        let of_id = found.iter().filter(|finding| finding.query.id() == id);
        names.extend(of_id.map(|finding| finding.query.plan().name.clone()));
    }
    names
}

/// Neither one connection before nor one in each second hides a flood of handshakes that are left
/// open, and a client that repeats its SYNs is none.
#[test]
fn a_connection_does_not_hide_a_flood() {
    const OPEN: &str = "High number of handshakes that are never completed";
    let visit = |syns| {
        vec![
            (Signal::Syn, 80, syns),
            (Signal::AnsweredTcp, 80, syns),
            (Signal::Accepted, 80, 1),
        ]
    };
    let flood = vec![(Signal::Syn, 80, 100), (Signal::AnsweredTcp, 80, 100)];
    let is_reported = |polls: &[_]| fired_by_polls("syn-flood", polls).contains(&OPEN.to_owned());
    let before = [vec![visit(1)], vec![flood; 20]].concat();
    assert!(is_reported(&before));
    assert!(is_reported(&vec![visit(100); 20]));
    assert!(!is_reported(&vec![visit(2); 600]));
}

/// Many users behind one address mistype ports, and most of what they do succeeds.
#[test]
fn the_mistakes_of_many_behind_one_address_are_no_scan() {
    let used = vec![
        (Signal::Syn, 443, 50),
        (Signal::AnsweredTcp, 443, 50),
        (Signal::Accepted, 443, 50),
    ];
    let mistyped = |port| vec![(Signal::Syn, port, 1), (Signal::RefusedTcp, port, 1)];
    let polls = |first: &[_], ports| -> Vec<Vec<_>> {
        first
            .iter()
            .cloned()
            .chain((1..=ports).map(mistyped))
            .collect()
    };
    assert!(fired_by_polls("few-ports", &polls(&[used], 10)).is_empty());
    assert_eq!(fired_by_polls("few-ports", &polls(&[], 10)).len(), 1);
}

#[test]
fn what_a_bound_socket_takes_without_an_answer_is_not_hit_in_vain() {
    use Signal::{Datagram, Syn};
    // (21 of what, to one port and to as many; whether a socket waits there; findings)
    for (signal, listener, expected) in [
        (Datagram, Some(true), 0),
        (Datagram, Some(false), 2),
        (Datagram, None, 2),
        // An overloaded server, or a firewall before it: worth a line.
        (Syn, Some(true), 2),
        (Syn, Some(false), 2),
    ] {
        let mut pipeline = pipeline();
        let interval = at(Duration::from_secs(7200));
        let row = |port, count| Row {
            device: "web1",
            listener,
            ..Row::bare(
                RowKey::unpack(&key(signal, REMOTE, local(0), port, 0)).expect("a signal"),
                count,
                interval.to,
            )
        };
        pipeline.push(&row(514, 21), interval);
        (515..535).for_each(|port| pipeline.push(&row(port, 1), interval));
        let polls = (7200..7203).map(|second| at(Duration::from_secs(second)));
        let found = polls.flat_map(|poll| pipeline.end_poll_unlimited(poll, false));
        let scans = found.filter(|finding| finding.query.id() == "port-scan");
        assert_eq!(scans.count(), expected, "{signal:?} {listener:?}");
    }
}
