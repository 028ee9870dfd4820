//! Alert lines: fields and messages for each kind of finding.

mod digest;
mod enriched;
mod eve;
mod formats;
mod ids;
mod json_text;
mod messages;
mod ocsf;
mod schema;
mod several;
mod template;

use std::net::IpAddr;

use jiff::Timestamp;
use recon_common::Signal;
use serde_json::{Value, json};

use crate::kql::eval::Value as Column;

use super::*;
use crate::contact::Outcomes;
use crate::incident::{Notification, Phase};
use crate::process::Start;
use crate::row::{SignalSet, ToolSet, Verdict};
use crate::rule::{Configured, Profile, captured, defaults, mirrored};
use crate::stream::{Measure, Query};

const VERSION: &str = env!("CARGO_PKG_VERSION");
pub(crate) const REMOTE: Address = Address::v4([198, 51, 100, 7]);
pub(crate) const LOCAL: Address = Address::v4([203, 0, 113, 1]);

/// A finding of the rule with this id that counts the first of `signals`.
pub(crate) fn finding(id: &str, signals: &[Signal]) -> Finding {
    let query = defaults(Profile::Source)
        .into_iter()
        .map(|plan| Query::new(Configured::plain(plan)))
        .find(|query| query.id() == id && query.filter.signals.contains(signals[0]))
        .expect("a built-in rule");
    Finding {
        severity: query.severity(),
        query: query.into(),
        columns: vec![("RemoteIP".into(), Column::text("198.51.100.7"))],
        key: Default::default(),
        sorted_by: Vec::new(),
        phase: Phase::Began,
        incident: StableHash::EMPTY.with(id.as_bytes()),
        at: Timestamp::from_second(1_700_000_001).expect("in range"),
        remote: Some(REMOTE),
        network: None,
        sources: None,
        remotes: vec![REMOTE],
        verdict: Verdict::Undecided,
        is_proven: false,
        port: None,
        local: Some(LOCAL),
        count: 37,
        start: Timestamp::from_second(1_700_000_000).expect("in range"),
        end: Timestamp::from_second(1_700_000_001).expect("in range"),
        signals: SignalSet::of(signals),
        ports: vec![22, 80],
        locals: vec![LOCAL],
        pid: None,
        pids: Vec::new(),
        senders: Vec::new(),
        user: None,
        may_be_forged: false,
        outcomes: None,
        interfaces: Vec::new(),
        netns: Vec::new(),
        label: None,
        tools: ToolSet::default(),
        suppressed: 2,
        lower_bound: false,
        evidence: None,
    }
}

fn nmap() -> Process {
    Process {
        pid: 77,
        parent: Some(70),
        user: Some(0),
        user_name: Some("root".to_owned()),
        name: Some("nmap".to_owned()),
        executable: Some("/usr/bin/nmap".to_owned()),
        command_line: Some("nmap -sS 198.51.100.7".to_owned()),
        container: Some("4f1c".to_owned()),
        unit: Some("session-3.scope".to_owned()),
        start: Some(Start {
            at: Timestamp::from_second(1_700_000_000).expect("a time"),
            entity: StableHash::EMPTY,
        }),
    }
}

fn process_without_name() -> Process {
    Process {
        pid: 78,
        ..Process::default()
    }
}

pub(crate) fn parsed(finding: &Finding, who: &[Process]) -> Value {
    parsed_as(LineFormat::Ecs, finding, who)
}

fn parsed_as(format: LineFormat, finding: &Finding, who: &[Process]) -> Value {
    let notification = Notification::Found(Box::new(finding.clone()));
    let line = AlertLines::of("web1")
        .written_as(format)
        .notification(&notification, who)
        .expect("plain data")
        .to_vec();
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    serde_json::from_slice(&line).expect("JSON")
}

