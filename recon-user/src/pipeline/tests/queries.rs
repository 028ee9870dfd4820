//! User-written queries: what they count, compute, project, order, limit and exclude.

mod following;

use serde_json::json;

use super::*;
use crate::process::Process;

const NOW: u64 = 7200;
const SERVER: Address = Address::v4(LOCAL);

/// The rules of a file that has no errors.
fn rules(text: &str) -> Vec<Configured> {
    let loaded = Loader::default().load("test.kql", text.as_bytes());
    assert!(!loaded.plans.is_empty(), "{text}: {:?}", loaded.diagnostics);
    plain(loaded.plans)
}

fn pipeline_of(rules: Vec<Configured>) -> Pipeline {
    Pipeline::new(settings(rules))
}

/// A key with its number of events.
type Counted = (Key, u64);

fn poll(pipeline: &mut Pipeline, second: u64, rows: &[Counted]) -> Vec<Finding> {
    let interval = at(Duration::from_secs(second));
    for (key, count) in rows {
        observe(pipeline, key, *count, interval, false);
    }
    pipeline.end_poll_unlimited(interval, false)
}

/// The columns of findings, as in alerts.
fn columns(findings: &[Finding]) -> Vec<serde_json::Value> {
    let of = |finding: &Finding| {
        let columns = finding.columns.iter();
        let columns = columns.map(|(name, value)| (name.to_string(), json!(value)));
        serde_json::Value::Object(columns.collect())
    };
    findings.iter().map(of).collect()
}

fn hit(remote: Address, port: u16, count: u64) -> Counted {
    (key(Signal::Syn, remote, SERVER, port, 0), count)
}

fn sent(remote: Address, port: u16, process: u32, count: u64) -> Counted {
    (key(Signal::SynSent, remote, SERVER, port, process), count)
}

#[test]
fn aggregates_have_the_values_of_the_rows() {
    let rows = [
        hit(REMOTE, 22, 5),
        hit(REMOTE, 80, 1),
        hit(REMOTE, 443, 2),
        (key(Signal::Datagram, REMOTE, SERVER, 53, 0), 4),
        sent(REMOTE, 8080, 0, 3),
    ];
    for (aggregate, expected) in [
        ("count()", json!(15)),
        ("countif(LocalPort < 100)", json!(10)),
        ("dcount(LocalPort)", json!(4)),
        ("dcount(RemotePort)", json!(1)),
        ("dcount(ActionType)", json!(3)),
        ("dcountif(LocalPort, ActionType == 'SYN')", json!(3)),
        ("sum(Count)", json!(15)),
        ("sum(LocalPort)", json!(22 * 5 + 80 + 443 * 2 + 53 * 4)),
        ("sumif(LocalPort, Protocol == 'Udp')", json!(53 * 4)),
        ("max(Count)", json!(5)),
        ("min(LocalPort)", json!(22)),
        ("max(LocalPort)", json!(443)),
        ("avg(Count)", json!(3.0)),
        ("avg(RemotePort)", json!(8080.0)),
        ("make_set(LocalPort)", json!([22, 53, 80, 443])),
        ("make_set(LocalPort, 2)", json!([22, 53])),
        (
            "make_set(ActionType)",
            json!(["ConnectionRequest", "Datagram", "SYN"]),
        ),
        ("sum(strlen(LocalIP))", json!(15 * "203.0.113.1".len())),
    ] {
        let mut pipeline = pipeline_of(rules(&format!(
            "DeviceNetworkEvents\n| summarize n = count(), x = {aggregate} by RemoteIP\n| where n > 14\n| project x"
        )));
        let findings = poll(&mut pipeline, NOW, &rows);
        assert_eq!(columns(&findings), [json!({"x": expected})], "{aggregate}");
    }
}

