//! `recon judge`: runs the rules over rows that were written earlier.
//!
//! In: rows as JSON lines, in the order of their times. Out: the alerts that the agent would have
//! written.
//! The decisions held here: rows with the same time are one poll, and the rows are the clock. An
//! incident ends when the rows show that it ended, or when there are no more rows. A line that is
//! not a row could be the one that matters: its poll's counts are a lower bound, and the run ends
//! with an error after all alerts. A cut last line must not cost the alerts of a night.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use crate::alert;
use crate::blind::{Blind, BlindReport};
use crate::diagnostic::error_chain;
use crate::incident::{Finding, Notification};
use crate::pipeline::{Pipeline, PipelineSettings};
use crate::process::Process;
use crate::row::SignalSet;
use crate::row::json::{self, Line, LineError, OwnedRow};
use crate::settings::InForce;
use crate::stream::Interval;

/// Stdin, as the name of a file.
const STDIN: &str = "-";
/// The longest poll that is assumed when the previous rows are further away: the longest interval
/// that `recon run --interval` accepts.
const LONGEST_POLL: SignedDuration = SignedDuration::from_secs(60);
/// How many processes are remembered for alerts: as many as a 64-bit kernel runs by default.
const REMEMBERED: usize = 1 << 15;

/// Runs the rules over the rows in a file and writes alerts to `out`. A closed `out` is no error.
///
/// # Errors
/// The file can't be read, a line is not a row, or `out` can't be written. Bad lines are skipped: the
/// error about them comes after all alerts.
pub fn run(file: &Path, in_force: InForce, out: &mut dyn Write) -> anyhow::Result<()> {
    let name = file.display().to_string();
    let rows: Box<dyn BufRead> = match file == Path::new(STDIN) {
        true => Box::new(BufReader::new(io::stdin())),
        false => {
            let file = File::open(file).with_context(|| format!("can't read {name}"))?;
            Box::new(BufReader::new(file))
        }
    };
    judge(&name, rows, in_force, out)
}

/// Runs the rules over rows from a reader. Messages refer to the reader as `name`.
///
/// # Errors
/// The same as for [`run`].
pub fn judge(
    name: &str,
    rows: impl BufRead,
    in_force: InForce,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut replay = Replay::new(&in_force);
    let mut bad = BadLines::new(name);
    for (position, line) in rows.split(b'\n').enumerate() {
        let line = line.with_context(|| format!("can't read {name}"))?;
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            continue;
        }
        let taken = match json::parse_line(&line, position + 1) {
            Ok(Line::Row(row)) => replay.take(row, out),
            Ok(Line::Loss(time)) => replay.take_loss(time, out),
            Err(error) => {
                bad.add(error);
                replay.is_lossy = true;
                continue;
            }
        };
        if !ended_by(taken)? {
            return Ok(());
        }
    }
    ended_by(replay.finish(out))?;
    if replay.early_rows > 0 {
        log::warn!(
            "{name}: {} rows are older than a row before them: recon takes that for a clock that was set back; sort the rows by TimeGenerated",
            replay.early_rows
        );
    }
    bad.finish()
}

/// The lines that are no rows.
struct BadLines<'a> {
    name: &'a str,
    count: u64,
    first: Option<LineError>,
}

impl<'a> BadLines<'a> {
    /// Errors that are logged. A file of another kind has one for each line.
    const LOGGED: u64 = 5;

    fn new(name: &'a str) -> Self {
        Self {
            name,
            count: 0,
            first: None,
        }
    }

    fn add(&mut self, error: LineError) {
        self.count += 1;
        if self.count <= Self::LOGGED {
            log::error!("{}: {}", self.name, error_chain(&error));
        }
        self.first.get_or_insert(error);
    }

    /// An error if there were any.
    fn finish(self) -> anyhow::Result<()> {
        let Some(first) = self.first else {
            return Ok(());
        };
        let lines = if self.count == 1 {
            "line is"
        } else {
            "lines are"
        };
        let what = format!("{}: {} {lines} no row", self.name, self.count);
        Err(anyhow::Error::new(first).context(what))
    }
}

/// Whether to continue. A closed output ends the run without an error.
fn ended_by(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can't write to stdout"),
    }
}

struct Replay {
    pipeline: Pipeline,
    blind: Blind,
    /// The poll that is being read. `None` before the first row.
    poll: Option<Interval>,
    /// Whether its counts are a lower bound.
    is_lossy: bool,
    /// Rows that are older than a row before them.
    early_rows: u64,
    device: String,
    processes: HashMap<u32, Process>,
}

impl Replay {
    fn new(in_force: &InForce) -> Self {
        Self {
            pipeline: Pipeline::new(PipelineSettings::new(in_force, SignalSet::default())),
            blind: Blind::new(in_force.settings.quiet.0),
            poll: None,
            is_lossy: false,
            early_rows: 0,
            device: String::new(),
            processes: HashMap::new(),
        }
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

    fn take_loss(&mut self, time: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        self.poll_at(time, out)?;
        self.is_lossy = true;
        Ok(())
    }

    fn take(&mut self, row: OwnedRow, out: &mut dyn Write) -> io::Result<()> {
        self.early_rows += u64::from(self.poll.is_some_and(|poll| row.time < poll.to));
        let poll = self.poll_at(row.time, out)?;
        self.pipeline.push(&row.row(), poll);
        if let Some(process) = row.process {
            if self.processes.len() >= REMEMBERED {
                self.processes.clear();
            }
            self.processes.insert(process.pid, process);
        }
        if self.device != row.device {
            self.device = row.device;
        }
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

    fn write_blind(&self, reports: &[BlindReport], out: &mut dyn Write) -> io::Result<()> {
        for report in reports {
            out.write_all(&alert::blind_line(report, &self.device)?)?;
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

    fn write(&self, notifications: &[Notification], out: &mut dyn Write) -> io::Result<()> {
        for notification in notifications {
            let pids = match notification.finding() {
                Some(Finding { pid: Some(pid), .. }) => vec![*pid],
                Some(finding) => finding.pids.clone(),
                None => Vec::new(),
            };
            let who: Vec<Process> = pids.iter().map(|&pid| self.process(pid)).collect();
            out.write_all(&alert::line(notification, &self.device, &who)?)?;
        }
        Ok(())
    }

    fn process(&self, pid: u32) -> Process {
        let known = self.processes.get(&pid).cloned();
        known.unwrap_or(Process {
            pid,
            ..Process::default()
        })
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
