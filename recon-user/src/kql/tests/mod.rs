//! Rule files from end to end: what they mean, the errors of broken ones, and that no text is too
//! much.

mod accepted;
mod canonical;
mod files;
mod refused;
mod robust;

use super::{Loaded, Loader};

/// The ten queries, as in their source.
pub(super) const DETECTIONS: &str = include_str!("detections.kql");

fn load(name: &str, text: &str) -> Loaded {
    Loader::default().load(name, text.as_bytes())
}

/// The pairs of a text: `=====` stands before each, `-----` between its halves.
fn cases(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split("=====\n").skip(1);
    pairs.map(|pair| {
        let (left, right) = pair.split_once("\n-----\n").expect("two halves");
        (left, right.trim_end())
    })
}

/// The messages of a file.
fn messages(loaded: &Loaded) -> String {
    loaded.diagnostics.render(&loaded.source)
}

/// The plans of a file without errors, as text.
fn plans(name: &str, text: &str) -> Vec<String> {
    let loaded = load(name, text);
    assert_eq!(
        loaded.diagnostics.errors(),
        0,
        "{text}\n{}",
        messages(&loaded)
    );
    loaded.plans.iter().map(ToString::to_string).collect()
}

#[test]
fn the_ten_detections_load_as_they_are() {
    let loaded = load("detections.kql", DETECTIONS);
    assert_eq!(messages(&loaded), "");
    let found: Vec<_> = loaded
        .plans
        .iter()
        .map(|plan| {
            let groups: Vec<_> = plan.groups.iter().map(|group| &*group.name).collect();
            let columns: Vec<_> = plan.columns.iter().map(|shown| &*shown.name).collect();
            let threshold = plan.threshold.map(|threshold| threshold.above);
            assert!(plan.having.is_empty(), "{plan}");
            (
                plan.id.as_str(),
                plan.window.as_secs(),
                threshold,
                groups.join(" "),
                columns.join(" "),
            )
        })
        .collect();
    let expected = [
        (
            "detect-multiple-ports-scanned-from-a-single-ip",
            20,
            "RemoteIP LocalPort",
            "TimeGenerated RemoteIP LocalPort port_count",
        ),
        (
            "identify-rapid-scanning-behaviour",
            50,
            "RemoteIP LocalPort LocalIP",
            "time_diff RemoteIP LocalPort LocalIP event_count",
        ),
        (
            "suspicious-network-scanning-patterns",
            10,
            "RemoteIP LocalIP",
            "RemoteIP LocalIP event_count",
        ),
        (
            "identify-outbound-port-scanning",
            0,
            "DeviceName RemoteIP LocalPort InitiatingProcessFileName",
            "TimeGenerated DeviceName RemoteIP LocalPort InitiatingProcessFileName",
        ),
        (
            "multiple-failed-connection-attempts",
            100,
            "RemoteIP LocalIP",
            "RemoteIP LocalIP event_count",
        ),
        (
            "identify-icmp-echo-requests-ping-sweeps",
            50,
            "RemoteIP LocalIP",
            "RemoteIP LocalIP event_count",
        ),
        (
            "scan-for-smb-shares",
            10,
            "RemoteIP LocalIP",
            "RemoteIP LocalIP event_count",
        ),
        (
            "http-get-request-flooding",
            100,
            "RemoteIP LocalIP",
            "RemoteIP LocalIP event_count",
        ),
        (
            "identify-dns-query-flooding",
            200,
            "RemoteIP",
            "RemoteIP event_count",
        ),
        (
            "detecting-high-numbers-of-syn-packets",
            500,
            "RemoteIP",
            "RemoteIP event_count",
        ),
    ]
    .map(|(id, above, groups, columns)| {
        (id, 3600, Some(above), groups.to_owned(), columns.to_owned())
    });
    assert_eq!(found, expected);
    let last = loaded.plans.last().map(|plan| plan.name.as_str());
    assert_eq!(last, Some("Detecting high Numbers of SYN Packets"));
}

#[test]
fn a_query_without_summarize_is_a_rule_on_its_rows() {
    let plans = plans("detections.kql", DETECTIONS);
    assert_eq!(
        plans[3],
        r#"// id: identify-outbound-port-scanning
// name: Identify Outbound Port Scanning
// severity: medium
// window: 1h
DeviceNetworkEvents
| where InitiatingProcessFileName == "nmap.exe"
| where RemoteIP !startswith "10."
| where RemoteIP !startswith "192.168."
| where RemoteIP !startswith "172.16."
| summarize TimeGenerated = max(TimeGenerated), count_ = count() by DeviceName, RemoteIP, LocalPort, InitiatingProcessFileName
| where count_ > 0
| order by TimeGenerated desc
| project TimeGenerated, DeviceName, RemoteIP, LocalPort, InitiatingProcessFileName"#
    );
}

