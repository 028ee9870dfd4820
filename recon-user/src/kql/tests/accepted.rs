//! Queries that must work, and their plans.

use super::{cases, load, messages, plans};

/// Steps after the table, and the steps of the plan as text.
const QUERIES: &str = include_str!("accepted.txt");

fn plans_of(text: &str) -> Vec<String> {
    plans("t.kql", text)
}

#[test]
fn queries_mean_what_they_say() {
    for (query, expected) in cases(QUERIES) {
        let text = format!("// id: t\n// name: t\nDeviceNetworkEvents {query}");
        let plans = plans_of(&text);
        let [plan] = plans.as_slice() else {
            panic!("{query}: {} plans", plans.len());
        };
        let (_, steps) = plan.split_once("DeviceNetworkEvents\n").expect("a table");
        assert_eq!(steps, expected, "{query}");
        assert_eq!(plans_of(plan), [plan.as_str()], "read again");
    }
}

/// Annotations and steps, and the window in seconds.
const WINDOWS: &[(&str, &str, u64)] = &[
    ("", "| summarize n = count() | where n > 1", 3_600),
    (
        "// window: 10m",
        "| summarize n = count() | where n > 1",
        600,
    ),
    (
        "",
        "| summarize n = count() by bin(TimeGenerated, 5m) | where n > 1",
        300,
    ),
    (
        "// window: 300s",
        "| summarize n = count() by bin(TimeGenerated, 5m) | where n > 1",
        300,
    ),
    (
        "",
        "| where TimeGenerated > ago(1d) | summarize n = count() | where n > 1",
        86_400,
    ),
    (
        "",
        "| where ago(2h) <= Timestamp and LocalPort == 1 | project RemoteIP",
        7_200,
    ),
    (
        "",
        "| where TimeGenerated between (ago(2m) .. now()) | project RemoteIP",
        120,
    ),
    (
        "// window: 1m",
        "| where TimeGenerated > ago(1d) | project RemoteIP",
        60,
    ),
    (
        "",
        "| where TimeGenerated > ago(1d) | summarize n = count() by bin(Timestamp, 1m) | where n > 1",
        60,
    ),
    // These say nothing about how far back.
    (
        "",
        "| where TimeGenerated < ago(1d) or LocalPort == 1 | project RemoteIP",
        3_600,
    ),
    (
        "",
        "| where TimeGenerated !between (ago(2m) .. now()) | project RemoteIP",
        3_600,
    ),
];

#[test]
fn windows() {
    for (annotation, steps, seconds) in WINDOWS {
        let text = format!("{annotation}\nDeviceNetworkEvents {steps}");
        let loaded = load("t.kql", &text);
        assert_eq!(messages(&loaded), "", "{text}");
        assert_eq!(loaded.plans[0].window.as_secs(), *seconds, "{text}");
    }
}

/// Constants that `let` names, and their values.
#[test]
fn lets_are_constants() {
    let text = "\
let ports = dynamic([22, 23,]);
let above = 2 * 10;
let back = 1h;
let begin = ago(back) - 30m;
let private = dynamic(['10.', \"b\", -1, -0.5, true, 1h]);
DeviceNetworkEvents
| where LocalPort in (ports, above) and TimeGenerated > begin
| summarize hits = count() by RemoteIP, bin(TimeGenerated, back)
| where hits > above";
    let expected = "\
// id: t-1
// name: t-1
// severity: medium
// window: 1h
DeviceNetworkEvents
| where LocalPort in (22, 23, 20)
| where TimeGenerated > ago(90m)
| summarize hits = count() by RemoteIP, TimeGenerated = bin(TimeGenerated, 1h)
| where hits > 20
| project RemoteIP, TimeGenerated, hits";
    assert_eq!(plans_of(text), [expected]);
}
