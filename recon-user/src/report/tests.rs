//! From lines to the page's model, without a browser.

mod room;
mod rows;

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::build::build;
use super::gather::MOST_INCIDENTS;
use super::model::PageModel;
use super::*;
use crate::kql::Severity;

/// A line of an inbound incident.
fn line(id: &str, phase: &str, second: u32, severity: &str, count: u64) -> Value {
    json!({
        "@timestamp": format!("2026-01-31T10:00:{second:02}Z"),
        "message": "port-scan: a scan",
        "event": {"id": id, "start": "2026-01-31T09:59:00Z", "end": format!("2026-01-31T10:00:{second:02}Z")},
        "rule": {"id": "port-scan/distinct_ports", "category": "port-scan", "name": "A scan"},
        "source": {"ip": "198.51.100.7"},
        "destination": {"ip": "203.0.113.1"},
        "network": {"direction": "ingress"},
        "host": {"name": "web1"},
        "recon": {"severity": severity, "phase": phase, "count": count, "threshold": 20, "window": "1h",
            "ports": [21, 22, 23], "verdict": "scanner",
            "outcomes": {"accepted": 0, "half_open": 1, "refused": 2, "silent": 0, "open_ports": [22]}},
    })
}

fn with(mut line: Value, changes: &[(&str, Value)]) -> Value {
    for (at, value) in changes {
        let (parent, name) = at.rsplit_once('/').expect("a pointer");
        let parent = line.pointer_mut(parent).expect("it is there");
        parent[name] = value.clone();
    }
    line
}

fn gather(lines: &[Value]) -> Gathered {
    let mut gathered = Gathered::new(Severity::Informational);
    for line in lines {
        gathered.add_line(&line.to_string()).expect("an alert");
    }
    gathered
}

fn model_of(lines: &[Value]) -> PageModel {
    build(Material {
        gathered: gather(lines),
        ..Material::default()
    })
}

/// The losses by name.
fn losses(model: &PageModel) -> Vec<(&str, u64)> {
    let losses = model.losses.iter();
    losses.map(|loss| (&*loss.what, loss.count)).collect()
}

#[test]
fn the_lines_of_an_incident_are_one() {
    let grew = line("a", "grew", 2, "high", 300);
    let model = model_of(&[
        line("a", "began", 1, "medium", 21),
        grew.clone(),
        // Written again after a restart.
        grew,
        line("b", "began", 3, "low", 30),
        line("a", "ended", 4, "high", 400),
    ]);
    let [a, b] = &model.incidents[..] else {
        panic!("{:?}", model.incidents);
    };
    let phases: Vec<_> = a
        .phases
        .iter()
        .map(|(_, phase, count)| (&**phase, *count))
        .collect();
    assert_eq!(phases, [("began", 21), ("grew", 300), ("ended", 400)]);
    assert_eq!((a.severity, a.count, a.source), (3, 400, 0));
    assert_eq!((b.severity, b.count, b.source), (1, 30, 0));
    let [source] = &model.sources[..] else {
        panic!("{:?}", model.sources);
    };
    assert_eq!((source.incidents, source.severity), (2, 3));
    assert_eq!(source.verdict.as_deref(), Some("scanner"));
    assert!(!source.is_counted);
    assert_eq!(model.hosts, ["web1"]);
    assert_eq!(losses(&model), []);
}

#[test]
fn what_was_found_open_and_used() {
    let client = [
        ("/event/id", json!("c")),
        ("/source/ip", json!("198.51.100.9")),
        ("/recon/verdict", json!("client")),
    ];
    let used = [
        ("/event/id", json!("u")),
        ("/rule/category", json!("scan-then-connect")),
        ("/recon/signals", json!(["used"])),
        ("/recon/ports", json!([])),
        ("/destination/port", json!(22)),
        ("/process", json!({"pid": 7, "name": "sshd"})),
    ];
    let model = model_of(&[
        line("a", "began", 1, "high", 21),
        with(line("c", "began", 1, "low", 21), &client),
        with(line("u", "began", 9, "high", 1), &used),
    ]);
    let [learned] = &model.learned[..] else {
        panic!("{:?}", model.learned);
    };
    assert_eq!((&*learned.host, learned.port), ("203.0.113.1", 22));
    assert_eq!(learned.found_by, [0]);
    let [(user, _, process)] = &learned.used_by[..] else {
        panic!("{learned:?}");
    };
    assert_eq!((*user, process.as_deref()), (0, Some("sshd (pid 7)")));
    // The sample of ports, of which one is open.
    assert!(!model.chart.is_exact);
    let ports = model.chart.port.iter().zip(&model.chart.outcome);
    let of_scanner: Vec<_> = ports
        .take(3)
        .map(|(port, outcome)| (*port, *outcome))
        .collect();
    // The one that is half-open is so, as from a capture.
    assert_eq!(of_scanner, [(21, 4), (22, 2), (23, 4)]);
    assert!(model.unknown.chart.is_some() && model.unknown.attempts.is_some());
}

