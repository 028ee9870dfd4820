//! The folder: names, eviction, and files that can't be written.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use recon_common::Signal;

use super::super::*;
use super::{file, header};
use crate::stable_hash::StableHash;

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
        folder.write(&named(second), &[0; 100]).expect("a file");
        assert_eq!(folder.evicted(), evicted, "{second}");
    }
    // A file of two blocks takes the place of two, of which somebody has moved one.
    fs::remove_file(path.join(named(2))).expect("a file");
    folder.write(&named(5), &[0; 5000]).expect("a file");
    assert_eq!(folder.evicted(), 2);
    let here = |second| path.join(named(second)).exists();
    assert_eq!([1, 2, 3, 4, 5].map(here), [false, false, false, true, true]);
    // Another recon goes on with what is there, also with less room, and removes what an earlier
    // one has not finished.
    let unfinished = path.join(format!("{}.new", named(7)));
    fs::write(&unfinished, "a part").expect("a file");
    let mut folder = EvidenceFolder::open(&path, 2 * BLOCK).expect("the folder");
    assert_eq!(([4, 5].map(here), folder.evicted()), ([false, true], 1));
    folder.write(&named(6), &[0; 1]).expect("a file");
    assert_eq!(([5, 6].map(here), folder.evicted()), ([false, true], 2));
    // A name that is taken evicts nothing, though there is no room for another file.
    let twice = folder
        .write(&named(6), &[0; 5000])
        .expect_err("it is there");
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
    assert_eq!((here(6), folder.evicted()), (true, 2));
    // What was evicted for a file counts though its write fails: a folder has the place of that.
    fs::create_dir(path.join(format!("{}.new", named(8)))).expect("a folder");
    folder.write(&named(8), &[0; 5000]).expect_err("a folder");
    assert_eq!((here(6), folder.evicted()), (false, 3));
    assert!(path.join("night.pcapng").exists() && !unfinished.exists());
}

/// A file that finds the disk full takes the place of the oldest ones. A link to the device that is
/// always full stands for the disk, once for each file: recon removes it with the failed file.
#[test]
fn a_file_takes_the_place_of_the_oldest_on_a_full_disk() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("evidence");
    let mut folder = EvidenceFolder::open(&path, 1 << 20).expect("a new folder");
    let fill = |second| {
        let unfinished = path.join(format!("{}.new", named(second)));
        std::os::unix::fs::symlink("/dev/full", unfinished).expect("a link");
    };
    let here = |second| path.join(named(second)).exists();
    // Nothing to evict.
    fill(1);
    let full = folder.write(&named(1), &[0; 100]).expect_err("full");
    assert_eq!((full.kind(), folder.evicted()), (ErrorKind::StorageFull, 0));
    for second in 2..=6 {
        folder.write(&named(second), &[0; 100]).expect("a file");
    }
    for (second, size, evicted, expected) in [
        (7, 100, 1, [false, true, true, true, true, true]),
        // A file of two blocks takes the place of two.
        (8, 5000, 3, [false, false, false, true, true, true]),
    ] {
        fill(second);
        folder
            .write(&named(second), &vec![0; size])
            .expect("a file");
        assert_eq!(folder.evicted(), evicted, "{second}");
        assert_eq!([2, 3, 4, 5, 6, 7].map(here), expected, "{second}");
        assert!(here(second));
    }
}

/// A disk that does not answer costs what waits for it, and each of those files is counted.
#[test]
fn files_that_still_wait_at_the_end_have_failed() {
    const FILES: u64 = 5;
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("evidence");
    let folder = EvidenceFolder::open(&path, 1 << 20).expect("a new folder");
    // Nobody reads this pipe: whoever opens it to write waits.
    let pipe = path.join(format!("{}.new", named(1)));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let writer = EvidenceWriter::start(folder).expect("a thread");
    for second in 1..=FILES as i64 {
        let headers = vec![header(1, 1, Signal::Syn, 22)];
        assert!(writer.offer(file(&named(second), headers)));
    }
    let counts = writer.finish(Instant::now() + Duration::from_millis(50));
    assert_eq!((counts.files, counts.failed), (0, FILES));
    // The thread ends with its pipe.
    fs::read(&pipe).expect("a pipe");
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
    // It is written again, but no alert may rely on that.
    let headers = vec![header(1, 1, Signal::Syn, 22)];
    assert!(!writer.offer(file(&named(3), headers)));
    wait(|counts| counts.files == 2);
    offer(4);
    let counts = writer.finish(Instant::now() + Duration::from_secs(20));
    assert_eq!((counts.files, counts.failed, counts.evicted), (3, 1, 0));
    let sizes = [1, 3, 4].map(|second| {
        fs::metadata(path.join(named(second)))
            .expect("a file")
            .len()
    });
    assert_eq!(sizes.iter().sum::<u64>(), counts.bytes);
}
