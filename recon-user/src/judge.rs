//! `recon judge`: runs the rules over rows that were written earlier.
//!
//! In: rows as JSON lines, in the order of their times. Out: the alerts that the agent would have
//! written.
//! The decisions held here: rows with the same time are one poll, and the rows are the clock. An
//! incident ends when the rows show that it ended, or when there are no more rows. A line that is
//! not a row is counted and named, and the rest is judged; so is a row that is far out of order. A
//! row that is up to a minute late counts at the time of the rows before it: time never goes back.

mod faults;
mod lines;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::alert::{AlertLines, LineFormat};
use crate::blind::{Blind, BlindReport};
use crate::diagnostic::visible;
use crate::incident::{Finding, Notification};
use crate::pipeline::{Pipeline, PipelineSettings, RunAttempts};
use crate::process::Process;
use crate::row::json::{self, Line, OwnedRow};
use crate::row::{LONGEST_POLL, SignalSet};
use crate::settings::InForce;
use crate::standard_streams::{STDIN, check_stdin, decompressor};
use crate::stream::Interval;
pub use faults::Faults;
pub(crate) use lines::{BYTE_ORDER_MARK, LONGEST as LONGEST_LINE, Lines, NextLine};

/// How many processes are remembered for alerts, at least: half of what a 64-bit kernel runs by
/// default.
const REMEMBERED: usize = 1 << 14;
/// How many lines that are no rows a report names.
const NAMED: usize = 20;

/// Runs the rules over the rows in a file and writes alerts to `out`. A closed `out` is no error.
/// Returns whether every line was judged; if not, that has been reported.
///
/// # Errors
/// The file can't be read, or `out` can't be written.
pub fn run(
    file: &Path,
    in_force: InForce,
    format: LineFormat,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let (name, mut rows): (_, Box<dyn BufRead>) = match file == Path::new(STDIN) {
        true => {
            check_stdin()?;
            ("stdin".to_owned(), Box::new(BufReader::new(io::stdin())))
        }
        false => {
            let name = visible(file.as_os_str().as_bytes());
            let file = File::open(file).with_context(|| format!("can't read {name}"))?;
            (name, Box::new(BufReader::new(file)))
        }
    };
    // An error is reported with its place below.
    let start = rows.fill_buf().unwrap_or_default();
    if let Some(cat) = decompressor(start) {
        match file == Path::new(STDIN) {
            true => bail!("stdin is compressed; pipe it through `{cat}` first"),
            false => {
                bail!("can't read {name}: it is compressed; type `{cat} {name} | recon judge -`")
            }
        }
    }
    let faults = judge(&name, rows, in_force, format, out)?;
    Ok(!faults.has_gaps())
}

/// Runs the rules over rows from a reader. Messages refer to the reader as `name`.
///
/// # Errors
/// The same as for [`run`].
pub fn judge(
    name: &str,
    rows: impl BufRead,
    in_force: InForce,
    format: LineFormat,
    out: &mut dyn Write,
) -> anyhow::Result<Faults> {
    let mut judging = Judging::new(&in_force, format);
    let read = judging.read_rows(name, rows, out);
    if matches!(read, Err(RowsEnded::Closed)) {
        return Ok(judging.faults);
    }
    // What was read is judged, also if the rest can't be read.
    ended_by(judging.finish(out))?;
    judging.faults.report(name);
    match read {
        Err(RowsEnded::Failed(error)) => Err(error),
        _ => Ok(judging.faults),
    }
}

/// What rules found in rows, and what the rows say beyond that.
pub(crate) struct JudgedRows {
    pub(crate) attempts: RunAttempts,
    pub(crate) faults: Faults,
    /// The first lines that are no rows, each with its file and number.
    pub(crate) named: Vec<String>,
    /// Why the rest can't be read.
    pub(crate) read: anyhow::Result<()>,
}