#[test]
fn senders_are_processes_with_what_they_sent_to() {
    let sent = |id: &str, remote: &str, port: u16| {
        let changes = [
            ("/network/direction", json!("egress")),
            ("/source", json!({})),
            ("/destination", json!({"ip": remote, "port": port})),
            (
                "/process",
                json!({"pid": 41, "name": "nmap", "executable": "/usr/bin/nmap",
                    "command_line": "nmap -p22 \u{202e}x", "parent": {"pid": 40}, "entity_id": "e"}),
            ),
            ("/user", json!({"id": "0", "name": "root"})),
            ("/recon/unit", json!("cron.service")),
        ];
        with(line(id, "began", 1, "high", 5), &changes)
    };
    // Its name may come later.
    let unnamed = with(
        sent("a", "198.51.100.1", 22),
        &[("/process/name", Value::Null)],
    );
    // A last line may not know the process any more.
    let gone = with(
        sent("a", "198.51.100.1", 22),
        &[("/process", Value::Null), ("/recon/phase", json!("ended"))],
    );
    let model = model_of(&[unnamed, sent("b", "198.51.100.2", 23), gone]);
    let [process] = &model.processes[..] else {
        panic!("{:?}", model.processes);
    };
    assert_eq!(process.remotes, ["198.51.100.1", "198.51.100.2"]);
    assert_eq!(process.ports, [21, 22, 23]);
    assert_eq!(process.parent, Some(40));
    assert_eq!(process.name.as_deref(), Some("nmap"));
    assert_eq!(process.user.as_deref(), Some("root"));
    assert_eq!(process.unit.as_deref(), Some("cron.service"));
    // Nothing turns the direction of what is read.
    assert_eq!(
        process.command_line.as_deref(),
        Some(r"nmap -p22 \u{202e}x")
    );
    assert_eq!(model.incidents[0].processes, [0]);
    assert_eq!(model.sources.len(), 1);
    assert_eq!(model.sources[0].name, "nmap (pid 41)");
    // Ports that this host tried are no chart of a scan of it.
    assert!(model.chart.port.is_empty() && model.learned.is_empty());
}

#[test]
fn losses_are_counted() {
    let numbered = |id: &str, number: u64| {
        with(
            line(id, "began", 1, "high", 21),
            &[("/event/sequence", json!(number))],
        )
    };
    let blind = json!({
        "@timestamp": "2026-01-31T10:00:00Z", "message": "recon is blind in part: the table is full",
        "event": {"id": "x"}, "recon": {"severity": "high", "phase": "began", "blind": {"part": "table", "lost": 0}},
    });
    let digest = json!({
        "@timestamp": "2026-01-31T10:00:00Z", "message": "digest",
        "event": {"id": "d"}, "recon": {"severity": "informational", "phase": "digest", "digest": {"findings": 12}},
    });
    let changes = [
        ("/recon/lower_bound", json!(true)),
        ("/recon/suppressed", json!(3)),
        ("/recon/left_out", json!(40)),
    ];
    let model = model_of(&[
        numbered("a", 1),
        numbered("b", 5),
        // Another run.
        numbered("c", 2),
        with(line("d", "left_out", 2, "high", 21), &changes),
        blind,
        digest,
    ]);
    let expected = [
        ("missing lines", 3),
        ("lines before the first", 1),
        ("suppressed findings", 40),
        ("findings in digests", 12),
        ("incidents with lower bounds", 1),
        ("polls over a threshold without a line", 3),
        ("recon was blind or tampered with", 0),
    ];
    assert_eq!(losses(&model), expected);
}