#[test]
fn a_threshold_may_be_on_any_aggregate() {
    let rows = [
        hit(REMOTE, 22, 5),
        hit(REMOTE, 80, 5),
        sent(REMOTE, 9, 7, 5),
        sent(REMOTE, 10, 7, 5),
        sent(REMOTE, 11, 7, 5),
    ];
    // (aggregate, its value, the name of the measure)
    for (aggregate, count, measure) in [
        ("count()", 25, "count"),
        ("dcount(LocalPort)", 2, "distinct_ports"),
        ("dcount(RemotePort)", 3, "distinct_ports"),
        ("dcount(LocalIP)", 1, "distinct_addresses"),
        ("countif(LocalPort == 22)", 5, "x"),
        ("dcountif(LocalPort, LocalPort < 80)", 1, "x"),
        ("dcount(ActionType)", 2, "x"),
        ("sum(Count)", 25, "x"),
        ("sumif(Count, isnotnull(RemotePort))", 15, "x"),
    ] {
        for (threshold, is_reported) in [(count - 1, true), (count, false)] {
            let mut pipeline = pipeline_of(rules(&format!(
                "DeviceNetworkEvents\n| summarize x = {aggregate} by RemoteIP\n| where x > {threshold}"
            )));
            let findings = poll(&mut pipeline, NOW, &rows);
            let found: Vec<_> = findings
                .iter()
                .map(|finding| (finding.count, finding.query.measure_name()))
                .collect();
            let expected = is_reported.then_some((count, measure));
            assert_eq!(found, Vec::from_iter(expected), "{aggregate} > {threshold}");
        }
    }
}

#[test]
fn aggregates_expire_with_the_window() {
    let mut pipeline = pipeline_of(rules(
        "// window: 1m\nDeviceNetworkEvents\n| summarize x = countif(LocalPort < 100), ports = make_set(LocalPort), least = min(LocalPort) by RemoteIP\n| where x > 1",
    ));
    // (second, ports, columns of the findings)
    for (second, ports, expected) in [
        (NOW, &[22][..], vec![]),
        (NOW + 61, &[80], vec![]),
        (
            NOW + 62,
            &[79, 99, 443],
            vec![
                json!({"RemoteIP": "198.51.100.7", "x": 3, "ports": [79, 80, 99, 443], "least": 79}),
            ],
        ),
    ] {
        let rows: Vec<_> = ports.iter().map(|&port| hit(REMOTE, port, 1)).collect();
        let found = poll(&mut pipeline, second, &rows);
        assert_eq!(columns(&found), expected, "at {second} s");
    }
}

#[test]
fn computed_columns_can_be_compared_projected_and_ordered_by() {
    let text = "DeviceNetworkEvents
| extend is_low = LocalPort < 1024
| summarize low = countif(is_low), all = count(), last = arg_max(LocalPort, ActionType) by RemoteIP, bin(TimeGenerated, 1h)
| extend share = 100 * low / all
| where all > 3 and share >= 50
| project When = TimeGenerated, share, RemoteIP, ActionType
| order by share asc";
    let rows = [
        hit(REMOTE, 22, 4),
        hit(REMOTE, 8080, 1),
        hit(OTHER, 22, 2),
        hit(OTHER, 8080, 2),
        hit(Address::v4([198, 51, 100, 9]), 22, 1),
        hit(Address::v4([198, 51, 100, 9]), 8080, 9),
    ];
    let found = poll(&mut pipeline_of(rules(text)), NOW, &rows);
    let of = |share, remote| json!({"When": "1970-01-01T01:01:00Z", "share": share, "RemoteIP": remote, "ActionType": "SYN"});
    assert_eq!(
        columns(&found),
        [of(50, "198.51.100.8"), of(80, "198.51.100.7")]
    );
    let names: Vec<_> = found[0].columns.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["When", "share", "RemoteIP", "ActionType"]);
}

