//! The folder over a restart, also when its files are cut, damaged or another version's.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;
use recon_common::{Address, Key, Signal};

use super::folder::{SET_ASIDE, SNAPSHOT, journal_path, journals};
use super::*;
use crate::process::Process;
use crate::row::{Interval, Row, RowKey, Standing};

mod cost;
mod disk;

/// What happens to a file.
type Change = fn(&mut Vec<u8>);

fn head(poll: u64) -> SnapshotHead {
    SnapshotHead {
        poll,
        at: Timestamp::UNIX_EPOCH,
        commit: None,
        agent: vec![7],
    }
}

fn poll_head(number: u64) -> PollHead {
    let to = Timestamp::UNIX_EPOCH;
    PollHead {
        number,
        interval: Interval { from: to, to },
        is_lossy: true,
        commit: Some(Commit {
            maps: 5,
            flips: number as u32,
            counters: vec![1, 2],
        }),
        agent: vec![8],
    }
}

fn process() -> Process {
    Process {
        pid: 7,
        name: Some("nmap".to_owned()),
        ..Process::default()
    }
}

/// The record of a poll with that many rows, each of a port of its own.
fn record(number: u64, rows: u16) -> Option<Vec<u8>> {
    let mut recorder = PollRecorder::default();
    let process = process();
    for port in 1..=rows {
        let key = Key {
            remote: Address::v4([198, 51, 100, 7]),
            local: Address::v4([203, 0, 113, 1]),
            detail: 7,
            port,
            signal: Signal::SynSent as u8,
            tool: 0,
        };
        recorder.add(&Row {
            key: RowKey::unpack(&key).expect("a signal"),
            count: port.into(),
            time: Timestamp::UNIX_EPOCH,
            device: "web1",
            process: Some(&process),
            is_scanner: true,
            listener: Some(false),
            standing: Standing::default(),
            sources: None,
        });
    }
    recorder.end_poll(&poll_head(number))
}

/// A folder as a process leaves it that is killed: a snapshot, and two polls after it.
fn leave(folder: &Path) {
    let (mut store, loaded) = StateStore::open(folder).expect("a folder");
    assert!(loaded.is_none());
    store.save_snapshot(&head(10), |to| {
        to.extend(b"windows");
        Ok(())
    });
    assert!(store.append_poll(record(11, 3)));
    assert!(store.append_mark(11));
    assert!(store.append_poll(record(12, 1)));
    assert_eq!(store.finish(), 0);
}

fn reopen(folder: &Path) -> Option<LoadedState> {
    StateStore::open(folder).expect("a folder").1
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = &folder.path().join("state");
    leave(folder);
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.file_name());
    }
    let loaded = reopen(folder).expect("a snapshot");
    assert_eq!(loaded.pipeline, b"windows");
    assert_eq!((loaded.head.poll, &*loaded.head.agent), (10, &[7][..]));
    assert_eq!(loaded.last_poll(), 12);
    assert_eq!(loaded.commit().map(|commit| commit.flips), Some(12));
    let mut found = Vec::new();
    for record in &loaded.records {
        match record {
            Record::Poll(poll) => poll.for_each_row("web2", |row, _| {
                assert_eq!(row.process, Some(&process()));
                assert_eq!(
                    (row.device, row.is_scanner, row.listener),
                    ("web2", true, Some(false))
                );
                found.push((poll.head.number, row.key.port.map(u64::from)));
                assert_eq!(row.key.port.map(u64::from), Some(row.count));
            }),
            Record::Mark(poll) => found.push((*poll, None)),
        }
    }
    let expected = [
        (11, Some(1)),
        (11, Some(2)),
        (11, Some(3)),
        (11, None),
        (12, Some(1)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_torn_record_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    leave(folder);
    let journal = journal_path(folder, journals(folder)[0]);
    let whole = fs::read(&journal).expect("a journal");
    fs::write(&journal, &whole[..whole.len() - 1]).expect("a journal");
    let loaded = reopen(folder).expect("a snapshot");
    assert_eq!((loaded.last_poll(), loaded.records.len()), (11, 2));
}

#[test]
fn one_process_uses_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = StateStore::open(folder.path()).expect("a folder");
    let second = StateStore::open(folder.path()).map(drop);
    assert!(
        matches!(second, Err(StateError::Locked { .. })),
        "{second:?}"
    );
    drop(first);
    assert!(StateStore::open(folder.path()).is_ok());
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    for wrong in [&file, &file.join("below"), &folder.path().join("a/b")] {
        let opened = StateStore::open(wrong).map(drop);
        assert!(
            matches!(opened, Err(StateError::Folder { .. })),
            "{opened:?}"
        );
    }
}

#[test]
fn a_folder_that_vanishes_costs_the_state_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = &folder.path().join("state");
    let (mut store, _) = StateStore::open(path).expect("a folder");
    fs::remove_dir_all(path).expect("a folder");
    assert!(!store.append_poll(record(1, 1)));
    store.save_snapshot(&head(1), |_| Ok(()));
    assert!(store.finish() > 1);
    // It is back.
    let (mut store, _) = StateStore::open(path).expect("a folder");
    assert!(store.append_poll(record(1, 1)));
    store.save_snapshot(&head(1), |_| Ok(()));
    assert_eq!(store.finish(), 0);
}