/// Runs the rules over rows from several readers in their order, each with its name, and keeps what
/// remotes tried. What was read is judged, also if the rest can't be read.
///
/// # Errors
/// `out` can't be written.
pub(crate) fn judge_with_attempts(
    files: Vec<(String, Box<dyn BufRead>)>,
    in_force: &InForce,
    out: &mut dyn Write,
) -> anyhow::Result<JudgedRows> {
    let mut judging = Judging::new(in_force, LineFormat::Ecs);
    judging.pipeline.log_attempts();
    let mut read = Ok(());
    for (name, rows) in files {
        if let Err(RowsEnded::Failed(error)) = judging.read_rows(&name, rows, out) {
            read = Err(error);
            break;
        }
    }
    judging
        .finish(out)
        .context("can't keep what the rules find")?;
    judging.faults.report("rows");
    Ok(JudgedRows {
        attempts: judging.pipeline.take_attempts(),
        faults: judging.faults,
        named: judging.named,
        read,
    })
}

/// Why rows were not read to their end.
enum RowsEnded {
    /// Nobody reads the alerts.
    Closed,
    Failed(anyhow::Error),
}

/// Whether to continue. A closed output ends the run without an error.
fn ended_by(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can't write to stdout"),
    }
}

struct Judging {
    /// What the rows are called in messages.
    name: String,
    faults: Faults,
    /// The first lines that are no rows.
    named: Vec<String>,
    pipeline: Pipeline,
    blind: Blind,
    /// The poll that is being read. `None` before the first row.
    poll: Option<Interval>,
    /// Whether its counts are a lower bound.
    is_lossy: bool,
    lines: AlertLines,
    processes: Remembered,
}

impl Judging {
    fn new(in_force: &InForce, format: LineFormat) -> Self {
        Self {
            name: String::new(),
            faults: Faults::default(),
            named: Vec::new(),
            pipeline: Pipeline::new(PipelineSettings::new(in_force, SignalSet::default())),
            blind: Blind::new(in_force.settings.quiet.0),
            poll: None,
            is_lossy: false,
            lines: AlertLines::of_unknown_host()
                .written_as(format)
                .enriched_by(in_force.settings.databases.clone()),
            processes: Remembered::default(),
        }
    }

    /// Reads rows to their end. Messages refer to them as `name`.
    fn read_rows(
        &mut self,
        name: &str,
        rows: impl BufRead,
        out: &mut dyn Write,
    ) -> Result<(), RowsEnded> {
        name.clone_into(&mut self.name);
        let mut lines = Lines::new(rows);
        let mut number = 0;
        loop {
            number += 1;
            let taken = match lines.next_line() {
                Ok(Some(line)) => self.take_line(line, number, out),
                Ok(None) => return Ok(()),
                Err(error) => {
                    let place = format!("can't read {name} from line {number} on");
                    return Err(RowsEnded::Failed(anyhow::Error::new(error).context(place)));
                }
            };
            match ended_by(taken) {
                Ok(true) => {}
                Ok(false) => return Err(RowsEnded::Closed),
                Err(error) => return Err(RowsEnded::Failed(error)),
            }
        }
    }

    fn add_bad(&mut self, reason: String) {
        if self.named.len() < NAMED {
            self.named.push(format!("{} {reason}", self.name));
        }
        self.faults.add_bad(&self.name, reason);
    }

    /// The poll of that time. Ends the one before if that is another.
    fn poll_at(&mut self, time: Timestamp, out: &mut dyn Write) -> io::Result<Interval> {
        let poll = match self.poll {
            Some(poll) if poll.to == time => poll,
            before => {
                if let Some(before) = before {
                    self.end_poll(before, out)?;
                }
                next_poll(before, time)
            }
        };
        self.poll = Some(poll);
        Ok(poll)
    }

    fn take_line(
        &mut self,
        line: NextLine<'_>,
        number: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (text, is_ended) = match line {
            NextLine::Text(text, is_ended) => (text, is_ended),
            NextLine::Broken(reason) => {
                self.add_bad(format!("line {number}: {reason}"));
                return Ok(());
            }
        };
        if text.trim().is_empty() {
            return Ok(());
        }
        match json::parse_line(text, number) {
            Ok(Line::Row(row)) => self.take(row, number, out),
            Ok(Line::Loss(time)) => self.take_loss(time, number, out),
            Err(error) => {
                let end = if is_ended {
                    ""
                } else {
                    "; the file ends within it"
                };
                self.add_bad(format!("{error}{end}"));
                Ok(())
            }
        }
    }

