//! What is kept, which of it an alert gets, and what a file says.

mod files;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::{Address, Direction, FrameOrigin, ImageId, Key, Signal};

use super::*;
use crate::capture::tests as capture;
use crate::row::{Name, SignalSet};

const LIMIT: usize = 1 << 20;
const PID: u32 = 77;

fn remote(number: u32) -> Address {
    let [a, b, c, d] = (u32::from_be_bytes([198, 18, 0, 0]) + number).to_be_bytes();
    Address::v4([a, b, c, d])
}

/// A packet at that second.
fn header(second: u64, number: u32, signal: Signal, port: u16) -> RecordedHeader {
    let sender = ImageId {
        pid: PID,
        number: 1,
    };
    RecordedHeader {
        since_boot: Duration::from_secs(second),
        key: Key {
            remote: remote(number),
            local: Address::v4([198, 51, 100, 1]),
            detail: match signal {
                Signal::SynSent => sender.pack(),
                _ => 0,
            },
            port,
            signal: signal as u8,
            tool: 0,
        },
        origin: FrameOrigin {
            direction: match signal {
                Signal::SynSent | Signal::RefusedTcp => Direction::Out,
                _ => Direction::In,
            },
            is_bare: false,
        },
        interface: Name::new("eth7"),
        length: 60,
        bytes: vec![7; 54].into(),
    }
}

fn seconds(found: &[Arc<RecordedHeader>]) -> Vec<u64> {
    found
        .iter()
        .map(|header| header.since_boot.as_secs())
        .collect()
}

fn of(number: u32) -> EvidenceQuery {
    EvidenceQuery {
        signals: SignalSet::of(&[Signal::Syn]),
        remotes: vec![remote(number)],
        ..EvidenceQuery::default()
    }
}

#[test]
fn the_last_headers_that_an_alert_is_about_are_found() {
    let mut store = HeaderStore::new(LIMIT);
    for header in [
        header(1, 1, Signal::Syn, 22),
        header(2, 1, Signal::RefusedTcp, 22),
        header(3, 1, Signal::Syn, 80),
        header(4, 2, Signal::Syn, 22),
        header(5, 1, Signal::SynSent, 443),
        header(6, 2, Signal::SynSent, 443),
        header(7, 2, Signal::SynAckReceived, 443),
    ] {
        store.add(header);
    }
    let outbound = |remotes: &[u32], port| EvidenceQuery {
        is_outbound: true,
        signals: SignalSet::of(&[Signal::SynSent]),
        remotes: remotes.iter().map(|&number| remote(number)).collect(),
        processes: vec![PID],
        port,
        local: None,
    };
    for (name, wanted, expected) in [
        ("a remote", of(1), &[1, 2, 3][..]),
        (
            "one of its ports",
            EvidenceQuery {
                port: Some(80),
                ..of(1)
            },
            &[3],
        ),
        (
            "another local address",
            EvidenceQuery {
                local: Some(remote(9)),
                ..of(1)
            },
            &[],
        ),
        (
            "two remotes",
            EvidenceQuery {
                remotes: vec![remote(2), remote(1)],
                ..of(1)
            },
            &[1, 2, 3, 4],
        ),
        ("a process", outbound(&[], None), &[5, 6]),
        (
            "a process and a remote, with its answer",
            outbound(&[2], None),
            &[6, 7],
        ),
        ("a process at another port", outbound(&[], Some(22)), &[]),
        (
            "another process",
            EvidenceQuery {
                processes: vec![1],
                ..outbound(&[], None)
            },
            &[],
        ),
        ("nobody", EvidenceQuery::default(), &[]),
    ] {
        assert_eq!(seconds(&store.find(&wanted)), expected, "{name}");
    }
}

