//! Floods from many sources, each of which is far below every other threshold.

use super::*;
use crate::kql::eval::Value;

const START: u64 = 7200;
const PORT: u16 = 443;
/// The number of sources that send the events in turn.
const SOURCES: u64 = 50;

fn source(number: u64) -> Address {
    let [.., high, low] = (number % SOURCES).to_be_bytes();
    // Each source is in a network of its own.
    Address::v4([198, 18, high, low])
}

/// The findings of the rule `id` for a number of events of each signal, all in one poll.
fn flood(id: &str, events: &[(Signal, u64)], port: u16) -> Vec<Finding> {
    let mut pipeline = built_in_pipeline(false);
    let now = at(Duration::from_secs(START));
    for &(signal, count) in events {
        for number in 0..count {
            let key = key(signal, source(number), Address::v4(LOCAL), port, 0);
            observe(&mut pipeline, &key, 1, now, false);
        }
    }
    let mut findings = pipeline.end_poll_unlimited(now, false);
    findings.retain(|finding| finding.query.id() == id);
    findings
}

#[test]
fn ten_thousand_events_are_silent_and_one_more_is_a_flood() {
    use Signal::{
        Accepted, Datagram, DnsQueryTcp, DnsQueryUdp, EchoRequest, SessionDatagram, Syn, TraceProbe,
    };
    const N: u64 = 10_000;
    // (rule, signal and events, port, whether it is reported)
    for (id, events, port, is_reported) in [
        ("syn-flood-distributed", &[(Syn, N)][..], PORT, false),
        ("syn-flood-distributed", &[(Syn, N + 1)], PORT, true),
        // Exactly half of the SYNs are accepted, and one less.
        (
            "syn-flood-distributed",
            &[(Syn, N + 2), (Accepted, N / 2 + 1)],
            PORT,
            false,
        ),
        (
            "syn-flood-distributed",
            &[(Syn, N + 2), (Accepted, N / 2)],
            PORT,
            true,
        ),
        // More than the threshold are not accepted beside many that are, or just as many.
        (
            "syn-flood-distributed",
            &[(Syn, 4 * N), (Accepted, 3 * N - 1)],
            PORT,
            true,
        ),
        (
            "syn-flood-distributed",
            &[(Syn, 4 * N), (Accepted, 3 * N)],
            PORT,
            false,
        ),
        // Nine of ten SYNs are accepted.
        (
            "syn-flood-distributed",
            &[(Syn, 200 * N), (Accepted, 180 * N)],
            PORT,
            false,
        ),
        // An accepted connection is not a SYN.
        (
            "syn-flood-distributed",
            &[(Syn, N), (Accepted, 1)],
            PORT,
            false,
        ),
        ("udp-flood-distributed", &[(Datagram, N)], PORT, false),
        ("udp-flood-distributed", &[(Datagram, N + 1)], PORT, true),
        // With few hops left, as of a traceroute.
        ("udp-flood-distributed", &[(TraceProbe, N + 1)], PORT, true),
        // Sessions of many clients.
        (
            "udp-flood-distributed",
            &[(SessionDatagram, 9 * N), (Datagram, N)],
            PORT,
            false,
        ),
        ("icmp-flood-distributed", &[(EchoRequest, N)], 0, false),
        ("icmp-flood-distributed", &[(EchoRequest, N + 1)], 0, true),
        (
            "dns-flood-distributed",
            &[(DnsQueryUdp, N / 2), (DnsQueryTcp, N / 2)],
            53,
            false,
        ),
        (
            "dns-flood-distributed",
            &[(DnsQueryUdp, N / 2 + 1), (DnsQueryTcp, N / 2)],
            53,
            true,
        ),
    ] {
        let found = flood(id, events, port);
        assert_eq!(found.len(), usize::from(is_reported), "{id} {events:?}");
        let Some(finding) = found.first() else {
            continue;
        };
        assert_eq!(finding.local, Some(Address::v4(LOCAL)), "{id}");
        assert_eq!((finding.remote, finding.remotes.len()), (None, 16), "{id}");
        let port = (id != "icmp-flood-distributed").then_some(port);
        assert_eq!(finding.port, port, "{id}");
        let columns = finding.columns.iter();
        let sources = columns.filter(|(name, _)| &**name == "source_count");
        let sources: Vec<_> = sources.map(|(_, value)| value.clone()).collect();
        assert_eq!(sources, [Value::Long(SOURCES as i64)], "{id}");
        let measured: u64 = events
            .iter()
            .filter(|(signal, _)| *signal != Accepted)
            .map(|(_, count)| count)
            .sum();
        assert_eq!(finding.count, measured, "{id}");
    }
}

