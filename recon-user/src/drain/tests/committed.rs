//! Polls over pinned maps: whenever a process is killed, each count is with the one that committed
//! it, or still in the kernel.

use super::*;
use crate::drain::Commit;

/// What all processes together have kept.
#[derive(Debug, Default)]
struct Journal {
    rows: Rows,
    tally: Tally,
    commit: Option<Commit>,
}

impl Journal {
    fn keep(&mut self, given: Rows, tally: &Tally, commit: Option<&Commit>) {
        for (port, count) in given {
            *self.rows.entry(port).or_default() += count;
        }
        self.tally.add(tally);
        self.commit = commit.cloned().or(self.commit.take());
    }
}

/// How far a poll comes before its process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    BeforePoll,
    BeforeJournal,
    BeforeCommit,
    /// The commit had written its record and not emptied everything.
    InCommit(Failure),
    AfterCommit,
}

const KILLS: [Kill; 7] = [
    Kill::BeforePoll,
    Kill::BeforeJournal,
    Kill::BeforeCommit,
    Kill::InCommit(Failure::Table(0)),
    Kill::InCommit(Failure::Table(1)),
    Kill::InCommit(Failure::ResetKeyCount),
    Kill::AfterCommit,
];

/// A poll by a process that is killed at that point, and the process after it. The next one knows
/// the journal's last commit if it `has_journal`; else the rows count as kept once the record is
/// written.
fn poll_killed(
    mut drain: Drain<FakeMaps>,
    journal: &mut Journal,
    kill: Kill,
    has_journal: bool,
) -> Drain<FakeMaps> {
    if kill != Kill::BeforePoll {
        let mut given = Rows::new();
        let tally = poll(&mut drain, &mut given).expect("nothing fails");
        let is_kept = match kill {
            Kill::BeforeJournal => false,
            Kill::BeforeCommit => has_journal,
            _ => true,
        };
        if is_kept {
            journal.keep(given, &tally, drain.uncommitted());
        }
        match kill {
            Kill::InCommit(failure) => {
                drain.fail_at(Some(failure));
                let _ = drain.commit();
                drain.fail_at(None);
            }
            Kill::AfterCommit => drain.commit().expect("nothing fails"),
            _ => {}
        }
    }
    let known = journal.commit.as_ref().filter(|_| has_journal);
    drain.killed(known)
}

/// Polls until nothing is left.
fn drain_all(drain: &mut Drain<FakeMaps>, journal: &mut Journal) {
    for _ in 0..4 {
        let mut given = Rows::new();
        let tally = poll(drain, &mut given).expect("nothing fails");
        journal.keep(given, &tally, drain.uncommitted());
        drain.commit().expect("nothing fails");
    }
    assert_eq!(drain.maps.key_counts, [0, 0]);
}

