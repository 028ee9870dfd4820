//! The message of an alert, for a human reader: who did what to whom, how often, and the threshold;
//! what the source learned of this host; and what is at stake.
//!
//! In: a finding and its processes. Out: one line. Process names are already printable here.

use recon_common::Tool;

use super::{actor, names};
use crate::contact::Outcomes;
use crate::duration::text;
use crate::incident::{Finding, Phase, Suppressed};
use crate::process::Process;
use crate::stream::Measure;

pub(super) fn message(finding: &Finding, who: &[Process]) -> String {
    let ended = match finding.phase {
        Phase::Ended => " ended",
        Phase::Began | Phase::Grew => "",
    };
    let stake = match &finding.query.plan().stake {
        Some(stake) if finding.phase != Phase::Ended && !found_nothing(finding) => {
            format!(" - {stake}")
        }
        _ => String::new(),
    };
    let sentence = sentence(finding, who);
    format!("{}{ended}: {sentence}{stake}", finding.query.id())
}

/// Whether its source knows that nothing is open to it.
fn found_nothing(finding: &Finding) -> bool {
    let outcomes = finding.outcomes.as_ref();
    outcomes.is_some_and(|outcomes| outcomes.open_ports.is_empty() && outcomes.silent == 0)
}

/// The message about suppressed findings.
pub(super) fn suppressed(first: &Finding, suppressed: &Suppressed, who: &[Process]) -> String {
    let Suppressed { count, per, .. } = suppressed;
    let (id, per) = (first.query.id(), text(*per));
    let first = sentence(first, who);
    format!("{id}: {count} more left out in {per}, the first of them: {first}")
}

/// Why the line is written: what was counted, and the threshold.
pub(super) fn reason(finding: &Finding) -> String {
    match finding.query.after() {
        [_, ..] => "scanned this host, then was accepted".to_owned(),
        [] => measured(finding),
    }
}

/// Why there is a line about suppressed findings.
pub(super) fn suppressed_reason(suppressed: &Suppressed) -> String {
    let Suppressed { count, per, .. } = suppressed;
    format!("{count} findings over the limit on lines in {}", text(*per))
}

/// Who did what.
fn sentence(finding: &Finding, who: &[Process]) -> String {
    let what = match finding.query.after() {
        [_, ..] => {
            let by = actor::called(who).map_or_else(String::new, |who| format!(" by {who}"));
            format!("scanned this host, then was accepted{by}")
        }
        [] => measured(finding),
    };
    let outcomes = finding.outcomes.as_ref().map_or_else(String::new, came_to);
    let forged = match finding.may_be_forged {
        true => "; it is a client, in whose name somebody may forge",
        false => "",
    };
    format!(
        "{}: {what}{outcomes}{}{forged}",
        ends(finding, who),
        likeness(finding)
    )
}

/// Who did it, and to what.
fn ends(finding: &Finding, who: &[Process]) -> String {
    let remote = finding.remote.map(|remote| remote.to_ip());
    let local = finding.local.map(|local| local.to_ip());
    let port = match finding.port {
        Some(port) => format!(" port {port}"),
        None => String::new(),
    };
    if finding.is_outbound() {
        let source = actor::called(who)
            .or_else(|| local.map(|local| local.to_string()))
            .unwrap_or_else(|| "this host".to_owned());
        let to = match (finding.query.measure, remote) {
            (Measure::Count, Some(remote)) => format!(" to {remote}{port}"),
            (_, Some(remote)) => format!(" on {remote}{port}"),
            (_, None) if port.is_empty() => port,
            (_, None) => format!(" on{port}"),
        };
        format!("{source}{to}")
    } else {
        let source = match (remote, finding.network_text()) {
            (Some(remote), _) => remote.to_string(),
            (None, Some(network)) => network,
            (None, None) => match finding.sources {
                Some(sources) => format!("{sources} remotes"),
                None => "several remotes".to_owned(),
            },
        };
        let on = local.map_or_else(String::new, |local| format!(" on {local}"));
        format!("{source}{on}{port}")
    }
}

/// What is counted, in the plural.
pub(crate) fn unit(finding: &Finding) -> String {
    let query = &finding.query;
    match (&query.plan().unit, query.measure) {
        (Some(unit), _) => unit.clone(),
        (None, Measure::Count) => {
            let signals = finding.signals.iter();
            names(signals.filter(|&signal| query.measured.signals.contains(signal))).join(", ")
        }
        (None, Measure::DistinctPorts) => "distinct ports".to_owned(),
        (None, Measure::DistinctAddresses) => "distinct local addresses".to_owned(),
        (None, Measure::DistinctRemotes) => "distinct remotes".to_owned(),
        (None, Measure::Other) => query.measure_name().to_owned(),
    }
}

fn measured(finding: &Finding) -> String {
    let query = &finding.query;
    let what = unit(finding);
    let over = match query.threshold() {
        0 => String::new(),
        threshold => format!(", over {threshold}"),
    };
    format!("{} {what}{over} in {}", finding.count, text(query.window()))
}

/// What the probes look like.
fn likeness(finding: &Finding) -> String {
    let called = |tool| match tool {
        Tool::Crafted => "a tool that crafts its SYNs",
        tool => tool.name(),
    };
    let tools: Vec<_> = finding.tools.iter().map(called).collect();
    match &tools[..] {
        [] => String::new(),
        tools => format!("; looks like {}", tools.join(", ")),
    }
}

/// What the source has learned, and from what became of its attempts.
fn came_to(outcomes: &Outcomes) -> String {
    let Outcomes {
        accepted,
        refused,
        half_open,
        silent,
        silent_with_listener,
        open_ports,
    } = outcomes;
    let ports: Vec<_> = open_ports.iter().map(u16::to_string).collect();
    let found = match &ports[..] {
        [] if *silent == 0 => "nothing open to it; ".to_owned(),
        // To a probe with odd flags or a datagram, silence may mean an open port.
        [] => String::new(),
        ports => format!("open to it {}; ", ports.join(", ")),
    };
    // Ports, each on its local address: a reader must not take them for connections.
    let targets = match accepted + refused + half_open + silent {
        1 => "1 target".to_owned(),
        targets => format!("{targets} targets"),
    };
    let served = served(*silent_with_listener);
    format!(
        "; {found}of {targets} {accepted} accepted, {half_open} half-open, {refused} refused, {silent} not answered{served}"
    )
}

/// Attempts that were not answered though a socket of this host waits there.
pub(super) fn served(number: u64) -> String {
    match number {
        0 => String::new(),
        number => format!(" ({number} of them though a socket waits there)"),
    }
}
