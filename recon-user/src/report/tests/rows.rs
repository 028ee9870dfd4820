//! From rows to the page's model.

use std::fmt::Write as _;

use super::*;
use crate::alert::LineFormat;
use crate::judge::judge;
use crate::rule::{Profile, defaults};
use crate::settings::Settings;

pub(super) fn in_force() -> InForce {
    let settings = Settings::parse("recon.toml", b"").expect("no settings");
    InForce {
        rules: settings
            .apply(defaults(Profile::default()))
            .expect("known rules"),
        settings,
        warnings: String::new(),
    }
}

/// Rows of a scan that this host refuses, one port a second, and of an open port.
pub(super) fn rows() -> String {
    let mut rows = String::new();
    for number in 0..40 {
        for action in ["SYN", "ConnectionFailed"] {
            writeln!(
                rows,
                r#"{{"TimeGenerated":"2026-01-31T10:00:{number:02}Z","ActionType":"{action}","Protocol":"Tcp","RemoteIP":"198.51.100.7","LocalIP":"203.0.113.1","LocalPort":{},"DeviceName":"web1"}}"#,
                100 + number
            )
            .expect("to a string");
        }
    }
    for (kind, action) in [
        ("DeviceNetworkEvents", "SYN"),
        ("ReconEvents", "PortAnswered"),
    ] {
        writeln!(
            rows,
            r#"{{"Type":"{kind}","TimeGenerated":"2026-01-31T10:00:50Z","ActionType":"{action}","Protocol":"Tcp","RemoteIP":"198.51.100.7","LocalIP":"203.0.113.1","LocalPort":22,"DeviceName":"web1"}}"#
        )
        .expect("to a string");
    }
    rows
}

#[test]
fn rows_give_the_incidents_of_their_alerts_and_each_attempt() {
    let rows = rows();
    let mut lines = Vec::new();
    judge(
        "rows",
        rows.as_bytes(),
        in_force(),
        LineFormat::Ecs,
        &mut lines,
    )
    .expect("rows");
    let mut of_alerts = Gathered::default();
    for line in str::from_utf8(&lines).expect("text").lines() {
        of_alerts.add_line(line).expect("an alert");
    }
    let mut of_rows = Gathered::default();
    let mut found = FoundLines::of(&mut of_rows, true);
    let judged = judge_with_attempts(
        vec![("rows".to_owned(), Box::new(io::Cursor::new(rows)))],
        &in_force(),
        &mut found,
    )
    .expect("rows");
    judged.read.expect("to the end");
    let alerts = build(Material {
        gathered: of_alerts,
        ..Material::default()
    });
    let model = build(Material {
        gathered: of_rows,
        attempts: Some(judged.attempts),
        ..Material::default()
    });
    assert_eq!(model.chart.exact_sources, 1);
    assert!(!alerts.incidents.is_empty());
    assert_eq!(model.incidents, alerts.incidents);
    let chart = &model.chart;
    assert!(chart.is_exact && model.unknown.chart.is_none());
    assert_eq!(chart.sources, [(0, 41, 41)]);
    assert_eq!(chart.hosts, ["203.0.113.1"]);
    let points = chart.port.iter().zip(&chart.outcome).zip(&chart.at);
    for ((port, outcome), at) in points {
        match port {
            22 => assert_eq!(*outcome, 2, "half-open"),
            _ => {
                assert_eq!(*outcome, 1, "port {port} is refused");
                // A port a second.
                let second = i64::from(port - 100);
                assert!((*at - second * 1000).abs() <= 1000, "port {port}: {at}");
            }
        }
    }
    let source = &model.sources[0];
    assert!(source.is_counted);
    let outcomes = source.outcomes.expect("counted");
    assert_eq!((outcomes.half_open, outcomes.refused), (1, 40));
    assert_eq!(model.learned.len(), 1);
}

#[test]
fn a_source_with_too_many_targets_keeps_its_open_ports_and_its_shape() {
    let mut rows = String::new();
    const PORTS: u32 = 20_000;
    for number in 0..PORTS {
        let action = if number == 4999 {
            "ConnectionSuccess"
        } else {
            "ConnectionFailed"
        };
        writeln!(
            rows,
            r#"{{"TimeGenerated":"2026-01-31T{:02}:{:02}:{:02}Z","ActionType":"{action}","Protocol":"Tcp","RemoteIP":"198.51.100.7","LocalIP":"203.0.113.1","LocalPort":{}}}"#,
            number / 36_000, number / 600 % 60, number / 10 % 60, 1 + number
        )
        .expect("to a string");
    }
    let mut found = io::sink();
    let files: Vec<(String, Box<dyn BufRead>)> =
        vec![("rows".to_owned(), Box::new(io::Cursor::new(rows)))];
    let judged = judge_with_attempts(files, &in_force(), &mut found).expect("rows");
    let model = build(Material {
        attempts: Some(judged.attempts),
        ..Material::default()
    });
    let chart = &model.chart;
    let [(_, total, kept)] = chart.sources[..] else {
        panic!("{:?}", chart.sources);
    };
    assert_eq!(total, u64::from(PORTS));
    assert!((4000..=8192).contains(&kept), "{kept}");
    let open = chart.port.iter().zip(&chart.outcome);
    let open: Vec<_> = open.filter(|(_, outcome)| **outcome == 3).collect();
    assert_eq!(open, [(&5000, &3)]);
    let ports: Vec<u16> = chart.port.clone();
    // In the order of time, no gap is wide.
    assert!(
        ports
            .windows(2)
            .all(|pair| pair[1].saturating_sub(pair[0]) <= 3)
    );
    assert_eq!(losses(&model), [("targets not drawn", total - kept)]);
}

#[test]
fn alerts_add_the_ports_of_sources_without_rows() {
    let file: Box<dyn BufRead> = Box::new(io::Cursor::new(rows()));
    let files = vec![("rows".to_owned(), file)];
    let judged = judge_with_attempts(files, &in_force(), &mut io::sink()).expect("rows");
    let others = [("/source/ip", json!("198.51.100.99"))];
    let model = build(Material {
        gathered: gather(&[
            line("a", "began", 1, "high", 21),
            with(line("b", "began", 1, "high", 21), &others),
        ]),
        attempts: Some(judged.attempts),
        ..Material::default()
    });
    let chart = &model.chart;
    assert_eq!(chart.exact_sources, 1);
    assert_eq!(chart.sources, [(0, 41, 41), (1, 3, 3)]);
    assert_eq!(chart.port[41..], [21, 22, 23]);
}
