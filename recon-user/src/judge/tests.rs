//! The limit on lines, from rows to alert lines.

mod mutated;

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use jiff::SignedDuration;
use serde_json::Value;

use super::*;
use crate::rule::{Profile, defaults};
use crate::settings::Settings;

/// The lines for `rows` under these settings.
fn lines_for(rows: &str, settings: &str) -> Vec<Value> {
    let settings = Settings::parse("recon.toml", settings.as_bytes()).expect("settings");
    let in_force = InForce {
        rules: settings
            .apply(defaults(Profile::Source))
            .expect("known rules"),
        settings,
        warnings: String::new(),
    };
    let mut out = Vec::new();
    judge("rows", rows.as_bytes(), in_force, LineFormat::Ecs, &mut out).expect("valid rows");
    let lines = String::from_utf8(out).expect("text");
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The alerts of the rule named `name` for `rows`.
fn alerts_for(rows: &str, name: &str) -> Vec<Value> {
    // Not informational, so that suppressed lines are reported by the rule.
    let mut lines = lines_for(rows, "[rules.port-scan]\nseverity = 'medium'");
    lines.retain(|line| line["rule"]["name"] == name);
    lines
}

/// Adds a row: `count` SYNs of a remote to one port.
fn add_row(rows: &mut String, second: u32, remote: Ipv4Addr, count: u32) {
    writeln!(
        rows,
        r#"{{"TimeGenerated":"2026-01-31T10:{:02}:{:02}Z","ActionType":"SYN","Protocol":"Tcp","RemoteIP":"{remote}","LocalIP":"203.0.113.1","LocalPort":81,"Count":{count}}}"#,
        second / 60,
        second % 60,
    )
    .expect("to a string");
}

#[test]
fn forged_sources_do_not_hide_the_real_scanner() {
    const POLLS: u32 = 10;
    const SCANNER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    // (forged sources, second of the last row, time of the line about suppressed findings)
    for (forged, last, at) in [
        (100_000, 90, "2026-01-31T10:01:00Z"),
        (1_000, POLLS, "2026-01-31T10:00:10Z"),
    ] {
        let mut rows = String::new();
        for number in 0..forged {
            let second = number / (forged / POLLS);
            add_row(
                &mut rows,
                second,
                Ipv4Addr::from_bits(0x1400_0000 + number),
                21,
            );
            // In the middle of the first poll, and of a later one.
            if number == forged / POLLS / 2 {
                add_row(&mut rows, second, SCANNER, 22);
            }
            if number == forged / 2 {
                add_row(&mut rows, second, Ipv4Addr::new(198, 51, 100, 8), 99);
            }
        }
        add_row(&mut rows, last, Ipv4Addr::new(198, 51, 100, 9), 1);
        let alerts = alerts_for(&rows, "One port hit many times from a single IP");
        assert_eq!(alerts.len(), 20 + 1);
        let (suppressed, written) = alerts.split_last().expect("some");
        assert!(
            written
                .iter()
                .all(|alert| alert["recon"]["phase"] == "began"),
            "{written:?}"
        );
        let scanner = written
            .iter()
            .position(|alert| alert["source"]["ip"] == SCANNER.to_string());
        // The query orders by count, so the scanner comes first.
        assert_eq!(scanner, Some(0));
        assert_eq!(suppressed["@timestamp"], at);
        assert_eq!(suppressed["recon"]["phase"], "left_out");
        assert_eq!(suppressed["recon"]["left_out"], forged + 2 - 20);
        // What came later and is larger has a line too, at the end of the period at the latest.
        let later = written
            .iter()
            .find(|alert| alert["source"]["ip"] == "198.51.100.8");
        assert_eq!(later.expect("a line")["recon"]["count"], 99);
        assert_eq!(suppressed["recon"]["count"], 21);
        let listed = suppressed["recon"]["left_out_sources"].as_array();
        let listed = listed.expect("sources").len() as u32;
        assert_eq!(listed, 100 - 5);
        let unlisted = forged + 2 - 20 - listed;
        assert_eq!(suppressed["recon"]["left_out_unlisted"], unlisted);
        let message = suppressed["message"].as_str().expect("text");
        let start = format!(
            "port-scan: {} more left out in 1m, the first of them: 20.0.",
            forged + 2 - 20
        );
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(suppressed["event"]["start"], "2026-01-31T10:00:00Z");
        assert_eq!(suppressed["event"]["end"], "2026-01-31T10:00:09Z");
    }
}

#[test]
fn busy_clients_are_a_few_lines_and_a_digest() {
    const CLIENTS: u32 = 60;
    const HITS: &str = "One port hit many times from a single IP";
    let mut rows = String::new();
    for number in 0..CLIENTS {
        let client = Ipv4Addr::from_bits(0x1400_0000 + number * 128);
        add_row(&mut rows, number, client, 21);
        add_row(&mut rows, number + CLIENTS, client, 1);
    }
    let mut lines = lines_for(&rows, "");
    let digest = lines.pop().expect("a digest");
    lines.retain(|line| line["rule"]["name"] == HITS);
    let phases: Vec<_> = lines.iter().map(|line| &line["recon"]["phase"]).collect();
    assert_eq!(phases, ["began"; 20]);
    assert_eq!(digest["event"]["kind"], "metric");
    assert_eq!(digest["recon"]["phase"], "digest");
    let fields = &digest["recon"]["digest"];
    let rules = fields["rules"].as_array().expect("rules");
    let rule = rules.iter().find(|rule| rule["name"] == HITS);
    let rule = rule.expect("a rule");
    // 40 beginnings and 60 ends.
    assert_eq!(rule["findings"], 100);
    assert_eq!(rule["sources"]["undecided"], CLIENTS);
    assert_eq!(rule["ports"], 1);
    assert_eq!(fields["networks"].as_array().map(Vec::len), Some(10));
    assert_eq!(fields["networks"][0]["network"], "20.0.0.0/24");
    assert_eq!(fields["networks"][0]["sources"], 2);
    assert_eq!(fields["start"], "2026-01-31T10:00:00Z");
    assert_eq!(fields["end"], "2026-01-31T10:01:59Z");
}

/// The ids must stay the same in every version, since stored alerts have them.
#[test]
fn the_rows_and_the_host_determine_the_ids() {
    const HITS: &str = "One port hit many times from a single IP";
    const RAPID: &str = "Rapid scanning behaviour";
    let [one, other] = [7, 8].map(|last| Ipv4Addr::new(198, 51, 100, last));
    let mut rows = String::new();
    // The remote comes back within the hour, and once more later.
    for (second, remote, count) in [
        (0, one, 60),
        (1, one, 1),
        (1, other, 60),
        (900, one, 600),
        (901, one, 1),
    ] {
        add_row(&mut rows, second, remote, count);
    }
    let later = rows.lines().next().map(|row| row.replace("T10:", "T13:"));
    rows.push_str(&later.expect("a row"));
    let ids = |name: &str| -> Vec<_> {
        let alerts = alerts_for(&rows, name);
        let id = |alert: &Value, field| {
            alert
                .pointer(field)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let of = |alert: &Value| {
            let phase = alert["recon"]["phase"].as_str().map(str::to_owned);
            let [incident, source] =
                ["/event/id", "/recon/source_id"].map(|field| id(alert, field).expect(field));
            (phase.expect("a phase"), incident, source)
        };
        alerts.iter().map(of).collect()
    };
    let (hits, rapid) = (ids(HITS), ids(RAPID));
    let phases: Vec<_> = hits.iter().map(|(phase, ..)| &**phase).collect();
    assert_eq!(
        phases,
        ["began", "began", "ended", "grew", "ended", "began"]
    );
    let incidents: Vec<_> = hits.iter().map(|(_, incident, _)| &**incident).collect();
    let [first, second, third] = [
        "089f1a09893ce840a3b66aa28bba3eb8",
        "b044033cc57a89400ee17999fc8bc555",
        "0bd8ed32627909554b76c45e3f3327d3",
    ];
    assert_eq!(incidents, [first, second, first, first, first, third]);
    let sources: Vec<_> = hits.iter().map(|(.., source)| &**source).collect();
    let [one, other] = [
        "3f831936dfe00e409a700e88ed351d61",
        "fd5fd96110e0487240dfc97e1b7ae214",
    ];
    assert_eq!(sources, [one, other, one, one, one, one]);
    let (_, of_rapid, source) = &rapid[0];
    assert!(!incidents.contains(&&**of_rapid), "another rule");
    assert_eq!(source, one);
    assert_eq!(ids(HITS), hits, "another process hashes as this one");
}

#[test]
fn a_loss_makes_the_counts_around_it_a_lower_bound() {
    const SCANNER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    for (loss_at, is_lower_bound) in [(None, false), (Some(5), true)] {
        let mut rows = String::new();
        add_row(&mut rows, 5, SCANNER, 21);
        if let Some(second) = loss_at {
            let mut line = Vec::new();
            let time = format!("2026-01-31T10:00:{second:02}Z")
                .parse()
                .expect("a time");
            json::write_loss(time, "web-01", 3, &mut line).expect("to memory");
            rows.push_str(std::str::from_utf8(&line).expect("text"));
        }
        let alerts = alerts_for(&rows, "One port hit many times from a single IP");
        assert_eq!(alerts[0]["recon"]["phase"], "began");
        assert_eq!(
            alerts[0]["recon"]["lower_bound"] == true,
            is_lower_bound,
            "{alerts:?}"
        );
    }
}

/// Background noise of one to three ports is in no other line.
#[test]
fn noise_is_in_the_digest_alone_and_in_none_above_informational() {
    let mut rows = String::new();
    for number in 0..30 {
        add_row(
            &mut rows,
            number,
            Ipv4Addr::from_bits(0x1400_0000 + number),
            1,
        );
    }
    let lines = lines_for(&rows, "");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let digest = &lines[0]["recon"]["digest"];
    assert_eq!(digest["attempts"]["silent"], 30);
    assert_eq!(digest["sources"]["undecided"], 30);
    assert_eq!(
        (&digest["new_sources"], &digest["ports"]),
        (&30.into(), &1.into())
    );
    for settings in [
        "min_severity = 'low'",
        "[alerts]\ninformational_per_hour = 'unlimited'",
    ] {
        assert!(lines_for(&rows, settings).is_empty(), "{settings}");
    }
}

/// The alerts of `port-scan` by distinct ports for a file, and what was wrong with it.
fn judge_file(file: &[u8]) -> (Vec<Value>, Faults) {
    let settings = Settings::default();
    let in_force = InForce {
        rules: settings
            .apply(defaults(Profile::Source))
            .expect("known rules"),
        settings,
        warnings: String::new(),
    };
    let mut out = Vec::new();
    let faults = judge("rows", file, in_force, LineFormat::Ecs, &mut out).expect("from memory");
    let lines = String::from_utf8(out).expect("text");
    let lines = lines.lines();
    let alerts = lines.map(|line| serde_json::from_str(line).expect("JSON"));
    let is_scan = |alert: &Value| alert["recon"]["measure"] == "distinct_ports";
    (alerts.filter(is_scan).collect(), faults)
}

/// A row: a SYN to that port at 10:00 plus so many seconds.
fn syn_row(port: u16, second: i64) -> String {
    let time = "2026-01-31T10:00:00Z".parse::<Timestamp>().expect("a time");
    let time = time + SignedDuration::from_secs(second);
    format!(
        r#"{{"TimeGenerated":"{time}","ActionType":"SYN","Protocol":"Tcp","RemoteIP":"198.51.100.7","LocalIP":"203.0.113.1","LocalPort":{port}}}"#
    )
}

#[test]
fn what_is_wrong_with_a_file_is_counted_and_the_rest_is_judged() {
    let scan = |second: i64| (1..=21).map(move |port| syn_row(port, second));
    let with = |line: &[u8]| {
        let mut file = scan(1).collect::<Vec<_>>().join("\n").into_bytes();
        file.push(b'\n');
        file.extend_from_slice(line);
        // A row after the line shows that reading goes on.
        [file, b"\n".to_vec(), syn_row(22, 2).into_bytes()].concat()
    };
    let cut = |length: usize| {
        let mut file = scan(1)
            .chain([syn_row(22, 2)])
            .collect::<Vec<_>>()
            .join("\n");
        file.truncate(file.len() - length);
        file.into_bytes()
    };
    let faults = |bad, outdated, late| Faults {
        bad,
        outdated,
        late,
    };
    let older = |second: i64| syn_row(80, second).into_bytes();
    // (what, file, faults, greatest count of ports)
    for (what, file, expected, ports) in [
        ("nothing", with(b""), faults(0, 0, 0), 22),
        ("the last line is cut", cut(40), faults(1, 0, 0), 21),
        (
            "the last line break is missing",
            cut(0),
            faults(0, 0, 0),
            22,
        ),
        ("no JSON", with(b"hello"), faults(1, 0, 0), 22),
        ("an empty object", with(b"{}"), faults(1, 0, 0), 22),
        ("not UTF-8", with(b"\xff\xfe"), faults(1, 0, 0), 22),
        (
            "zeros after a power failure",
            with(&[0; 99]),
            faults(1, 0, 0),
            22,
        ),
        (
            "ten bad lines",
            with(&b"x\n".repeat(10)),
            faults(10, 0, 0),
            22,
        ),
        ("an hour too old", with(&older(-3600)), faults(0, 1, 0), 22),
        (
            "a minute and a second too old",
            with(&older(-60)),
            faults(0, 1, 0),
            22,
        ),
        ("a minute too old", with(&older(-59)), faults(0, 0, 1), 23),
        ("a second too old", with(&older(0)), faults(0, 0, 1), 23),
    ] {
        let (alerts, found) = judge_file(&file);
        assert_eq!(found, expected, "{what}");
        let counts = alerts.iter().map(|alert| alert["recon"]["count"].as_u64());
        assert_eq!(counts.max().flatten(), Some(ports), "{what}");
    }
}

#[test]
fn an_alert_names_the_process_as_the_rows_do() {
    // (what, columns of the process in the rows up to the alert, in the last row)
    let named = r#","InitiatingProcessFileName":"nmap""#;
    let path = r#","InitiatingProcessFolderPath":"/usr/bin/nmap""#;
    for (what, first, last, executable) in [
        ("a name", named.to_owned(), named.to_owned(), Value::Null),
        (
            "a name and a path",
            [named, path].concat(),
            [named, path].concat(),
            "/usr/bin/nmap".into(),
        ),
        (
            "only its id after its end",
            named.to_owned(),
            String::new(),
            Value::Null,
        ),
    ] {
        let row = |port: u16, columns: &str| {
            format!(
                r#"{{"TimeGenerated":"2026-01-31T10:00:01Z","ActionType":"ConnectionRequest","Protocol":"Tcp","RemoteIP":"198.51.100.7","LocalIP":"203.0.113.1","RemotePort":{port},"InitiatingProcessId":77{columns}}}"#
            )
        };
        let rows = (1..=300).map(|port| row(port, if port == 300 { &last } else { &first }));
        let rows = rows.collect::<Vec<_>>().join("\n");
        let lines = lines_for(&rows, "");
        let about = lines.iter().find(|line| line["process"]["pid"] == 77);
        let process = &about.unwrap_or_else(|| panic!("{what}: {lines:?}"))["process"];
        assert_eq!(process["name"], "nmap", "{what}");
        assert_eq!(process["executable"], executable, "{what}");
    }
}
