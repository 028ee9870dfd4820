//! Every line against the names and types of Suricata's EVE.
//!
//! `eve-8.0.6.json` says which properties of recon's lines EVE has, and of which types: facts of
//! etc/schema.json of Suricata 8.0.6, without its text, since that file is under the GPL. It is a
//! JSON schema of few keywords.

use super::schema::lines_as;
use super::*;

/// The only pattern of the schema.
const TIMESTAMP: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+[+\-]\d+$";
/// The keywords that [`check`] knows, and those that allow and forbid nothing.
const KEYWORDS: [&str; 9] = [
    "type",
    "properties",
    "additionalProperties",
    "required",
    "items",
    "minItems",
    "enum",
    "pattern",
    "$comment",
];

fn schema() -> Value {
    serde_json::from_str(include_str!("eve-8.0.6.json")).expect("JSON")
}

/// Notes what is wrong with a value.
fn check(at: &str, schema: &Value, value: &Value, wrong: &mut Vec<String>) {
    let mut keywords = schema.as_object().expect("a schema").keys();
    let unknown = keywords.find(|key| !KEYWORDS.contains(&key.as_str()));
    assert_eq!(unknown, None, "{at}: this keyword is not checked");
    let kind = schema["type"].as_str().expect("a type");
    let is_of_kind = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => panic!("{at}: the type {kind} is not checked"),
    };
    if !is_of_kind {
        wrong.push(format!("{at}: {value} is no {kind}"));
    }
    let allowed = schema["enum"].as_array();
    if allowed.is_some_and(|allowed| !allowed.contains(value)) {
        wrong.push(format!("{at}: {value} is not allowed"));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        assert_eq!(pattern, TIMESTAMP);
        if !value.as_str().is_some_and(is_timestamp) {
            wrong.push(format!("{at}: {value} is no time"));
        }
    }
    if let Some(items) = value.as_array() {
        if (items.len() as u64) < schema["minItems"].as_u64().unwrap_or(0) {
            wrong.push(format!("{at}: too short"));
        }
        for item in items {
            check(at, &schema["items"], item, wrong);
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at}.{name}: required"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match schema["properties"].get(name) {
            Some(schema) => check(&at, schema, value, wrong),
            None if schema["additionalProperties"] == true => {}
            None => wrong.push(format!("{at}: no property")),
        }
    }
}

fn is_timestamp(text: &str) -> bool {
    // The schema's pattern wants digits behind a point, and an offset without a colon.
    text.contains('.') && Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).is_ok()
}

fn wrong(line: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    check("", &schema(), line, &mut wrong);
    wrong
}

#[test]
fn each_line_keeps_to_eve() {
    for line in lines_as(LineFormat::Eve) {
        assert_eq!(wrong(&line), [""; 0], "{line:#}");
        // What EVE's fields mean beyond their types.
        let (kind, alert) = (&line["event_type"], &line["alert"]);
        assert!(kind == "alert" || kind == "stats", "{line:#}");
        if kind == "alert" {
            let severity = alert["severity"].as_u64();
            assert!(severity.is_some_and(|it| (1..=4).contains(&it)), "{line:#}");
            let lists = alert["metadata"].as_object().expect("metadata").values();
            for list in lists {
                let texts = list.as_array().expect("a list");
                assert!(texts.iter().all(Value::is_string), "{line:#}");
            }
        }
    }
}

#[test]
fn what_is_no_eve_is_found() {
    let line = lines_as(LineFormat::Eve).swap_remove(1);
    for (at, value, expected) in [
        ("", json!({"event_type": "alert"}), ".timestamp: required"),
        ("/timestamp", json!("2023-11-14T22:13:21Z"), "is no time"),
        ("/event_type", json!(1), "is no string"),
        ("/dest_port", json!("22"), "is no integer"),
        ("/alert", json!({"recon": 1}), "no property"),
        ("/alert/metadata/tag", json!([]), "too short"),
        ("/alert/metadata/tag", json!([1]), "is no string"),
    ] {
        let mut line = line.clone();
        line["alert"]["metadata"]["tag"] = json!(["a"]);
        *line
            .pointer_mut(at)
            .unwrap_or_else(|| panic!("{at}: not there")) = value;
        let wrong = wrong(&line);
        assert!(
            wrong.iter().any(|text| text.contains(expected)),
            "{at}: {wrong:?}"
        );
    }
}

