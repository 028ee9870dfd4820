//! The digest of an hour as a line of ECS: a metric, not an alert.
//!
//! In: a [`Digest`]. Out: a structure that serializes under the names of ECS.

use jiff::Timestamp;
use serde::Serialize;

use super::ecs::{Ecs, EcsAgent, EcsEvent, EventText, Host, Observer};
use super::event_id;
use super::lines::Origin;
use super::message::{Reason, served};
use crate::address::neighbour_network;
use crate::contact::{AttemptCounts, ContactTotals, NetworkSources, SourceCounts};
use crate::incident::Digest;
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
    event: EcsEvent<'a>,
    observer: Observer<'a>,
    agent: EcsAgent,
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
    attempts: AttemptCounts,
    ports: u64,
    sources: SourceCounts,
    new_sources: u64,
    networks: Vec<NetworkSourcesFields>,
    findings: u64,
    rules: Vec<RuleFields<'a>>,
    lower_bound: bool,
}

#[derive(Serialize)]
struct RuleFields<'a> {
    id: &'a str,
    measure: &'a str,
    name: &'a str,
    findings: u64,
    sources: SourceCounts,
    ports: u64,
}

#[derive(Serialize)]
struct NetworkSourcesFields {
    network: String,
    sources: u64,
}

/// The line of a digest.
pub(super) fn digest<'a>(digest: &'a Digest, origin: Origin<'a>) -> DigestLine<'a> {
    let Digest { start, end, .. } = *digest;
    let of = StableHash::EMPTY
        .with(DIGEST.as_bytes())
        .with(&start.as_nanosecond().to_be_bytes());
    let severity = Severity::Informational;
    let rules = digest.rules.iter().map(|rule| RuleFields {
        id: rule.query.rule_id(),
        measure: rule.query.measure_name(),
        name: &rule.query.plan().name,
        findings: rule.findings,
        sources: rule.sources,
        ports: rule.ports,
    });
    let contacts = &digest.contacts;
    let networks = contacts.networks.iter().map(network_fields);
    let text = EventText {
        id: event_id(of, origin.host),
        kind: "metric",
        category: &["network"],
        dataset: "recon.digest",
        action: DIGEST,
        reason: Reason::HourIsOver,
        severity: severity.number(),
    };
    DigestLine {
        timestamp: end,
        message: message(digest),
        ecs: Ecs::FOLLOWED,
        event: EcsEvent::new(text, origin, [start, end]),
        observer: Observer::new(origin, None),
        agent: EcsAgent::SELF,
        host: Host::new(origin),
        recon: DigestRecon {
            severity: severity.name(),
            phase: DIGEST,
            digest: DigestFields {
                start,
                end,
                attempts: contacts.attempts,
                ports: contacts.ports,
                sources: contacts.sources,
                new_sources: contacts.new,
                networks: networks.collect(),
                findings: digest.findings(),
                rules: rules.collect(),
                lower_bound: digest.lower_bound || contacts.lower_bound,
            },
        },
    }
}

fn network_fields(of: &NetworkSources) -> NetworkSourcesFields {
    NetworkSourcesFields {
        network: neighbour_network(of.network),
        sources: of.sources,
    }
}

fn message(digest: &Digest) -> String {
    let Digest {
        start,
        end,
        contacts,
        ..
    } = digest;
    let tried = tried(contacts);
    let findings = number(digest.findings(), "informational finding");
    format!("digest: {tried} from {start} to {end}; {findings} without a line")
}

/// Who tried what, and what became of it.
fn tried(contacts: &ContactTotals) -> String {
    let ContactTotals {
        attempts,
        ports,
        sources,
        new,
        lower_bound,
        ..
    } = contacts;
    let least = if *lower_bound { "at least " } else { "" };
    let SourceCounts {
        client,
        undecided,
        scanner,
    } = sources;
    let AttemptCounts {
        accepted,
        refused,
        half_open,
        silent,
        silent_with_listener,
    } = attempts;
    let served = served(*silent_with_listener);
    format!(
        "{least}{} ({client} client, {undecided} undecided, {scanner} scanner; {new} new) made {} on {}: {accepted} accepted, {half_open} half-open, {refused} refused, {silent} not answered{served},",
        number(sources.all(), "source"),
        number(attempts.all(), "attempt"),
        number(*ports, "port"),
    )
}

/// A number of things.
fn number(number: u64, of: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {of}{s}")
}