/// A flood over random ports is reported by its address, a scan by few sources is not.
#[test]
fn a_flood_over_many_ports_is_one_of_their_address() {
    use Signal::{Accepted, Datagram, Syn};
    const N: u64 = 10_000;
    const PORTS: u64 = 101;
    const MANY: u64 = 21;
    // (rule, signal and events, ports, sources, whether it is reported)
    for (id, events, ports, sources, is_reported) in [
        ("syn-flood-all-ports", &[(Syn, N)][..], PORTS, MANY, false),
        ("syn-flood-all-ports", &[(Syn, N + 1)], PORTS, MANY, true),
        ("syn-flood-all-ports", &[(Syn, N + 1)], 60_000, MANY, true),
        (
            "syn-flood-all-ports",
            &[(Syn, N + 1)],
            PORTS - 1,
            MANY,
            false,
        ),
        (
            "syn-flood-all-ports",
            &[(Syn, N + 1)],
            PORTS,
            MANY - 1,
            false,
        ),
        (
            "syn-flood-all-ports",
            &[(Syn, N + 2), (Accepted, N / 2 + 1)],
            PORTS,
            MANY,
            false,
        ),
        ("udp-flood-all-ports", &[(Datagram, N)], PORTS, MANY, false),
        (
            "udp-flood-all-ports",
            &[(Datagram, N + 1)],
            PORTS,
            MANY,
            true,
        ),
        (
            "udp-flood-all-ports",
            &[(Datagram, N + 1)],
            PORTS - 1,
            MANY,
            false,
        ),
        (
            "udp-flood-all-ports",
            &[(Datagram, N + 1)],
            PORTS,
            MANY - 1,
            false,
        ),
    ] {
        let mut pipeline = Pipeline::new(settings(plain(defaults(Profile::Outcomes))));
        let now = at(Duration::from_secs(START));
        for &(signal, count) in events {
            for number in 0..count {
                let port = 1 + (number % ports) as u16;
                let source = source(number % sources);
                let key = key(signal, source, Address::v4(LOCAL), port, 0);
                observe(&mut pipeline, &key, 1, now, false);
            }
        }
        let mut found = pipeline.end_poll_unlimited(now, false);
        found.retain(|finding| finding.query.id() == id);
        let about = format!("{id} {events:?} on {ports} ports, from {sources} sources");
        assert_eq!(found.len(), usize::from(is_reported), "{about}");
        for finding in found {
            assert_eq!(finding.local, Some(Address::v4(LOCAL)), "{about}");
            assert_eq!((finding.remote, finding.port), (None, None), "{about}");
            assert_eq!(finding.count, N + 1, "{about}");
        }
    }
}