#[test]
fn what_was_given_stays_until_it_is_committed() {
    let mut drain = drain(Grace::Membarrier).pinned();
    count(&mut drain, 22, 3);
    count_recent(&drain, 1, 22, 2);
    count_recent(&drain, 0, 23, 1);
    let mut given = Rows::new();
    poll(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(given, rows([(22, 5), (23, 1)]));
    let commit = drain.uncommitted().expect("a poll has given").clone();
    assert_eq!((commit.maps, commit.flips), (super::super::fake::MAPS, 1));
    assert!(!drain.recent.is_empty(0), "emptied before the commit");
    assert_eq!(drain.maps.key_counts, [1, 0]);
    drain.commit().expect("nothing fails");
    assert!(drain.recent.is_empty(0));
    assert_eq!(drain.maps.key_counts, [0, 0]);
    assert_eq!(drain.uncommitted(), None);
}

#[test]
fn a_poll_whose_caller_did_not_commit_is_not_given_again() {
    for grace in [Grace::Membarrier, Grace::NextPoll] {
        let mut drain = drain(grace).pinned();
        let mut given = Rows::new();
        count(&mut drain, 22, 3);
        for _ in 0..5 {
            poll(&mut drain, &mut given).expect("nothing fails");
        }
        assert_eq!(given, rows([(22, 3)]), "{grace:?}");
    }
}

#[test]
fn wherever_a_process_is_killed_each_count_is_kept_once() {
    for grace in [Grace::Membarrier, Grace::NextPoll] {
        for kill in KILLS {
            for has_journal in [true, false] {
                let what = format!("{grace:?}, {kill:?}, journal {has_journal}");
                let mut drain = drain(grace).pinned();
                let mut journal = Journal::default();
                count(&mut drain, 22, 3);
                count_recent(&drain, 0, 23, 2);
                if grace == Grace::NextPoll {
                    drain = poll_killed(drain, &mut journal, Kill::AfterCommit, has_journal);
                }
                count(&mut drain, 22, 4);
                let mut drain = poll_killed(drain, &mut journal, kill, has_journal);
                count(&mut drain, 24, 5);
                drain_all(&mut drain, &mut journal);
                assert_eq!(journal.rows, rows([(22, 7), (23, 2), (24, 5)]), "{what}");
                // Slots have no counter here.
                let counted = (journal.tally.signals, journal.tally.frames());
                assert_eq!(counted, (14, 12), "{what}");
            }
        }
    }
}

#[test]
fn a_commit_of_other_maps_says_nothing() {
    let mut drain = drain(Grace::Membarrier).pinned();
    count(&mut drain, 22, 3);
    poll(&mut drain, &mut Rows::new()).expect("nothing fails");
    let of_others = Commit {
        maps: 1,
        ..drain.uncommitted().expect("a poll has given").clone()
    };
    let mut drain = drain.killed(Some(&of_others));
    let mut given = Rows::new();
    poll(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(given, rows([(22, 3)]));
}

#[test]
fn a_failed_connect_is_given_by_the_process_that_commits_it() {
    for (kill, expected) in [
        (Kill::BeforePoll, 1),
        (Kill::BeforeJournal, 1),
        (Kill::BeforeCommit, 1),
        (Kill::InCommit(Failure::Table(0)), 1),
        (Kill::AfterCommit, 1),
    ] {
        let mut drain = drain(Grace::Membarrier).pinned();
        let mut journal = Journal::default();
        count(&mut drain, 80, 1);
        let connect = PendingConnect {
            cookie: 7,
            remote: Address::v4([198, 51, 100, 7]),
            pid: 42,
            port: 22,
            reserved: 0,
        };
        // SAFETY: the slot is mapped, and nothing else uses it now.
        unsafe { drain.pending_connects.slot(3).write(connect) };
        let mut given = Rows::new();
        let tally = poll(&mut drain, &mut given).expect("nothing fails");
        journal.keep(given, &tally, drain.uncommitted());
        drain.commit().expect("nothing fails");
        count(&mut drain, 81, 1);
        let mut drain = poll_killed(drain, &mut journal, kill, true);
        drain_all(&mut drain, &mut journal);
        let all = rows([(22, expected), (80, 1), (81, 1)]);
        assert_eq!(journal.rows, all, "{kill:?}");
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_whichever_processes_are_killed(
        steps in prop::collection::vec(
            (prop::collection::vec((0..8_u16, 1..9_u64), 0..6), prop::sample::select(&KILLS[..])),
            1..20,
        ),
        has_membarrier in any::<bool>(),
        has_journal in any::<bool>(),
    ) {
        let grace = if has_membarrier { Grace::Membarrier } else { Grace::NextPoll };
        let mut drain = drain(grace).pinned();
        let (mut journal, mut counted) = (Journal::default(), Rows::new());
        for (counts, kill) in steps {
            for (port, number) in counts {
                count(&mut drain, port, number);
                *counted.entry(port).or_default() += number;
            }
            drain = poll_killed(drain, &mut journal, kill, has_journal);
        }
        drain_all(&mut drain, &mut journal);
        prop_assert_eq!(journal.tally.signals, counted.values().sum::<u64>());
        prop_assert_eq!(journal.tally.frames(), journal.tally.signals);
        prop_assert_eq!(journal.rows, counted);
    }
}
