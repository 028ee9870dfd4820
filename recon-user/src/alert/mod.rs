//! Alerts: findings as lines of Elastic Common Schema (ECS).
//!
//! In: a [`Notification`] and the processes it is about. Out: one line of JSON. Fields that ECS
//! does not have are under `recon`. `digest` and `blind` write the lines that are about no finding.
//! The decision held here: fields follow the reader's point of view. `source` is the sender of what
//! was counted: the remote, or this host for traffic of its own processes. A field that would need
//! several values is omitted, and a sample of them is under `recon`.

mod actor;
mod blind;
mod digest;
mod ecs;
mod message;

use std::net::IpAddr;

use recon_common::signal::Transport;
use recon_common::{Address, Signal, Tool};

use crate::blind::BlindReport;
use crate::duration;
use crate::incident::{Finding, Notification, Source, Suppressed, SuppressedSource};
use crate::process::Process;
use crate::row::Verdict;
use crate::rule::Technique;
use crate::stable_hash::StableHash;
pub(crate) use blind::is_own_id;
use ecs::{
    Alert, Ecs, EcsColumns, EcsEndpoint, EcsEvent, Host, IdAndName, LeftOutSource, NetworkFields,
    Observer, Recon, Threat, ThreatTechnique,
};

/// `recon.phase` of suppressed findings.
const SUPPRESSED: &str = "left_out";
/// `event.module` of all lines.
const MODULE: &str = "recon";
/// The version of ECS that the fields follow.
const ECS_VERSION: &str = "8.17.0";

/// The line of a notification, with its line feed: a finding, the first of the suppressed findings
/// with their number, or the digest of an hour. `host` is the name of this host. `who` are the
/// processes of this host that sent the packets, or the one that accepted the connections, as far
/// as they are known.
///
/// # Errors
/// Those of `serde_json`.
pub fn line(
    notification: &Notification,
    host: &str,
    who: &[Process],
) -> serde_json::Result<Vec<u8>> {
    let mut line = match notification {
        Notification::Found(finding) => serde_json::to_vec(&alert(finding, host, who)),
        Notification::Suppressed { first, suppressed } => {
            serde_json::to_vec(&suppressed_alert(first, suppressed, host, who))
        }
        Notification::Digest(digest) => serde_json::to_vec(&digest::digest(digest, host)),
    }?;
    line.push(b'\n');
    Ok(line)
}

/// The line of a report on what recon does not see, with its line feed.
///
/// # Errors
/// Those of `serde_json`.
pub fn blind_line(report: &BlindReport, host: &str) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&blind::blind(report, host))?;
    line.push(b'\n');
    Ok(line)
}

/// The alert about suppressed findings.
fn suppressed_alert<'a>(
    first: &'a Finding,
    suppressed: &Suppressed,
    host: &'a str,
    who: &'a [Process],
) -> Alert<'a> {
    let mut alert = alert(first, host, who);
    alert.timestamp = suppressed.at;
    alert.message = message::suppressed(first, suppressed, who);
    alert.event.start = suppressed.start;
    alert.event.end = suppressed.end;
    alert.recon.phase = SUPPRESSED;
    alert.recon.left_out = Some(suppressed.count);
    alert.recon.left_out_sources = suppressed.sources.iter().map(left_out).collect();
    alert.recon.left_out_unlisted = Some(suppressed.unlisted);
    alert
}

fn left_out(of: &SuppressedSource) -> LeftOutSource {
    let mut source = LeftOutSource {
        ip: None,
        network: None,
        pid: None,
        count: of.count,
        verdict: of.verdict.map(Verdict::name),
    };
    match of.source {
        Source::Remote(remote) => source.ip = Some(remote.to_ip()),
        Source::Network(first, size) => source.network = Some(size.text(first)),
        Source::Process(pid) => source.pid = Some(pid),
    }
    source
}

fn alert<'a>(finding: &'a Finding, host: &'a str, who: &'a [Process]) -> Alert<'a> {
    let query = &finding.query;
    let remote = finding.remote.map(Address::to_ip);
    let local = finding.local.map(Address::to_ip);
    let (source, destination) = if finding.is_outbound() {
        (local, remote)
    } else {
        (remote, local)
    };
    // The remote and the local address are of the same family.
    let family = remote.or(local);
    Alert {
        timestamp: finding.at,
        message: message::message(finding, who),
        ecs: Ecs {
            version: ECS_VERSION,
        },
        event: event(finding, host),
        rule: IdAndName {
            id: query.id(),
            name: &query.plan().name,
        },
        threat: threat(finding),
        source: EcsEndpoint {
            ip: source,
            port: None,
        },
        destination: EcsEndpoint {
            ip: destination,
            port: finding.port,
        },
        network: NetworkFields {
            transport: transport(finding, family),
            r#type: family.map(|ip| if ip.is_ipv4() { "ipv4" } else { "ipv6" }),
            direction: if finding.is_outbound() {
                "egress"
            } else {
                "ingress"
            },
        },
        observer: match finding.interfaces[..] {
            [only] => Some(Observer::of_interface(only)),
            _ => None,
        },
        host: Host { name: host },
        actor: actor::actor(who),
        recon: recon(finding, host, who),
    }
}

