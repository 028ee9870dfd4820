//! What another process does to the maps is found at the next poll, and nothing else is.

use super::*;

/// What somebody does, and what the next poll finds.
type Case = (&'static str, fn(&mut FakeMaps), Interference);

/// The counter of signals that came in.
const SIGNALS_IN: usize = Counter::Frames(Direction::In, FrameClass::Signal).index() as usize;

const NOTHING: Interference = Interference {
    keys: 0,
    counters: 0,
    signals: 0,
    moves: 0,
};

const CASES: &[Case] = &[
    ("nothing", |_| {}, NOTHING),
    (
        "the table is emptied",
        |maps| maps.tables[0].clear(),
        Interference {
            keys: 3,
            signals: 3,
            ..NOTHING
        },
    ),
    (
        "one key is deleted",
        |maps| maps.tables[0].truncate(2),
        Interference {
            keys: 1,
            signals: 1,
            ..NOTHING
        },
    ),
    (
        "a key is added",
        |maps| maps.tables[0].push((syn(9), 7)),
        Interference {
            keys: 1,
            signals: 7,
            ..NOTHING
        },
    ),
    (
        "the number of keys is set to 0",
        |maps| maps.key_counts[0] = 0,
        Interference { keys: 3, ..NOTHING },
    ),
    (
        "the counters are set to 0",
        |maps| maps.counters.fill(0),
        Interference {
            counters: 1,
            signals: 4,
            ..NOTHING
        },
    ),
    (
        "keys are deleted, and their number is lowered",
        |maps| {
            maps.tables[0].truncate(1);
            maps.key_counts[0] -= 2;
        },
        Interference {
            signals: 2,
            ..NOTHING
        },
    ),
    (
        "the same, and the counters are lowered by too little",
        |maps| {
            maps.tables[0].truncate(1);
            maps.key_counts[0] -= 2;
            maps.counters[SIGNALS_IN] -= 1;
        },
        Interference {
            signals: 1,
            ..NOTHING
        },
    ),
    (
        "the counters are set to 0 and grow beyond what they were",
        |maps| {
            maps.counters.fill(0);
            maps.count(0, syn(22), 30);
        },
        // Of 34 signals, the counters have 30, of which 20 were there before.
        Interference {
            signals: 24,
            ..NOTHING
        },
    ),
    (
        "counts are raised",
        |maps| maps.tables[0].iter_mut().for_each(|(_, count)| *count += 5),
        Interference {
            signals: 15,
            ..NOTHING
        },
    ),
    (
        "the table is full",
        |maps| {
            maps.counters[SIGNALS_IN] += 100;
            maps.counters[Counter::Lost(Loss::TableFull).index() as usize] += 100;
        },
        NOTHING,
    ),
    (
        "a program is at its last packets when the generation is retired",
        |maps| maps.in_flight = Some((syn(80), 50)),
        NOTHING,
    ),
    (
        "the generation is moved",
        |maps| maps.found_flips = Some(maps.flips + 1),
        Interference {
            moves: 1,
            ..NOTHING
        },
    ),
];

#[test]
fn each_change_is_found_once() {
    for is_pinned in [false, true] {
        for (what, change, expected) in CASES {
            let mut drain = drain(Grace::Membarrier);
            if is_pinned {
                drain = drain.pinned();
            }
            let mut given = Rows::new();
            // The counters have grown before, and the live generation is 0 again.
            for _ in 0..2 {
                count(&mut drain, 1, 10);
                poll(&mut drain, &mut given).expect("nothing fails");
                drain.commit().expect("nothing fails");
            }
            for port in [22, 23, 80] {
                count(&mut drain, port, 1);
            }
            count_recent(&drain, 0, 443, 1);
            drain.maps.counters[SIGNALS_IN] += 1;
            assert_eq!(drain.take_interference(), NOTHING, "{what}");
            change(&mut drain.maps);
            poll(&mut drain, &mut given).expect("nothing fails");
            drain.commit().expect("nothing fails");
            let what = format!("{what}, pinned: {is_pinned}");
            assert_eq!(drain.take_interference(), *expected, "{what}");
            drain.maps.found_flips = None;
            count(&mut drain, 25, 1);
            poll(&mut drain, &mut given).expect("nothing fails");
            assert_eq!(drain.take_interference(), NOTHING, "{what}, afterwards");
        }
    }
}

/// A poll that fails is no interference, wherever it fails.
#[test]
fn failures_are_no_interference() {
    for grace in [Grace::Membarrier, Grace::NextPoll] {
        for is_pinned in [false, true] {
            for failure in FAILURES {
                let mut drain = drain(grace);
                if is_pinned {
                    drain = drain.pinned();
                }
                let mut given = Rows::new();
                for round in 0..4 {
                    for port in [22, 23, 80] {
                        count(&mut drain, port, 1);
                    }
                    drain.fail_at((round % 2 == 0).then_some(failure));
                    let _ = poll(&mut drain, &mut given);
                    let _ = drain.commit();
                }
                drain.fail_at(None);
                poll(&mut drain, &mut given).expect("nothing fails");
                finish(&mut drain, &mut given).expect("nothing fails");
                let found = drain.take_interference();
                assert_eq!(found, NOTHING, "{grace:?} {is_pinned} {failure:?}");
            }
        }
    }
}

/// Nor is what is counted while a poll looks, nor what an earlier process left or moved.
#[test]
fn what_is_counted_meanwhile_is_no_interference() {
    for grace in [Grace::Membarrier, Grace::NextPoll] {
        for is_pinned in [false, true] {
            let mut drain = drain(grace);
            if is_pinned {
                drain = drain.pinned();
            }
            let mut given = Rows::new();
            for round in 0..12_u64 {
                count(&mut drain, 22, 3);
                // Others write to the new generation before the counters are read.
                drain.maps.meanwhile = Some((syn(23), round));
                drain.maps.in_flight = Some((syn(24), 2));
                // A moved generation is moved back, and what was counted there comes later.
                drain.maps.found_flips = (round == 5).then_some(99);
                if round == 5 {
                    drain.maps.tables[1 - drain.maps.live].push((syn(25), 9));
                    drain.maps.key_counts[1 - drain.maps.live] += 1;
                    drain.maps.counters[SIGNALS_IN] += 9;
                }
                poll(&mut drain, &mut given).expect("nothing fails");
                if is_pinned && round % 4 == 3 {
                    drain = drain.killed(None);
                } else {
                    drain.commit().expect("nothing fails");
                }
                let found = drain.take_interference();
                let what = format!("{grace:?} {is_pinned} {round}");
                assert_eq!(
                    (found.keys, found.counters, found.signals),
                    (0, 0, 0),
                    "{what}"
                );
            }
        }
    }
}
