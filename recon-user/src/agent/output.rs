//! The agent's output: alerts, and the counted rows if requested.
//!
//! In: lines of alerts, rows. Out: stdout and files; at the end, the numbers of lines written and
//! dropped.
//! The decision held here: the rows of a poll are handed on in batches, since there may be a
//! hundred thousand; its alerts together, since to wake the threads of all sinks costs more than a
//! line.

mod counted;
mod gathered_rows;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;

use self::gathered_rows::GatheredRows;
use super::output_files;
use super::route::{NamedRoute, Route, open_sinks};
use crate::cli::RunOptions;
use crate::row::Row;
use crate::service::SinkStatus;
use crate::settings::Settings;
use crate::sink::{
    Destination, Fsync, GatheredLines, LineQueue, OpenFiles, STDOUT, Sink, SinkName,
    WAITING_ALERTS, WAITING_ROWS, Written, is_same, last_moment,
};
use crate::standard_streams::check_stdout;

/// How long a poll waits for the readers of its lines. Tests on a busy machine wait for what comes
/// of it.
pub(super) const WRITE_WAIT: Duration = match cfg!(test) {
    true => Duration::from_secs(10),
    false => Duration::from_millis(100),
};
/// Stdout, as the name of a file.
const HYPHEN: &str = "-";
/// What is written, for messages.
const EVENTS: &str = "events";
const ALERTS: &str = "alerts";

/// Whether that name of a file is stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new(HYPHEN)
}

/// `host.name` of the alerts.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "localhost".to_owned())
}

/// Where the agent writes its lines.
#[derive(Debug)]
pub(super) struct AgentOutput {
    /// Stdout or the file of `--alerts`: the alerts, and with `--events -` the rows.
    main: Route,
    /// The file of the alerts, if they do not go to stdout.
    alert_file: Option<PathBuf>,
    /// The file of the rows.
    events: Option<Route>,
    /// The sinks of the settings.
    named: Vec<NamedRoute>,
    /// Rows and alerts that are not handed on.
    gathered_rows: GatheredRows,
    gathered_alerts: GatheredLines,
}

/// What became of all lines.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// Of stdout or the file of `--alerts`.
    pub(super) alerts: Written,
    /// The rows of `--events`, if they are written.
    pub(super) rows: Option<Written>,
    /// Of each sink of the settings, by its name.
    pub(super) named: Vec<(String, Written)>,
}

/// Opens stdout, unless nothing is written there, the files, and the sinks of the settings.
pub(super) fn open(
    options: &RunOptions,
    settings: &Settings,
    host: &str,
) -> anyhow::Result<AgentOutput> {
    let events = options.events.as_deref();
    let has_alerts = !options.no_alerts;
    let has_rows = events.is_some_and(is_stdout);
    if let Some(path) = &options.alerts {
        ensure!(
            !is_stdout(path),
            "--alerts -: alerts go to stdout unless --alerts names a file; omit it"
        );
        ensure!(
            !has_rows,
            "--events - writes rows and alerts to stdout, and --alerts {} would take the alerts away: name a file for both",
            path.display()
        );
    } else if has_alerts || has_rows {
        check_stdout()?;
    }
    for (path, lines) in [(events, EVENTS), (options.alerts.as_deref(), ALERTS)] {
        if let Some(path) = path {
            output_files::ensure_not_read(path, lines, &options.rule_options)?;
            output_files::ensure_not_used(path, lines, options)?;
        }
    }
    let files = OpenFiles::default();
    let mut output = AgentOutput::new(std::io::stdout(), events, has_alerts, &files)?;
    if let Some(path) = &options.alerts {
        // The file of the events exists by now.
        ensure!(
            !events.is_some_and(|events| is_same(events, path)),
            "--events and --alerts both name {}, and nobody could tell their lines apart; use two files, or --events - for both on stdout",
            path.display()
        );
        output = output.with_alert_file(path, &files)?;
    }
    output.named = open_sinks(options, settings, host, &files)?;
    Ok(output)
}

