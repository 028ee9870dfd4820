//! Alerts: findings as lines of Elastic Common Schema (ECS), or of another format.
//!
//! In: a notification and the processes it is about. Out: one line of JSON, by [`AlertLines`].
//! Fields that ECS does not have are under `recon`. `digest` and `blind` write the lines that are
//! about no finding. `format` maps lines to the other formats, by `ocsf` and `eve`.
//! The decision held here: fields follow the reader's point of view. `source` is the sender of what
//! was counted: the remote, or this host for traffic of its own processes. A field that would need
//! several values is omitted, and a sample of them is under `recon`.

mod actor;
mod blind;
mod digest;
mod ecs;
mod endpoint;
mod eve;
mod format;
mod json;
mod lines;
mod message;
mod ocsf;
mod own;
mod parts;
mod prepared;
mod time_text;

use std::collections::BTreeSet;
use std::net::IpAddr;

use recon_common::signal::Transport;
use recon_common::{Address, Signal, Tool};

use crate::address::IpText;
use crate::contact::Outcomes;
use crate::duration::Ticks;
use crate::incident::{Finding, Source, Suppressed, SuppressedSource};
use crate::process::Process;
use crate::row::Verdict;
use crate::stable_hash::StableHash;
pub(crate) use blind::{OWN_RULE_IDS, is_own_id, own_rule_id};
use ecs::{AsText, Ecs, EcsEvent, EventText, NetworkFields, Related};
use endpoint::EcsEndpoint;
pub use format::LineFormat;
pub use lines::AlertLines;
use lines::Origin;
pub(crate) use message::unit;
use message::{Message, Reason};
use own::{EcsColumns, LeftOutSource, Recon, SignalNames};
use parts::{Alert, AlertEnds, AlertHead, AlertTail};
use time_text::TimeText;

/// `recon.phase` of suppressed findings.
const SUPPRESSED: &str = "left_out";
/// `event.module` of all lines.
const MODULE: &str = "recon";
/// The sentence of a finding's line.
pub(crate) fn message(finding: &Finding, who: &[Process]) -> String {
    Message::Finding(finding, who).to_string()
}

/// The alert about suppressed findings.
fn suppressed_alert<'a>(
    first: &'a Finding,
    suppressed: &'a Suppressed,
    origin: Origin<'a>,
    who: &'a [Process],
) -> Alert<'a> {
    let mut alert = finding_alert(first, origin, who);
    let (head, recon) = (&mut alert.head, &mut alert.tail.recon);
    head.timestamp = TimeText::of(suppressed.at);
    head.message = AsText(Message::Suppressed(first, suppressed, who));
    head.event.action = SUPPRESSED;
    head.event.reason = AsText(Reason::Suppressed(suppressed));
    head.event.outcome = None;
    head.event.set_times([suppressed.start, suppressed.end]);
    recon.phase = SUPPRESSED;
    recon.left_out = Some(suppressed.count);
    recon.left_out_sources = suppressed.sources.iter().map(left_out).collect();
    recon.left_out_unlisted = Some(suppressed.unlisted);
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

fn finding_alert<'a>(finding: &'a Finding, origin: Origin<'a>, who: &'a [Process]) -> Alert<'a> {
    let remote = finding.remote.map(Address::to_ip);
    let local = finding.local.map(Address::to_ip);
    // Of the local address, the operator knows more than any database.
    let facts = remote.map(|ip| origin.enrichment.find(ip));
    let facts = facts.unwrap_or_default();
    let domain_by = facts.domain_by;
    let [remote_text, local_text] = [remote, local].map(|ip| ip.map(IpText::of));
    let remote_end = |port| EcsEndpoint::new(remote_text, port).with_facts(facts);
    let (source, destination) = if finding.is_outbound() {
        (EcsEndpoint::new(local_text, None), remote_end(finding.port))
    } else {
        (remote_end(None), EcsEndpoint::new(local_text, finding.port))
    };
    let event = event(finding, origin);
    // The remote and the local address are of the same family.
    let family = remote.or(local);
    Alert {
        head: AlertHead {
            timestamp: TimeText::of_or(finding.at, (finding.end, event.end)),
            message: AsText(Message::Finding(finding, who)),
            ecs: Ecs::FOLLOWED,
            event,
        },
        query: &finding.query,
        ends: AlertEnds {
            related: related(
                finding,
                [remote.zip(remote_text), local.zip(local_text)],
                who,
            ),
            source,
            destination,
            network: NetworkFields {
                transport: transport(finding, family),
                r#type: family.map(|ip| if ip.is_ipv4() { "ipv4" } else { "ipv6" }),
                direction: match finding.is_outbound() {
                    true => "egress",
                    false => "ingress",
                },
            },
        },
        interface: match finding.interfaces[..] {
            [only] => Some(only),
            _ => None,
        },
        tail: AlertTail {
            actor: actor::actor(who),
            recon: Recon {
                domain_by,
                ..recon(finding, origin.host, who)
            },
        },
    }
}

