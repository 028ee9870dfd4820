//! No rows make `recon judge` panic, hang or grow.

use super::*;
use crate::mutation::fuzz;
use crate::row::json::{LineError, parse_line};

/// Rows of several kinds, in the order of their times.
const ROWS: &str = r#"
{"Type":"DeviceNetworkEvents","TimeGenerated":"2026-01-31T10:20:30.5Z","DeviceName":"web-01","ActionType":"SYN","Protocol":"Tcp","RemoteIP":"203.0.113.1","LocalIP":"198.51.100.1","LocalPort":80,"Count":25}
{"Type":"DeviceNetworkEvents","TimeGenerated":"2026-01-31T10:20:30.5Z","DeviceName":"web-01","ActionType":"Datagram","Protocol":"Udp","RemoteIP":"2001:db8::1","LocalIP":"2001:db8:1::1","LocalPort":53,"Count":3}
{"Type":"DeviceNetworkEvents","TimeGenerated":"2026-01-31T10:20:31.5Z","DeviceName":"web-01","ActionType":"EchoRequest","Protocol":"Icmp","RemoteIP":"203.0.113.1","LocalIP":"198.51.100.1","Count":60}
{"Type":"DeviceNetworkEvents","TimeGenerated":"2026-01-31T10:20:32.5Z","ActionType":"ConnectionRequest","Protocol":"Tcp","RemoteIP":"203.0.113.2","LocalIP":"198.51.100.1","RemotePort":22,"Count":40,"InitiatingProcessId":17,"InitiatingProcessFileName":"nmap","InitiatingProcessIsScanner":true}
{"Count":7,"DeviceName":"web-01","TimeGenerated":"2026-01-31T10:20:33.5Z","Type":"ReconLosses"}
{"TimeGenerated":"2026-01-31T11:20:33.5Z","ActionType":"SYN","Protocol":"Tcp","RemoteIP":"203.0.113.1","LocalIP":"198.51.100.1","LocalPort":22}
"#;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\n",
    "\r\n",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "NaN",
    "Infinity",
    "-1",
    "1e400",
    "18446744073709551615",
    "99999999999999999999",
    "0.5",
    "\"TimeGenerated\":\"9999-12-30T22:00:00Z\"",
    "\"TimeGenerated\":\"-009999-01-02T01:59:59Z\"",
    "\"Count\":18446744073709551615",
    "\"LocalPort\":65535",
    "\"RemoteIP\":\"::\"",
    "\"RemoteIP\":\"0.0.0.0\"",
    "\u{feff}",
    "\u{202e}",
    "\0",
    "🦀",
];

/// The most bytes of alerts for some rows.
const MAX_ALERTS: usize = 1 << 20;

/// The column that an error of syntax names must be one of the line.
fn check_column(line: &str) {
    let Err(error @ LineError::Json { .. }) = parse_line(line, 1) else {
        return;
    };
    let text = error.to_string();
    let column = text.rsplit_once(" in column ").map(|(_, column)| column);
    let column = column.and_then(|column| column.parse::<usize>().ok());
    assert!(column.is_none_or(|column| column <= line.len()), "{text}");
}

#[test]
fn mutated_rows() {
    let settings = Settings::parse("recon.toml", b"limits.memory = '64MiB'").expect("settings");
    let rules = settings.apply(defaults(Profile::Outcomes));
    let rules = rules.expect("known rules");
    fuzz(&[ROWS], "\n{", WORDS, |bytes| {
        let in_force = InForce {
            rules: rules.clone(),
            settings: settings.clone(),
            warnings: String::new(),
        };
        let mut out = Vec::new();
        let faults = judge("rows", bytes, in_force, LineFormat::Ecs, &mut out).expect("memory");
        assert!(out.len() < MAX_ALERTS, "{} bytes", out.len());
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().count() as u64;
        assert!(
            faults.bad + faults.outdated + faults.late <= lines,
            "{faults:?}"
        );
        text.lines().for_each(check_column);
        for line in out
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            serde_json::from_slice::<Value>(line).expect("a line of JSON");
        }
    });
}
