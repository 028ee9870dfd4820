//! Connections of remotes that scanned before.

use recon_common::Ending;
use recon_common::ending::SECOND;

use super::*;

/// The traffic of a remote in one poll: the ports that it probes, and those that accept it.
struct Poll {
    at: u64,
    probed: std::ops::Range<u16>,
    accepted: &'static [u16],
}

impl Poll {
    const fn of(at: u64, probed: std::ops::Range<u16>, accepted: &'static [u16]) -> Self {
        Self {
            at,
            probed,
            accepted,
        }
    }
}

/// The ports of `scan-then-connect`'s findings.
fn run(pipeline: &mut Pipeline, remote: Address, polls: &[Poll]) -> Vec<Option<u16>> {
    let after = rule("scan-then-connect", Measure::Count);
    let local = Address::v4(LOCAL);
    polls
        .iter()
        .flat_map(|poll| {
            let interval = at(Duration::from_secs(poll.at));
            // The kernel's rows come in no particular order.
            let accepted = |&port| key(Signal::Accepted, remote, local, port, 0);
            let probed = |port| key(Signal::Syn, remote, local, port, 0);
            poll.accepted
                .iter()
                .map(accepted)
                .chain(poll.probed.clone().map(probed))
                .for_each(|key| observe(pipeline, &key, 1, interval, false));
            let findings = pipeline.end_poll_unlimited(interval, false);
            findings_of(&findings, after)
                .map(|finding| finding.port)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_scanner_that_is_accepted_later_is_reported() {
    const START: u64 = 100_000;
    let scan = Poll::of(START, 0..21, &[]);
    // (case, remote, polls, reported ports)
    for (what, remote, polls, expected) in [
        (
            "accepted after the scan",
            REMOTE,
            vec![scan, Poll::of(START + 60, 10..11, &[10])],
            vec![Some(10)],
        ),
        (
            "accepted on ports that it had not probed",
            REMOTE,
            vec![
                Poll::of(START, 0..21, &[]),
                Poll::of(START + 60, 80..82, &[80, 81]),
            ],
            vec![Some(80), Some(81)],
        ),
        (
            "accepted in a poll without the SYN",
            REMOTE,
            vec![
                Poll::of(START, 0..21, &[]),
                Poll::of(START + 60, 0..0, &[22]),
            ],
            vec![Some(22)],
        ),
        (
            "reported once, and not in every poll",
            REMOTE,
            vec![
                Poll::of(START, 0..21, &[]),
                Poll::of(START + 60, 0..0, &[22]),
                Poll::of(START + 61, 0..0, &[22]),
            ],
            vec![Some(22)],
        ),
        (
            "a scanner at the threshold",
            REMOTE,
            vec![
                Poll::of(START, 0..20, &[]),
                Poll::of(START + 60, 0..0, &[22]),
            ],
            vec![],
        ),
        (
            "a scan that has left the window",
            REMOTE,
            vec![
                Poll::of(START, 0..21, &[]),
                Poll::of(START + 3660, 22..23, &[22]),
            ],
            vec![],
        ),
        (
            "a private remote",
            PRIVATE,
            vec![
                Poll::of(START, 0..21, &[]),
                Poll::of(START + 60, 0..0, &[22]),
            ],
            vec![],
        ),
    ] {
        assert_eq!(
            run(&mut built_in_pipeline(false), remote, &polls),
            expected,
            "{what}"
        );
    }
}

#[test]
fn remotes_that_did_not_scan_take_no_memory() {
    let mut pipeline = built_in_pipeline(false);
    run(&mut pipeline, REMOTE, &[Poll::of(7200, 0..21, &[])]);
    let visit = [Poll::of(7260, 22..23, &[22])];
    assert_eq!(run(&mut pipeline, OTHER, &visit), []);
    let mut queries = pipeline.stream.queries().iter();
    let after = queries
        .position(|running| !running.query.after().is_empty())
        .expect("in force");
    assert_eq!(pipeline.stream.held(Some(after)), 0);
    assert_eq!(run(&mut pipeline, REMOTE, &visit), [Some(22)]);
}

#[test]
fn the_rule_follows_the_scan_under_every_minimum_severity() {
    for min_severity in [Severity::Informational, Severity::Medium, Severity::High] {
        let mut pipeline = Pipeline::new(PipelineSettings {
            min_severity,
            ..settings(plain(defaults(Profile::Source)))
        });
        let polls = [Poll::of(7200, 0..21, &[]), Poll::of(7260, 0..0, &[22])];
        assert_eq!(
            run(&mut pipeline, REMOTE, &polls),
            [Some(22)],
            "{min_severity:?}"
        );
    }
}

/// `scan-then-connect` is high and follows rules that are medium.
#[test]
fn a_lesser_rule_runs_where_another_one_names_it_and_is_not_reported() {
    let local = Address::v4(LOCAL);
    for (min_severity, expected) in [
        (Severity::Medium, &["few-ports", "scan-then-connect"][..]),
        (Severity::High, &["scan-then-connect"]),
    ] {
        let mut pipeline = Pipeline::new(PipelineSettings {
            min_severity,
            ..settings(plain(defaults(Profile::Outcomes)))
        });
        let used = Ending::new(100, 1_000, 2 * SECOND).pack();
        let refused = (8000..8012)
            .flat_map(|port| [Signal::Syn, Signal::RefusedTcp].map(|signal| (0, signal, port, 0)));
        let events = refused
            .chain([Signal::Syn, Signal::AnsweredTcp].map(|signal| (0, signal, 80, 0)))
            .chain([Signal::Syn, Signal::Accepted].map(|signal| (5, signal, 80, 0)))
            .chain([(6, Signal::Ended, 80, used)])
            .collect::<Vec<_>>();
        let mut ids = Vec::new();
        for second in 0..10 {
            let interval = at(Duration::from_secs(7200 + second));
            for &(_, signal, port, pid) in events.iter().filter(|event| event.0 == second) {
                let key = key(signal, REMOTE, local, port, pid);
                observe(&mut pipeline, &key, 1, interval, false);
            }
            let found = pipeline.end_poll_unlimited(interval, false);
            ids.extend(found.iter().map(|found| found.query.id().to_owned()));
        }
        assert_eq!(ids, expected, "{min_severity:?}");
    }
}

/// A scan in a client's name is reported as medium, whatever the rule says.
#[test]
fn the_least_severity_is_that_of_the_line() {
    let local = Address::v4(LOCAL);
    for (visits, expected) in [(0, 1), (3, 0)] {
        let mut pipeline = Pipeline::new(PipelineSettings {
            min_severity: Severity::High,
            ..settings(plain(defaults(Profile::Outcomes)))
        });
        let mut reported = 0;
        for second in 0..10 {
            let interval = at(Duration::from_secs(7200 + second));
            if second < visits {
                for signal in [Signal::Syn, Signal::Accepted] {
                    let key = key(signal, REMOTE, local, 443, 0);
                    observe(&mut pipeline, &key, 1, interval, false);
                }
            }
            if second == 5 {
                for port in 8000..8040 {
                    for signal in [Signal::Syn, Signal::RefusedTcp] {
                        let key = key(signal, REMOTE, local, port, 0);
                        observe(&mut pipeline, &key, 1, interval, false);
                    }
                }
            }
            reported += pipeline.end_poll_unlimited(interval, false).len();
        }
        assert_eq!(reported, expected, "{visits} visits");
    }
}
