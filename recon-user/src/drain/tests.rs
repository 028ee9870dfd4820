//! The drain over fake maps: what it gives of what the programs have counted, also when polls fail.

mod committed;
mod interference;

use std::collections::BTreeMap;
use std::ptr::NonNull;

use proptest::prelude::*;
use recon_common::recent::{RECENT_SLOTS, Recent, first_slot};
use recon_common::sources::Sketch;
use recon_common::{Address, PackedKey, PendingConnect, Signal};

use super::fake::{FAILURES, Failure, FakeMaps, PROCESSORS, drain, syn};
use super::*;
use crate::seed::hash_secrets;

/// Counts in the live generation of the table.
fn count(drain: &mut Drain<FakeMaps>, port: u16, count: u64) {
    drain.count(syn(port), count);
}

/// Counts in a slot of a processor, where the programs count first.
fn count_recent(drain: &Drain<FakeMaps>, processor: u32, port: u16, count: u64) {
    let first = first_slot(processor, drain.maps.live as u32);
    let slot: NonNull<Recent> = drain.recent.slot(first + u32::from(port) % RECENT_SLOTS);
    let recent = Recent {
        key: PackedKey::from(&syn(port)),
        count,
    };
    // SAFETY: the slot is mapped, and nothing else uses it now.
    unsafe { slot.write(recent) };
}

/// The rows of a call, by port.
type Rows = BTreeMap<u16, u64>;

fn poll(drain: &mut Drain<FakeMaps>, rows: &mut Rows) -> Result<Tally, DrainError> {
    drain.poll(|key, count, _| *rows.entry(key.port).or_default() += count)
}

fn finish(drain: &mut Drain<FakeMaps>, rows: &mut Rows) -> Result<Tally, DrainError> {
    drain.finish(|key, count, _| *rows.entry(key.port).or_default() += count)
}

fn rows<const N: usize>(expected: [(u16, u64); N]) -> Rows {
    expected.into()
}

#[test]
fn a_poll_gives_what_was_counted_since_the_last_one() {
    let mut drain = drain(Grace::Membarrier);
    for round in 1..4 {
        count(&mut drain, 22, round);
        count(&mut drain, 80, 1);
        // A program that has read the old generation's number ends during the wait.
        drain.maps.in_flight = Some((syn(80), 5));
        let mut given = Rows::new();
        let tally = poll(&mut drain, &mut given).expect("nothing fails");
        assert_eq!(given, rows([(22, round), (80, 6)]));
        let mut expected = Tally {
            signals: round + 6,
            keys: 2,
            ..Tally::default()
        };
        expected.by_signal.add_signals(Signal::Syn, round + 6);
        expected.add_frames(Direction::In, FrameClass::Signal, round + 6);
        assert_eq!(tally, expected);
        assert_eq!(drain.maps.key_counts, [0, 0]);
    }
}