#[test]
fn a_line_that_is_no_alert_says_why() {
    for (text, expected) in [
        ("{}", "missing field `@timestamp`"),
        ("{\"@timestamp\":", "is no alert: EOF"),
        (
            &with(line("a", "began", 1, "huge", 1), &[]).to_string(),
            "unknown severity \"huge\"",
        ),
        (
            &with(
                line("a", "began", 1, "low", 1),
                &[("/source/ip", json!("x"))],
            )
            .to_string(),
            "invalid IP address",
        ),
    ] {
        let mut gathered = Gathered::default();
        let error = gathered.add_line(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_most_severe_incidents_stay() {
    let mut gathered = Gathered::new(Severity::Low);
    let mut add = |id: &str, severity: &str| {
        let line = line(id, "began", 1, severity, 21).to_string();
        gathered.add_line(&line).expect("an alert");
    };
    add("unwanted", "informational");
    for number in 0..MOST_INCIDENTS {
        add(&format!("low {number}"), "low");
    }
    // Its lines go with it.
    add("low 0", "low");
    add("late and high", "high");
    add("late and low", "low");
    // It is shown again, in place of another one.
    add("low 0", "low");
    assert_eq!(gathered.without_room.incidents, 4);
    assert_eq!(gathered.hidden.count(), 2);
    let incidents = gathered.take_incidents();
    assert_eq!(incidents.len(), MOST_INCIDENTS);
    let has = |id: &str| incidents.iter().any(|incident| incident.entry.id == id);
    for (id, is_shown) in [
        ("late and high", true),
        ("late and low", true),
        ("low 0", true),
        ("low 1", false),
        ("low 2", false),
        ("low 3", true),
        ("unwanted", false),
    ] {
        assert_eq!(has(id), is_shown, "{id}");
    }
}

/// A shell names the file of today before those that were rotated.
#[test]
fn the_newest_incidents_stay_whatever_is_read_first() {
    let mut gathered = Gathered::new(Severity::Low);
    for second in (0..=MOST_INCIDENTS as i64).rev() {
        let time = json!(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second));
        let changes = ["/@timestamp", "/event/start", "/event/end"].map(|it| (it, time.clone()));
        let line = with(line(&second.to_string(), "began", 1, "low", 21), &changes);
        gathered.add_line(&line.to_string()).expect("an alert");
    }
    let ids: HashSet<_> = gathered
        .take_incidents()
        .into_iter()
        .map(|it| it.entry.id)
        .collect();
    assert_eq!(ids.len(), MOST_INCIDENTS);
    assert!(!ids.contains("0"), "the oldest is shown");
}

#[test]
fn what_is_less_severe_than_all_that_is_shown_has_no_room() {
    let mut gathered = Gathered::new(Severity::Low);
    let mut add = |id: &str, severity: &str| {
        let line = line(id, "began", 1, severity, 21).to_string();
        gathered.add_line(&line).expect("an alert");
    };
    for number in 0..MOST_INCIDENTS {
        add(&format!("high {number}"), "high");
    }
    // Two lines of one incident.
    add("medium", "medium");
    add("medium", "medium");
    let model = build(Material {
        gathered,
        ..Material::default()
    });
    assert_eq!(model.hidden_incidents, 1);
    let expected = [("incidents not shown", 1), ("lines not shown", 2)];
    assert_eq!(losses(&model), expected);
}

#[test]
fn open_ports_have_the_outcome_that_an_alert_tells() {
    // (accepted, half-open, the outcome of the open port)
    for (accepted, half_open, expected) in [(0, 1, 2), (1, 0, 3), (1, 1, 5), (0, 0, 5)] {
        let changes = [
            ("/recon/outcomes/accepted", json!(accepted)),
            ("/recon/outcomes/half_open", json!(half_open)),
        ];
        let model = model_of(&[with(line("a", "began", 1, "high", 21), &changes)]);
        let chart = &model.chart;
        let mut points = chart.port.iter().zip(&chart.outcome);
        let open = points.find(|(port, _)| **port == 22);
        assert_eq!(open, Some((&22, &expected)), "{accepted}, {half_open}");
    }
}

#[test]
fn a_wrong_clock_does_not_stretch_the_axis() {
    let at = |id: &str, start: &str, end: &str| {
        let changes = [
            ("/event/start", json!(start)),
            ("/event/end", json!(end)),
            ("/@timestamp", json!(end)),
        ];
        with(line(id, "began", 1, "high", 21), &changes)
    };
    let (from, to) = ("2026-01-31T09:59:00Z", "2026-01-31T10:00:01Z");
    let model = model_of(&[
        at("a", from, to),
        at("b", from, to),
        at("early", "1970-01-01T00:00:00Z", "1970-01-01T00:00:07Z"),
        at("late", to, "9999-12-30T00:00:00Z"),
    ]);
    let time = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .expect("a time")
            .as_millisecond()
    };
    assert_eq!(model.span, Some([time(from), time(to)]));
    assert_eq!(model.incidents.len(), 4);
}
