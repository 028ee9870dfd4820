//! A line as an event of Suricata's EVE.
//!
//! In: the fields of a line of ECS. Out: an event of the type `alert`; for a digest, which alerts
//! to nothing, of the type `stats`.
//! The decisions held here:
//! - Suricata's schema allows no field that it does not have, but for `alert.context`: what EVE has
//!   no field for is there, under its name in ECS.
//! - A signature's number is a hash of `rule.id`, so that it is the same on all hosts and in all
//!   versions. The numbers from 1,000,000,000 on are in no rule set that is distributed.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{Fields, object};
use super::ocsf::ip_version;
use crate::stable_hash::StableHash;

/// The first number of recon's signatures, and how many there are.
const SIGNATURES: (u64, u64) = (1_000_000_000, 1_000_000_000);

/// The event of a line.
pub(super) fn event(mut from: Fields) -> Option<Value> {
    let is_alert = from.take_text("event.kind").as_deref() != Some("metric");
    let kind = if is_alert { "alert" } else { "stats" };
    let transport = from.take_text("network.transport");
    object([
        (
            "timestamp",
            from.take("@timestamp").and_then(|at| timestamp(&at)),
        ),
        ("event_type", Some(json!(kind))),
        ("host", from.take("host.name")),
        ("in_iface", from.take("observer.ingress.interface.name")),
        ("src_ip", from.take_address("source")),
        ("src_port", from.take("source.port")),
        ("dest_ip", from.take_address("destination")),
        ("dest_port", from.take("destination.port")),
        ("proto", transport.map(|name| json!(proto(&name)))),
        ("ip_v", ip_version(from.take_text("network.type"))),
        ("alert", alert(from, is_alert)),
    ])
}

fn alert(mut from: Fields, is_alert: bool) -> Option<Value> {
    if !is_alert {
        return object([("context", from.rest())]);
    }
    let rule = from.take_text("rule.id");
    let signature_id = rule.as_deref().map(signature_id);
    let name = from
        .take("rule.name")
        .or_else(|| rule.as_deref().map(Value::from));
    let severity = from.take_text("recon.severity");
    let (rev, version) = revision(from.take_text("rule.version"));
    let metadata = metadata(&mut from, rule, version);
    object([
        // recon never drops a packet.
        ("action", Some(json!("allowed"))),
        ("signature_id", signature_id.map(Value::from)),
        ("rev", rev.map(Value::from)),
        ("signature", name),
        ("category", from.take("rule.category")),
        (
            "severity",
            severity.as_deref().and_then(priority).map(Value::from),
        ),
        ("metadata", metadata),
        ("context", from.rest()),
    ])
}

/// Lists of texts, as rules for Suricata have them.
fn metadata(from: &mut Fields, rule: Option<String>, version: Option<String>) -> Option<Value> {
    object([
        ("rule_id", rule.map(|rule| json!([rule]))),
        ("rule_version", version.map(|version| json!([version]))),
        ("tag", from.take("tags")),
        ("mitre_tactic_id", from.take("threat.tactic.id")),
        ("mitre_tactic_name", from.take("threat.tactic.name")),
        ("mitre_technique_id", from.take("threat.technique.id")),
        ("mitre_technique_name", from.take("threat.technique.name")),
        (
            "mitre_subtechnique_id",
            from.take("threat.technique.subtechnique.id"),
        ),
        (
            "mitre_subtechnique_name",
            from.take("threat.technique.subtechnique.name"),
        ),
    ])
}

/// The revision, if a version is a number, or else the version.
fn revision(version: Option<String>) -> (Option<u32>, Option<String>) {
    let number = version.as_deref().and_then(|version| version.parse().ok());
    match number {
        Some(number) => (Some(number), None),
        None => (None, version),
    }
}

/// The number of a rule.
pub(super) fn signature_id(rule: &str) -> u64 {
    let (first, number) = SIGNATURES;
    first + StableHash::EMPTY.with(rule.as_bytes()).upper_half() % number
}

/// From 1, the most severe, to 4.
fn priority(severity: &str) -> Option<u8> {
    match severity {
        "high" => Some(1),
        "medium" => Some(2),
        "low" => Some(3),
        "informational" => Some(4),
        _ => None,
    }
}

/// A protocol's name as Suricata writes it.
fn proto(transport: &str) -> String {
    match transport {
        "ipv6-icmp" => "IPv6-ICMP".to_owned(),
        other => other.to_uppercase(),
    }
}

fn timestamp(of: &Value) -> Option<Value> {
    let at: Timestamp = of.as_str()?.parse().ok()?;
    let text = at.strftime("%Y-%m-%dT%H:%M:%S%.6f%z");
    Some(json!(text.to_string()))
}
