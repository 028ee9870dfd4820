//! The agent's output: alerts, and the counted rows if requested.
//!
//! In: lines of alerts, rows. Out: stdout and a file; at the end, the numbers of lines written and
//! dropped.
//! The decision held here: the rows of a poll are written in batches, since there may be a hundred
//! thousand; alerts are written one by one, so that none waits.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;

use super::event_file::{self, Followed, Identity, LineFile};
use crate::cli::RunOptions;
use crate::row::{Row, json};
use crate::sink::{Flush, LineQueue, Sink, Written};
use crate::standard_streams::check_stdout;

/// The size of a batch of rows, in bytes.
const BATCH: usize = 1 << 16;
/// How many batches of rows may wait for a slow disk.
const ROWS: usize = 1024;
/// How long a poll waits for the readers of its lines. Tests on a busy machine wait for what comes
/// of it.
pub(super) const WRITE_WAIT: Duration = match cfg!(test) {
    true => Duration::from_secs(10),
    false => Duration::from_millis(100),
};
/// Stdout, as the name of a file.
const STDOUT: &str = "-";
/// What is written, for messages.
const EVENTS: &str = "events";
const ALERTS: &str = "alerts";

/// Whether that name of a file is stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new(STDOUT)
}

/// `host.name` of the alerts.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "localhost".to_owned())
}

#[derive(Debug)]
struct Rows {
    /// The file, unless they go to stdout with the alerts.
    file: Option<(LineFile, Sink)>,
    lines: LineQueue,
    batch: Vec<u8>,
    batched: u64,
}

/// Where the agent writes its lines.
#[derive(Debug)]
pub(super) struct AgentOutput {
    /// The alerts, and with `--events -` the rows.
    stdout: Sink,
    /// The file that the alerts go to instead.
    alert_file: Option<LineFile>,
    rows: Option<Rows>,
    has_alerts: bool,
    /// Waits for the alerts, and for the rows.
    flushes: [Flush; 2],
}

/// Opens stdout, unless nothing is written there, and the file of rows.
pub(super) fn open(options: &RunOptions) -> anyhow::Result<AgentOutput> {
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
            event_file::ensure_not_read(path, lines, &options.rule_options)?;
            event_file::ensure_not_used(path, lines, options)?;
        }
    }
    let output = AgentOutput::new(std::io::stdout(), events, has_alerts)?;
    let Some(path) = &options.alerts else {
        return Ok(output);
    };
    // The file of the events exists by now.
    ensure!(
        !events.is_some_and(|events| event_file::is_same(events, path)),
        "--events and --alerts both name {}, and nobody could tell their lines apart; use two files, or --events - for both on stdout",
        path.display()
    );
    output.with_alert_file(path)
}

impl AgentOutput {
    /// Alerts go to `stdout` if `has_alerts`. Rows go to the file `events`; `-` is stdout.
    pub(super) fn new(
        stdout: impl AsFd,
        events: Option<&Path>,
        has_alerts: bool,
    ) -> anyhow::Result<Self> {
        let stdout = Sink::new(stdout).context("can't write to stdout")?;
        let rows = match events {
            Some(path) if is_stdout(path) => Some((None, stdout.another_queue())),
            Some(path) => {
                let name = path.display().to_string();
                let (opened, file) = LineFile::open(path, EVENTS)?;
                let sink = Sink::lasting(&file, &name, EVENTS, ROWS)?;
                let lines = sink.another_queue();
                Some((Some((opened, sink)), lines))
            }
            None => None,
        };
        Ok(Self {
            stdout,
            alert_file: None,
            rows: rows.map(|(file, lines)| Rows {
                file,
                lines,
                batch: Vec::with_capacity(BATCH),
                batched: 0,
            }),
            has_alerts,
            flushes: Default::default(),
        })
    }