/// A scanner that pings before each of its probes, and one whose probes are behind what the agent
/// derives: neither has a ping in the place of a probe.
#[test]
fn pings_before_each_probe_hide_none() {
    let mut store = HeaderStore::new(LIMIT);
    for probe in 0..60 {
        for ping in 0..70 {
            store.add(header(probe * 100 + ping, 1, Signal::EchoRequest, 0));
        }
        store.add(header(probe * 100 + 80, 1, Signal::Syn, 22));
        store.add(header(probe * 100 + 90, 1, Signal::RefusedTcp, 22));
    }
    for (signal, syns, refusals, pings) in [
        (Signal::Syn, 60, 4, 0),
        (Signal::AttemptRefused, 32, 32, 0),
        (Signal::EchoRequest, 0, 0, 64),
    ] {
        let found = store.find(&EvidenceQuery {
            signals: SignalSet::of(&[signal]),
            ..of(1)
        });
        let count = |wanted: Signal| {
            let numbers = found.iter().map(|header| header.key.signal);
            numbers.filter(|&number| number == wanted as u8).count()
        };
        let counts = [Signal::Syn, Signal::RefusedTcp, Signal::EchoRequest].map(count);
        assert_eq!(counts, [syns, refusals, pings], "{}", signal.name());
        assert!(found.is_sorted_by_key(|header| header.since_boot));
    }
}

#[test]
fn a_remote_keeps_its_last_headers() {
    let mut store = HeaderStore::new(LIMIT);
    for second in 0..1000 {
        store.add(header(second, 1, Signal::Syn, 22));
    }
    let expected: Vec<u64> = (936..1000).collect();
    assert_eq!(seconds(&store.find(&of(1))), expected);
    let one = store.bytes();
    store.add(header(1000, 1, Signal::Syn, 22));
    assert_eq!(store.bytes(), one);
}

/// A scanner who repeats a probe, before and between those of a scan, and one whose repeats are of
/// another signal that the rule counts: each probe is in the evidence, and the rest of the room has
/// the last repeats.
#[test]
fn repeats_of_a_probe_hide_no_other() {
    const PROBES: u16 = 30;
    for (name, signal, before, between) in [
        ("before the scan", Signal::Syn, 10_000, 0),
        ("between its probes", Signal::Syn, 0, 70),
        ("of another signal", Signal::Datagram, 0, 70),
        ("one by one", Signal::Syn, 0, 1),
    ] {
        let mut store = HeaderStore::new(LIMIT);
        let mut second = 0;
        let mut add = |signal, port| {
            second += 1;
            store.add(header(second, 1, signal, port));
        };
        (0..before).for_each(|_| add(signal, 80));
        for probe in 0..PROBES {
            add(Signal::Syn, 2000 + probe);
            (0..between).for_each(|_| add(signal, 80));
        }
        let found = store.find(&EvidenceQuery {
            signals: SignalSet::of(&[Signal::Syn, Signal::Datagram]),
            ..of(1)
        });
        let ports: Vec<u16> = found.iter().map(|header| header.key.port).collect();
        let probed = ports.iter().filter(|&&port| port != 80).count();
        assert_eq!(probed, usize::from(PROBES), "{name}: {ports:?}");
        let repeats = (before + between * usize::from(PROBES)).min(64 - probed);
        assert_eq!(ports.len() - probed, repeats, "{name}: {ports:?}");
        let at_last = found.iter().rev().find(|header| header.key.port == 80);
        let last = at_last.map(|header| header.since_boot.as_secs());
        let expected = match between {
            0 => before as u64,
            _ => second,
        };
        assert_eq!(last, Some(expected), "{name}");
    }
}

/// Of each target, an alert has one probe before it has a second one, whatever their signals.
#[test]
fn decoys_of_several_signals_hide_no_probe() {
    const PROBES: u16 = 9;
    const DECOYS: u16 = 12;
    let signals = [
        Signal::NullProbe,
        Signal::FinProbe,
        Signal::XmasProbe,
        Signal::MaimonProbe,
        Signal::OddProbe,
        Signal::Syn,
    ];
    let mut store = HeaderStore::new(LIMIT);
    (0..PROBES).for_each(|probe| store.add(header(1, 1, Signal::Syn, 1000 + probe)));
    for signal in signals {
        (0..DECOYS).for_each(|decoy| store.add(header(2, 1, signal, 2000 + decoy)));
    }
    let found = store.find(&EvidenceQuery {
        signals: SignalSet::of(&signals),
        ..of(1)
    });
    let probes = found.iter().filter(|it| it.key.port < 2000).count();
    assert_eq!((found.len(), probes), (64, usize::from(PROBES)));
}