fn event(finding: &Finding, host: &str) -> EcsEvent {
    EcsEvent {
        id: id(finding.incident, host),
        kind: "alert",
        category: &["intrusion_detection", "network"],
        r#type: ["info"],
        module: MODULE,
        dataset: "recon.alert",
        severity: finding.severity.number(),
        start: finding.start,
        end: finding.end,
    }
}

/// What identifies something of this host among those of all hosts.
fn id(of: StableHash, host: &str) -> String {
    of.with(host.as_bytes()).to_string()
}

fn threat(finding: &Finding) -> Threat<'_> {
    let known = Technique::of(finding.query.plan().technique.as_deref());
    Threat {
        framework: "MITRE ATT&CK",
        tactic: known.tactic.map(IdAndName::new),
        technique: ThreatTechnique {
            technique: IdAndName::new(known.technique),
            subtechnique: known.subtechnique.map(IdAndName::new),
        },
    }
}

fn recon<'a>(finding: &'a Finding, host: &str, who: &'a [Process]) -> Recon<'a> {
    let query = &finding.query;
    let ports = match finding.port {
        Some(_) => &[][..],
        None => &finding.ports,
    };
    let remotes = several(finding.remote, &finding.remotes);
    let network = finding.network_text();
    let is_judged = finding.remote.is_some() && !finding.is_outbound();
    let (sources, [source_network, destination_network], destinations) = if finding.is_outbound() {
        (Vec::new(), [None, network], remotes)
    } else {
        let locals = several(finding.local, &finding.locals);
        (remotes, [network, None], locals)
    };
    Recon {
        severity: finding.severity.name(),
        label: finding.label.as_deref(),
        tool: finding.tools.iter().map(Tool::name).collect(),
        verdict: is_judged.then(|| finding.verdict.name()),
        source_proven: is_judged.then_some(finding.is_proven),
        phase: finding.phase.name(),
        source_id: finding.source().map(|source| id(source.identify(), host)),
        left_out: None,
        left_out_sources: Vec::new(),
        left_out_unlisted: None,
        measure: query.measure_name(),
        count: finding.count,
        threshold: query.threshold(),
        window: duration::text(query.window()),
        signals: names(finding.signals.iter()),
        ports: ports.to_vec(),
        sources,
        source_network,
        destinations,
        destination_network,
        interfaces: match finding.interfaces[..] {
            [_] => Vec::new(),
            _ => finding.interfaces.clone(),
        },
        netns: finding.netns.clone(),
        processes: actor::several(who),
        unit: actor::only(who).and_then(|process| process.unit.as_deref()),
        outcomes: finding.outcomes.as_ref(),
        columns: EcsColumns(&finding.columns),
        lower_bound: finding.lower_bound,
        suppressed: finding.suppressed,
    }
}

/// The addresses that were seen, unless `all` is the only one.
fn several(all: Option<Address>, seen: &[Address]) -> Vec<IpAddr> {
    let seen = seen.iter().filter(|_| all.is_none());
    seen.map(|address| address.to_ip()).collect()
}

/// The names of signals. Signals with the same name give it once.
fn names(signals: impl Iterator<Item = Signal>) -> Vec<&'static str> {
    let mut names: Vec<_> = signals.map(Signal::name).collect();
    names.dedup();
    names
}

/// The IANA name of the transport that all signals of the finding share. For echo requests, it
/// depends on the address family.
fn transport(finding: &Finding, family: Option<IpAddr>) -> Option<&'static str> {
    let mut signals = finding.signals.iter();
    let first = signals.next()?.transport()?;
    if signals.any(|signal| signal.transport() != Some(first)) {
        return None;
    }
    Some(match first {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Sctp => "sctp",
        Transport::Icmp if family?.is_ipv4() => "icmp",
        Transport::Icmp => "ipv6-icmp",
    })
}

#[cfg(test)]
pub(crate) mod tests;
