//! The ends of incidents, from rows.

use super::*;

const NOW: u64 = 7_200;
/// The rule's window is shorter than the quiet time.
const RULE: &str = "\
// window: 1m
DeviceNetworkEvents
| where ActionType == 'SYN'
| summarize n = count() by RemoteIP
| where n > 20";

/// The findings of a poll at `second`, in which REMOTE sends that many SYNs.
fn poll(pipeline: &mut Pipeline, second: u64, count: u64) -> Vec<Finding> {
    let interval = at(Duration::from_secs(second));
    if count > 0 {
        let key = key(Signal::Syn, REMOTE, Address::v4(LOCAL), 22, 0);
        observe(pipeline, &key, count, interval, false);
    }
    pipeline.end_poll_unlimited(interval, false)
}

/// The phase and the count of findings.
fn reported(findings: &[Finding]) -> Vec<(Phase, u64)> {
    let findings = findings.iter();
    findings.map(|found| (found.phase, found.count)).collect()
}

#[test]
fn an_end_has_the_greatest_count_and_the_times_of_its_events() {
    let mut pipeline = pipeline_of(RULE, DEFAULT_MEMORY);
    // (second, SYNs, phase and count)
    for (second, count, expected) in [
        (NOW, 21, &[(Phase::Began, 21)][..]),
        (NOW + 10, 29, &[]),
        // Under the threshold, which does not put off the end.
        (NOW + 300, 1, &[]),
        (NOW + 609, 0, &[]),
        (NOW + 610, 0, &[(Phase::Ended, 50)]),
        (NOW + 611, 0, &[]),
    ] {
        let found = poll(&mut pipeline, second, count);
        assert_eq!(reported(&found), expected, "at {second} s");
        if let [ended] = &found[..]
            && ended.phase == Phase::Ended
        {
            let second = |time: Timestamp| time.as_second().cast_unsigned();
            assert_eq!(second(ended.at), NOW + 610);
            assert_eq!(second(ended.end), NOW + 300, "the last event");
            assert!(ended.start < ended.end, "{} {}", ended.start, ended.end);
        }
    }
}

#[test]
fn an_incident_that_was_over_before_a_poll_ends_before_the_next_begins() {
    // (second of the second flare, phases and counts in its poll)
    for (second, expected) in [
        // It goes on in the poll in which its end is due.
        (NOW + 610, &[][..]),
        // Its end was due before the poll.
        (NOW + 611, &[(Phase::Ended, 50)]),
        (NOW + 3_610, &[(Phase::Ended, 50)]),
        (NOW + 3_611, &[(Phase::Ended, 50), (Phase::Began, 30)]),
    ] {
        let mut pipeline = pipeline_of(RULE, DEFAULT_MEMORY);
        assert_eq!(
            reported(&poll(&mut pipeline, NOW, 21)),
            [(Phase::Began, 21)]
        );
        assert_eq!(reported(&poll(&mut pipeline, NOW + 10, 29)), []);
        let found = poll(&mut pipeline, second, 30);
        assert_eq!(reported(&found), expected, "at {second} s");
    }
}

#[test]
fn at_the_end_of_the_rows_only_open_incidents_that_have_grown_end() {
    // (what, polls, phases and counts at the end)
    for (what, polls, expected) in [
        ("as reported", &[(NOW, 21)][..], &[][..]),
        ("grown", &[(NOW, 21), (NOW + 1, 1)], &[(Phase::Ended, 22)]),
        ("ended", &[(NOW, 21), (NOW + 1, 1), (NOW + 601, 0)], &[]),
        (
            "ended, and re-opened",
            &[(NOW, 21), (NOW + 1, 1), (NOW + 601, 0), (NOW + 602, 60)],
            &[],
        ),
        (
            "ended, grown, and grown again",
            &[
                (NOW, 21),
                (NOW + 1, 1),
                (NOW + 601, 0),
                (NOW + 602, 220),
                (NOW + 603, 1),
            ],
            &[(Phase::Ended, 221)],
        ),
    ] {
        let mut pipeline = pipeline_of(RULE, DEFAULT_MEMORY);
        let mut last = NOW;
        for &(second, count) in polls {
            poll(&mut pipeline, second, count);
            last = second;
        }
        let now = at(Duration::from_secs(last)).to;
        let found: Vec<_> = pipeline
            .finish(now)
            .into_iter()
            .filter_map(|line| line.finding().cloned())
            .collect();
        assert_eq!(reported(&found), expected, "{what}");
    }
}

#[test]
fn the_quiet_time_is_a_setting() {
    for quiet in [1, 10, 7_200] {
        let loaded = Loader::default().load("test.kql", RULE.as_bytes());
        let mut pipeline = Pipeline::new(PipelineSettings {
            quiet: Duration::from_secs(quiet),
            ..settings(plain(loaded.plans))
        });
        poll(&mut pipeline, NOW, 21);
        poll(&mut pipeline, NOW + 1, 1);
        assert_eq!(reported(&poll(&mut pipeline, NOW + quiet, 0)), []);
        let found = poll(&mut pipeline, NOW + 1 + quiet, 0);
        assert_eq!(reported(&found), [(Phase::Ended, 22)], "{quiet} s");
    }
}
