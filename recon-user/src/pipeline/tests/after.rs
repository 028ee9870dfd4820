//! Connections of those who scanned before.

use super::*;

/// One poll's traffic of a remote: the ports it probes, and those it is accepted on.
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
fn run(judge: &mut Pipeline, remote: Address, polls: &[Poll]) -> Vec<Option<u16>> {
    let after = rule("scan-then-connect", Measure::Count);
    let local = Address::v4(LOCAL);
    polls
        .iter()
        .flat_map(|poll| {
            let interval = at(Duration::from_secs(poll.at));
            // The kernel's rows are in no order.
            let accepted = |&port| key(Signal::Accepted, remote, local, port, 0);
            let probed = |port| key(Signal::Syn, remote, local, port, 0);
            poll.accepted
                .iter()
                .map(accepted)
                .chain(poll.probed.clone().map(probed))
                .for_each(|key| observe(judge, &key, 1, interval, false));
            let findings = judge.end_poll_unlimited(interval, false);
            told(&findings, after)
                .map(|finding| finding.port)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn whoever_scanned_before_is_told_of_when_accepted() {
    const START: u64 = 100_000;
    let scan = Poll::of(START, 0..21, &[]);
    // (what happens, remote, polls, ports told of)
    for (what, remote, polls, expected) in [
        (
            "accepted after the scan",
            REMOTE,
            vec![scan, Poll::of(START + 60, 10..11, &[10])],
            vec![Some(10)],
        ),
        (
            "accepted on ports that were not probed before",
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
            "told of once, and not in every poll",
            REMOTE,
            vec![
                Poll::of(START, 0..21, &[]),
                Poll::of(START + 60, 0..0, &[22]),
                Poll::of(START + 61, 0..0, &[22]),
            ],
            vec![Some(22)],
        ),
        (
            "accepted during the scan",
            REMOTE,
            vec![
                Poll::of(START, 0..300, &[22]),
                Poll::of(START + 1, 300..600, &[443]),
                Poll::of(START + 2, 600..602, &[600]),
            ],
            vec![],
        ),
        (
            "a scanner that is not over the threshold",
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
        assert_eq!(run(&mut judge(false), remote, &polls), expected, "{what}");
    }
}

#[test]
fn those_who_did_not_scan_leave_no_trace() {
    let mut judge = judge(false);
    run(&mut judge, REMOTE, &[Poll::of(7200, 0..21, &[])]);
    let visit = [Poll::of(7260, 22..23, &[22])];
    assert_eq!(run(&mut judge, OTHER, &visit), []);
    let mut queries = judge.stream.queries().iter();
    let after = queries
        .position(|running| running.query.after().is_some())
        .expect("in force");
    assert_eq!(judge.stream.held(Some(after)), 0);
    assert_eq!(run(&mut judge, REMOTE, &visit), [Some(22)]);
}

#[test]
fn it_comes_after_the_scan_under_every_severity() {
    for min_severity in [Severity::Informational, Severity::Medium, Severity::High] {
        let mut judge = Pipeline::new(PipelineSettings {
            min_severity,
            ..settings(plain(defaults()))
        });
        let polls = [Poll::of(7200, 0..21, &[]), Poll::of(7260, 0..0, &[22])];
        assert_eq!(
            run(&mut judge, REMOTE, &polls),
            [Some(22)],
            "{min_severity:?}"
        );
    }
}
