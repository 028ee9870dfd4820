//! Packets that belong to nothing of this host: scans and floods of other kinds than connections,
//! datagrams and pings.

use super::*;

const NOW: u64 = 7200;
const PORT: u16 = 443;
const MANY: u16 = 50;

/// The findings of that rule after rows of these signals, each event with the next number.
fn found(id: &str, events: &[(Signal, u64)], key_of: impl Fn(Signal, u16) -> Key) -> Vec<Finding> {
    let mut pipeline = Pipeline::new(settings(plain(defaults(Profile::Outcomes))));
    let now = at(Duration::from_secs(NOW));
    for &(signal, count) in events {
        for number in 0..count {
            let key = key_of(signal, (number % u64::from(u16::MAX)) as u16);
            observe(&mut pipeline, &key, 1, now, false);
        }
    }
    let mut findings = pipeline.end_poll_unlimited(now, false);
    findings.retain(|finding| finding.query.id() == id);
    findings
}

/// A source of its own network.
fn source(number: u16) -> Address {
    let [high, low] = (number % MANY).to_be_bytes();
    Address::v4([198, 18 + high, low, 1])
}

#[test]
fn a_flood_of_any_kind_is_reported_by_its_target() {
    use Signal::{
        FinProbe, IcmpNotice, IcmpRequest, MaimonProbe, NullProbe, OddProbe, ProtocolProbe,
        RefusedTcp, SctpProbe, StrayFragment, StraySegment, StraySynAck, Syn,
    };
    const N: u64 = 10_000;
    // (rule, signals and events, what it counts if it is reported)
    for (id, events, count) in [
        ("tcp-flood-refused", &[(RefusedTcp, N)][..], None),
        ("tcp-flood-refused", &[(RefusedTcp, N + 1)], Some(N + 1)),
        // Refused SYNs are the other rules'.
        (
            "tcp-flood-refused",
            &[(RefusedTcp, N + 2), (Syn, N / 2 + 1)],
            None,
        ),
        (
            "tcp-flood-refused",
            &[(RefusedTcp, N + 2), (Syn, N / 2)],
            Some(N + 2),
        ),
        (
            "tcp-flood-odd-flags",
            &[(FinProbe, N / 2), (NullProbe, N / 2)],
            None,
        ),
        (
            "tcp-flood-odd-flags",
            &[(MaimonProbe, N / 2), (OddProbe, N / 2 + 1)],
            Some(N + 1),
        ),
        ("backscatter-flood", &[(StraySynAck, N)], None),
        (
            "backscatter-flood",
            &[(StraySynAck, N), (StraySegment, 1)],
            Some(N + 1),
        ),
        ("icmp-flood-other", &[(IcmpRequest, N)], None),
        (
            "icmp-flood-other",
            &[(IcmpRequest, 1), (IcmpNotice, N)],
            Some(N + 1),
        ),
        ("protocol-flood", &[(ProtocolProbe, N)], None),
        (
            "protocol-flood",
            &[(ProtocolProbe, N), (SctpProbe, 1)],
            Some(N + 1),
        ),
        ("fragment-flood", &[(StrayFragment, N)], None),
        ("fragment-flood", &[(StrayFragment, N + 1)], Some(N + 1)),
    ] {
        let findings = found(id, events, |signal, number| {
            key(signal, source(number), Address::v4(LOCAL), PORT, 0)
        });
        let counts: Vec<u64> = findings.iter().map(|finding| finding.count).collect();
        assert_eq!(counts, Vec::from_iter(count), "{id} {events:?}");
        for finding in findings {
            let [remote, local] = [finding.remote, finding.local];
            assert_eq!((remote, local), (None, Some(Address::v4(LOCAL))), "{id}");
        }
    }
}

#[test]
fn a_scan_of_other_kinds_is_reported_by_its_source() {
    use Signal::{NeighbourRequest, ProtocolProbe, SctpProbe, StraySynAck};
    let private = Address::v4([10, 1, 2, 3]);
    // (rule, signal, who, distinct numbers that are not too many)
    for (id, signal, remote, most) in [
        ("protocol-scan", ProtocolProbe, REMOTE, 10),
        ("sctp-scan", SctpProbe, REMOTE, 20),
        ("syn-ack-probes", StraySynAck, REMOTE, 20),
        ("neighbour-sweep", NeighbourRequest, private, 50),
    ] {
        for (count, is_reported) in [(most, false), (most + 1, true)] {
            let findings = found(id, &[(signal, count)], |signal, number| {
                let local = match signal {
                    NeighbourRequest => Address::v4([10, 1, 7, number as u8]),
                    _ => Address::v4(LOCAL),
                };
                key(signal, remote, local, 1 + number, 0)
            });
            assert_eq!(findings.len(), usize::from(is_reported), "{id} {count}");
            for finding in findings {
                assert_eq!(
                    (finding.remote, finding.count),
                    (Some(remote), count),
                    "{id}"
                );
                let has_ports = matches!(signal, SctpProbe | StraySynAck);
                assert_eq!(finding.ports.is_empty(), !has_ports, "{id}");
            }
        }
    }
}