#[test]
fn a_journal_that_vanishes_costs_only_what_was_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut store, _) = StateStore::open(folder).expect("a folder");
    store.save_snapshot(&head(10), |_| Ok(()));
    assert!(store.append_poll(record(11, 1)));
    for number in journals(folder) {
        fs::remove_file(journal_path(folder, number)).expect("a journal");
    }
    assert!(store.append_poll(record(12, 1)));
    assert_eq!(store.finish(), 0);
    let loaded = reopen(folder).expect("a snapshot");
    assert_eq!((loaded.last_poll(), loaded.records.len()), (12, 1));
}

#[test]
fn snapshots_that_fail_begin_no_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut store, _) = StateStore::open(folder).expect("a folder");
    store.save_snapshot(&head(1), |_| Ok(()));
    for poll in 2..10 {
        store.wait_for_snapshot();
        store.save_snapshot(&head(poll), |_| Err(io::Error::other("too large")));
        assert!(store.append_poll(record(poll, 1)));
    }
    assert_eq!(store.finish(), 8);
    assert_eq!(journals(folder).len(), 1);
    assert_eq!(reopen(folder).expect("a snapshot").last_poll(), 9);
}

#[test]
fn only_journals_of_recons_own_are_removed() {
    for (content, stays) in [
        (&b""[..], false),
        (b"reconJR", false),
        (b"reconJRN and what is torn", false),
        (&[0; 4096], false),
        (b"somebody's", true),
        (b"x", true),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("journal.9");
        fs::write(&journal, content).expect("a file");
        let (mut store, loaded) = StateStore::open(folder.path()).expect("a folder");
        assert!(loaded.is_none());
        assert!(journal.exists(), "{content:?}");
        store.save_snapshot(&head(1), |_| Ok(()));
        assert_eq!(store.finish(), 0);
        assert_eq!(journal.exists(), stays, "{content:?}");
    }
}

/// A folder of others stays as it is.
#[test]
fn only_a_folder_of_recons_own_is_made_private() {
    // (files in it, whether it can be used)
    for (files, expected) in [
        (&[][..], true),
        (&[("lock", ""), ("snapshot", ""), ("lost+found", "")], true),
        (&[("journal.9", "data")], true),
        (&[("lock", ""), ("passwd", "")], false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("a folder");
        for (file, content) in files {
            fs::write(folder.join(file), content).expect("a file");
        }
        let opened = StateStore::open(folder).map(drop);
        let mode = fs::metadata(folder).expect("a folder").permissions().mode() & 0o777;
        let expected = if expected {
            (true, 0o700)
        } else {
            (false, 0o755)
        };
        assert_eq!((opened.is_ok(), mode), expected, "{files:?}: {opened:?}");
    }
}

#[test]
fn what_can_not_be_used_is_set_aside() {
    // (what, what becomes of the snapshot)
    let changes: [(&str, Change); 6] = [
        ("another version", |file| file[8] += 1),
        ("another layout", |file| file[12] ^= 1),
        ("cut", |file| file.truncate(60)),
        ("longer", |file| file.push(0)),
        ("damaged", |file| file[50] ^= 1),
        ("empty", Vec::clear),
    ];
    for (what, change) in changes {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        leave(folder);
        let snapshot = folder.join(SNAPSHOT);
        let mut file = fs::read(&snapshot).expect("a snapshot");
        change(&mut file);
        fs::write(&snapshot, &file).expect("a snapshot");
        // A start that fails has not saved anything.
        let left = journals(folder);
        assert!(reopen(folder).is_none(), "{what}");
        assert_eq!(fs::read(&snapshot).expect(what), file, "{what}");
        assert_eq!(journals(folder), left, "{what}");
        let (mut store, _) = StateStore::open(folder).expect("a folder");
        store.save_snapshot(&head(20), |_| Ok(()));
        assert_eq!(store.finish(), 0, "{what}");
        let aside = fs::read(folder.join(SET_ASIDE)).expect(what);
        assert_eq!(aside, file, "{what}");
        // Nothing is left that a later process could take for its own.
        let loaded = reopen(folder).expect(what);
        assert_eq!(
            (loaded.last_poll(), loaded.records.len()),
            (20, 0),
            "{what}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn noise_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        bits in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        in_journal in any::<bool>(),
        is_noise in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        leave(folder);
        let path = match in_journal {
            true => journal_path(folder, journals(folder)[0]),
            false => folder.join(SNAPSHOT),
        };
        let mut file = fs::read(&path).expect("a file");
        match is_noise {
            true => file = noise,
            false => bits.iter().for_each(|bit| {
                let bit = bit.index(file.len() * 8);
                file[bit / 8] ^= 1 << (bit % 8);
            }),
        }
        fs::write(&path, file).expect("a file");
        let _ = reopen(folder);
    }

    /// With a checksum that is right, so that the decoder sees the noise.
    #[test]
    fn noise_in_a_record_is_refused(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut framed = Vec::new();
        let start = format::begin_record(&mut framed);
        framed.extend(&noise);
        format::end_record(&mut framed, start);
        let _ = record::read_record(&mut &framed[..]);
        prop_assert!(noise.len() < 400);
    }
}
