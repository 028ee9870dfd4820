//! When a part is reported as blind, and when as seeing again.

use super::*;

const QUIET: Duration = Duration::from_secs(600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

fn rule() -> BlindPart {
    BlindPart::Rule("port-scan".to_owned(), "Multiple ports".to_owned())
}

/// Each part, and how much of it is tolerated.
fn all_parts() -> [(BlindPart, u64); BlindPart::NAMES.len()] {
    [
        (rule(), 0),
        (BlindPart::Table, 0),
        (BlindPart::Signals, 100),
        (BlindPart::Polls, 5_000),
        (BlindPart::FailedPolls, 1),
        (BlindPart::Processes, 10),
        (BlindPart::Interface("eth9".to_owned()), 0),
        (BlindPart::Hook("eth9".to_owned(), "xdp"), 0),
        (BlindPart::Overtaken("eth9".to_owned(), "TC ingress"), 0),
        (BlindPart::Counts, 0),
        (BlindPart::Generation, 0),
        (BlindPart::Frozen("KEYS".to_owned()), 0),
        (BlindPart::Pins, 0),
        (BlindPart::SilenceIn, 0),
        (BlindPart::SilenceOut, 0),
    ]
}

/// Metrics show the parts under these names, also while none of them is blind.
#[test]
fn all_parts_are_named() {
    let parts = all_parts().map(|(part, _)| (part.name(), part.is_tampering()));
    let [mut found, mut expected] = [parts, BlindPart::NAMES];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// The phases and losses that are reported at the end of a poll.
fn reported(blind: &mut Blind, second: i64) -> Vec<(Phase, u64)> {
    let reports = blind.end_poll(at(second)).into_iter();
    reports.map(|report| (report.phase, report.lost)).collect()
}

#[test]
fn each_part_begins_above_what_it_tolerates() {
    for (part, tolerated) in all_parts() {
        let mut blind = Blind::new(QUIET);
        blind.lose(part.clone(), tolerated);
        assert_eq!(reported(&mut blind, 0), [], "{part}: {tolerated}");
        blind.lose(part.clone(), 1);
        let expected = [(Phase::Began, tolerated + 1)];
        assert_eq!(reported(&mut blind, 60), expected, "{part}");
        blind.lose(part.clone(), 5);
        assert_eq!(reported(&mut blind, 61), [], "{part}: reported once");
        assert_eq!(reported(&mut blind, 660), [], "{part}: not quiet yet");
        let expected = [(Phase::Ended, tolerated + 6)];
        assert_eq!(reported(&mut blind, 661), expected, "{part}");
        assert_eq!(reported(&mut blind, 2_000), [], "{part}");
        blind.lose(part.clone(), tolerated + 1);
        assert_eq!(reported(&mut blind, 2_001).len(), 1, "{part}: again");
    }
}

#[test]
fn what_is_tolerated_adds_up_only_without_a_pause() {
    // (seconds between two losses, whether both together are too much)
    for (pause, expected) in [(1, 1), (60, 1), (61, 0), (600, 0)] {
        let mut blind = Blind::new(QUIET);
        let mut found = 0;
        for second in 0..=pause {
            if second == 0 || second == pause {
                blind.lose(BlindPart::Polls, 3_000);
            }
            found += reported(&mut blind, second).len();
        }
        assert_eq!(found, expected, "{pause} s");
    }
}

#[test]
fn lost_signals_matter_above_a_share() {
    // (counted, lost, whether that is over 1 % and over the tolerated number)
    for (counted, lost, expected) in [
        (0, 0, false),
        (0, 100, false),
        (0, 101, true),
        (100_000, 1_010, false),
        (100_000, 1_011, true),
        (u64::MAX, 1_000_000, false),
        (0, u64::MAX, true),
    ] {
        let mut blind = Blind::new(QUIET);
        blind.lose_signals(counted, lost);
        let found = reported(&mut blind, 0);
        assert_eq!(found.len() == 1, expected, "{lost} of {counted}: {found:?}");
    }
}

#[test]
fn what_is_gone_is_blind_until_it_is_back() {
    let part = BlindPart::Interface("eth9".to_owned());
    let mut blind = Blind::new(QUIET);
    blind.lose_for_good(part.clone(), at(0));
    assert_eq!(reported(&mut blind, 0), [(Phase::Began, 1)]);
    for second in [1, 700, 100_000] {
        blind.lose_for_good(part.clone(), at(second));
        assert_eq!(reported(&mut blind, second), [], "{second}");
    }
    blind.regain(&part);
    assert_eq!(reported(&mut blind, 100_001), []);
    assert_eq!(reported(&mut blind, 100_600), [(Phase::Ended, 4)]);
    blind.regain(&part);
    assert_eq!(reported(&mut blind, 200_000), [], "it was not gone");
}

#[test]
fn the_end_of_the_run_ends_what_was_reported() {
    let mut blind = Blind::new(QUIET);
    blind.lose(rule(), 3);
    blind.lose(BlindPart::Polls, 4_000);
    assert_eq!(reported(&mut blind, 0), [(Phase::Began, 3)]);
    let ended = blind.finish(at(5));
    let [report] = &ended[..] else {
        panic!("{ended:?}")
    };
    let BlindReport {
        part,
        phase,
        at: reported_at,
        since,
        until,
        lost,
    } = report;
    assert_eq!((part, phase, lost), (&rule(), &Phase::Ended, &3));
    assert_eq!([*since, *until, *reported_at], [at(0), at(0), at(5)]);
    assert!(blind.finish(at(6)).is_empty());
}

#[test]
fn a_clock_that_is_set_back_ends_it_in_time() {
    let mut blind = Blind::new(QUIET);
    blind.lose(BlindPart::Table, 1);
    assert_eq!(reported(&mut blind, 10_000), [(Phase::Began, 1)]);
    assert_eq!(reported(&mut blind, 0), []);
    assert_eq!(reported(&mut blind, 600), [(Phase::Ended, 1)]);
}
