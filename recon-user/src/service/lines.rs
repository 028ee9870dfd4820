//! What the agent answers, as lines for a terminal or a log.
//!
//! In: a [`Status`], a [`Live`] or an [`Explanation`]. Out: text.
//! The decision held here: each line is escaped as a whole, last, so that no name that a process or
//! a remote has chosen controls a terminal or forges a line.

mod explanation;

use jiff::{SignedDuration, Timestamp};

use super::live::{Live, LiveIncident, LiveProcess, LiveSource};
use super::protocol::{LastReload, SinkStatus, Status};
use crate::diagnostic::visible;

pub(super) use explanation::of_explanation;

/// What the agent knows of itself.
pub(super) fn of_status(status: &Status) -> String {
    shown(&status_lines(status))
}

fn status_lines(status: &Status) -> Vec<String> {
    let Status {
        version,
        pid,
        since,
        interfaces,
        hooks,
        polls,
        failed_polls,
        missed_polls,
        signals,
        sketched,
        lost,
        evicted,
        refused,
        rules,
        incidents_open,
        alerts,
        log_dropped,
        alerts_unwritten,
        events_unwritten,
        sinks,
        state_failures,
        blind,
        sandbox,
        last_reload,
    } = status;
    let mut lines = vec![
        format!("recon {version}, pid {pid}, since {since}"),
        format!("watching     {}", interfaces.join(", ")),
    ];
    lines.extend(hooks.iter().map(|hook| format!("hooks        {hook}")));
    lines.extend([
        format!("polls        {polls}, {failed_polls} failed, {missed_polls} missed"),
        format!("signals      {signals}, {sketched} sketched, {lost} lost"),
        format!("rules        {rules}, {evicted} sources or groups evicted, {refused} refused"),
        format!(
            "alerts       {alerts} lines, {incidents_open} incidents open, {log_dropped} log lines dropped"
        ),
        format!(
            "not written  {alerts_unwritten} alert lines, {events_unwritten} event lines, {state_failures} saves of the state failed"
        ),
    ]);
    lines.extend(sinks.iter().map(of_sink));
    lines.push(format!("sandbox      {sandbox}"));
    if !blind.is_empty() {
        lines.push(format!("BLIND        {}", blind.join(", ")));
    }
    if let Some(LastReload { at, ok, result }) = last_reload {
        let outcome = match ok {
            true => "in force",
            false => "refused",
        };
        lines.push(format!("last reload  {at}, {outcome}: {result}"));
    }
    lines
}

fn of_sink(sink: &SinkStatus) -> String {
    let SinkStatus {
        name,
        destination,
        written,
        dropped,
        repeated,
        waiting,
        problem,
    } = sink;
    let problem = problem.as_ref();
    let problem = problem.map_or_else(String::new, |problem| format!("; FAILS: {problem}"));
    format!(
        "sink         {name}: {written} lines written, {dropped} dropped, {repeated} repeated, {waiting} waiting; {destination}{problem}"
    )
}

/// What the agent knows of itself and sees.
pub(super) fn of_live(live: &Live) -> String {
    let mut lines = status_lines(&live.status);
    let counts = live.known_sources;
    let least = if live.sources_lower_bound {
        ", and more that are not kept"
    } else {
        ""
    };
    lines.push(format!(
        "sources      {} known{least}: {} scanner, {} undecided, {} client; the first {} of {}",
        counts.all(),
        counts.scanner,
        counts.undecided,
        counts.client,
        live.sources.len(),
        live.matching_sources
    ));
    lines.extend(live.sources.iter().map(|source| of_source(source, live.at)));
    lines.extend(live.incidents.iter().map(of_incident));
    lines.extend(live.processes.iter().map(of_process));
    shown(&lines)
}

fn of_source(source: &LiveSource, now: Timestamp) -> String {
    let outcomes = &source.outcomes;
    let label = source.label.as_ref();
    let label = label.map_or_else(String::new, |label| format!(" ({label})"));
    let facts = match source.facts.to_string() {
        none if none.is_empty() => none,
        facts => format!(", {facts},"),
    };
    let tools = match &source.tools[..] {
        [] => String::new(),
        tools => format!("; looks like {}", tools.join(", ")),
    };
    format!(
        "  {}{label}{facts} {}: {} targets{}: {} accepted, {} half-open, {} refused, {} not answered; first {} ago, last {} ago{tools}",
        source.ip,
        source.verdict,
        source.targets,
        port_range(source),
        outcomes.accepted,
        outcomes.half_open,
        outcomes.refused,
        outcomes.silent,
        ago(source.first, now),
        ago(source.last, now),
    )
}

fn port_range(source: &LiveSource) -> String {
    match source.port_range {
        Some([first, last]) if first == last => format!(" on port {first}"),
        Some([first, last]) => format!(" on ports {first} to {last}"),
        None => String::new(),
    }
}

fn of_incident(incident: &LiveIncident) -> String {
    let LiveIncident {
        event_id,
        rule_id,
        severity,
        source,
        port,
        measure,
        count,
        threshold,
        since,
        ..
    } = incident;
    let port = port.map_or_else(String::new, |port| format!(" port {port}"));
    format!(
        "incident     {severity} {rule_id}: {source}{port}: {measure} {count}, over {threshold}; since {}; {event_id}",
        to_second(*since)
    )
}

fn of_process(process: &LiveProcess) -> String {
    let LiveProcess {
        pid,
        name,
        executable,
        user,
        rules,
        count,
    } = process;
    let name = name.as_deref().unwrap_or("unknown");
    let executable = executable
        .as_ref()
        .map_or_else(String::new, |it| format!(", {it}"));
    let user = user
        .as_ref()
        .map_or_else(String::new, |it| format!(", user {it}"));
    format!(
        "process      {name} (pid {pid}){executable}{user}: {} {count}",
        rules.join(", ")
    )
}

/// Lines that can be shown.
fn shown(lines: &[String]) -> String {
    let shown = lines.iter().map(|line| visible(line.as_bytes()));
    shown.collect::<Vec<_>>().join("\n") + "\n"
}

/// A time without its fraction.
pub(crate) fn to_second(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second());
    whole.unwrap_or(time).to_string()
}

/// How long ago that was, in its greatest unit.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let seconds = now.duration_since(time).max(SignedDuration::ZERO).as_secs();
    match seconds {
        DAY.. => format!("{}d", seconds / DAY),
        HOUR.. => format!("{}h", seconds / HOUR),
        MINUTE.. => format!("{}m", seconds / MINUTE),
        _ => format!("{seconds}s"),
    }
}