#[test]
fn a_limit_applies_to_one_poll_of_one_rule() {
    let text = "DeviceNetworkEvents
| summarize n = count() by RemoteIP
| where n > 1
| top 2 by n";
    let remote = |last| Address::v4([198, 51, 100, last]);
    let rows: Vec<_> = (1..=5)
        .map(|last| hit(remote(last), 22, 1 + u64::from(last)))
        .collect();
    let found = poll(&mut pipeline_of(rules(text)), NOW, &rows);
    let counts: Vec<_> = found.iter().map(|finding| finding.count).collect();
    assert_eq!(counts, [6, 5]);
}

#[test]
fn columns_that_refer_to_one_another_are_computed_once() {
    use std::fmt::Write;
    let mut text = "DeviceNetworkEvents\n| extend a0 = LocalPort".to_owned();
    for next in 1..60 {
        let before = next - 1;
        write!(
            text,
            "\n| extend a{next} = a{before} + a{before} - a{before}"
        )
        .expect("to a string");
    }
    text += "\n| where a59 == 22\n| summarize n = count() by RemoteIP\n| where n > 0";
    let found = poll(
        &mut pipeline_of(rules(&text)),
        NOW,
        &[hit(REMOTE, 22, 3), hit(REMOTE, 23, 1)],
    );
    assert_eq!(
        columns(&found),
        [json!({"RemoteIP": "198.51.100.7", "n": 3})]
    );
}

#[test]
fn a_query_without_summarize_reports_every_distinct_row() {
    let text = "DeviceNetworkEvents
| where InitiatingProcessFileName == 'nmap.exe'
| where RemoteIP !startswith '10.' and RemoteIP !startswith '192.168.' and RemoteIP !startswith '172.16.'
| project TimeGenerated, DeviceName, RemoteIP, LocalPort, InitiatingProcessFileName
| order by TimeGenerated desc";
    let nmap = Process {
        pid: 7,
        name: Some("nmap".to_owned()),
        ..Process::default()
    };
    let expected = json!({
        "TimeGenerated": "1970-01-01T02:00:00Z", "DeviceName": "web1", "RemoteIP": "198.51.100.7",
        "LocalPort": null, "InitiatingProcessFileName": "nmap"
    });
    // (remote, process, include private, columns)
    for (remote, process, include_private, expected) in [
        (REMOTE, Some(&nmap), false, vec![expected]),
        (REMOTE, None, false, vec![]),
        (PRIVATE, Some(&nmap), false, vec![]),
        (PRIVATE, Some(&nmap), true, vec![json!(null)]),
    ] {
        let mut rules = rules(text);
        rules[0].include_private = include_private;
        let mut pipeline = pipeline_of(rules);
        assert!(pipeline.process_needs(Signal::SynSent).process);
        assert!(
            !pipeline.process_needs(Signal::Syn).process,
            "no process of this host sends it"
        );
        let interval = at(Duration::from_secs(NOW));
        let (key, count) = sent(remote, 443, process.map_or(0, |process| process.pid), 1);
        let row = Row {
            device: "web1",
            process,
            ..Row::bare(RowKey::unpack(&key).expect("a signal"), count, interval.to)
        };
        pipeline.push(&row, interval);
        let found = pipeline.end_poll_unlimited(interval, false);
        assert_eq!(found.len(), expected.len(), "{remote:?} {include_private}");
        if !include_private {
            assert_eq!(columns(&found), expected);
        }
    }
}

#[test]
fn rows_with_the_same_columns_are_one_alert() {
    let text = "DeviceNetworkEvents\n| where ActionType == 'SYN'\n| project RemoteIP, Count";
    let mut pipeline = pipeline_of(rules(text));
    let row = |count| json!({"RemoteIP": "198.51.100.7", "Count": count});
    // (second, counts by port, columns)
    for (second, counts, expected) in [
        (NOW, &[(22, 3), (80, 4)][..], vec![row(7)]),
        (NOW + 1, &[(22, 1)], vec![]),
        (NOW + 601, &[], vec![row(8)]),
    ] {
        let rows: Vec<_> = counts
            .iter()
            .map(|&(port, count)| hit(REMOTE, port, count))
            .collect();
        let found = poll(&mut pipeline, second, &rows);
        assert_eq!(columns(&found), expected, "at {second} s");
    }
}