/// A sink to a file of the command line. Up to `limit` of its own lines wait.
fn open_file(
    path: &Path,
    lines: &'static str,
    limit: u64,
    files: &OpenFiles,
) -> anyhow::Result<Sink> {
    let destination = Destination::File {
        path: path.to_owned(),
        rotation: None,
        fsync: Fsync::Never,
    };
    let name = SinkName {
        place: destination.to_string(),
        what: lines,
    };
    Sink::open(name, &destination, limit, "", files)
}

impl AgentOutput {
    /// Alerts go to `stdout` if `has_alerts`. Rows go to the file `events`; `-` is stdout.
    pub(super) fn new(
        stdout: impl AsFd,
        events: Option<&Path>,
        has_alerts: bool,
        files: &OpenFiles,
    ) -> anyhow::Result<Self> {
        let stdout = Sink::new(stdout).context("can't write to stdout")?;
        let rows = events.filter(|path| is_stdout(path));
        let rows = rows.map(|_| stdout.another_queue(WAITING_ROWS));
        let events = events.filter(|path| !is_stdout(path)).map(|path| {
            let sink = open_file(path, EVENTS, WAITING_ROWS, files)?;
            let rows = sink.another_queue(WAITING_ROWS);
            anyhow::Ok(Route::new(sink, false, Some(rows)))
        });
        Ok(Self {
            main: Route::new(stdout, has_alerts, rows),
            alert_file: None,
            events: events.transpose()?,
            named: Vec::new(),
            gathered_rows: GatheredRows::default(),
            gathered_alerts: GatheredLines::default(),
        })
    }

    /// Makes the alerts go to a file.
    fn with_alert_file(self, path: &Path, files: &OpenFiles) -> anyhow::Result<Self> {
        let sink = open_file(path, ALERTS, WAITING_ALERTS, files)?;
        Ok(Self {
            main: Route::new(sink, true, None),
            alert_file: Some(path.to_owned()),
            ..self
        })
    }

    fn routes(&mut self) -> impl Iterator<Item = &mut Route> {
        let named = self.named.iter_mut().map(|it| &mut it.route);
        std::iter::once(&mut self.main)
            .chain(&mut self.events)
            .chain(named)
    }

    /// Waits until what was queued is written, up to that limit for all sinks together. Returns
    /// whether the alerts are.
    pub(super) fn flush(&mut self, limit: Duration) -> bool {
        self.flush_those(limit, |_| true)
    }

    /// The same for sinks of rows alone.
    pub(super) fn flush_rows(&mut self, limit: Duration) {
        self.flush_those(limit, Route::is_for_rows);
    }

    fn flush_those(&mut self, limit: Duration, concerns: fn(&Route) -> bool) -> bool {
        self.end_alerts();
        let until = Instant::now() + limit;
        let concerns = |route: &Route| route.is_awaited && concerns(route);
        for route in self.routes().filter(|route| concerns(route)) {
            route.flush.begin(route.sink.queue());
        }
        let mut are_written = true;
        for route in self.routes().filter(|route| concerns(route)) {
            let is_written = route.flush.end(until);
            are_written &= is_written || !route.has_alerts;
        }
        are_written
    }

    /// Where the alerts go.
    pub(super) fn alerts_go_to(&self) -> String {
        let path = self.alert_file.as_ref();
        path.map_or_else(|| STDOUT.to_owned(), |path| path.display().to_string())
    }

    /// Opens the files again, after what is queued.
    pub(super) fn reopen(&mut self) {
        self.routes().for_each(|route| route.sink.reopen());
    }

    /// The lines of alerts and, with `--events -`, of rows that were queued for stdout or dropped.
    pub(super) fn alerts(&self) -> u64 {
        let rows = self.main.rows.as_ref();
        self.main.sink.queue().lines() + rows.map_or(0, LineQueue::lines)
    }

