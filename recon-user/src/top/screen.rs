//! The screen: a frame of lines, from what the agent has said and what the user has chosen.
//!
//! In: a [`View`], the size of the terminal. Out: a frame, whatever the size.
//! The decisions held here: nothing is said by colour alone. All text is escaped on its way into a
//! line. Where there is no room, processes go first, then incidents; the first two lines stay.

use std::time::Instant;

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::source::{followed_lines, source_columns};
use super::table::{TableColumn, fit};
use super::view::View;
use crate::diagnostic::visible;
use crate::service::{Live, LiveIncident, LiveProcess, SinkStatus, ago, to_second};

/// Interfaces that the first line names.
const NAMED: usize = 3;
/// Processes that are shown, if there is room.
const PROCESSES: usize = 4;
/// Incidents that are shown at least, if there is room.
const INCIDENTS: usize = 3;
/// One row of so many is for incidents.
const INCIDENT_SHARE: usize = 3;
/// The least rows of the list of sources.
const SOURCES: usize = 3;

const HELP: [&str; 11] = [
    "keys",
    "  q, Ctrl-C         end",
    "  s, S              sort by the next order, the one before",
    "  /                 filter: an address, its first numbers, a network, or a verdict",
    "  up, down, j, k    select a source; PageUp, PageDown, Home, End too",
    "  Enter, f          follow the selected source, and back",
    "  Esc               back; without a followed source, no filter",
    "  p, space          pause, and go on",
    "  ?                 this",
    "",
    "  any other key goes back",
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut View) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = head(view);
    let footer = footer(view);
    let room = height.saturating_sub(lines.len() + 1);
    let body = match (&view.live, view.shows_help) {
        (_, true) => HELP.map(plain).to_vec(),
        (None, false) => vec![plain("waiting for recon's first answer")],
        (Some(live), false) => body(view, live, width, room),
    };
    lines.extend(body.into_iter().take(room));
    // The first lines matter most where there is room for fewer.
    lines.truncate(height);
    if lines.len() < height {
        lines.resize_with(height - 1, Line::default);
        lines.push(footer);
    }
    frame.render_widget(Paragraph::new(lines), area);
}

pub(super) fn plain(text: &str) -> Line<'static> {
    Line::raw(visible(text.as_bytes()))
}

pub(super) fn bold(text: &str) -> Line<'static> {
    plain(text).style(Modifier::BOLD)
}

/// Who is asked, and what it does not see.
fn head(view: &View) -> Vec<Line<'static>> {
    let first = view.live.as_ref().map_or_else(
        || "recon".to_owned(),
        |live| {
            let status = &live.status;
            let named = status.interfaces.iter().take(NAMED).cloned();
            let more = status.interfaces.len().saturating_sub(NAMED);
            let more = (more > 0).then(|| format!("{more} more"));
            let watched: Vec<_> = named.chain(more).collect();
            // Without the commit.
            let version = status.version.split(' ').next().unwrap_or_default();
            format!(
                "recon {version}  pid {}  {}  {} polls  {} signals  {} lost  {}",
                status.pid,
                watched.join(","),
                status.polls,
                status.signals,
                status.lost,
                to_second(live.at)
            )
        },
    );
    vec![bold(&first), state(view)]
}

/// Whether the agent answers, and what is lost.
fn state(view: &View) -> Line<'static> {
    let alarm = |text: &str| {
        let color = view.has_color.then_some(Color::Red);
        let style = Style::from(Modifier::BOLD | Modifier::REVERSED);
        plain(text).style(color.map_or(style, |color| style.fg(color)))
    };
    if let Some((why, since)) = &view.lost {
        let gone = Instant::now().saturating_duration_since(*since).as_secs();
        let shown = match view.live {
            Some(_) => "shown is what it said last",
            None => "nothing to show yet",
        };
        return alarm(&format!(
            "NO ANSWER for {gone}s, trying again; {shown}: {why}"
        ));
    }
    let Some(live) = &view.live else {
        return Line::default();
    };
    let losses = losses(live);
    match (losses.is_empty(), view.is_paused) {
        (true, false) => plain("nothing is lost"),
        (true, true) => alarm("PAUSED"),
        (false, false) => alarm(&losses.join("; ")),
        (false, true) => alarm(&format!("PAUSED; {}", losses.join("; "))),
    }
}

fn losses(live: &Live) -> Vec<String> {
    let status = &live.status;
    let mut losses = Vec::new();
    if !status.blind.is_empty() {
        losses.push(format!("BLIND: {}", status.blind.join(", ")));
    }
    for (number, what) in [
        (status.lost, "signals lost"),
        (status.failed_polls, "polls failed"),
        (status.alerts_unwritten, "alert lines not written"),
        (status.events_unwritten, "event lines not written"),
        (status.log_dropped, "log lines dropped"),
        (status.state_failures, "saves of the state failed"),
        (status.evicted + status.refused, "groups evicted or refused"),
    ] {
        if number > 0 {
            losses.push(format!("{number} {what}"));
        }
    }
    let failing = |sink: &&SinkStatus| sink.dropped > 0 || sink.problem.is_some();
    losses.extend(status.sinks.iter().filter(failing).map(|sink| {
        let problem = sink.problem.as_deref().unwrap_or("works again");
        format!("sink {}: {} dropped, {problem}", sink.name, sink.dropped)
    }));
    losses
}

/// What can be typed, or what is being typed.
fn footer(view: &View) -> Line<'static> {
    match &view.typed {
        Some((text, None)) => bold(&format!("filter: {text}_   Enter applies, Esc cancels")),
        Some((text, Some(why))) => bold(&format!("filter: {text}_   {why}")),
        None => plain("q end  s sort  / filter  Enter follow  Esc back  p pause  ? help"),
    }
}