#[test]
fn a_finding_is_written_as_ecs() {
    let finding = finding("port-scan", &[Signal::Syn]);
    let version = &finding.query.plan().version;
    assert_eq!(
        parsed(&finding, &[]),
        json!({
            "@timestamp": "2023-11-14T22:13:21Z",
            "message": "port-scan: 198.51.100.7 on 203.0.113.1: 37 distinct ports, over 20 in 1h",
            "ecs": {"version": "9.4.0"},
            "agent": {"type": "recon", "version": VERSION},
            "observer": {"product": "recon", "type": "ids", "version": VERSION, "hostname": "web1"},
            "related": {"ip": ["198.51.100.7", "203.0.113.1"]},
            "event": {
                "id": "65a8e1afc8248cd4e6208076074dbf08",
                "kind": "alert", "category": ["intrusion_detection", "network"], "type": ["info"],
                "module": "recon", "dataset": "recon.alert", "severity": 73, "sequence": 1,
                "action": "began", "reason": "37 distinct ports, over 20 in 1h",
                "start": "2023-11-14T22:13:20Z", "end": "2023-11-14T22:13:21Z", "duration": 1_000_000_000
            },
            "rule": {
                "id": "port-scan/distinct_ports", "category": "port-scan", "version": version,
                "name": "Multiple ports scanned from a single IP"
            },
            "threat": {
                "framework": "MITRE ATT&CK",
                "tactic": {"id": ["TA0043"], "name": ["Reconnaissance"]},
                "technique": {
                    "id": ["T1595"], "name": ["Active Scanning"],
                    "subtechnique": {"id": ["T1595.001"], "name": ["Scanning IP Blocks"]}
                }
            },
            "source": {"address": "198.51.100.7", "ip": "198.51.100.7"},
            "destination": {"address": "203.0.113.1", "ip": "203.0.113.1"},
            "network": {"transport": "tcp", "type": "ipv4", "direction": "ingress"},
            "host": {"name": "web1"},
            "recon": {
                "columns": {"RemoteIP": "198.51.100.7"},
                "severity": "high", "phase": "began", "source_id": "35f830208f1751494d2029b7fbc2b878", "measure": "distinct_ports", "count": 37, "threshold": 20, "window": "1h", "verdict": "undecided", "source_proven": false,
                "signals": ["syn"], "ports": [22, 80], "columns": {"RemoteIP": "198.51.100.7"}, "lower_bound": false, "suppressed": 2
            }
        })
    );
}

#[test]
fn the_process_of_a_finding_is_written_as_ecs() {
    let mut finding = finding("outbound-scan-tool", &[Signal::SynSent]);
    finding.pid = Some(77);
    finding.port = Some(443);
    let mut alert = parsed(&finding, &[nmap()]);
    let version = &finding.query.plan().version;
    for field in [
        "@timestamp",
        "ecs",
        "event",
        "threat",
        "host",
        "agent",
        "observer",
    ] {
        alert
            .as_object_mut()
            .expect("an object")
            .remove(field)
            .expect("checked above");
    }
    assert_eq!(
        alert,
        json!({
            "message": "outbound-scan-tool: nmap (pid 77) to 198.51.100.7 port 443: 37 syn-sent in 1h",
            "rule": {
                "id": "outbound-scan-tool/count", "category": "outbound-scan-tool",
                "version": version, "name": "Outbound traffic of a known scanning tool"
            },
            "source": {"address": "203.0.113.1", "ip": "203.0.113.1"},
            "destination": {"address": "198.51.100.7", "ip": "198.51.100.7", "port": 443},
            "network": {"transport": "tcp", "type": "ipv4", "direction": "egress"},
            "process": {
                "pid": 77, "name": "nmap", "executable": "/usr/bin/nmap",
                "command_line": "nmap -sS 198.51.100.7", "parent": {"pid": 70},
                "entity_id": "6c62272e07bb014262b821756295c58d", "start": "2023-11-14T22:13:20Z"
            },
            "user": {"id": "0", "name": "root"},
            "related": {"ip": ["198.51.100.7", "203.0.113.1"], "user": ["0", "root"]},
            "container": {"id": "4f1c"},
            "recon": {
                "columns": {"RemoteIP": "198.51.100.7"},
                "severity": "high", "phase": "began", "source_id": "5198c874cb0f18502bb74b99063e9b73", "measure": "count", "count": 37, "threshold": 0, "window": "1h",
                "signals": ["syn-sent"], "unit": "session-3.scope", "columns": {"RemoteIP": "198.51.100.7"}, "lower_bound": false, "suppressed": 2
            }
        })
    );
}