/// The text of a plan loads as the same plan.
#[test]
fn plans_are_kql() {
    for text in plans("detections.kql", DETECTIONS) {
        assert_eq!(plans("one.kql", &text), [text]);
    }
}

#[test]
fn annotations_say_what_a_query_does_not() {
    let text = "\
// Written for the lab. See https://example.org/rules
// id: slow-scan
//name: Slow scan: one port at a time
// Severity: HIGH
// technique: T1595.001
// unit: distinct ports
// stake: scanners come back: watch them
// window: 12h
// cooldown: 90s
// Note: prose may have a colon too
DeviceNetworkEvents
| summarize ports = dcount(LocalPort) by RemoteIP // id: not here
// name: nor here
| where ports >= 21
";
    let expected = "\
// id: slow-scan
// name: Slow scan: one port at a time
// severity: high
// technique: T1595.001
// unit: distinct ports
// stake: scanners come back: watch them
// window: 12h
// cooldown: 90s
DeviceNetworkEvents
| summarize ports = dcount(LocalPort) by RemoteIP
| where ports > 20
| project RemoteIP, ports";
    assert_eq!(plans("a.kql", text), [expected]);
}

/// Without a version of its own, a rule has one that follows what it does.
#[test]
fn versions_follow_what_a_rule_does() {
    const RULE: &str = "// id: a\n// window: 1h\nDeviceNetworkEvents | where LocalPort == 1";
    let version = |text: &str| load("a.kql", text).plans[0].version.clone();
    let first = version(RULE);
    assert_eq!(first, "4fc8f6950bf0");
    for (what, text, is_same) in [
        (
            "a name",
            RULE.replace("id: a", "id: b\n// name: The rule"),
            true,
        ),
        ("prose", format!("// Note: prose\n\n{RULE} // why"), true),
        (
            "tags and a stake",
            format!("// tags: a\n// stake: b\n{RULE}"),
            true,
        ),
        ("spaces", RULE.replace(" == ", "\n    =="), true),
        ("the default", RULE.replace("// window: 1h\n", ""), true),
        ("a window", RULE.replace("1h", "2h"), false),
        ("a severity", format!("// severity: low\n{RULE}"), false),
        ("a technique", format!("// technique: T1046\n{RULE}"), false),
        ("a cooldown", format!("// cooldown: 1m\n{RULE}"), false),
        ("a rule before it", format!("// after: b\n{RULE}"), false),
        (
            "a rule that it leaves to",
            format!("// unless: b\n{RULE}"),
            false,
        ),
        ("a query", RULE.replace("== 1", "== 2"), false),
    ] {
        assert_eq!(version(&text) == first, is_same, "{what}: {text}");
    }
    let stated = format!("// version: 2026-11-30\n{RULE}");
    assert_eq!(version(&stated), "2026-11-30");
}

#[test]
fn tags_are_kept_once_and_in_order() {
    let tags = |line: &str| load("a.kql", &format!("{line}\nDeviceNetworkEvents")).plans;
    for (line, expected) in [
        ("// id: a", &[][..]),
        ("// tags: pci", &["pci"]),
        ("// tags: b, a ,b,zone:dmz", &["b", "a", "zone:dmz"]),
    ] {
        assert_eq!(tags(line)[0].tags, expected, "{line}");
    }
    for wrong in [
        "// tags: two words".to_owned(),
        "// tags: a,,b".to_owned(),
        format!("// tags: {}", "x".repeat(65)),
        format!(
            "// tags: {}",
            Vec::from_iter((0..17).map(|n| n.to_string())).join(",")
        ),
    ] {
        assert_eq!(tags(&wrong).len(), 0, "{wrong}");
    }
}

/// Rules that may not mean what their author intended.
#[test]
fn warnings() {
    for (steps, expected) in [
        (
            "| summarize n = count() by RemoteIP",
            "a.kql:1:1: warning: no `where` after `summarize`: this fires at the first event of each group
  |
1 | DeviceNetworkEvents | summarize n = count() by RemoteIP
  | ^^^^^^^^^^^^^^^^^^^
",
        ),
        (
            "| order by LocalPort | project RemoteIP",
            "a.kql:1:1: warning: an order by `LocalPort` has no effect: it is not shown
  |
1 | DeviceNetworkEvents | order by LocalPort | project RemoteIP
  | ^^^^^^^^^^^^^^^^^^^
  |
  = hint: add it to `project`
",
        ),
        (
            "| order by LocalPort | summarize n = count() | where n > 1",
            "a.kql:1:44: warning: an order before `summarize` has no effect
  |
1 | DeviceNetworkEvents | order by LocalPort | summarize n = count() | where n > 1
  |                                            ^^^^^^^^^
",
        ),
    ] {
        let loaded = load("a.kql", &format!("DeviceNetworkEvents {steps}"));
        assert_eq!(messages(&loaded), expected);
        assert_eq!((loaded.plans.len(), loaded.diagnostics.errors()), (1, 0));
    }
}
