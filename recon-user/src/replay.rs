//! `recon judge`: runs the rules over rows that were written earlier.
//!
//! In: rows as JSON lines, in the order of their times. Out: the alerts that the agent would have
//! written.
//! The decisions held here: rows with the same time are one poll, and the rows are the clock. An
//! incident ends when the rows show that it ended, or when there are no more rows. A line that is
//! not a row ends the run with an error, since a skipped row could be the one that matters.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use crate::alert;
use crate::blind::{Blind, BlindReport};
use crate::incident::{Finding, Notification};
use crate::pipeline::{Pipeline, PipelineSettings};
use crate::process::Process;
use crate::row::SignalSet;
use crate::row::json::{self, Line, OwnedRow};
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
/// The file can't be read, a line is not a row, or `out` can't be written.
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
    for (position, line) in rows.lines().enumerate() {
        let line = line.with_context(|| format!("can't read {name}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let line = json::parse_line(&line, position + 1).with_context(|| name.to_owned())?;
        let taken = match line {
            Line::Row(row) => replay.take(row, out),
            Line::Loss(time) => replay.take_loss(time, out),
        };
        if !ended_by(taken)? {
            return Ok(());
        }
    }
    ended_by(replay.finish(out)).map(drop)
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