    /// The lines of alerts, and those of rows, that are dropped or wait.
    pub(super) fn unwritten(&self) -> (u64, u64) {
        let mut routes = self.events.iter().chain([&self.main]);
        let rows = routes.find_map(|route| route.rows.as_ref());
        let rows = rows.map_or(0, LineQueue::unwritten);
        (self.main.sink.queue().unwritten(), rows)
    }

    /// Whether rows are written.
    pub(super) fn has_rows(&self) -> bool {
        let named = self.named.iter().map(|it| &it.route);
        let mut routes = self.events.iter().chain([&self.main]).chain(named);
        routes.any(|route| route.rows.is_some())
    }

    /// Writes a row, if rows are requested.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        if !self.has_rows() {
            return;
        }
        self.gathered_rows.add(row);
        if self.gathered_rows.is_full() {
            self.end_rows();
        }
    }

    /// Writes that the counts of a poll are a lower bound, if rows are requested.
    pub(super) fn loss(&mut self, time: Timestamp, device: &str, events: u64) {
        if self.has_rows() {
            self.gathered_rows.add_loss(time, device, events);
        }
    }

    /// Hands on the rows so far: a poll ends, or a batch is full.
    pub(super) fn end_rows(&mut self) {
        let Some((rows, lines)) = self.gathered_rows.take() else {
            return;
        };
        for queue in self.routes().filter_map(|route| route.rows.as_mut()) {
            queue.write_lines(rows.clone(), lines);
        }
    }

    /// Says which sinks of the settings have dropped lines since their queues are full.
    pub(super) fn report_overflows(&mut self) {
        for named in &mut self.named {
            named.route.sink.report_overflow();
        }
    }

    /// Writes the line of an alert, if alerts are requested, with those of the same poll.
    pub(super) fn alert(&mut self, line: &[u8]) {
        self.gathered_alerts.add(line);
        if self.gathered_alerts.is_full() {
            self.end_alerts();
        }
    }

    /// Hands on the alerts so far: the last one of a poll is written.
    pub(super) fn end_alerts(&mut self) {
        let Some((bytes, lines)) = self.gathered_alerts.take() else {
            return;
        };
        for route in self.routes().filter(|route| route.has_alerts) {
            route.sink.write_lines(bytes.clone(), lines);
        }
    }

    /// Whether stdout is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.main.sink.is_closed()
    }

    /// What `recon status` says of the sinks of the settings.
    pub(super) fn sinks(&self) -> impl Iterator<Item = SinkStatus> {
        self.named.iter().map(NamedRoute::status)
    }

    /// Where the sinks of the settings write to.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.named.iter().map(|it| &it.destination)
    }

    /// The numbers of the threads of sinks that `concerns` selects.
    pub(super) fn threads(&self, concerns: fn(&Destination) -> bool) -> Vec<libc::pid_t> {
        let named = self.named.iter().filter(|it| concerns(&it.destination));
        named.map(|it| it.route.sink.thread_id()).collect()
    }

    /// Waits until all lines are written, up to a time limit for all sinks together. Returns what
    /// became of them.
    pub(super) fn finish(mut self) -> Finished {
        self.end_alerts();
        let mut ending = Vec::new();
        let mut end = |route: Route| {
            let rows = route.rows.map(LineQueue::close);
            let (sink, alerts) = route.sink.begin_end();
            ending.push(sink);
            (alerts, rows)
        };
        let (alerts, rows_of_main) = end(self.main);
        let (_, rows_of_events) = self.events.map(&mut end).unzip();
        let named: Vec<_> = self
            .named
            .into_iter()
            .map(|it| (it.name, end(it.route)))
            .collect();
        let until = last_moment();
        ending.iter().for_each(|sink| sink.wait_until(until));
        let rows = rows_of_main.or(rows_of_events.flatten());
        Finished {
            alerts: alerts(),
            rows: rows.map(|rows| rows()),
            named: named
                .into_iter()
                .map(|(name, (alerts, rows))| {
                    let rows = rows.map(|rows| rows()).unwrap_or_default();
                    (name, alerts() + rows)
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
