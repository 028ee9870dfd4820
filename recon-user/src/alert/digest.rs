//! The digest of an hour as a line of ECS: a metric, not an alert.
//!
//! In: a [`Digest`]. Out: a structure that serializes under the names of ECS.

use jiff::Timestamp;
use serde::Serialize;

use super::ecs::{Ecs, EcsEvent, Host};
use super::{ECS_VERSION, MODULE, id};
use crate::address::neighbour_network;
use crate::incident::{Digest, SourceCounts};
use crate::kql::Severity;
use crate::stable_hash::StableHash;

/// `recon.phase` of a digest.
const DIGEST: &str = "digest";

#[derive(Serialize)]
pub(super) struct DigestLine<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    message: String,
    ecs: Ecs,
    event: EcsEvent,
    host: Host<'a>,
    recon: DigestRecon<'a>,
}

#[derive(Serialize)]
struct DigestRecon<'a> {
    severity: &'static str,
    phase: &'static str,
    digest: DigestFields<'a>,
}

#[derive(Serialize)]
struct DigestFields<'a> {
    start: Timestamp,
    end: Timestamp,
    findings: u64,
    sources: SourceFields,
    rules: Vec<RuleFields<'a>>,
    networks: Vec<NetworkSourcesFields>,
    lower_bound: bool,
}

#[derive(Serialize)]
struct SourceFields {
    client: u64,
    undecided: u64,
    scanner: u64,
}

impl From<SourceCounts> for SourceFields {
    fn from(counts: SourceCounts) -> Self {
        let SourceCounts {
            client,
            undecided,
            scanner,
        } = counts;
        Self {
            client,
            undecided,
            scanner,
        }
    }
}

#[derive(Serialize)]
struct RuleFields<'a> {
    id: &'a str,
    measure: &'a str,
    name: &'a str,
    findings: u64,
    sources: SourceFields,
    ports: u64,
}

#[derive(Serialize)]
struct NetworkSourcesFields {
    network: String,
    sources: u64,
}

/// The line of a digest.
pub(super) fn digest<'a>(digest: &'a Digest, host: &'a str) -> DigestLine<'a> {
    let Digest { start, end, .. } = *digest;
    let of = StableHash::EMPTY
        .with(DIGEST.as_bytes())
        .with(&start.as_nanosecond().to_be_bytes());
    let severity = Severity::Informational;
    let rules = digest.rules.iter().map(|rule| RuleFields {
        id: rule.query.id(),
        measure: rule.query.measure_name(),
        name: &rule.query.plan().name,
        findings: rule.findings,
        sources: rule.sources.into(),
        ports: rule.ports,
    });
    let networks = digest.networks.iter().map(|of| NetworkSourcesFields {
        network: neighbour_network(of.network),
        sources: of.sources,
    });
    DigestLine {
        timestamp: end,
        message: message(digest),
        ecs: Ecs {
            version: ECS_VERSION,
        },
        event: EcsEvent {
            id: id(of, host),
            kind: "metric",
            category: &["network"],
            r#type: ["info"],
            module: MODULE,
            dataset: "recon.digest",
            severity: severity.number(),
            start,
            end,
        },
        host: Host { name: host },
        recon: DigestRecon {
            severity: severity.name(),
            phase: DIGEST,
            digest: DigestFields {
                start,
                end,
                findings: digest.findings(),
                sources: digest.sources.into(),
                rules: rules.collect(),
                networks: networks.collect(),
                lower_bound: digest.lower_bound,
            },
        },
    }
}

fn message(digest: &Digest) -> String {
    let Digest {
        start,
        end,
        sources,
        ..
    } = digest;
    let findings = digest.findings();
    let s = if findings == 1 { "" } else { "s" };
    let least = if digest.lower_bound { "at least " } else { "" };
    let SourceCounts {
        client,
        undecided,
        scanner,
    } = sources;
    format!(
        "digest: {findings} informational finding{s} without a line from {start} to {end}; sources: {least}{client} client, {undecided} undecided, {scanner} scanner"
    )
}