    /// Waits until what was queued is written, up to that limit for each of alerts and rows.
    /// Returns whether the alerts are.
    pub(super) fn flush(&mut self, limit: Duration) -> bool {
        let [alerts, _] = &mut self.flushes;
        let is_written = alerts.wait(self.stdout.queue(), limit);
        self.flush_rows(limit);
        is_written
    }

    /// The same for the rows alone.
    pub(super) fn flush_rows(&mut self, limit: Duration) {
        let [_, rows] = &mut self.flushes;
        if let Some(Rows {
            file: Some(_),
            lines,
            ..
        }) = &self.rows
        {
            rows.wait(lines, limit);
        }
    }

    /// Makes the alerts go to a file.
    fn with_alert_file(self, path: &Path) -> anyhow::Result<Self> {
        let (opened, file) = LineFile::open(path, ALERTS)?;
        let stdout = Sink::lasting(&file, &path.display().to_string(), ALERTS, ROWS)?;
        Ok(Self {
            stdout,
            alert_file: Some(opened),
            ..self
        })
    }

    /// Where the alerts go.
    pub(super) fn alerts_go_to(&self) -> String {
        let path = self.alert_file.as_ref();
        path.map_or_else(
            || "stdout".to_owned(),
            |file| file.path().display().to_string(),
        )
    }

    /// The files, each with the queue of its lines.
    fn files(&mut self) -> impl Iterator<Item = (&mut LineFile, &LineQueue)> {
        let rows = self.rows.as_mut();
        let rows = rows.and_then(|rows| Some((&mut rows.file.as_mut()?.0, &rows.lines)));
        let queue = self.stdout.queue();
        let alerts = self.alert_file.as_mut().map(|file| (file, queue));
        rows.into_iter().chain(alerts)
    }

    /// The file of the alerts, where the rows may not go, if both have a file.
    fn file_of_others(&self) -> Option<Identity> {
        let has_rows = self.rows.as_ref().is_some_and(|rows| rows.file.is_some());
        let alerts = self.alert_file.as_ref().filter(|_| has_rows);
        alerts.and_then(LineFile::identity)
    }

    /// Opens the files again, after what is queued, and logs what came of it.
    pub(super) fn reopen(&mut self) {
        let mut other = self.file_of_others();
        for (file, queue) in self.files() {
            let (what, name) = (file.lines(), file.path().display().to_string());
            let reopened = file.reopen(other).and_then(|opened| {
                if !queue.replace_file(Some(opened)) {
                    // So that the next look at the files tries again.
                    file.forget();
                    bail!("{name} is too slow, and the queue is full; recon tries again");
                }
                Ok(())
            });
            match reopened {
                Ok(()) => tracing::info!("SIGHUP: {what} go to {name}, opened again"),
                Err(error) if file.is_at_its_name() => {
                    tracing::error!("SIGHUP: {what} go on to the file opened before: {error:#}");
                }
                Err(error) => tracing::error!("SIGHUP: {what} can't go to {name}: {error:#}"),
            }
            other = file.identity();
        }
    }

    /// Opens a file again that somebody has removed or replaced, after what is queued.
    pub(super) fn follow_files(&mut self) {
        let mut other = self.file_of_others();
        for (file, queue) in self.files() {
            let followed = file.follow(other);
            other = file.identity();
            let new = match followed {
                Followed::There => continue,
                Followed::Opened(opened) => Some(opened),
                // What comes meanwhile counts as dropped.
                Followed::Lost => None,
            };
            if !queue.replace_file(new) {
                file.forget();
            }
        }
    }

    /// The lines of alerts and, with `--events -`, of rows that were queued for stdout or dropped.
    pub(super) fn alerts(&self) -> u64 {
        self.stdout.queue().lines()
    }

    /// The lines of alerts, and those of rows, that are dropped or wait.
    pub(super) fn unwritten(&self) -> (u64, u64) {
        let rows = self.rows.as_ref().map(|rows| rows.lines.unwritten());
        (self.stdout.queue().unwritten(), rows.unwrap_or_default())
    }

