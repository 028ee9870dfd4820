//! A sink of the agent, and which lines it gets.
//!
//! In: settings. Out: sinks that run.
//! The decision held here: alerts and rows have queues of their own, also where both go to one
//! sink. Rows come by the hundred thousand, and must not take the room of alerts. Before the kernel
//! and the journal forget a poll, its lines are with stdout and in files; a peer that may be gone
//! for hours is not waited for.

use anyhow::Context as _;

use super::output_files;
use crate::cli::RunOptions;
use crate::service::SinkStatus;
use crate::settings::{LineKind, Settings, SinkSettings};
use crate::sink::{
    Destination, Flush, LineQueue, OpenFiles, Sink, SinkName, SinkReport, WAITING_ALERTS,
    WAITING_ROWS,
};

/// A sink, and what goes there.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) sink: Sink,
    pub(super) has_alerts: bool,
    pub(super) rows: Option<LineQueue>,
    pub(super) flush: Flush,
    /// Whether a poll counts as written only once its lines are there.
    pub(super) is_awaited: bool,
}

impl Route {
    pub(super) fn new(sink: Sink, has_alerts: bool, rows: Option<LineQueue>) -> Self {
        Self {
            sink,
            has_alerts,
            rows,
            flush: Flush::default(),
            is_awaited: true,
        }
    }

    /// Whether its readers expect rows and nothing else.
    pub(super) fn is_for_rows(&self) -> bool {
        self.rows.is_some() && !self.has_alerts
    }
}

/// A sink of the settings.
#[derive(Debug)]
pub(super) struct NamedRoute {
    pub(super) name: String,
    pub(super) destination: Destination,
    pub(super) route: Route,
}

impl NamedRoute {
    /// What `recon status` says of it.
    pub(super) fn status(&self) -> SinkStatus {
        let SinkReport {
            lines,
            waiting,
            problem,
        } = self.route.sink.report();
        SinkStatus {
            name: self.name.clone(),
            destination: self.destination.to_string(),
            written: lines.written,
            dropped: lines.dropped,
            repeated: lines.repeated,
            waiting,
            problem,
        }
    }
}

/// Opens the sinks of the settings.
///
/// # Errors
/// A file can't be written, or has another use.
pub(super) fn open_sinks(
    options: &RunOptions,
    settings: &Settings,
    host: &str,
    files: &OpenFiles,
) -> anyhow::Result<Vec<NamedRoute>> {
    let sinks = settings.sinks.iter().filter_map(|(name, sink)| {
        // The settings are refused if it has none.
        Some((name, &sink.value, sink.value.destination()?))
    });
    let open = |(name, sink, destination): (&String, &SinkSettings, Destination)| {
        if let Destination::File { path, .. } = &destination {
            output_files::ensure_not_read(path, "lines", &options.rule_options)
                .and_then(|()| output_files::ensure_not_used(path, "lines", options))
                .with_context(|| format!("sink {name}"))?;
        }
        let route = open_route(name, sink, &destination, host, files);
        Ok(NamedRoute {
            route: route.with_context(|| format!("sink {name}"))?,
            name: name.clone(),
            destination,
        })
    };
    sinks.map(open).collect()
}

fn open_route(
    name: &str,
    settings: &SinkSettings,
    destination: &Destination,
    host: &str,
    files: &OpenFiles,
) -> anyhow::Result<Route> {
    let [has_alerts, has_rows] = [LineKind::Alerts, LineKind::Rows].map(|it| settings.takes(it));
    let place = SinkName {
        place: format!("sink {name} ({destination})"),
        what: match (has_alerts, has_rows) {
            (true, false) => "alerts",
            (false, true) => "rows",
            _ => "lines",
        },
    };
    let limit = settings.queue.unwrap_or(WAITING_ALERTS);
    let sink = Sink::open(place, destination, limit, host, files)?;
    let rows = has_rows.then(|| sink.another_queue(settings.queue.unwrap_or(WAITING_ROWS)));
    Ok(Route {
        is_awaited: matches!(destination, Destination::File { .. }),
        ..Route::new(sink, has_alerts, rows)
    })
}
