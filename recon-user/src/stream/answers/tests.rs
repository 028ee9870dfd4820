use super::*;
use crate::rule::{Configured, defaults};
use crate::stream::Measure;

const START: i64 = 100_000;

fn address(remote: u32) -> Address {
    Address::v4(remote.to_be_bytes())
}

fn key(port: u16) -> RowKey {
    RowKey {
        remote: None,
        local: Some(Address::v4([203, 0, 113, 1])),
        pid: None,
        ending: None,
        port: Some(port),
        signal: Signal::Syn,
    }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn of(probes: &Probes, remote: u32, second: i64) -> Option<Answers> {
    let [rule, ..] = &defaults()[..] else {
        panic!("there are rules")
    };
    let query = Query::new(Configured::plain(rule.clone()));
    assert_eq!(query.measure, Measure::DistinctPorts);
    let group = GroupKey::of_remote(address(remote));
    probes.answers_to(&query, &group, time(second))
}

#[test]
fn a_flood_of_sources_does_not_push_out_a_scanner() {
    let mut probes = Probes::default();
    let scanner = u32::from_be_bytes([198, 51, 100, 1]);
    for port in 1..=15 {
        probes.add_hit(address(scanner), &key(port), time(START));
    }
    for source in 0..3 * MAX_REMOTES as u32 {
        probes.add_hit(
            address(source),
            &key(80),
            time(START + i64::from(source / 1000)),
        );
    }
    assert!(probes.remotes.len() <= MAX_REMOTES);
    let answers = of(&probes, scanner, START + 1).expect("the scanner is kept");
    assert_eq!((answers.open, answers.silent), (0, 15));
}

#[test]
fn many_ports_of_some_leave_others_their_share() {
    let mut probes = Probes::default();
    let whole = (MAX_PROBED_BY_ALL / MAX_PROBED) as u32;
    for port in 0..=u16::MAX {
        (0..=whole).for_each(|remote| probes.add_hit(address(remote), &key(port), time(START)));
    }
    assert_eq!(probes.targets, MAX_PROBED_BY_ALL);
    for port in 0..100 {
        probes.add_hit(address(77), &key(port), time(START));
    }
    let silent = |probes: &Probes, second| of(probes, 77, second).map(|all| all.silent);
    assert_eq!(silent(&probes, START), Some(FAIR_SHARE as u64));
    // An hour later the others' are gone.
    for port in 0..100 {
        probes.add_hit(address(77), &key(port), time(START + 3660));
    }
    assert_eq!(silent(&probes, START + 3660), Some(100));
    assert_eq!(probes.targets, 100);
}

#[test]
fn what_has_left_the_window_is_not_told() {
    let mut probes = Probes::default();
    probes.add_hit(address(1), &key(22), time(START));
    probes.add_answer(address(1), &key(22), Answer::Open);
    probes.resolve_answers();
    assert_eq!(of(&probes, 1, START + 60).map(|all| all.open), Some(1));
    assert_eq!(of(&probes, 1, START + 3660), None);
    probes.add_hit(address(1), &key(22), time(START + 3660));
    let again = of(&probes, 1, START + 3660).expect("hit again");
    assert_eq!((again.open, again.silent), (0, 1), "an old answer is none");
}

#[test]
fn late_hits_cause_no_search_by_their_own_time() {
    let mut probes = Probes::default();
    let whole = (MAX_PROBED_BY_ALL / MAX_PROBED) as u32;
    for port in 0..=u16::MAX {
        (0..=whole).for_each(|remote| {
            probes.add_hit(address(remote), &key(port), time(START));
        });
    }
    // Each source comes with times that go back and forth. There is room for none.
    let now = START + 61;
    for remote in 100..110 {
        let rows = (0..30).map(|port| (port as u32, key(port), time(START - 600), true));
        let rows: Vec<_> = rows.collect();
        probes.add_late(address(remote), &rows, 40, time(now));
        assert_eq!(probes.searched, second(time(now)), "{remote}");
    }
}
