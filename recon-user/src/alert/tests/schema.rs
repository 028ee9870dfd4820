//! Every line against ECS's own list of fields.
//!
//! `ecs-9.4.0.csv` is `generated/csv/fields.csv` of the tag v9.4.0 of elastic/ecs, unchanged
//! (Apache-2.0). It says of each field its type and whether it is a list.

use std::collections::HashMap;

use super::digest::digest;
use super::*;
use crate::address::NetworkSize;
use crate::blind::{BlindPart, BlindReport};
use crate::enrich::NamedBy;
use crate::incident::{PacketEvidence, Source, Suppressed, SuppressedSource};

/// Fields of recon's own are below this one.
const OWN: &str = "recon";

/// The values that ECS allows where it allows only some, by its pages on categorization fields.
const ALLOWED: [(&str, &[&str]); 4] = [
    (
        "event.kind",
        &[
            "alert",
            "asset",
            "enrichment",
            "event",
            "metric",
            "state",
            "signal",
        ],
    ),
    (
        "event.category",
        &["host", "intrusion_detection", "network"],
    ),
    ("event.type", &["info"]),
    ("event.outcome", &["failure", "success", "unknown"]),
];

/// A field as ECS declares it.
#[derive(serde::Deserialize)]
struct Declared {
    #[serde(rename = "Field")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Normalization")]
    normalization: String,
}

struct Schema(HashMap<String, Declared>);

impl Schema {
    fn read() -> Self {
        let text = include_str!("ecs-9.4.0.csv");
        let declared = csv::Reader::from_reader(text.as_bytes()).into_deserialize();
        let declared = declared.map(|row| row.expect("a row of ECS"));
        Self(
            declared
                .map(|row: Declared| (row.name.clone(), row))
                .collect(),
        )
    }

    /// What is wrong with a line.
    fn check(&self, line: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check_below("", line, &mut wrong);
        wrong
    }

    fn check_below(&self, name: &str, value: &Value, wrong: &mut Vec<String>) {
        let declared = self
            .0
            .get(name)
            .filter(|declared| declared.kind != "object");
        if let (Value::Object(fields), None) = (value, declared) {
            for (key, value) in fields.iter().filter(|(key, _)| *key != OWN) {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                self.check_below(&name, value, wrong);
            }
            return;
        }
        let Some(declared) = declared else {
            wrong.push(format!("{name}: no field of ECS"));
            return;
        };
        let (is_list, values) = match value {
            Value::Array(values) => (true, &values[..]),
            value => (false, std::slice::from_ref(value)),
        };
        if is_list != (declared.normalization == "array") {
            wrong.push(format!("{name}: {value}: a list or not"));
        }
        if values.is_empty() || !values.iter().all(|value| has_type(value, &declared.kind)) {
            wrong.push(format!("{name}: {value} is no {}", declared.kind));
        }
        let allowed = ALLOWED.iter().find(|(of, _)| *of == name);
        let is_allowed = |value: &Value| {
            allowed.is_none_or(|(_, all)| value.as_str().is_some_and(|text| all.contains(&text)))
        };
        if !values.iter().all(is_allowed) {
            wrong.push(format!("{name}: {value} is not allowed"));
        }
    }
}

/// Whether a value has a type of ECS.
fn has_type(value: &Value, kind: &str) -> bool {
    let text = value.as_str();
    match kind {
        "keyword" | "match_only_text" | "wildcard" => text.is_some_and(|text| !text.is_empty()),
        "long" => value.is_u64(),
        "date" => text.is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        "ip" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        _ => false,
    }
}

/// Findings of each built-in rule, with and without what may be unknown.
fn findings() -> Vec<Notification> {
    let outcomes = |accepted, silent| {
        Some(Outcomes {
            accepted,
            silent,
            refused: 3,
            ..Outcomes::default()
        })
    };
    let mut tools = ToolSet::default();
    Tool::ALL.into_iter().for_each(|tool| tools.insert(tool));
    let queries = [Profile::Source, Profile::Outcomes]
        .into_iter()
        .flat_map(defaults);
    let queries = queries.map(|mut plan| {
        plan.tags = vec!["dmz".to_owned(), "zone:2".to_owned()];
        std::sync::Arc::new(Query::new(Configured::plain(plan)))
    });
    queries
        .flat_map(|query| {
            let signals: Vec<Signal> = query.filter.signals.iter().collect();
            let full = Finding {
                signals: SignalSet::of(&signals),
                query: std::sync::Arc::clone(&query),
                severity: query.severity(),
                outcomes: outcomes(1, 2),
                interfaces: vec!["eth0"],
                port: Some(22),
                label: Some("a label".into()),
                tools,
                evidence: Some(PacketEvidence {
                    file: "/var/log/recon/evidence/a.pcapng".to_owned(),
                    packets: 64,
                }),
                ..finding("port-scan", &[Signal::Syn])
            };
            let bare = Finding {
                phase: Phase::Ended,
                remote: None,
                local: None,
                port: None,
                remotes: Vec::new(),
                locals: Vec::new(),
                outcomes: outcomes(0, 0),
                interfaces: Vec::new(),
                ..full.clone()
            };
            let several = Finding {
                remotes: vec![REMOTE, LOCAL],
                locals: vec![LOCAL, REMOTE],
                network: Some(Address::v4([198, 51, 100, 0])),
                interfaces: vec!["eth0", "wg0"],
                netns: vec!["blue"],
                outcomes: Some(Outcomes {
                    silent: 2,
                    silent_with_listener: 1,
                    open_ports: vec![22],
                    ..Outcomes::default()
                }),
                ..bare.clone()
            };
            let sources = [
                Source::Remote(REMOTE),
                Source::Network(REMOTE, NetworkSize::Neighbours),
                Source::Process(4711),
            ];
            let sources = sources.map(|source| SuppressedSource {
                source,
                count: 1,
                verdict: Some(Verdict::Scanner),
            });
            let suppressed = Suppressed {
                count: 7,
                sources: sources.to_vec(),
                unlisted: 2,
                start: full.start,
                end: full.end,
                at: full.at,
                per: std::time::Duration::from_secs(60),
            };
            [
                Notification::Found(Box::new(full.clone())),
                Notification::Found(Box::new(bare)),
                Notification::Found(Box::new(several)),
                Notification::Suppressed {
                    first: Box::new(full),
                    suppressed,
                },
            ]
        })
        .collect()
}