    /// The time at which a row of that time counts. `None` if it is skipped.
    fn time_of(&mut self, time: Timestamp, number: usize) -> Option<Timestamp> {
        let Some(poll) = self.poll.filter(|poll| time < poll.to) else {
            return Some(time);
        };
        let behind = poll.to.duration_since(time);
        if behind > LONGEST_POLL {
            self.faults
                .add_outdated(&self.name, number, format_args!("{behind:#}"));
            return None;
        }
        self.faults
            .add_late(&self.name, number, format_args!("{behind:#}"));
        Some(poll.to)
    }

    fn take_loss(&mut self, time: Timestamp, number: usize, out: &mut dyn Write) -> io::Result<()> {
        if let Some(time) = self.time_of(time, number) {
            self.poll_at(time, out)?;
            self.is_lossy = true;
        }
        Ok(())
    }

    fn take(&mut self, mut row: OwnedRow, number: usize, out: &mut dyn Write) -> io::Result<()> {
        let Some(time) = self.time_of(row.time, number) else {
            return Ok(());
        };
        row.time = time;
        let poll = self.poll_at(time, out)?;
        self.pipeline.push(&row.row(), poll);
        if let Some(process) = row.process {
            self.processes.insert(process);
        }
        self.lines.change_host(&row.device);
        Ok(())
    }

    fn end_poll(&mut self, poll: Interval, out: &mut dyn Write) -> io::Result<()> {
        let notifications = self
            .pipeline
            .end_poll(poll, std::mem::take(&mut self.is_lossy));
        self.write(&notifications, out)?;
        self.pipeline.note_blind(&mut self.blind);
        let reports = self.blind.end_poll(poll.to);
        self.write_blind(&reports, out)
    }

    fn write_blind(&mut self, reports: &[BlindReport], out: &mut dyn Write) -> io::Result<()> {
        for report in reports {
            out.write_all(self.lines.blind(report)?)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(poll) = self.poll else {
            return Ok(());
        };
        self.end_poll(poll, out)?;
        let notifications = self.pipeline.finish(poll.to);
        self.write(&notifications, out)?;
        let reports = self.blind.finish(poll.to);
        self.write_blind(&reports, out)
    }

    fn write(&mut self, notifications: &[Notification], out: &mut dyn Write) -> io::Result<()> {
        for notification in notifications {
            let pids = match notification.finding() {
                Some(Finding { pid: Some(pid), .. }) => vec![*pid],
                Some(finding) => finding.pids.clone(),
                None => Vec::new(),
            };
            let who: Vec<Process> = pids.iter().map(|&pid| self.processes.get(pid)).collect();
            out.write_all(self.lines.notification(notification, &who)?)?;
        }
        Ok(())
    }
}

/// The processes of the latest rows.
#[derive(Default)]
struct Remembered {
    recent: HashMap<u32, Process>,
    /// Those before them.
    older: HashMap<u32, Process>,
}

impl Remembered {
    fn insert(&mut self, process: Process) {
        let pid = process.pid;
        // A row from after the process has ended says nothing but its id.
        let is_only_id = process == only_id(pid);
        let known = match is_only_id {
            true => self.get(pid),
            false => process,
        };
        if self.recent.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(pid, known);
    }

    fn get(&self, pid: u32) -> Process {
        let known = self.recent.get(&pid).or_else(|| self.older.get(&pid));
        known.cloned().unwrap_or_else(|| only_id(pid))
    }
}

/// A process of which nothing else is known.
fn only_id(pid: u32) -> Process {
    Process {
        pid,
        ..Process::default()
    }
}

/// The poll that begins with a row of the time `to`.
fn next_poll(before: Option<Interval>, to: Timestamp) -> Interval {
    let earliest = to.checked_sub(LONGEST_POLL).unwrap_or(Timestamp::MIN);
    let from = before.map_or(to, |before| before.to.clamp(earliest.min(to), to));
    Interval { from, to }
}

#[cfg(test)]
mod tests;
