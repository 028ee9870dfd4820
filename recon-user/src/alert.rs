//! Alerts: findings as lines of Elastic Common Schema (ECS).
//!
//! In: a [`Finding`]. Out: one line of JSON. What ECS has no name for is under `recon`.
//! The decision held here: the reader's point of view. `source` is who sent what was counted: the remote, but this host for
//! its own DNS queries; a field that several values would fit is left out, and a sample is under `recon`.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::signal::Transport;
use serde::Serialize;

use crate::judge::Finding;
use crate::rule::TECHNIQUE;

/// The version of ECS that the fields are of.
const ECS_VERSION: &str = "8.17.0";

#[derive(Serialize)]
struct Alert<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    message: String,
    ecs: Ecs,
    event: Event,
    rule: RuleFields,
    threat: Threat,
    #[serde(skip_serializing_if = "End::is_empty")]
    source: End,
    #[serde(skip_serializing_if = "End::is_empty")]
    destination: End,
    network: Network,
    host: Host<'a>,
    recon: Recon,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct Event {
    kind: &'static str,
    category: [&'static str; 2],
    r#type: [&'static str; 1],
    module: &'static str,
    dataset: &'static str,
    severity: u8,
    start: Timestamp,
    end: Timestamp,
}

#[derive(Serialize)]
struct RuleFields {
    id: &'static str,
    name: &'static str,
}

#[derive(Serialize)]
struct Named {
    id: &'static str,
    name: &'static str,
}

impl Named {
    fn new([id, name]: [&'static str; 2]) -> Self {
        Self { id, name }
    }
}

#[derive(Serialize)]
struct Technique {
    #[serde(flatten)]
    technique: Named,
    subtechnique: Named,
}

#[derive(Serialize)]
struct Threat {
    framework: &'static str,
    tactic: Named,
    technique: Technique,
}

#[derive(Clone, Copy, Serialize)]
struct End {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl End {
    fn is_empty(&self) -> bool {
        self.ip.is_none() && self.port.is_none()
    }
}

#[derive(Serialize)]
struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    r#type: &'static str,
    direction: &'static str,
}

#[derive(Serialize)]
struct Host<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Recon {
    severity: &'static str,
    measure: &'static str,
    count: u64,
    threshold: u64,
    window: String,
    signals: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<IpAddr>,
    lower_bound: bool,
    suppressed: u64,
}

/// The line for `finding` on the host of that name, with its line feed.
///
/// # Errors
/// None but what `serde_json` could say of a structure that it can't write.
pub fn line(finding: &Finding, host: &str) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&alert(finding, host))?;
    line.push(b'\n');
    Ok(line)
}

fn alert<'a>(finding: &Finding, host: &'a str) -> Alert<'a> {
    let rule = finding.rule;
    let remote = finding.remote.to_ip();
    let local = finding.local.map(|local| local.to_ip());
    let is_outbound = rule.signals.iter().any(|signal| signal.is_outbound());
    // Echo requests have no port.
    let port = finding.port.filter(|&port| port != 0);
    let (source, destination) = if is_outbound {
        (local, Some(remote))
    } else {
        (Some(remote), local)
    };
    let [tactic, technique, subtechnique] = [
        TECHNIQUE.tactic,
        TECHNIQUE.technique,
        TECHNIQUE.subtechnique,
    ]
    .map(Named::new);
    Alert {
        timestamp: finding.end,
        message: message(finding, remote, local),
        ecs: Ecs {
            version: ECS_VERSION,
        },
        event: Event {
            kind: "alert",
            category: ["intrusion_detection", "network"],
            r#type: ["info"],
            module: "recon",
            dataset: "recon.alert",
            severity: rule.severity.number(),
            start: finding.start,
            end: finding.end,
        },
        rule: RuleFields {
            id: rule.id,
            name: rule.name,
        },
        threat: Threat {
            framework: "MITRE ATT&CK",
            tactic,
            technique: Technique {
                technique,
                subtechnique,
            },
        },
        source: End {
            ip: source,
            port: None,
        },
        destination: End {
            ip: destination,
            port,
        },
        network: Network {
            transport: transport(finding, remote),
            r#type: if remote.is_ipv4() { "ipv4" } else { "ipv6" },
            direction: if is_outbound { "egress" } else { "ingress" },
        },
        host: Host { name: host },
        recon: Recon {
            severity: rule.severity.name(),
            measure: rule.measure.name(),
            count: finding.count,
            threshold: rule.threshold,
            window: span(rule.window),
            signals: signal_names(finding),
            ports: if port.is_some() {
                Vec::new()
            } else {
                finding
                    .ports
                    .iter()
                    .copied()
                    .filter(|&port| port != 0)
                    .collect()
            },
            destinations: if local.is_some() {
                Vec::new()
            } else {
                finding.locals.iter().map(|local| local.to_ip()).collect()
            },
            lower_bound: finding.lower_bound,
            suppressed: finding.suppressed,
        },
    }
}

