//! Small sources are kept as rows. The findings are the same as if each had groups of its own.

use proptest::prelude::*;

use super::*;

/// Rules with every kind of key and aggregate, with and without a nursery.
pub(super) const MORE: &str = "// id: a\n// window: 1m\nDeviceNetworkEvents\n| summarize n = dcount(LocalPort), first = min(TimeGenerated), last = arg_max(LocalPort, ActionType), ips = make_set(RemoteIP) by RemoteIP, LocalIP\n| where n > 8 and n < 30;\n
// id: b\nDeviceNetworkEvents\n| where LocalPort < 30\n| summarize n = countif(ActionType == 'SYN'), all = count(), s = sum(LocalPort) by RemoteNetwork\n| where n > 9;\n
// id: c\nDeviceNetworkEvents\n| summarize n = sum(Count) by RemoteIP\n| where n > 40;\n
// id: d\n// window: 5m\nDeviceNetworkEvents\n| where LocalPort == 22\n| summarize n = dcountif(LocalPort, Count > 1), m = avg(Count) by RemoteIP, LocalPort\n| where n > 0;\n
// id: e\n// window: 30s\nDeviceNetworkEvents\n| summarize n = count() by RemoteIP\n| where n > 12\n| top 2 by n;\n
// id: f\n// unless: e\nDeviceNetworkEvents\n| where ActionType == 'SYN'\n| summarize n = count() by RemoteNetwork\n| where n > 20;\n
// id: g\nDeviceNetworkEvents\n| summarize n = dcount(RemoteIP) by RemoteNetwork\n| where n > 8;\n
// id: h\nDeviceNetworkEvents\n| where ActionType == 'SYN'\n| summarize n = count() by RemoteIP, LocalPort\n| where n > 2";

pub(super) const SIGNALS: [Signal; 9] = [
    Signal::Syn,
    Signal::Syn,
    Signal::Datagram,
    Signal::RefusedTcp,
    Signal::AnsweredTcp,
    Signal::Accepted,
    Signal::EchoRequest,
    Signal::DnsQueryUdp,
    Signal::SynSent,
];

/// Milliseconds to the next poll, and its rows: remote, signal, port, local address, count.
pub(super) type Step = (u64, Vec<(u8, usize, u16, u8, u64)>);

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let count = prop_oneof![8 => Just(1_u64), 3 => 1_u64..30, 1 => 1_u64..700];
    let row = (
        prop_oneof![0_u8..6, 0_u8..18],
        0..SIGNALS.len(),
        0_u16..45,
        0_u8..3,
        count,
    );
    let rows = prop::collection::vec(row, 0..60);
    let ahead = prop_oneof![6 => 1_u64..2_000, 2 => 1_u64..90_000, 1 => 1_u64..5_000_000];
    prop::collection::vec((ahead, rows), 1..25)
}

/// Two networks of neighbours, a lone remote and a private remote.
pub(super) fn remote(number: u8) -> Address {
    match number {
        0 | 6.. => Address::v4([198, 51, 100, number]),
        1..=3 => Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]),
        4 => Address::v4([198, 18, 0, 1]),
        _ => PRIVATE,
    }
}

fn pipeline() -> Pipeline {
    let mut plans = defaults(Profile::Source);
    let loaded = Loader::default().load("test.kql", MORE.as_bytes());
    assert_eq!(loaded.plans.len(), 8, "{:?}", loaded.diagnostics);
    plans.extend(loaded.plans);
    Pipeline::new(settings(plain(plans)))
}

/// All findings, as text.
fn found(mut pipeline: Pipeline, steps: &[Step]) -> Vec<String> {
    let mut milliseconds = 7_200_000;
    let mut found = Vec::new();
    let mut from = Timestamp::UNIX_EPOCH + Duration::from_millis(milliseconds);
    for (ahead, rows) in steps {
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
        let findings = pipeline.end_poll_unlimited(interval, false);
        found.extend(findings.iter().map(text));
    }
    let findings = pipeline
        .incidents
        .finish(&pipeline.stream, &pipeline.contacts, from);
    found.extend(findings.iter().map(text));
    found
}

/// A finding as text, without the plan of its rule.
fn text(finding: &Finding) -> String {
    let id = format!("{} {}", finding.query.id(), finding.query.measure_name());
    let all = format!("{finding:?}");
    let rest = all.split_once("}, phase: ").map_or(&*all, |(_, rest)| rest);
    format!("{id} {rest}")
}

/// The first finding that differs without nurseries, and the numbers of all.
fn difference(steps: &[Step]) -> (Option<(String, String)>, [usize; 2]) {
    let mut without = pipeline();
    without.stream.disable_nurseries();
    let (found, expected) = (found(pipeline(), steps), found(without, steps));
    let numbers = [found.len(), expected.len()];
    let mut both = found.into_iter().zip(expected);
    (both.find(|(one, other)| one != other), numbers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nurseries_do_not_change_findings(steps in steps()) {
        let (differs, [with, without]) = difference(&steps);
        prop_assert_eq!(differs, None);
        prop_assert_eq!(with, without);
    }
}

#[test]
fn a_reported_source_leaves_a_log_as_it_leaves_a_group() {
    // `e` reports the first neighbour, whose rows leave `f`. Its count does not say whose events
    // they are, so that the second one's go along.
    let steps = [
        (
            1,
            vec![(3, 5, 0, 0, 13), (1, 0, 30, 0, 13), (2, 0, 0, 0, 1)],
        ),
        (29_999, vec![(1, 0, 0, 0, 20)]),
    ];
    let (differs, [with, without]) = difference(&steps);
    assert_eq!(differs, None);
    assert_eq!(with, without);
}

#[test]
fn the_random_rows_trigger_most_rules() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..24 {
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        let found = found(pipeline(), &steps);
        ids.extend(
            found
                .iter()
                .filter_map(|text| Some(text.split(' ').next()?.to_owned())),
        );
    }
    for id in [
        "port-scan",
        "split-scan",
        "failed-connections",
        "scan-then-connect",
        "a",
        "b",
        "c",
        "e",
        "f",
        "g",
    ] {
        assert!(ids.contains(id), "{id}: {ids:?}");
    }
}
