//! What is kept, what is written, and what has to go.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use recon_common::{Address, Direction, FrameOrigin, ImageId, Key, Signal};

use super::*;
use crate::capture::tests as capture;
use crate::row::Name;
use crate::stable_hash::StableHash;

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

fn of(number: u32) -> Wanted {
    Wanted {
        remotes: vec![remote(number)],
        ..Wanted::default()
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
    let outbound = |remotes: &[u32], port| Wanted {
        is_outbound: true,
        remotes: remotes.iter().map(|&number| remote(number)).collect(),
        processes: vec![PID],
        port,
        local: None,
    };
    for (name, wanted, expected) in [
        ("a remote", of(1), &[1, 2, 3][..]),
        (
            "one of its ports",
            Wanted {
                port: Some(80),
                ..of(1)
            },
            &[3],
        ),
        (
            "another local address",
            Wanted {
                local: Some(remote(9)),
                ..of(1)
            },
            &[],
        ),
        (
            "two remotes",
            Wanted {
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
            Wanted {
                processes: vec![1],
                ..outbound(&[], None)
            },
            &[],
        ),
        ("nobody", Wanted::default(), &[]),
    ] {
        assert_eq!(seconds(&store.find(&wanted)), expected, "{name}");
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
        boot: Timestamp::from_second(1_700_000_000).expect("in range"),
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
    let bare = RecordedHeader {
        origin: FrameOrigin {
            direction: Direction::In,
            is_bare: true,
        },
        interface: None,
        bytes: vec![0x45; 21].into(),
        ..header(9, 1, Signal::Syn, 22)
    };
    let headers = [
        header(1, 1, Signal::Syn, 22),
        header(2, 1, Signal::RefusedTcp, 22),
        header(3, 1, Signal::Syn, 22),
        bare,
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
    // The interfaces' link types: Ethernet in, Ethernet out, none.
    assert_eq!(link_types(&bytes), [1, 1, 101]);
    let text = String::from_utf8_lossy(&bytes);
    for once in ["event.id 7: port-scan: a sentence", "host one"] {
        assert_eq!(text.matches(once).count(), 1, "{once}");
    }
    // One for each card and direction.
    assert_eq!(text.matches("eth7").count(), 2);
}

#[test]
fn names_are_in_the_order_of_time_and_have_no_folders() {
    let name = |second: i64, rule| {
        let at = Timestamp::from_millisecond(1_700_000_000_123 + second * 1000).expect("in range");
        file_name(at, rule, StableHash::EMPTY)
    };
    assert_eq!(
        name(0, "port-scan/distinct_ports"),
        "20231114T221320.123Z-port-scan_distinct_ports-6c62272e07bb014262b821756295c58d.pcapng"
    );
    assert!(name(1, "a") > name(0, "z"));
    assert!(!name(0, "../../etc/passwd").contains(['/', '\0']));
    assert!(name(0, &"é".repeat(500)).len() < 128);
}

fn named(second: i64) -> String {
    let at = Timestamp::from_second(1_700_000_000 + second).expect("in range");
    file_name(at, "r", StableHash::EMPTY)
}

#[test]
fn the_oldest_files_go_first_and_only_recons_own() {
    const BLOCK: u64 = 4096;
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("evidence");
    let mut folder = EvidenceFolder::open(&path, 3 * BLOCK).expect("a new folder");
    fs::write(path.join("night.pcapng"), [0; 9000]).expect("a file");
    for (second, evicted) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
        let written = folder.write(&named(second), &[0; 100]);
        assert_eq!(written.expect("a file"), evicted, "{second}");
    }
    // A file of two blocks takes the place of two, of which somebody has moved one.
    fs::remove_file(path.join(named(2))).expect("a file");
    assert_eq!(folder.write(&named(5), &[0; 5000]).expect("a file"), 1);
    let here = |second| path.join(named(second)).exists();
    assert_eq!([1, 2, 3, 4, 5].map(here), [false, false, false, true, true]);
    // Another recon goes on with what is there, also with less room, and removes what an earlier
    // one has not finished.
    let unfinished = path.join(format!("{}.new", named(7)));
    fs::write(&unfinished, "a part").expect("a file");
    let mut folder = EvidenceFolder::open(&path, 2 * BLOCK).expect("the folder");
    assert_eq!([4, 5].map(here), [false, true]);
    assert_eq!(folder.write(&named(6), &[0; 1]).expect("a file"), 1);
    assert_eq!([5, 6].map(here), [false, true]);
    let twice = folder.write(&named(6), &[0; 1]).expect_err("it is there");
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
    assert!(path.join("night.pcapng").exists() && !unfinished.exists());
}

/// A file that can't be written is counted, and the next one is tried.
#[test]
fn a_folder_that_is_gone_costs_its_files_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("evidence");
    let folder = EvidenceFolder::open(&path, 1 << 20).expect("a new folder");
    let writer = EvidenceWriter::start(folder).expect("a thread");
    let offer = |second| {
        let headers = vec![header(1, 1, Signal::Syn, 22)];
        assert!(writer.offer(file(&named(second), headers)));
    };
    let wait = |expected: fn(EvidenceCounts) -> bool| {
        let until = Instant::now() + Duration::from_secs(20);
        while !expected(writer.counts()) {
            assert!(Instant::now() < until, "{:?}", writer.counts());
            std::thread::yield_now();
        }
    };
    offer(1);
    wait(|counts| counts.files == 1);
    fs::rename(&path, root.path().join("away")).expect("a folder");
    offer(2);
    wait(|counts| counts.failed == 1);
    fs::rename(root.path().join("away"), &path).expect("a folder");
    offer(3);
    let counts = writer.finish(Instant::now() + Duration::from_secs(20));
    assert_eq!((counts.files, counts.failed, counts.evicted), (2, 1, 0));
    let sizes = [1, 3].map(|second| {
        fs::metadata(path.join(named(second)))
            .expect("a file")
            .len()
    });
    assert_eq!(sizes.iter().sum::<u64>(), counts.bytes);
}