#[test]
fn unknown_fields_are_omitted() {
    let finding = finding("outbound-scan-tool", &[Signal::SynSent]);
    // (processes, process, recon.processes, subject of the message)
    for (who, process, processes, named) in [
        (vec![], json!(null), json!(null), "203.0.113.1 to"),
        (
            vec![process_without_name()],
            json!({"pid": 78}),
            json!(null),
            "pid 78 to",
        ),
        (
            vec![nmap(), process_without_name()],
            json!(null),
            json!([{"pid": 77, "name": "nmap", "executable": "/usr/bin/nmap"}, {"pid": 78}]),
            "several processes to",
        ),
    ] {
        let alert = parsed(&finding, &who);
        let field = |field| alert.pointer(field).cloned().unwrap_or_default();
        assert_eq!(field("/process"), process);
        assert_eq!(field("/recon/processes"), processes);
        for absent in ["/user", "/container", "/recon/unit"] {
            assert_eq!(alert.pointer(absent), None, "{absent}");
        }
        let message = field("/message");
        assert!(
            message.as_str().is_some_and(|text| text.contains(named)),
            "{message}"
        );
    }
}

#[test]
fn direction_and_transport_follow_the_signals() {
    let mut sent = finding("dns-flood", &[Signal::DnsSentUdp, Signal::DnsSentTcp]);
    sent.port = Some(53);
    let mut swept = finding("icmp-sweep", &[Signal::EchoRequest]);
    swept.local = None;
    swept.remote = Some(Address::from(IpAddr::from([
        0x2001, 0xdb8, 0, 0, 0, 0, 0, 7,
    ])));
    let mut accepted = finding("scan-then-connect", &[Signal::Accepted]);
    accepted.port = Some(22);
    let mut sweeping = finding("outbound-sweep", &[Signal::EchoSent]);
    sweeping.remote = None;
    sweeping.port = None;
    let mut unplaced = sweeping.clone();
    unplaced.local = None;
    // (finding, source, destination, network, signals, destinations)
    for (finding, source, destination, network, signals, destinations) in [
        (
            sent,
            json!({"address": "203.0.113.1", "ip": "203.0.113.1"}),
            json!({"address": "198.51.100.7", "ip": "198.51.100.7", "port": 53}),
            json!({"type": "ipv4", "direction": "egress"}),
            json!(["dns-query-sent"]),
            json!(null),
        ),
        (
            swept,
            json!({"address": "2001:db8::7", "ip": "2001:db8::7"}),
            json!(null),
            json!({"transport": "ipv6-icmp", "type": "ipv6", "direction": "ingress"}),
            json!(["echo-request"]),
            json!(["203.0.113.1"]),
        ),
        (
            accepted,
            json!({"address": "198.51.100.7", "ip": "198.51.100.7"}),
            json!({"address": "203.0.113.1", "ip": "203.0.113.1", "port": 22}),
            json!({"transport": "tcp", "type": "ipv4", "direction": "ingress"}),
            json!(["accepted"]),
            json!(null),
        ),
        (
            sweeping,
            json!({"address": "203.0.113.1", "ip": "203.0.113.1"}),
            json!(null),
            json!({"transport": "icmp", "type": "ipv4", "direction": "egress"}),
            json!(["echo-request-sent"]),
            json!(["198.51.100.7"]),
        ),
        (
            unplaced,
            json!(null),
            json!(null),
            json!({"direction": "egress"}),
            json!(["echo-request-sent"]),
            json!(["198.51.100.7"]),
        ),
    ] {
        let alert = parsed(&finding, &[]);
        let fields = [
            "/source",
            "/destination",
            "/network",
            "/recon/signals",
            "/recon/destinations",
        ]
        .map(|field| alert.pointer(field).cloned().unwrap_or_default());
        assert_eq!(
            fields,
            [source, destination, network, signals, destinations],
            "{}",
            finding.query.id()
        );
    }
}