/// Lines of each kind, in their order.
pub(super) fn lines() -> Vec<Value> {
    lines_as(LineFormat::Ecs)
}

/// The same in a format.
pub(super) fn lines_as(format: LineFormat) -> Vec<Value> {
    let mut lines = AlertLines::of_this_host("web1")
        .written_as(format)
        .enriched_by(crate::enrich::tests::example());
    let name = "www.example".to_owned();
    lines
        .names_mut()
        .learn(REMOTE.to_ip(), name, NamedBy::Address);
    let mut notifications = findings();
    assert!(notifications.len() > 60, "{}", notifications.len());
    let mut hour = digest(3, true);
    hour.contacts.attempts.silent_with_listener = 1;
    notifications.push(Notification::Digest(Box::new(hour)));
    let mut written = Vec::new();
    for notification in &notifications {
        for who in [&[][..], &[nmap()], &[nmap(), process_without_name()]] {
            let line = lines.notification(notification, who).expect("plain data");
            written.push(line.to_vec());
        }
    }
    let parts = [
        BlindPart::Rule("port-scan".to_owned(), "Multiple ports".to_owned()),
        BlindPart::Interface("eth9".to_owned()),
        BlindPart::Hook("eth9".to_owned(), "xdp"),
        BlindPart::Table,
    ];
    let at = Timestamp::UNIX_EPOCH;
    for part in parts {
        let (phase, since, until, lost) = (Phase::Began, at, at, 1);
        let report = BlindReport {
            part,
            phase,
            at,
            since,
            until,
            lost,
        };
        written.push(lines.blind(&report).expect("plain data").to_vec());
    }
    let parsed = written.iter().map(|line| serde_json::from_slice(line));
    parsed.map(|line| line.expect("JSON")).collect()
}

#[test]
fn each_line_keeps_to_ecs() {
    let schema = Schema::read();
    for (number, line) in (1_u64..).zip(lines()) {
        assert_eq!(schema.check(&line), [""; 0], "{line}");
        assert_eq!(line["event"]["sequence"], number);
    }
}

#[test]
fn what_is_no_ecs_is_found() {
    let schema = Schema::read();
    for (line, expected) in [
        (json!({"event": {"kind": "alarm"}}), "is not allowed"),
        (json!({"event": {"kinds": "alert"}}), "no field of ECS"),
        (json!({"event": {"category": "network"}}), "a list or not"),
        (json!({"source": {"ip": "web1"}}), "is no ip"),
        (json!({"source": {"port": "22"}}), "is no long"),
        (json!({"event": {"start": "today"}}), "is no date"),
        (json!({"host": {"name": ""}}), "is no keyword"),
        (json!({"related": {"ip": []}}), "is no ip"),
    ] {
        let wrong = schema.check(&line);
        assert!(
            wrong.iter().any(|text| text.contains(expected)),
            "{line}: {wrong:?}"
        );
    }
}

#[test]
fn the_outcome_is_the_sources() {
    let none = Outcomes::default();
    for (outcomes, expected) in [
        (
            Outcomes {
                accepted: 1,
                refused: 9,
                ..none.clone()
            },
            "success",
        ),
        (
            Outcomes {
                refused: 9,
                ..none.clone()
            },
            "failure",
        ),
        (
            Outcomes {
                refused: 9,
                silent: 1,
                ..none.clone()
            },
            "unknown",
        ),
        (
            Outcomes {
                half_open: 1,
                ..none
            },
            "unknown",
        ),
    ] {
        let finding = Finding {
            outcomes: Some(outcomes.clone()),
            ..finding("port-scan", &[Signal::Syn])
        };
        assert_eq!(
            parsed(&finding, &[])["event"]["outcome"],
            expected,
            "{outcomes:?}"
        );
    }
}