#[test]
fn a_key_in_the_table_and_in_slots_is_one_row() {
    let mut drain = drain(Grace::Membarrier);
    count(&mut drain, 22, 10);
    for processor in 0..PROCESSORS {
        count_recent(&drain, processor, 22, 2);
    }
    count_recent(&drain, 0, 23, 1);
    let mut given = Rows::new();
    let tally = poll(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(given, rows([(22, 14), (23, 1)]));
    assert_eq!((tally.keys, tally.signals), (2, 15));
    let mut again = Rows::new();
    for _ in 0..2 {
        poll(&mut drain, &mut again).expect("nothing fails");
    }
    assert_eq!(again, rows([]));
}

#[test]
fn without_membarrier_a_generation_is_drained_one_poll_later() {
    let mut drain = drain(Grace::NextPoll);
    for (round, expected) in [
        (1, rows([])),
        (2, rows([(22, 1)])),
        (3, rows([(22, 2)])),
        (4, rows([(22, 3)])),
    ] {
        count(&mut drain, 22, round);
        let mut given = Rows::new();
        let tally = poll(&mut drain, &mut given).expect("nothing fails");
        assert_eq!(given, expected, "round {round}");
        // Frames are counted at once.
        assert_eq!(tally.frames(), round);
    }
    let mut rest = Rows::new();
    let tally = finish(&mut drain, &mut rest).expect("nothing fails");
    assert_eq!((rest, tally.signals), (rows([(22, 4)]), 4));
}

#[test]
fn a_failed_poll_leaves_its_counts_to_the_next_one() {
    for grace in [Grace::Membarrier, Grace::NextPoll] {
        for failure in FAILURES {
            if (grace, failure) == (Grace::NextPoll, Failure::Wait) {
                continue;
            }
            let mut drain = drain(grace);
            count(&mut drain, 22, 1);
            count(&mut drain, 23, 2);
            if grace == Grace::NextPoll {
                poll(&mut drain, &mut Rows::new()).expect("nothing fails");
            }
            drain.fail_at(Some(failure));
            let mut given = Rows::new();
            poll(&mut drain, &mut given).expect_err("a call fails");
            drain.fail_at(None);
            count(&mut drain, 24, 4);
            // Whether it had retired a generation, which then is a poll of its own.
            let is_behind = drain.is_behind();
            let tally = poll(&mut drain, &mut given).expect("nothing fails");
            let mut expected = rows([(22, 1), (23, 2)]);
            if grace == Grace::Membarrier && !is_behind {
                expected.insert(24, 4);
            }
            assert_eq!(given, expected, "{grace:?}, {failure:?}");
            let signals: u64 = expected.values().sum();
            assert_eq!(
                (tally.signals, tally.keys),
                (signals, expected.len() as u64),
                "{grace:?}, {failure:?}: rows that the failed poll gave are in the next tally"
            );
        }
    }
}

/// A program that was put aside with its process, for longer than anybody waits.
#[test]
fn what_a_late_program_counts_is_given_later_and_no_tampering() {
    let mut drain = drain(Grace::Membarrier);
    let mut given = Rows::new();
    drain.maps.is_late = true;
    for round in 1..4 {
        count(&mut drain, 22, 1);
        let began = drain.maps.live;
        poll(&mut drain, &mut given).expect("it is given up");
        drain.maps.count(began, syn(23), 5);
        assert_eq!(given.get(&22), Some(&round));
        assert_eq!(
            drain.take_interference(),
            Interference::default(),
            "{round}"
        );
    }
    drain.maps.is_late = false;
    for _ in 0..3 {
        poll(&mut drain, &mut given).expect("nothing fails");
        assert_eq!(drain.take_interference(), Interference::default());
    }
    assert_eq!(given, rows([(22, 3), (23, 15)]));
}

/// Of two waits in a poll one might always fail, and no poll would succeed.
#[test]
fn a_poll_waits_for_one_grace_period() {
    let mut drain = drain(Grace::Membarrier);
    let mut given = Rows::new();
    for round in 0..4 {
        count(&mut drain, 22, 1);
        drain.fail_at(Some(Failure::Wait));
        poll(&mut drain, &mut given).expect_err("the wait fails");
        assert!(drain.is_behind());
        drain.fail_at(None);
        drain.maps.waits = 0;
        count(&mut drain, 22, 1);
        poll(&mut drain, &mut given).expect("it is over");
        assert_eq!(drain.maps.waits, 1);
        assert_eq!(
            given,
            rows([(22, 1 + 2 * round)]),
            "of the poll that failed"
        );
    }
    poll(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(given, rows([(22, 8)]));
}

#[test]
fn the_end_drains_both_generations_once() {
    for grace in [Grace::Membarrier, Grace::NextPoll] {
        let mut drain = drain(grace);
        let mut given = Rows::new();
        count(&mut drain, 22, 1);
        drain.fail_at(Some(Failure::Table(0)));
        let polled = poll(&mut drain, &mut given);
        assert_eq!(polled.is_err(), grace == Grace::Membarrier);
        drain.fail_at(None);
        count(&mut drain, 23, 2);
        drain.wait_for_programs().expect("nothing fails");
        let tally = finish(&mut drain, &mut given).expect("nothing fails");
        assert_eq!(given, rows([(22, 1), (23, 2)]), "{grace:?}");
        assert_eq!((tally.signals, tally.keys), (3, 2), "{grace:?}");
        assert_eq!(drain.maps.key_counts, [0, 0]);
        assert_eq!(
            finish(&mut drain, &mut given).map_err(drop),
            Ok(Tally::default())
        );
        assert_eq!(given, rows([(22, 1), (23, 2)]), "{grace:?}");
    }
}

#[test]
fn a_pending_connect_fails_at_the_second_poll_or_at_the_end() {
    let connect = |cookie, port| PendingConnect {
        cookie,
        remote: Address::v4([198, 51, 100, 7]),
        pid: 42,
        port,
        reserved: 0,
    };
    let mut drain = drain(Grace::Membarrier);
    let write = |drain: &Drain<FakeMaps>, slot: usize, connect: PendingConnect| {
        // SAFETY: the slot is mapped, and nothing else uses it now.
        unsafe { drain.pending_connects.slot(slot).write(connect) };
    };
    write(&drain, 0, connect(7, 22));
    write(&drain, 1, connect(8, 23));
    let mut given = Rows::new();
    poll(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(given, rows([]), "TCP may begin at any moment");
    // TCP has begun with one, and its socket's slot is used again by the other.
    write(&drain, 0, connect(0, 22));
    poll(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(given, rows([(23, 1)]));
    write(&drain, 2, connect(9, 24));
    let tally = finish(&mut drain, &mut given).expect("nothing fails");
    assert_eq!(
        given,
        rows([(23, 1), (24, 1)]),
        "no connect is pending at the end"
    );
    assert_eq!((tally.signals, tally.keys), (1, 1));
}

#[test]
fn an_overflow_key_comes_with_its_sources_once() {
    let mut drain = drain(Grace::Membarrier);
    let overflow = PackedKey::from(&syn(22)).overflow_key();
    let (index, tag) = overflow.sketch_place(hash_secrets());
    let hash = 1 << 40;
    let sketch: NonNull<Sketch> = drain.sketches.sketch(index as usize);
    // SAFETY: the sketch is mapped, and nothing else uses it now.
    unsafe {
        (*sketch.as_ptr()).tag = tag;
        (*sketch.as_ptr()).registers.add_source(hash);
    }
    for round in 0..3 {
        drain.count(overflow.into(), 9);
        count(&mut drain, 23, 1);
        let mut sketches = Vec::new();
        let polled = drain.poll(|key, _, sources| {
            sketches.push((key.is_overflow(), sources.map(|sources| sources.0)));
        });
        polled.expect("nothing fails");
        sketches.sort();
        let mut expected = recon_common::Registers::default();
        expected.add_source(hash);
        let expected = (round == 0).then_some(expected.0);
        assert_eq!(sketches, [(false, None), (true, expected)], "round {round}");
    }
}

/// What happens between two polls, and how the poll ends.
#[derive(Clone, Debug)]
struct Step {
    counts: Vec<(u16, u64)>,
    recent: Option<(u16, u64)>,
    failure: Option<Failure>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let counts = prop::collection::vec((0..8_u16, 1..9_u64), 0..6);
    let recent = prop::option::of((0..8_u16, 1..9_u64));
    let failure = prop::option::of(prop::sample::select(&FAILURES[..]));
    let step = (counts, recent, failure).prop_map(|(counts, recent, failure)| Step {
        counts,
        recent,
        failure,
    });
    prop::collection::vec(step, 1..20)
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_whichever_polls_fail(steps in steps(), has_membarrier in any::<bool>()) {
        let grace = if has_membarrier { Grace::Membarrier } else { Grace::NextPoll };
        let mut drain = drain(grace);
        let (mut given, mut counted, mut total) = (Rows::new(), Rows::new(), Tally::default());
        for Step { counts, recent, failure } in steps {
            for (port, number) in counts {
                count(&mut drain, port, number);
                *counted.entry(port).or_default() += number;
            }
            // They have counts if a poll failed before it made the other generation live.
            if let Some((port, number)) = recent && drain.recent.is_empty(drain.maps.live) {
                count_recent(&drain, 1, port, number);
                *counted.entry(port).or_default() += number;
            }
            drain.fail_at(failure);
            if let Ok(tally) = poll(&mut drain, &mut given) {
                total.add(&tally);
            }
        }
        drain.fail_at(None);
        total.add(&finish(&mut drain, &mut given).expect("nothing fails"));
        prop_assert_eq!(total.signals, given.values().sum::<u64>());
        prop_assert_eq!(given, counted);
    }
}