#[test]
fn ends_are_reported_whatever_the_limit() {
    let text = "DeviceNetworkEvents\n| summarize n = count() by RemoteIP\n| where n > 0\n| take 2";
    let mut pipeline = pipeline_of(rules(text));
    let both = |count| [hit(REMOTE, 22, count), hit(OTHER, 22, count)];
    assert_eq!(poll(&mut pipeline, NOW, &both(1)).len(), 2);
    assert_eq!(poll(&mut pipeline, NOW + 1, &both(1)).len(), 0);
    let third = Address::v4([198, 51, 100, 9]);
    let phases: Vec<_> = poll(&mut pipeline, NOW + 601, &[hit(third, 22, 1)])
        .iter()
        .map(|finding| finding.phase)
        .collect();
    assert_eq!(phases, [Phase::Began, Phase::Ended, Phase::Ended]);
}

#[test]
fn rows_without_a_value_to_group_by_do_not_count() {
    let rows = [hit(REMOTE, 53, 2), sent(REMOTE, 53, 0, 5)];
    for (by, expected) in [
        ("LocalPort", vec![json!({"LocalPort": 53, "n": 2})]),
        ("RemotePort", vec![json!({"RemotePort": 53, "n": 5})]),
        ("LocalPort, RemotePort", vec![]),
        ("InitiatingProcessId", vec![]),
        ("x = LocalPort + 1", vec![json!({"x": 54, "n": 2})]),
        (
            "ActionType",
            vec![
                json!({"ActionType": "ConnectionRequest", "n": 5}),
                json!({"ActionType": "SYN", "n": 2}),
            ],
        ),
        (
            "InitiatingProcessFileName",
            vec![json!({"InitiatingProcessFileName": "", "n": 7})],
        ),
    ] {
        let text = format!(
            "DeviceNetworkEvents\n| summarize n = count() by {by}\n| where n > 0\n| order by n desc"
        );
        let found = poll(&mut pipeline_of(rules(&text)), NOW, &rows);
        assert_eq!(columns(&found), expected, "{by}");
    }
}

#[test]
fn allowed_remotes_do_not_count_unless_they_are_denied() {
    let text = "DeviceNetworkEvents\n| summarize n = count() by RemoteIP\n| where n > 1";
    let network = |text: &str| text.parse::<Network>().expect("a network");
    for (allow, deny, expected) in [
        (vec![], vec![], 2),
        (vec!["198.51.100.0/24"], vec![], 0),
        (vec!["198.51.100.7"], vec![], 1),
        (vec!["198.51.100.0/24"], vec!["198.51.100.8"], 1),
    ] {
        let mut rules = rules(text);
        rules[0].allow = allow.into_iter().map(network).collect();
        rules[0].deny = deny.into_iter().map(network).collect();
        let rows = [hit(REMOTE, 22, 2), hit(OTHER, 22, 2)];
        let found = poll(&mut pipeline_of(rules), NOW, &rows);
        assert_eq!(found.len(), expected);
    }
}

#[test]
fn findings_of_rules_on_probes_have_outcomes() {
    for (condition, expected) in [
        ("ActionType == 'SYN'", true),
        ("ActionType == 'SYN' and LocalPort == 22", true),
        ("ActionType == 'SYN' and LocalPort < 1024", false),
        ("LocalPort == 22", false),
    ] {
        let text = format!(
            "DeviceNetworkEvents\n| where {condition}\n| summarize n = count() by RemoteIP\n| where n > 0"
        );
        let refused = (key(Signal::RefusedTcp, REMOTE, SERVER, 22, 0), 1);
        let rows = [hit(REMOTE, 22, 1), refused];
        let found = poll(&mut pipeline_of(rules(&text)), NOW, &rows);
        assert_eq!(found[0].outcomes.is_some(), expected, "{condition}");
    }
}
