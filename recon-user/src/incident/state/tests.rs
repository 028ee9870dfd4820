use super::*;

/// Over 20 in an hour.
fn query() -> Query {
    let plan = crate::rule::defaults(crate::rule::Profile::Outcomes).swap_remove(0);
    assert_eq!(plan.threshold.map(|threshold| threshold.above), Some(20));
    Query::new(crate::rule::Configured::plain(plan))
}

fn observe(
    incident: &mut Option<Incident>,
    count: u64,
    query: &Query,
    now: Timestamp,
) -> Option<Report> {
    let is_over = count > query.threshold();
    is_over.then(|| observe_count(incident, count, query, now))?
}

const QUIET: SignedDuration = SignedDuration::from_secs(600);

/// What is reported of the end of an incident whose end is awaited, or the second when it is due.
fn close(incident: &mut Option<Incident>, now: i64) -> Result<Option<(Phase, u64)>, i64> {
    let incident = incident.as_mut().expect("it has begun");
    match incident.close_if_quiet(QUIET, at(now)) {
        Ok(report) => Ok(report.map(|report| (report.phase, report.count))),
        Err(Due(due)) => Err(due.as_second()),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

#[test]
fn crossing_tenfold_and_starting_again() {
    let mut incident = None;
    // (minute, count, phase reported and polls suppressed before)
    for (minute, count, reported) in [
        (0, 20, None),
        (1, 21, Some((Phase::Began, 0))),
        (2, 22, None),
        (3, 209, None),
        (4, 210, Some((Phase::Grew, 2))),
        (5, 211, None),
        (6, 5, None),
        (60, 100, None),
        (120, 100, None),
        (181, 21, Some((Phase::Began, 3))),
        (182, 2_000, Some((Phase::Grew, 0))),
    ] {
        let found = observe(&mut incident, count, &query(), at(minute * 60));
        let found = found.map(|report| (report.phase, report.suppressed));
        assert_eq!(found, reported, "at minute {minute}");
    }
}

#[test]
fn a_clock_that_is_set_back_withholds_nothing() {
    let mut incident = None;
    // (minute, count, phase reported)
    for (minute, count, reported) in [
        (600, 21, Some(Phase::Began)),
        (10, 22, None),
        (11, 210, Some(Phase::Grew)),
        (12, 2_099, None),
        (13, 2_100, Some(Phase::Grew)),
    ] {
        let found = observe(&mut incident, count, &query(), at(minute * 60));
        assert_eq!(
            found.map(|report| report.phase),
            reported,
            "at minute {minute}"
        );
    }
    // Set back again, to before the last count.
    assert_eq!(close(&mut incident, 9 * 60), Err(9 * 60 + 600));
    assert_eq!(close(&mut incident, 9 * 60 + 599), Err(9 * 60 + 600));
    assert_eq!(close(&mut incident, 9 * 60 + 600), Ok(None), "as reported");
}

#[test]
fn a_cooldown_withholds_reports() {
    let mut query = query();
    query.rule.plan.cooldown = Some(Duration::from_secs(3 * 3600));
    let mut incident = None;
    // (minute, count, phase reported and polls suppressed before)
    for (minute, count, reported) in [
        (0, 21, Some((Phase::Began, 0))),
        (2, 2_000, None),
        (100, 21, None),
        (179, 21, None),
        (180, 22, Some((Phase::Began, 3))),
        (239, 2_000, None),
        (298, 2_000, None),
        (357, 2_000, None),
        (361, 2_000, Some((Phase::Grew, 3))),
    ] {
        let found = observe(&mut incident, count, &query, at(minute * 60));
        let found = found.map(|report| (report.phase, report.suppressed));
        assert_eq!(found, reported, "at minute {minute}");
    }
}

#[test]
fn a_long_window_is_as_long_quiet() {
    const DAY: i64 = 86_400;
    let mut query = query();
    query.rule.plan.window = Duration::from_secs(DAY as u64);
    let mut incident = None;
    for (time, reported) in [
        (0, Some(Phase::Began)),
        (DAY, None),
        (2 * DAY + 1, Some(Phase::Began)),
    ] {
        let found = observe(&mut incident, 21, &query, at(time)).map(|report| report.phase);
        assert_eq!(found, reported, "at {time} s");
    }
}

/// What happens to an incident.
#[derive(Clone, Copy)]
enum Step {
    /// Its count is over the threshold.
    Count(u64),
    /// Its end check comes.
    Check,
}

/// The reports of an incident at each of these steps, with the second in which it began.
fn reports(query: &Query, steps: &[(i64, Step)]) -> Vec<(i64, Phase, u64, i64)> {
    let mut incident = None;
    let mut reports = Vec::new();
    for &(second, step) in steps {
        let found = match step {
            Step::Count(count) => {
                let found = observe_count(&mut incident, count, query, at(second));
                incident.as_mut().expect("it has begun").schedule_end();
                found
            }
            Step::Check => {
                let incident = incident.as_mut().expect("it has begun");
                incident.close_if_quiet(QUIET, at(second)).unwrap_or(None)
            }
        };
        reports.extend(found.map(|found| {
            let began_at = found.began_at.as_second();
            (second, found.phase, found.count, began_at)
        }));
    }
    reports
}

#[test]
fn an_incident_has_one_beginning_and_one_end() {
    use Phase::{Began, Ended, Grew};
    use Step::{Check, Count};
    // (what, steps, reports)
    for (what, steps, expected) in [
        (
            "unchanged for a second less than the quiet time",
            &[(0, Count(21)), (5, Count(30)), (604, Check)][..],
            &[(0, Began, 21, 0)][..],
        ),
        (
            "unchanged for the quiet time",
            &[(0, Count(21)), (5, Count(30)), (605, Check)],
            &[(0, Began, 21, 0), (605, Ended, 30, 0)],
        ),
        (
            "as reported",
            &[(0, Count(21)), (600, Check)],
            &[(0, Began, 21, 0)],
        ),
        (
            "the greatest count, of which some has left the window",
            &[
                (0, Count(21)),
                (5, Count(30)),
                (70, Count(25)),
                (670, Check),
            ],
            &[(0, Began, 21, 0), (670, Ended, 30, 0)],
        ),
        (
            "re-opened, and quiet again",
            &[
                (0, Count(21)),
                (5, Count(30)),
                (605, Check),
                (606, Count(200)),
                (1_206, Check),
                (1_300, Count(299)),
                (1_900, Check),
            ],
            &[(0, Began, 21, 0), (605, Ended, 30, 0)],
        ),
        (
            "grown after it was re-opened",
            &[
                (0, Count(21)),
                (5, Count(30)),
                (605, Check),
                (606, Count(299)),
                (607, Count(300)),
                (608, Count(301)),
                (1_207, Check),
                (1_208, Check),
                (1_300, Count(400)),
                (1_900, Check),
            ],
            &[
                (0, Began, 21, 0),
                (605, Ended, 30, 0),
                (607, Grew, 300, 0),
                (1_208, Ended, 301, 0),
            ],
        ),
        (
            "re-opened without an end, as it had not grown",
            &[
                (0, Count(21)),
                (600, Check),
                (700, Count(22)),
                (1_300, Check),
            ],
            &[(0, Began, 21, 0), (1_300, Ended, 22, 0)],
        ),
        (
            "an hour apart",
            &[
                (0, Count(21)),
                (600, Check),
                (3_600, Count(21)),
                (4_200, Check),
            ],
            &[(0, Began, 21, 0)],
        ),
        (
            "more than an hour apart",
            &[
                (0, Count(21)),
                (600, Check),
                (3_601, Count(21)),
                (3_602, Count(22)),
                (4_202, Check),
            ],
            &[
                (0, Began, 21, 0),
                (3_601, Began, 21, 3_601),
                (4_202, Ended, 22, 3_601),
            ],
        ),
        (
            "more than an hour apart, and the end is not decided",
            &[(0, Count(21)), (3_601, Count(30)), (4_201, Check)],
            &[(0, Began, 21, 0), (4_201, Ended, 30, 0)],
        ),
    ] {
        assert_eq!(reports(&query(), steps), expected, "{what}");
    }
}

#[test]
fn what_a_cooldown_withholds_began_when_it_began() {
    use Phase::{Began, Ended};
    use Step::{Check, Count};
    let mut query = query();
    query.rule.plan.cooldown = Some(Duration::from_secs(3 * 3_600));
    // (what, steps after the first incident, reports)
    for (what, steps, expected) in [
        (
            "it goes on after the cooldown",
            &[(7_200, Count(25)), (10_800, Count(24))][..],
            &[(10_800, Began, 24, 7_200)][..],
        ),
        (
            "it ends before, and was greater",
            &[(7_200, Count(25)), (7_800, Check), (10_800, Count(24))],
            &[(7_800, Ended, 25, 7_200)],
        ),
        (
            "it ends before, and was not greater",
            &[(7_200, Count(21)), (7_800, Check), (10_800, Count(24))],
            &[(10_800, Began, 24, 7_200)],
        ),
    ] {
        let all = [&[(0, Count(21)), (600, Check)], steps].concat();
        let found = reports(&query, &all);
        assert_eq!(found[0], (0, Began, 21, 0), "{what}");
        assert_eq!(found[1..], *expected, "{what}");
    }
}

#[test]
fn a_growing_count_waits_a_minute_and_its_end_is_reported_once() {
    let mut incident = None;
    let phase = |report: Option<Report>| report.map(|report| report.phase);
    for (second, count, reported) in [
        (0, 30, Some(Phase::Began)),
        (1, 3_000, None),
        (3, 65_535, None),
    ] {
        assert_eq!(
            phase(observe(&mut incident, count, &query(), at(second))),
            reported
        );
    }
    assert_eq!(close(&mut incident, 602), Err(603));
    assert_eq!(close(&mut incident, 603), Ok(Some((Phase::Ended, 65_535))));
    assert_eq!(close(&mut incident, 613), Ok(None), "nothing new");
    // It goes on, and is reported at ten times the last report.
    for (second, count, reported) in [
        (661, 65_536, None),
        (662, 655_349, None),
        (663, 655_350, Some(Phase::Grew)),
    ] {
        assert_eq!(
            phase(observe(&mut incident, count, &query(), at(second))),
            reported
        );
    }
    assert_eq!(close(&mut incident, 1_263), Ok(None), "as reported");
}

#[test]
fn the_end_check_of_an_ended_incident_is_not_scheduled() {
    let mut incident = None;
    // (second, count, whether a check is scheduled)
    for (second, count, is_scheduled) in [
        (0, 21, true),
        (1, 22, false),
        (700, 23, false),
        (701, 220, true),
    ] {
        if second == 700 {
            assert_eq!(close(&mut incident, 601), Ok(Some((Phase::Ended, 22))));
        }
        observe(&mut incident, count, &query(), at(second));
        let scheduled = incident.as_mut().is_some_and(Incident::schedule_end);
        assert_eq!(scheduled, is_scheduled, "at {second} s");
    }
}

#[test]
fn a_severity_rises_but_does_not_fall_while_the_incident_lasts() {
    use Severity::{High, Medium};
    // Each report, with the severity by what is known then and the one that is written.
    for reports in [
        &[(Phase::Began, High, High), (Phase::Ended, Medium, High)][..],
        &[(Phase::Began, Medium, Medium), (Phase::Ended, High, Medium)],
        &[
            (Phase::Began, Medium, Medium),
            (Phase::Grew, High, High),
            (Phase::Grew, Medium, High),
            (Phase::Ended, Medium, High),
            (Phase::Began, Medium, Medium),
        ],
    ] {
        let mut incident = Incident::new(at(0));
        for &(phase, known, written) in reports {
            let settled = incident.settle_severity(phase, known);
            assert_eq!(settled, written, "{phase:?} of {reports:?}");
        }
    }
}