/// One sentence for a person: who did what to whom, how often, and how much is too much.
fn message(finding: &Finding, remote: IpAddr, local: Option<IpAddr>) -> String {
    use crate::rule::Measure;
    let rule = finding.rule;
    let what = match rule.measure {
        Measure::Count => signal_names(finding).join(", "),
        Measure::DistinctPorts => "distinct ports".to_owned(),
        Measure::DistinctAddresses => "distinct local addresses".to_owned(),
    };
    let on = local.map_or_else(String::new, |local| format!(" on {local}"));
    let port = match finding.port {
        Some(port) if port != 0 => format!(" port {port}"),
        _ => String::new(),
    };
    format!(
        "{}: {remote}{on}{port}: {} {what}, over {} in {}",
        rule.id,
        finding.count,
        rule.threshold,
        span(rule.window)
    )
}

fn signal_names(finding: &Finding) -> Vec<&'static str> {
    let mut names: Vec<_> = finding.signals.iter().map(|signal| signal.name()).collect();
    names.dedup();
    names
}

/// The transport that all signals of the finding share, by its IANA name.
fn transport(finding: &Finding, remote: IpAddr) -> Option<&'static str> {
    let mut signals = finding.signals.iter();
    let first = signals.next()?.transport()?;
    if signals.any(|signal| signal.transport() != Some(first)) {
        return None;
    }
    Some(match (first, remote) {
        (Transport::Tcp, _) => "tcp",
        (Transport::Udp, _) => "udp",
        (Transport::Icmp, IpAddr::V4(_)) => "icmp",
        (Transport::Icmp, IpAddr::V6(_)) => "ipv6-icmp",
    })
}

/// A window as KQL writes timespans: `1h`, `5m`, `90s`.
fn span(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{CATALOGUE, SignalSet};
    use recon_common::{Address, Signal};
    use serde_json::json;

    fn finding(index: usize, signals: &[Signal]) -> Finding {
        Finding {
            rule: &CATALOGUE[index],
            remote: Address::v4([198, 51, 100, 7]),
            port: None,
            local: Some(Address::v4([203, 0, 113, 1])),
            count: 37,
            start: Timestamp::from_second(1_700_000_000).expect("in range"),
            end: Timestamp::from_second(1_700_000_001).expect("in range"),
            signals: SignalSet::of(signals),
            ports: vec![22, 80],
            locals: vec![Address::v4([203, 0, 113, 1])],
            suppressed: 2,
            lower_bound: false,
        }
    }

    #[test]
    fn a_line_is_ecs() {
        let line = line(&finding(0, &[Signal::Syn]), "web1").expect("plain data");
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let alert: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(
            alert,
            json!({
                "@timestamp": "2023-11-14T22:13:21Z",
                "message": "port-scan: 198.51.100.7 on 203.0.113.1: 37 distinct ports, over 20 in 1h",
                "ecs": {"version": "8.17.0"},
                "event": {
                    "kind": "alert", "category": ["intrusion_detection", "network"], "type": ["info"],
                    "module": "recon", "dataset": "recon.alert", "severity": 73,
                    "start": "2023-11-14T22:13:20Z", "end": "2023-11-14T22:13:21Z"
                },
                "rule": {"id": "port-scan", "name": "Multiple ports scanned from a single IP"},
                "threat": {
                    "framework": "MITRE ATT&CK",
                    "tactic": {"id": "TA0043", "name": "Reconnaissance"},
                    "technique": {
                        "id": "T1595", "name": "Active Scanning",
                        "subtechnique": {"id": "T1595.001", "name": "Scanning IP Blocks"}
                    }
                },
                "source": {"ip": "198.51.100.7"},
                "destination": {"ip": "203.0.113.1"},
                "network": {"transport": "tcp", "type": "ipv4", "direction": "ingress"},
                "host": {"name": "web1"},
                "recon": {
                    "severity": "high", "measure": "distinct_ports", "count": 37, "threshold": 20, "window": "1h",
                    "signals": ["syn"], "ports": [22, 80], "lower_bound": false, "suppressed": 2
                }
            })
        );
    }

    #[test]
    fn direction_transport_and_several_destinations() {
        let dns_sent = CATALOGUE
            .iter()
            .position(|rule| rule.signals.contains(Signal::DnsSentUdp))
            .expect("9a");
        let mut sent = finding(dns_sent, &[Signal::DnsSentUdp, Signal::DnsSentTcp]);
        sent.port = Some(53);
        let mut swept = finding(0, &[Signal::EchoRequest]);
        swept.local = None;
        swept.remote = Address::from(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]));
        for (finding, expected) in [
            (
                sent,
                json!([
                    "203.0.113.1",
                    "198.51.100.7",
                    53,
                    "egress",
                    null,
                    ["dns-query-sent"],
                    null
                ]),
            ),
            (
                swept,
                json!([
                    "2001:db8::7",
                    null,
                    null,
                    "ingress",
                    "ipv6-icmp",
                    ["echo-request"],
                    ["203.0.113.1"]
                ]),
            ),
        ] {
            let alert = serde_json::to_value(alert(&finding, "web1")).expect("plain data");
            let fields = [
                "/source/ip",
                "/destination/ip",
                "/destination/port",
                "/network/direction",
                "/network/transport",
                "/recon/signals",
                "/recon/destinations",
            ]
            .map(|field| alert.pointer(field).cloned().unwrap_or_default());
            assert_eq!(json!(fields), expected);
        }
    }
}