#[test]
fn a_finding_is_written_as_an_alert_of_eve() {
    let finding = Finding {
        port: Some(22),
        interfaces: vec!["eth0"],
        ..finding("port-scan", &[Signal::Syn])
    };
    let ecs = parsed(&finding, &[nmap()]);
    assert_eq!(
        parsed_as(LineFormat::Eve, &finding, &[nmap()]),
        json!({
            "timestamp": "2023-11-14T22:13:21.000000+0000", "event_type": "alert",
            "host": "web1", "in_iface": "eth0", "src_ip": "198.51.100.7",
            "dest_ip": "203.0.113.1", "dest_port": 22, "proto": "TCP", "ip_v": 4,
            "alert": {
                "action": "allowed", "signature_id": SIGNATURE_OF_PORT_SCAN,
                "signature": "Multiple ports scanned from a single IP",
                "category": "port-scan", "severity": 1,
                "metadata": {
                    "rule_id": ["port-scan/distinct_ports"],
                    "rule_version": [finding.query.plan().version],
                    "mitre_tactic_id": ["TA0043"], "mitre_tactic_name": ["Reconnaissance"],
                    "mitre_technique_id": ["T1595"], "mitre_technique_name": ["Active Scanning"],
                    "mitre_subtechnique_id": ["T1595.001"],
                    "mitre_subtechnique_name": ["Scanning IP Blocks"]
                },
                "context": {
                    "message": ecs["message"],
                    "event": {
                        "id": "65a8e1afc8248cd4e6208076074dbf08", "action": "began",
                        "reason": "37 distinct ports, over 20 in 1h", "sequence": 1,
                        "category": ["intrusion_detection", "network"], "type": ["info"],
                        "dataset": "recon.alert", "severity": 73, "duration": 1_000_000_000,
                        "start": "2023-11-14T22:13:20Z", "end": "2023-11-14T22:13:21Z"
                    },
                    "network": {"direction": "ingress"},
                    "observer": {"product": "recon", "type": "ids", "version": VERSION},
                    "process": ecs["process"], "user": ecs["user"],
                    "container": {"id": "4f1c"}, "related": ecs["related"],
                    "threat": {"framework": "MITRE ATT&CK"},
                    "recon": {
                        "phase": "began", "source_id": "35f830208f1751494d2029b7fbc2b878",
                        "measure": "distinct_ports", "count": 37, "threshold": 20, "window": "1h",
                        "verdict": "undecided", "source_proven": false, "signals": ["syn"],
                        "unit": "session-3.scope", "columns": {"RemoteIP": "198.51.100.7"},
                        "lower_bound": false, "suppressed": 2
                    }
                }
            }
        })
    );
}

/// The number of a rule that consumers may have written down.
const SIGNATURE_OF_PORT_SCAN: u64 = 1_456_747_596;

#[test]
fn each_rule_has_a_number_of_its_own() {
    let plans = [Profile::Outcomes, Profile::Source].map(defaults).concat();
    let mut numbers = std::collections::BTreeMap::new();
    for plan in plans {
        let rule = crate::stream::rule_id(&plan);
        let number = super::super::eve::signature_id(&rule);
        let before = numbers.insert(number, rule.clone());
        assert!(before.is_none_or(|before| before == rule), "{rule}");
    }
    assert!(numbers.len() > 60);
}

#[test]
fn a_version_that_is_a_number_is_a_revision() {
    for (version, rev, listed) in [
        ("7", json!(7), json!(null)),
        ("4fc8f6950bf0", json!(null), json!(["4fc8f6950bf0"])),
        ("2026-11-30", json!(null), json!(["2026-11-30"])),
    ] {
        let mut finding = finding("icmp-sweep", &[Signal::EchoRequest]);
        std::sync::Arc::make_mut(&mut finding.query)
            .rule
            .plan
            .version = version.to_owned();
        let alert = &parsed_as(LineFormat::Eve, &finding, &[])["alert"];
        let found = (&alert["rev"], &alert["metadata"]["rule_version"]);
        assert_eq!(found, (&rev, &listed), "{version}");
    }
}