    /// Whether rows are written.
    pub(super) fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// Writes a row, if rows are requested.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let Some(rows) = &mut self.rows else { return };
        match json::write(row, &mut rows.batch) {
            Ok(()) => rows.batched += 1,
            Err(error) => tracing::error!("can't write a row: {error}"),
        }
        if rows.batch.len() >= BATCH {
            rows.hand_on();
        }
    }

    /// Writes that the counts of a poll are a lower bound, if rows are requested.
    pub(super) fn loss(&mut self, time: Timestamp, device: &str, events: u64) {
        let Some(rows) = &mut self.rows else { return };
        match json::write_loss(time, device, events, &mut rows.batch) {
            Ok(()) => rows.batched += 1,
            Err(error) => tracing::error!("can't write a loss: {error}"),
        }
    }

    /// Ends a poll's rows.
    pub(super) fn end_rows(&mut self) {
        if let Some(rows) = &mut self.rows {
            rows.hand_on();
        }
    }

    /// Writes the line of an alert, if alerts are requested.
    pub(super) fn alert(&mut self, line: Vec<u8>) {
        if self.has_alerts {
            self.stdout.write(line);
        }
    }

    /// Whether stdout is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.stdout.is_closed()
    }

    /// Waits until all lines are written, up to a time limit. Returns what became of the alerts,
    /// and of the rows if rows are written.
    pub(super) fn finish(self) -> (Written, Option<Written>) {
        let rows = self.rows.map(|rows| {
            let written = rows.lines.close();
            // All lines of this sink are in `rows.lines`.
            let _ = rows.file.map(|(_, sink)| sink.finish());
            written
        });
        (self.stdout.finish(), rows.map(|written| written()))
    }
}

impl Rows {
    fn hand_on(&mut self) {
        if self.batched > 0 {
            let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
            self.lines
                .write_lines(batch, std::mem::take(&mut self.batched));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What becomes of a file between two polls.
    type Change = fn(&Path);

    #[test]
    fn a_file_that_vanishes_is_made_again() {
        // (what happens to the file, whether the next line is in the file of that name)
        let changes: [(&str, Change, bool); 4] = [
            (
                "removed",
                |path| fs::remove_file(path).expect("a file"),
                true,
            ),
            (
                "renamed",
                |path| fs::rename(path, path.with_extension("1")).expect("a file"),
                true,
            ),
            (
                "replaced",
                |path| {
                    fs::remove_file(path).expect("a file");
                    fs::write(path, "").expect("a file");
                },
                true,
            ),
            (
                "its folder is gone",
                |path| fs::remove_dir_all(path.parent().expect("a folder")).expect("a folder"),
                false,
            ),
        ];
        for (what, change, is_written) in changes {
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path().join("logs");
            fs::create_dir(&folder).expect("a folder");
            let path = folder.join("alerts.jsonl");
            let stdout = tempfile::tempfile().expect("a file");
            let output = AgentOutput::new(&stdout, None, true).expect("a sink");
            let mut output = output.with_alert_file(&path).expect("a file");
            output.alert(b"first\n".to_vec());
            assert!(output.flush(Duration::from_secs(10)), "{what}");
            change(&path);
            for _ in 0..2 {
                output.follow_files();
            }
            output.alert(b"second\n".to_vec());
            assert!(output.flush(Duration::from_secs(10)), "{what}");
            let found = fs::read_to_string(&path).ok();
            assert_eq!(found.as_deref(), is_written.then_some("second\n"), "{what}");
            if !is_written {
                fs::create_dir(&folder).expect("a folder");
                output.follow_files();
                output.alert(b"third\n".to_vec());
                assert!(output.flush(Duration::from_secs(10)), "{what}");
                assert_eq!(fs::read_to_string(&path).expect(what), "third\n");
            }
        }
    }
}
