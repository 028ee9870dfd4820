//! The line of a digest.

use std::sync::Arc;

use super::*;
use crate::contact::{AttemptCounts, ContactTotals, NetworkSources, SourceCounts};
use crate::incident::Digest;
use crate::incident::digest::RuleDigest;

pub(super) fn digest(findings: u64, lower_bound: bool) -> Digest {
    let sources = SourceCounts {
        client: 3,
        undecided: 2,
        scanner: 1,
    };
    Digest {
        start: Timestamp::from_second(1_700_000_000).expect("in range"),
        end: Timestamp::from_second(1_700_002_800).expect("in range"),
        contacts: ContactTotals {
            attempts: AttemptCounts {
                accepted: 40,
                refused: 9,
                half_open: 1,
                silent: 5,
                silent_with_listener: 0,
            },
            ports: 12,
            sources,
            new: 5,
            networks: vec![NetworkSources {
                network: Address::v4([198, 51, 100, 0]),
                sources: 6,
            }],
            lower_bound,
        },
        rules: vec![RuleDigest {
            query: Arc::clone(&finding("http-flood", &[Signal::Accepted]).query),
            findings,
            sources,
            ports: 4,
        }],
        lower_bound,
    }
}

fn parsed(digest: Digest, host: &str) -> Value {
    let line = AlertLines::of(host)
        .notification(&Notification::Digest(Box::new(digest)), &[])
        .expect("plain data")
        .to_vec();
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    serde_json::from_slice(&line).expect("JSON")
}

#[test]
fn a_digest_is_written_as_a_metric() {
    let sources = json!({"client": 3, "undecided": 2, "scanner": 1});
    assert_eq!(
        parsed(digest(11, false), "web1"),
        json!({
            "@timestamp": "2023-11-14T23:00:00Z",
            "message": "digest: 6 sources (3 client, 2 undecided, 1 scanner; 5 new) made 55 attempts on 12 ports: 40 accepted, 1 half-open, 9 refused, 5 not answered, from 2023-11-14T22:13:20Z to 2023-11-14T23:00:00Z; 11 informational findings without a line",
            "ecs": {"version": "9.4.0"},
            "agent": {"type": "recon", "version": VERSION},
            "observer": {"product": "recon", "type": "ids", "version": VERSION, "hostname": "web1"},
            "event": {
                "id": "35edb7cc55cb4430ba6e4f4b64f93e8e", "kind": "metric", "category": ["network"], "type": ["info"],
                "module": "recon", "dataset": "recon.digest", "severity": 1, "sequence": 1,
                "action": "digest", "reason": "an hour is over",
                "start": "2023-11-14T22:13:20Z", "end": "2023-11-14T23:00:00Z",
                "duration": 2_800_000_000_000_u64
            },
            "host": {"name": "web1"},
            "recon": {
                "severity": "informational", "phase": "digest",
                "digest": {
                    "start": "2023-11-14T22:13:20Z", "end": "2023-11-14T23:00:00Z",
                    "attempts": {"accepted": 40, "refused": 9, "half_open": 1, "silent": 5},
                    "ports": 12, "sources": sources, "new_sources": 5,
                    "networks": [{"network": "198.51.100.0/24", "sources": 6}],
                    "findings": 11,
                    "rules": [{
                        "id": "http-flood/count/connections", "measure": "count",
                        "name": "HTTP connections from a single IP",
                        "findings": 11, "sources": sources, "ports": 4
                    }],
                    "lower_bound": false
                }
            }
        })
    );
}

#[test]
fn messages_of_digests() {
    for (findings, lower_bound, expected) in [
        (
            1,
            false,
            ["digest: 6 sources (", "; 1 informational finding without"],
        ),
        (
            2,
            true,
            [
                "digest: at least 6 sources (",
                "; 2 informational findings without",
            ],
        ),
    ] {
        let line = parsed(digest(findings, lower_bound), "web1");
        assert_eq!(line["recon"]["digest"]["lower_bound"], lower_bound);
        let message = line["message"].as_str().expect("text");
        assert!(
            expected.iter().all(|part| message.contains(part)),
            "{message}"
        );
    }
}

#[test]
fn each_hour_of_each_host_has_an_id() {
    let id = |digest, host| parsed(digest, host)["event"]["id"].clone();
    let first = id(digest(1, false), "web1");
    assert_eq!(id(digest(2, true), "web1"), first);
    assert_ne!(id(digest(1, false), "web2"), first);
    let mut next = digest(1, false);
    next.start = next.end;
    assert_ne!(id(next, "web1"), first);
}