/// One remote's datagrams to one port, whatever they look like and whether they are answered.
#[test]
fn thirty_thousand_datagrams_of_a_remote_are_silent_and_one_more_is_a_flood() {
    use Signal::{Datagram, DnsQueryUdp, ReplyReceived, SessionDatagram, TraceProbe};
    const N: u64 = 30_000;
    // (signal, port and events, whether it is reported)
    for (events, is_reported) in [
        (&[(SessionDatagram, PORT, N)][..], false),
        (&[(SessionDatagram, PORT, N + 1)], true),
        (&[(Datagram, PORT, N)], false),
        (&[(Datagram, PORT, 1), (SessionDatagram, PORT, N)], true),
        (&[(TraceProbe, PORT, N), (SessionDatagram, PORT, 1)], true),
        (&[(Datagram, PORT, N), (Datagram, PORT + 1, N)], false),
        (&[(DnsQueryUdp, PORT, 2 * N)], false),
        (&[(ReplyReceived, PORT, 2 * N)], false),
    ] {
        let mut pipeline = Pipeline::new(settings(plain(defaults(Profile::Outcomes))));
        let now = at(Duration::from_secs(START));
        for &(signal, port, count) in events {
            let key = key(signal, REMOTE, Address::v4(LOCAL), port, 0);
            observe(&mut pipeline, &key, count, now, false);
        }
        let mut found = pipeline.end_poll_unlimited(now, false);
        found.retain(|finding| finding.query.id() == "udp-flood");
        assert_eq!(found.len(), usize::from(is_reported), "{events:?}");
        for finding in found {
            let of = (finding.remote, finding.port, finding.count);
            assert_eq!(of, (Some(REMOTE), Some(PORT), N + 1), "{events:?}");
        }
    }
}

/// Rows of allowed remotes do not count. Rows without a remote do.
#[test]
fn allowed_sources_do_not_count_as_a_flood() {
    let now = at(Duration::from_secs(START));
    // (remote, whether the flood is reported)
    for (remote, is_reported) in [
        (REMOTE, false),
        (Address::v4([203, 0, 113, 9]), true),
        (Address::UNSPECIFIED, true),
    ] {
        let mut rules = plain(defaults(Profile::Source));
        for rule in &mut rules {
            rule.allow = ["198.51.100.0/24", "::/0"]
                .map(|network| network.parse().expect("a network"))
                .into_iter()
                .collect();
        }
        let mut pipeline = Pipeline::new(settings(rules));
        let key = key(Signal::Syn, remote, Address::v4(LOCAL), PORT, 0);
        observe(&mut pipeline, &key, 20_000, now, false);
        let found = pipeline.end_poll_unlimited(now, false);
        let is_flood = |finding: &&Finding| finding.query.id() == "syn-flood-distributed";
        let found = found.iter().filter(is_flood).count();
        assert_eq!(found, usize::from(is_reported), "{remote:?}");
    }
}

/// Sources are an estimate, so the numbers stay 10 % away from the threshold.
#[test]
fn very_many_sources_are_a_flood_at_any_rate() {
    const MANY: u32 = 3_300;
    const FEWER: u32 = 2_700;
    // (sources with a SYN each, those that are accepted, connections that one of them completes
    // beside, whether it is reported)
    for (sources, accepted, beside, is_reported) in [
        (FEWER, 0, 0, false),
        (MANY, 0, 0, true),
        (MANY, 500, 0, true),
        (MANY, 1, 20_000, true),
        // A busy server, and one that has just restarted.
        (MANY, MANY, 0, false),
        (MANY, MANY / 4 * 3, 0, false),
    ] {
        let plans = plain(defaults(Profile::Outcomes));
        let mut pipeline = Pipeline::new(settings(plans));
        let mut found = 0;
        // A quarter of the sources in each of four polls, ten seconds apart.
        for poll in 0..4 {
            let now = at(Duration::from_secs(START + 10 * u64::from(poll)));
            let mut observe_all = |signal, number: u32| {
                for source in (0..number).filter(|source| source % 4 == poll) {
                    let source = Address::from_v4_word((0x1400_0000 + source * 256).to_be());
                    let key = key(signal, source, Address::v4(LOCAL), PORT, 0);
                    observe(&mut pipeline, &key, 1, now, false);
                }
            };
            observe_all(Signal::Syn, sources);
            observe_all(Signal::Accepted, accepted);
            for signal in [Signal::Syn, Signal::Accepted] {
                let key = key(signal, REMOTE, Address::v4(LOCAL), PORT, 0);
                observe(&mut pipeline, &key, beside, now, false);
            }
            let findings = pipeline.end_poll_unlimited(now, false).into_iter();
            found += findings
                .filter(|finding| finding.query.id() == "syn-flood-sources")
                .count();
        }
        let what = format!("{sources} {accepted} {beside}");
        assert_eq!(found, usize::from(is_reported), "{what}");
    }
}