/// More targets than a ring has places: the last ones are kept.
#[test]
fn a_scan_of_many_ports_keeps_its_last_ones() {
    let mut store = HeaderStore::new(LIMIT);
    for port in 0..1000 {
        store.add(header(port.into(), 1, Signal::Syn, port));
        store.add(header(port.into(), 1, Signal::Syn, 7));
    }
    let found = store.find(&of(1));
    let ports: Vec<u16> = found.iter().map(|header| header.key.port).collect();
    assert_eq!(ports.len(), 64, "{ports:?}");
    assert!((938..1000).all(|port| ports.contains(&port)), "{ports:?}");
}

/// Sources of a packet each evict one another, and neither a scanner nor a slower one before them.
#[test]
fn a_flood_of_sources_evicts_none_that_has_sent_more() {
    let mut store = HeaderStore::new(LIMIT);
    for second in 0..64 {
        store.add(header(second, 1, Signal::Syn, 22));
    }
    for second in 64..68 {
        store.add(header(second, 2, Signal::Syn, 22));
    }
    for number in 0..100_000 {
        store.add(header(100, 10 + number, Signal::Syn, 22));
        assert!(store.bytes() <= LIMIT);
    }
    for (number, expected) in [(1, 64), (2, 4), (10, 0), (10 + 99_999, 1)] {
        assert_eq!(store.find(&of(number)).len(), expected, "{number}");
    }
}

/// The file of those headers.
fn file(name: &str, headers: Vec<RecordedHeader>) -> EvidenceFile {
    EvidenceFile {
        name: name.to_owned(),
        about: "host one".to_owned(),
        comment: "event.id 7: port-scan: a sentence".to_owned(),
        boot: Some(Timestamp::from_second(1_700_000_000).expect("in range")),
        headers: headers.into_iter().map(Arc::new).collect(),
    }
}

/// The link types of a file's interfaces, in their order.
fn link_types(mut blocks: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Some(&[kind, _, _, _, a, b, c, d, low, high]) = blocks.first_chunk() {
        if kind == 1 {
            found.push(u16::from_le_bytes([low, high]));
        }
        blocks = &blocks[u32::from_le_bytes([a, b, c, d]) as usize..];
    }
    found
}

#[test]
fn a_file_is_a_capture_that_replay_reads() {
    let bare = |second, first| RecordedHeader {
        origin: FrameOrigin {
            direction: Direction::In,
            is_bare: true,
        },
        interface: None,
        bytes: vec![first; 41].into(),
        ..header(second, 1, Signal::Syn, 22)
    };
    let headers = [
        header(1, 1, Signal::Syn, 22),
        header(2, 1, Signal::RefusedTcp, 22),
        header(3, 1, Signal::Syn, 22),
        bare(9, 0x45),
        bare(10, 0x60),
        bare(11, 0x45),
    ];
    let bytes = file("a", headers.to_vec()).encode();
    let expected: Vec<_> = headers
        .iter()
        .map(|header| {
            let at = Timestamp::from_second(1_700_000_000).expect("in range") + header.since_boot;
            let name = header.interface.map_or("unknown", Name::text);
            (
                Some(at.to_string()),
                header.bytes.to_vec(),
                header.length,
                Some(name),
            )
        })
        .collect();
    let (read, end) = capture::read(bytes.clone());
    assert_eq!((read, end.expect("a capture")), (expected, None));
    // The interfaces' link types: Ethernet in, Ethernet out, either version of IP.
    assert_eq!(link_types(&bytes), [1, 1, 228, 229]);
    let text = String::from_utf8_lossy(&bytes);
    for once in ["event.id 7: port-scan: a sentence", "host one"] {
        assert_eq!(text.matches(once).count(), 1, "{once}");
    }
    // One for each network interface and direction.
    assert_eq!(text.matches("eth7").count(), 2);
}

/// A capture that says when the boot was, and one that can't.
#[test]
fn a_file_says_that_the_boot_is_unknown() {
    const TEXT: &str = "times count from the boot";
    let known = file("a", vec![header(1, 1, Signal::Syn, 22)]);
    let unknown = EvidenceFile {
        boot: None,
        ..known.clone()
    };
    for (file, at, is_said) in [
        (known, "2023-11-14T22:13:21Z", false),
        (unknown, "1970-01-01T00:00:01Z", true),
    ] {
        let bytes = file.encode();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.contains(TEXT), is_said, "{text}");
        let (read, _) = capture::read(bytes);
        let times: Vec<_> = read.into_iter().map(|packet| packet.0).collect();
        assert_eq!(times, [Some(at.to_owned())]);
    }
}
