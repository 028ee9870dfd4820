//! What is shown of sources: the columns of all, the lines of the one that is followed.
//!
//! In: what the agent has said. Out: columns and lines.

use ratatui::text::Line;

use super::screen::{bold, plain};
use super::table::TableColumn;
use crate::service::{Live, LiveSource, ago};

/// The columns of the sources. What databases know of them is absent where they know nothing.
pub(super) fn source_columns(live: &Live) -> Vec<TableColumn> {
    let sources = &live.sources;
    let text = |title, rank, of: &dyn Fn(&LiveSource) -> String| {
        let values: Vec<_> = sources.iter().map(of).collect();
        TableColumn::texts(title, rank, values.iter().map(String::as_str))
    };
    let number = |title, rank, of: &dyn Fn(&LiveSource) -> u64| {
        TableColumn::numbers(title, rank, sources.iter().map(|it| of(it).to_string()))
    };
    let age = |title, rank, of: &dyn Fn(&LiveSource) -> jiff::Timestamp| {
        TableColumn::numbers(title, rank, sources.iter().map(|it| ago(of(it), live.at)))
    };
    let mut columns = vec![
        text("SOURCE", 0, &|it| it.ip.to_string()),
        text("LABEL", 11, &|it| it.label.clone().unwrap_or_default()),
        text("VERDICT", 1, &|it| it.verdict.clone()),
        number("PORTS", 2, &|it| it.targets),
        text("RANGE", 8, &range),
        number("ACCEPTED", 3, &|it| it.outcomes.accepted),
        number("REFUSED", 4, &|it| it.outcomes.refused),
        number("HALF", 6, &|it| it.outcomes.half_open),
        number("SILENT", 5, &|it| it.outcomes.silent),
        text("OPEN", 10, &|it| joined(&it.outcomes.open_ports)),
        text("TOOLS", 9, &|it| it.tools.join(",")),
        age("FIRST", 14, &|it| it.first),
        age("LAST", 7, &|it| it.last),
    ];
    let name = |it: &LiveSource| it.facts.domain.clone().unwrap_or_default();
    let network = |it: &LiveSource| it.facts.network();
    let has = |of: &dyn Fn(&LiveSource) -> String| sources.iter().any(|it| !of(it).is_empty());
    if has(&name) {
        columns.push(text("NAME", 12, &name));
    }
    if has(&network) {
        columns.push(text("NETWORK", 13, &network));
    }
    columns
}

fn range(source: &LiveSource) -> String {
    match source.port_range {
        Some([first, last]) if first == last => first.to_string(),
        Some([first, last]) => format!("{first}-{last}"),
        None => String::new(),
    }
}

fn joined(ports: &[u16]) -> String {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    ports.join(",")
}

/// All that is known of the source that is followed.
pub(super) fn followed_lines(live: &Live, ip: &str) -> Vec<Line<'static>> {
    let mut lines = vec![bold(&format!("FOLLOWING {ip}   Enter or Esc goes back"))];
    let Some(source) = live.followed.as_ref().filter(|it| it.ip.to_string() == ip) else {
        lines.push(plain(
            "  nothing is known of it: no attempt of it is resolved yet",
        ));
        return lines;
    };
    let outcomes = &source.outcomes;
    let handshake = match source.proven {
        true => "yes",
        false => "none: its address may be forged",
    };
    for (name, text) in [
        ("label", source.label.clone().unwrap_or_default()),
        ("owner", source.facts.to_string()),
        (
            "verdict",
            format!(
                "{}: {} failures against {} successes, which weigh {}",
                source.verdict, source.failures, source.successes, source.weight
            ),
        ),
        ("network", source.network_verdict.clone()),
        ("handshake", handshake.to_owned()),
        (
            "ports",
            format!(
                "{}, {}: {}",
                source.targets,
                range(source),
                joined(&source.ports)
            ),
        ),
        ("open", joined(&outcomes.open_ports)),
        (
            "outcomes",
            format!(
                "{} accepted, {} refused, {} half-open, {} silent",
                outcomes.accepted, outcomes.refused, outcomes.half_open, outcomes.silent
            ),
        ),
        ("tools", source.tools.join(", ")),
        (
            "seen",
            format!(
                "first {} ago, last {} ago",
                ago(source.first, live.at),
                ago(source.last, live.at)
            ),
        ),
    ] {
        if !text.is_empty() {
            lines.push(plain(&format!("  {name:<10} {text}")));
        }
    }
    lines
}
