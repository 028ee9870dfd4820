use super::*;

/// Over 20 in an hour.
fn query() -> Query {
    let plan = crate::rule::defaults().swap_remove(0);
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
    let incident = incident.as_mut().expect("it has begun");
    let due = incident.close_if_quiet(3_000, at(600 * 60), at(14 * 60));
    assert_eq!(due, Err(Due(at(14 * 60 + 10))));
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

/// The reports, by second, of an incident whose end is awaited.
#[test]
fn an_incident_that_goes_on_is_reported_again_when_it_is_over() {
    let mut incident = None;
    let query = query();
    let (mut count, mut changed_at, mut reported) = (0, at(0), Vec::new());
    let mut is_watched = false;
    for second in 0..400 {
        // It goes on after 11 s, after 15 s more, and after 19 s more.
        if let 0 | 11 | 26 | 45 = second {
            count += 30;
            changed_at = at(second);
            let noted = observe(&mut incident, count, &query, at(second));
            reported.extend(noted.map(|report| (second, report.phase, count)));
            is_watched |= incident.as_mut().is_some_and(Incident::schedule_end);
        }
        if is_watched
            && let Some(incident) = &mut incident
            && let Ok(found) = incident.close_if_quiet(count, changed_at, at(second))
        {
            reported.extend(found.map(|report| (second, report.phase, count)));
            is_watched = false;
        }
    }
    let (began, ended) = (Phase::Began, Phase::Ended);
    assert_eq!(
        reported,
        [(0, began, 30), (21, ended, 60), (65, ended, 120)],
        "the second end takes 20 s"
    );
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
    let incident_mut = incident.as_mut().expect("it has begun");
    assert_eq!(
        incident_mut.close_if_quiet(65_535, at(3), at(12)),
        Err(Due(at(13)))
    );
    let reported = incident_mut
        .close_if_quiet(65_535, at(3), at(13))
        .expect("it is over");
    assert_eq!(phase(reported), Some(Phase::Ended));
    assert_eq!(
        incident_mut.close_if_quiet(65_535, at(3), at(23)),
        Ok(None),
        "nothing new"
    );
    // It goes on, and is reported at ten times the last report.
    for (second, count, reported) in [
        (61, 65_536, None),
        (62, 655_349, None),
        (63, 655_350, Some(Phase::Grew)),
    ] {
        assert_eq!(
            phase(observe(&mut incident, count, &query(), at(second))),
            reported
        );
    }
    let incident = incident.as_mut().expect("it has begun");
    assert_eq!(
        incident.close_if_quiet(655_350, at(63), at(99)),
        Ok(None),
        "as reported"
    );
}