fn event<'a>(finding: &'a Finding, origin: Origin<'_>) -> EcsEvent<'a> {
    let text = EventText {
        id: event_id(finding.incident, origin.host),
        kind: "alert",
        category: &["intrusion_detection", "network"],
        dataset: "recon.alert",
        action: finding.phase.name(),
        reason: Reason::Finding(finding),
        severity: finding.severity.number(),
    };
    EcsEvent {
        outcome: finding.outcomes.as_ref().map(outcome),
        ..EcsEvent::new(text, origin, [finding.start, finding.end])
    }
}

/// Whether the source got what it tried for, as far as that is known.
fn outcome(of: &Outcomes) -> &'static str {
    match of {
        Outcomes { accepted: 1.., .. } => "success",
        Outcomes {
            half_open: 0,
            silent: 0,
            ..
        } => "failure",
        _ => "unknown",
    }
}

/// Each address and user once. `ends` are the remote and the local address, whose texts are known.
fn related(finding: &Finding, ends: [Option<(IpAddr, IpText)>; 2], who: &[Process]) -> Related {
    let seen = finding.remotes.iter().chain(&finding.locals);
    let known = ends.iter().flatten().map(|&(address, _)| address);
    let mut addresses: Vec<_> = known.chain(seen.map(|it| it.to_ip())).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let text = |address| {
        let known = ends.iter().flatten().find(|(known, _)| *known == address);
        known.map_or_else(|| IpText::of(address), |&(_, text)| text)
    };
    let ip = addresses.into_iter().map(text);
    let users = who.iter().filter_map(|process| {
        let user = process.user?;
        Some((user, process.user_name.as_deref()))
    });
    let users: BTreeSet<_> = users.collect();
    let mut user: Vec<String> = Vec::new();
    for (id, name) in users {
        user.push(id.to_string());
        user.extend(name.map(str::to_owned));
    }
    // A user may have a name in one process and none in another.
    user.dedup();
    Related {
        ip: ip.collect(),
        user,
    }
}

/// What identifies something of that host among those of all hosts: `event.id` of an incident.
pub(crate) fn event_id(of: StableHash, host: Option<&str>) -> StableHash {
    of.with(host.unwrap_or_default().as_bytes())
}

fn recon<'a>(finding: &'a Finding, host: Option<&str>, who: &'a [Process]) -> Recon<'a> {
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
        domain_by: None,
        tool: finding.tools.iter().map(Tool::name).collect(),
        verdict: is_judged.then(|| finding.verdict.name()),
        source_proven: is_judged.then_some(finding.is_proven),
        phase: finding.phase.name(),
        source_id: finding
            .source()
            .map(|source| AsText(event_id(source.identify(), host))),
        left_out: None,
        left_out_sources: Vec::new(),
        left_out_unlisted: None,
        measure: query.measure_name(),
        count: finding.count,
        threshold: query.threshold(),
        window: AsText(Ticks::of(query.window())),
        signals: SignalNames(finding.signals),
        ports,
        sources,
        source_network,
        destinations,
        destination_network,
        interfaces: match finding.interfaces[..] {
            [_] => &[],
            _ => &finding.interfaces,
        },
        netns: &finding.netns,
        processes: actor::several(who),
        unit: actor::only(who).and_then(|process| process.unit.as_deref()),
        outcomes: finding.outcomes.as_ref(),
        evidence: finding.evidence.as_ref(),
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
fn names(signals: impl Iterator<Item = Signal>) -> impl Iterator<Item = &'static str> {
    let mut last = None;
    let names = signals.map(Signal::name);
    names.filter(move |&name| last.replace(name) != Some(name))
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
