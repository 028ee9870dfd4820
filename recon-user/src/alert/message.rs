//! The sentence of an alert, for a person: who did what to whom, how often, and how much is too much.
//!
//! In: a finding and its processes. Out: one line. What a process calls itself is made visible before it comes here.

use std::time::Duration;

use super::{LeftOut, actor, names};
use crate::judge::{Answers, Finding, Phase};
use crate::process::Process;
use crate::row::network;
use crate::rule::Measure;

pub(super) fn message(finding: &Finding, who: &[Process]) -> String {
    let ended = match finding.phase {
        Phase::Ended => " ended",
        Phase::Began | Phase::Grew => "",
    };
    format!("{}{ended}: {}", finding.rule.id(), told(finding, who))
}

/// The sentence of what was left out.
pub(super) fn left_out(greatest: &Finding, left_out: &LeftOut, who: &[Process]) -> String {
    let LeftOut { count, per, .. } = left_out;
    let (id, per) = (greatest.rule.id(), span(*per));
    let greatest = told(greatest, who);
    format!("{id}: {count} more left out in {per}, the greatest: {greatest}")
}

/// Who did what.
fn told(finding: &Finding, who: &[Process]) -> String {
    let rule = &finding.rule;
    let what = match rule.after() {
        Some(_) => {
            let by = actor::called(who).map_or_else(String::new, |who| format!(" by {who}"));
            format!("scanned this host, then was accepted{by}")
        }
        None => measured(finding),
    };
    let answers = finding.answers.as_ref().map_or_else(String::new, answered);
    format!("{}: {what}{answers}", ends(finding, who))
}

/// Who, and what it was done to.
fn ends(finding: &Finding, who: &[Process]) -> String {
    let remote = finding.remote.map(|remote| remote.to_ip());
    let local = finding.local.map(|local| local.to_ip());
    let port = match finding.port {
        Some(port) if port != 0 => format!(" port {port}"),
        _ => String::new(),
    };
    if finding.is_outbound() {
        let source = actor::called(who)
            .or_else(|| local.map(|local| local.to_string()))
            .unwrap_or_else(|| "this host".to_owned());
        let to = match (finding.rule.measure, remote) {
            (Measure::Count, Some(remote)) => format!(" to {remote}{port}"),
            (_, Some(remote)) => format!(" on {remote}{port}"),
            (_, None) if port.is_empty() => port,
            (_, None) => format!(" on{port}"),
        };
        format!("{source}{to}")
    } else {
        let source = match (remote, finding.network) {
            (Some(remote), _) => remote.to_string(),
            (None, Some(of)) => network::text(of),
            (None, None) => "several remotes".to_owned(),
        };
        let on = local.map_or_else(String::new, |local| format!(" on {local}"));
        format!("{source}{on}{port}")
    }
}

fn measured(finding: &Finding) -> String {
    let rule = &finding.rule;
    let what = match rule.measure {
        Measure::Count => {
            let signals = finding.signals.iter();
            names(signals.filter(|&signal| rule.measured_signals.contains(signal))).join(", ")
        }
        Measure::DistinctPorts => "distinct ports".to_owned(),
        Measure::DistinctAddresses => "distinct local addresses".to_owned(),
        Measure::DistinctRemotes => "distinct remotes".to_owned(),
        Measure::Other => rule.measure_name().to_owned(),
    };
    let over = match rule.threshold() {
        0 => String::new(),
        threshold => format!(", over {threshold}"),
    };
    format!("{} {what}{over} in {}", finding.count, span(rule.window()))
}

fn answered(answers: &Answers) -> String {
    let Answers {
        open,
        refused,
        silent,
        open_ports,
    } = answers;
    let ports: Vec<_> = open_ports.iter().map(u16::to_string).collect();
    let ports = match &ports[..] {
        [] => String::new(),
        ports => format!(" ({})", ports.join(", ")),
    };
    format!("; answered: {open} open{ports}, {refused} refused, {silent} silent")
}

/// A window as KQL writes timespans: `1h`, `5m`, `90s`.
pub(super) fn span(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}
