//! A pipeline goes on after a restart and a reload as if neither had been.

use proptest::prelude::*;

use super::nursery::{MORE, SIGNALS, Step, remote, steps};
use super::*;
use crate::alert::AlertLines;
use crate::incident::Notification;

/// What happens between two polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    Restart,
    Reload,
}

/// Rules of every kind: counted by rows and by attempts, and those of the nursery's test.
fn rules(profile: Profile) -> Vec<Configured> {
    let mut plans = defaults(profile);
    let loaded = Loader::default().load("test.kql", MORE.as_bytes());
    assert_eq!(loaded.plans.len(), 8, "{:?}", loaded.diagnostics);
    plans.extend(loaded.plans);
    plain(plans)
}

fn restart(pipeline: &Pipeline, settings: PipelineSettings, now: Timestamp) -> Pipeline {
    let mut bytes = Vec::new();
    pipeline.save(&mut bytes).expect("memory");
    let (restored, reconfigured, rest) =
        Pipeline::restore(&bytes, settings, now).expect("the same build");
    assert_eq!(rest, [0; 0]);
    assert_eq!(reconfigured.fresh, [""; 0]);
    assert_eq!(reconfigured.gone, [""; 0]);
    restored
}

/// All lines of alerts. `interruption` happens after that many polls.
fn lines(
    profile: Profile,
    lines: LineLimit,
    steps: &[Step],
    interruption: Option<(usize, Interruption)>,
) -> Vec<String> {
    let settings = || PipelineSettings {
        lines,
        ..settings(rules(profile))
    };
    let mut pipeline = Pipeline::new(settings());
    let mut milliseconds = 7_200_000;
    let mut found: Vec<Notification> = Vec::new();
    let mut from = Timestamp::UNIX_EPOCH + Duration::from_millis(milliseconds);
    for (number, (ahead, rows)) in steps.iter().enumerate() {
        milliseconds += ahead;
        let to = Timestamp::UNIX_EPOCH + Duration::from_millis(milliseconds);
        let interval = Interval { from, to };
        from = to;
        for &(number, signal, port, local, count) in rows {
            let signal = SIGNALS[signal];
            let pid = if signal.is_outbound() { PROCESS } else { 0 };
            let local = Address::v4([203, 0, 113, local]);
            let key = key(signal, remote(number), local, port, pid);
            observe(&mut pipeline, &key, count, interval, false);
        }
        found.extend(pipeline.end_poll(interval, false));
        match interruption.filter(|&(after, _)| after == number) {
            Some((_, Interruption::Restart)) => pipeline = restart(&pipeline, settings(), to),
            Some((_, Interruption::Reload)) => {
                let reconfigured = pipeline.reconfigure(settings(), to);
                found.extend(reconfigured.notifications);
            }
            None => {}
        }
    }
    found.extend(pipeline.finish(from));
    let line = |of: &Notification| {
        AlertLines::of("web1")
            .notification(of, &[])
            .expect("a line")
            .to_vec()
    };
    let lines = found.iter().map(line).map(String::from_utf8);
    lines.map(|line| line.expect("text")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_interruption_changes_no_line(
        steps in steps(),
        at in 0.0..1.0,
        is_source in any::<bool>(),
        is_limited in any::<bool>(),
    ) {
        let profile = if is_source { Profile::Source } else { Profile::Outcomes };
        let limit = LineLimit {
            lines: Some(if is_limited { 2 } else { 20 }),
            informational_per_hour: is_limited.then_some(2),
            ..LineLimit::default()
        };
        let after = (steps.len() as f64 * at) as usize;
        let expected = lines(profile, limit, &steps, None);
        for interruption in [Interruption::Restart, Interruption::Reload] {
            let found = lines(profile, limit, &steps, Some((after, interruption)));
            let differ = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            prop_assert_eq!(differ, None, "{:?} after poll {}", interruption, after);
            prop_assert_eq!(found.len(), expected.len(), "{:?}", interruption);
        }
    }
}

const SCAN: &str = "// id: scan\n// window: 1h\nDeviceNetworkEvents\n| where ActionType == 'SYN'\n| summarize ports = dcount(LocalPort) by RemoteIP\n| where ports > 20";

/// Instead of networks: count private remotes too.
const PRIVATE: &str = "private";

/// Settings with the rules of a file, which ignore these networks.
fn settings_of(text: &str, allow: &str) -> PipelineSettings {
    let loaded = Loader::default().load("test.kql", text.as_bytes());
    let mut rules = plain(loaded.plans);
    assert_eq!(rules.len(), 1, "{:?}", loaded.diagnostics);
    for rule in &mut rules {
        rule.include_private = allow == PRIVATE;
        let networks = allow.split_whitespace().filter(|&text| text != PRIVATE);
        rule.allow = networks
            .map(|text| text.parse().expect("a network"))
            .collect();
    }
    settings(rules)
}

/// Counts a SYN to each of those ports, in a poll. Returns the phase and the count of each finding.
fn scan(pipeline: &mut Pipeline, second: u64, ports: std::ops::Range<u16>) -> Vec<(Phase, u64)> {
    let interval = at(Duration::from_secs(second));
    for port in ports {
        let key = key(Signal::Syn, REMOTE, Address::v4(LOCAL), port, 0);
        observe(pipeline, &key, 1, interval, false);
    }
    phases(&pipeline.end_poll(interval, false))
}

fn phases(notifications: &[Notification]) -> Vec<(Phase, u64)> {
    let findings = notifications.iter().filter_map(Notification::finding);
    findings.map(|of| (of.phase, of.count)).collect()
}

#[test]
fn a_rule_keeps_its_windows_while_it_counts_the_same() {
    use Phase::Began;
    // Fifteen ports before the reload, and fifteen after it.
    // (the rule after it, its allowed networks, findings, whether it begins without a state)
    for (what, changed, allow, expected, is_fresh) in [
        (
            "nothing changes",
            SCAN.to_owned(),
            "",
            &[(Began, 30)][..],
            false,
        ),
        (
            "a lower threshold",
            SCAN.replace("> 20", "> 16"),
            "",
            &[(Began, 30)],
            false,
        ),
        (
            "a higher threshold",
            SCAN.replace("> 20", "> 40"),
            "",
            &[],
            false,
        ),
        (
            "a threshold without a nursery",
            SCAN.replace("> 20", "> 2"),
            "",
            &[(Began, 30)],
            false,
        ),
        (
            "a severity",
            SCAN.replace("// window", "// severity: high\n// window"),
            "",
            &[(Began, 30)],
            false,
        ),
        (
            "private remotes count too",
            SCAN.to_owned(),
            PRIVATE,
            &[(Began, 30)],
            false,
        ),
        (
            "another remote is allowed",
            SCAN.to_owned(),
            "203.0.113.0/24",
            &[(Began, 30)],
            false,
        ),
        (
            "the remote is allowed",
            SCAN.to_owned(),
            "198.51.100.0/24",
            &[],
            false,
        ),
        ("another window", SCAN.replace("1h", "30m"), "", &[], true),
        (
            "another filter",
            SCAN.replace("'SYN'", "'SYN' and LocalPort > 0"),
            "",
            &[],
            true,
        ),
        (
            "another id",
            SCAN.replace("id: scan", "id: scan2"),
            "",
            &[],
            true,
        ),
    ] {
        for is_restart in [false, true] {
            let mut pipeline = Pipeline::new(settings_of(SCAN, ""));
            assert_eq!(scan(&mut pipeline, 7200, 1..16), []);
            let (now, changed) = (
                at(Duration::from_secs(7200)).to,
                settings_of(&changed, allow),
            );
            let reconfigured = if is_restart {
                let mut bytes = Vec::new();
                pipeline.save(&mut bytes).expect("memory");
                let (restored, reconfigured, _) =
                    Pipeline::restore(&bytes, changed, now).expect("the same build");
                pipeline = restored;
                reconfigured
            } else {
                pipeline.reconfigure(changed, now)
            };
            assert_eq!(phases(&reconfigured.notifications), [], "{what}");
            assert_eq!(reconfigured.fresh.len(), usize::from(is_fresh), "{what}");
            assert_eq!(reconfigured.gone.len(), usize::from(is_fresh), "{what}");
            assert_eq!(
                scan(&mut pipeline, 7201, 16..31),
                expected,
                "{what}, {is_restart}"
            );
            pipeline.stream.check_accounting();
        }
    }
}

#[test]
fn an_incident_outlives_a_reload_or_ends_with_its_rule() {
    use Phase::{Began, Ended};
    // (the rule after the reload, its allowed networks, findings of the reload, of the end)
    for (what, changed, allow, of_reload, of_end) in [
        (
            "nothing changes",
            SCAN.to_owned(),
            "",
            &[][..],
            &[(Ended, 40)][..],
        ),
        (
            "a higher threshold",
            SCAN.replace("> 20", "> 60"),
            "",
            &[],
            &[(Ended, 30)],
        ),
        (
            "the rule is gone",
            SCAN.replace("id: scan", "id: scan2"),
            "",
            &[(Ended, 30)],
            &[],
        ),
        (
            "the remote is allowed",
            SCAN.to_owned(),
            "198.51.100.7",
            &[(Ended, 30)],
            &[],
        ),
    ] {
        let mut pipeline = Pipeline::new(settings_of(SCAN, ""));
        assert_eq!(scan(&mut pipeline, 7200, 1..26), [(Began, 25)]);
        assert_eq!(scan(&mut pipeline, 7201, 26..31), []);
        let now = at(Duration::from_secs(7201)).to;
        let reconfigured = pipeline.reconfigure(settings_of(&changed, allow), now);
        assert_eq!(phases(&reconfigured.notifications), of_reload, "{what}");
        assert_eq!(scan(&mut pipeline, 7202, 31..41), [], "{what}");
        let end = at(Duration::from_secs(7203)).to;
        assert_eq!(phases(&pipeline.finish(end)), of_end, "{what}");
    }
}

#[test]
fn a_clock_that_is_set_between_two_processes_does_no_harm() {
    const HOUR: u64 = 3600;
    // (seconds by which the clock is off after the restart, findings)
    for (what, second, expected) in [
        ("the same hour", 10 * HOUR + 1, &[(Phase::Began, 30)][..]),
        ("hours later", 15 * HOUR, &[]),
        // With or without a restart, a set that becomes a table holds one port for too old.
        ("set back by hours", 5 * HOUR, &[(Phase::Began, 29)]),
    ] {
        let mut pipeline = Pipeline::new(settings_of(SCAN, ""));
        assert_eq!(scan(&mut pipeline, 10 * HOUR, 1..16), []);
        let now = at(Duration::from_secs(second)).to;
        pipeline = restart(&pipeline, settings_of(SCAN, ""), now);
        assert_eq!(scan(&mut pipeline, second, 16..31), expected, "{what}");
        // An incident is open for no longer than it should.
        let later = second + DEFAULT_QUIET.as_secs() + 1;
        assert_eq!(scan(&mut pipeline, later, 0..0), [], "{what}");
    }
}
