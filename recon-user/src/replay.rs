//! `recon judge`: the rules over rows that were written before.
//!
//! In: rows as JSON lines, in the order of their times. Out: the alerts that the agent would have written.
//! The decisions held here: rows of one time are one poll, and the clock is theirs: an incident is over when the rows say so, or there
//! are no more of them. A line that is no row ends it, since what would be left out could be what matters.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use crate::alert::{self, Limiter, Told};
use crate::judge::{Interval, Judge, Settings};
use crate::process::Process;
use crate::row::json::{self, OwnedRow};
use crate::rule::SignalSet;
use crate::settings::InForce;

/// Stdin, as the name of a file.
const STDIN: &str = "-";
/// The longest poll that rows are taken to be of, where the one before is further away: `recon run --interval` goes no further.
const LONGEST_POLL: SignedDuration = SignedDuration::from_secs(60);
/// Processes that are remembered for alerts: as many as a 64-bit kernel has at once by default.
const REMEMBERED: usize = 1 << 15;

/// Runs the rules over the rows in a file, and writes alerts to `out`. A reader of them that has gone is no error.
///
/// # Errors
/// A file that can't be read, a line that is no row, or an `out` that can't be written.
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

/// The same for rows from a reader, which messages call `name`.
///
/// # Errors
/// As for [`run`].
pub fn judge(
    name: &str,
    rows: impl BufRead,
    in_force: InForce,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut replay = Replay::new(in_force);
    for (position, line) in rows.lines().enumerate() {
        let line = line.with_context(|| format!("can't read {name}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let row = json::parse(&line, position + 1).with_context(|| name.to_owned())?;
        if !ended_by(replay.take(row, out))? {
            return Ok(());
        }
    }
    ended_by(replay.finish(out)).map(drop)
}

/// Whether to go on: a reader that has gone has seen enough.
fn ended_by(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can't write to stdout"),
    }
}

struct Replay {
    judge: Judge,
    limiter: Limiter,
    /// The poll that is being read, once there is a row.
    poll: Option<Interval>,
    device: String,
    processes: HashMap<u32, Process>,
}

impl Replay {
    fn new(
        InForce {
            settings, rules, ..
        }: InForce,
    ) -> Self {
        Self {
            limiter: Limiter::new(settings.alert_limit()),
            judge: Judge::new(Settings {
                memory: settings.state_memory(),
                rules,
                min_severity: settings.min_severity,
                include_private: settings.include_private,
                local_networks: settings.local_networks,
                ignored: SignalSet::default(),
            }),
            poll: None,
            device: String::new(),
            processes: HashMap::new(),
        }
    }

    fn take(&mut self, row: OwnedRow, out: &mut dyn Write) -> io::Result<()> {
        let poll = match self.poll {
            Some(poll) if poll.to == row.time => poll,
            before => {
                if let Some(before) = before {
                    self.end_poll(before, out)?;
                }
                next_poll(before, row.time)
            }
        };
        self.poll = Some(poll);
        self.judge.observe(&row.row(), poll);
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
        let findings = self.judge.findings(poll, false);
        let told = self.limiter.take(findings, poll.to);
        self.write(&told, out)
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(poll) = self.poll else {
            return Ok(());
        };
        self.end_poll(poll, out)?;
        let findings = self.judge.finish(poll.to);
        let mut told = self.limiter.take(findings, poll.to);
        told.extend(self.limiter.finish(poll.to));
        self.write(&told, out)
    }

    fn write(&self, told: &[Told], out: &mut dyn Write) -> io::Result<()> {
        for told in told {
            let finding = &told.finding;
            let pids = match finding.process {
                Some(pid) => vec![pid],
                None => finding.processes.clone(),
            };
            let who: Vec<Process> = pids.iter().map(|&pid| self.process(pid)).collect();
            out.write_all(&alert::told(told, &self.device, &who)?)?;
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

/// The poll that a row of that time begins.
fn next_poll(before: Option<Interval>, to: Timestamp) -> Interval {
    let earliest = to.checked_sub(LONGEST_POLL).unwrap_or(Timestamp::MIN);
    let from = before.map_or(to, |before| before.to.clamp(earliest.min(to), to));
    Interval { from, to }
}

#[cfg(test)]
mod tests;