fn body(view: &View, live: &Live, width: usize, room: usize) -> Vec<Line<'static>> {
    let followed = view.followed.map(|ip| ip.to_string());
    let is_shown = |it: &&LiveIncident| followed.as_ref().is_none_or(|ip| it.source == *ip);
    let incidents: Vec<_> = live.incidents.iter().filter(is_shown).collect();
    let processes = if followed.is_some() {
        &[][..]
    } else {
        &live.processes
    };
    let mut left = room.saturating_sub(SOURCES);
    let mut section = |lines: Vec<Line<'static>>, most: usize| {
        let used = match lines.len().min(most).min(left) {
            // A title alone says nothing.
            ..=2 => 0,
            used => used,
        };
        left -= used;
        lines.into_iter().take(used).collect::<Vec<_>>()
    };
    let most = (room / INCIDENT_SHARE).max(INCIDENTS + 2);
    let incidents = section(incident_lines(live, &incidents, width), most);
    let processes = section(process_lines(processes, width), PROCESSES + 2);
    let room = room - incidents.len() - processes.len();
    let mut lines = match &followed {
        Some(ip) => followed_lines(live, ip),
        None => source_lines(view, live, width, room),
    };
    lines.resize_with(room, Line::default);
    lines.extend(incidents);
    lines.extend(processes);
    lines
}

fn source_lines(view: &View, live: &Live, width: usize, room: usize) -> Vec<Line<'static>> {
    let counts = live.known_sources;
    let filter = view.filter.as_ref();
    let filter = filter.map_or_else(String::new, |filter| {
        format!(", {} of {filter}", live.matching_sources)
    });
    let least = if live.sources_lower_bound { "+" } else { "" };
    let caption = format!(
        "SOURCES by {}{filter}: {}{least} known, {} scanner, {} undecided, {} client",
        view.sort.name(),
        counts.all(),
        counts.scanner,
        counts.undecided,
        counts.client
    );
    let (title, rows) = fit(source_columns(live), width);
    let selected = view.row();
    let visible_rows = room.saturating_sub(2).max(1);
    let first = (selected + 1).saturating_sub(visible_rows);
    let row = |(index, text): (usize, String)| {
        let verdict = live
            .sources
            .get(index)
            .map(|source| source.verdict.as_str());
        let color = match verdict {
            Some("scanner") => Some(Color::Red),
            Some("client") => Some(Color::Green),
            _ => None,
        };
        let mut style = Style::default();
        if index == selected {
            style = style.add_modifier(Modifier::REVERSED);
        }
        if let Some(color) = color.filter(|_| view.has_color) {
            style = style.fg(color);
        }
        Line::styled(text, style)
    };
    let rows = rows.into_iter().enumerate().skip(first).take(visible_rows);
    let mut lines = vec![bold(&caption), bold(&title)];
    lines.extend(rows.map(row));
    lines
}

fn incident_lines(live: &Live, incidents: &[&LiveIncident], width: usize) -> Vec<Line<'static>> {
    if incidents.is_empty() {
        return Vec::new();
    }
    let text = |title, rank, of: &dyn Fn(&LiveIncident) -> String| {
        let values: Vec<_> = incidents.iter().map(|it| of(it)).collect();
        TableColumn::texts(title, rank, values.iter().map(String::as_str))
    };
    let number = |title, rank, of: &dyn Fn(&LiveIncident) -> String| {
        TableColumn::numbers(title, rank, incidents.iter().map(|it| of(it)))
    };
    let port = |it: &LiveIncident| it.port.map_or_else(String::new, |port| port.to_string());
    let columns = vec![
        text("RULE", 0, &|it| it.rule_id.clone()),
        text("SOURCE", 1, &|it| it.source.clone()),
        number("PORT", 6, &port),
        number("COUNT", 2, &|it| it.count.to_string()),
        number("OVER", 7, &|it| it.threshold.to_string()),
        text("SEVERITY", 4, &|it| it.severity.clone()),
        number("SINCE", 5, &|it| ago(it.since, live.at)),
        text("EVENT ID", 3, &|it| it.event_id.clone()),
    ];
    let caption = format!("INCIDENTS: {} open", live.status.incidents_open);
    titled(&caption, columns, width)
}

fn process_lines(processes: &[LiveProcess], width: usize) -> Vec<Line<'static>> {
    if processes.is_empty() {
        return Vec::new();
    }
    let text = |title, rank, of: &dyn Fn(&LiveProcess) -> String| {
        let values: Vec<_> = processes.iter().map(of).collect();
        TableColumn::texts(title, rank, values.iter().map(String::as_str))
    };
    let number = |title, rank, of: &dyn Fn(&LiveProcess) -> u64| {
        TableColumn::numbers(title, rank, processes.iter().map(|it| of(it).to_string()))
    };
    let columns = vec![
        number("PID", 0, &|it| it.pid.into()),
        text("NAME", 1, &|it| it.name.clone().unwrap_or_default()),
        number("COUNT", 2, &|it| it.count),
        text("USER", 4, &|it| it.user.clone().unwrap_or_default()),
        text("RULES", 3, &|it| it.rules.join(",")),
        text("EXECUTABLE", 5, &|it| {
            it.executable.clone().unwrap_or_default()
        }),
    ];
    titled("PROCESSES of this host that reach out", columns, width)
}

fn titled(caption: &str, columns: Vec<TableColumn>, width: usize) -> Vec<Line<'static>> {
    let (title, rows) = fit(columns, width);
    let head = [bold(caption), bold(&title)].into_iter();
    head.chain(rows.into_iter().map(Line::raw)).collect()
}

#[cfg(test)]
mod tests;
