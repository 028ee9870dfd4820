//! Disks that are slow, and files that can't be removed.

use std::fs::File;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// A record that comes late is in the journal, too, and counts for its limits.
#[test]
fn late_records_make_a_journal_long() {
    const LONG: usize = 65 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = StateStore::open(folder.path()).expect("a folder");
    store.set_patience(Duration::ZERO);
    // A write to a pipe begins once somebody reads.
    let journal = journal_path(folder.path(), 1);
    mkfifo(&journal, Mode::S_IRWXU).expect("a pipe");
    assert!(!store.append_poll(Some(vec![0; LONG])));
    assert!(store.is_journal_long());
    assert_eq!(store.failures(), 1);
    // The one before has not ended, so this one is not begun.
    assert!(!store.append_mark(1));
    assert_eq!(store.failures(), 2);
    let reader = File::open(&journal).expect("a pipe");
    // The writer's end fails then, and ends the write.
    drop(reader);
    store.finish();
}

/// What is left of old journals costs no snapshot.
#[test]
fn a_journal_that_stays_is_no_failure() {
    for name in ["journal.007", "journal.0x7", "journal.1"] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (mut store, _) = StateStore::open(folder).expect("a folder");
        fs::create_dir(folder.join(name)).expect("a folder");
        store.save_snapshot(&head(1), |_| Ok(()));
        assert_eq!(store.finish(), 0, "{name}");
        // It stays, and the next start names it.
        let refused = StateStore::open(folder).map(drop);
        assert!(
            refused.is_err_and(|it| it.to_string().contains(name)),
            "{name}"
        );
        fs::remove_dir(folder.join(name)).expect("a folder");
        assert_eq!(reopen(folder).expect("a snapshot").last_poll(), 1, "{name}");
    }
}

/// What this recon reads and can't restore is kept like what it can't read.
#[test]
fn a_snapshot_that_is_read_in_vain_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    leave(folder);
    let old = fs::read(folder.join(SNAPSHOT)).expect("a snapshot");
    let (mut store, loaded) = StateStore::open(folder).expect("a folder");
    assert!(loaded.is_some());
    store.set_old_aside();
    for poll in [20, 21] {
        store.wait_for_snapshot();
        store.save_snapshot(&head(poll), |_| Ok(()));
    }
    assert_eq!(store.finish(), 0);
    assert_eq!(fs::read(folder.join(SET_ASIDE)).expect("a snapshot"), old);
    assert_eq!(reopen(folder).expect("a snapshot").last_poll(), 21);
}
