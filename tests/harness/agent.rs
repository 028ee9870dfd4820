//! The agent as a process in the lab's host, observed through its output.
//!
//! The decision held here: a wait names a condition on the output and re-checks it at each line; it
//! fails immediately when the agent ends or writes a line to stdout that is no alert.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::Signal;

use crate::lab::{HOST_LINK, Lab};
use crate::seen::{Alert, Seen, Tally};
use crate::{PATIENCE, Process};

/// A running agent. Dropping it kills it, and the kernel detaches its programs.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    watch: Arc<Watch>,
    readers: Vec<JoinHandle<()>>,
    /// Whether its hooks go on counting after its last poll.
    has_pins: bool,
}

/// The state of an agent that was asked to stop.
#[derive(Debug)]
pub struct Stopped {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote.
    pub seen: Seen,
}

impl Stopped {
    /// The totals that it logged at its end.
    ///
    /// # Errors
    /// When it logged none.
    pub fn totals(&self) -> Result<Tally> {
        self.seen
            .totals
            .ok_or_else(|| anyhow!("no totals\n{}", self.seen))
    }
}

#[derive(Debug, Default)]
struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// `recon ARGUMENTS`, with the arguments separated by blanks.
///
/// # Errors
/// When it has not been built.
pub fn recon(arguments: &str) -> Result<Command> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/recon");
    let binary = env::var_os("RECON_BIN").map_or(built, PathBuf::from);
    ensure!(
        binary.exists(),
        "{} does not exist: run cargo build --release -p recon-user, or set RECON_BIN to the binary",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.args(arguments.split_whitespace());
    Ok(command)
}

impl Agent {
    /// Starts `recon run` on the host's end of the pair and for the host's processes, and waits
    /// until it watches. It logs every poll. The rules are those of the profile `source`, unless
    /// the arguments name another: they report every hit, whatever came of it.
    ///
    /// # Errors
    /// When it does not start to watch.
    pub fn start(lab: &Lab, arguments: &str) -> Result<Self> {
        Self::start_into(lab, arguments, Stdio::piped())
    }

    /// Like [`Agent::start`], with its stdout redirected, so that no alert is seen here.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn start_into(lab: &Lab, arguments: &str, stdout: Stdio) -> Result<Self> {
        // Native XDP, which most hosts use: by default recon would choose the hook that costs a
        // veth pair the least.
        let xdp = match arguments.contains("--xdp") {
            true => "",
            false => "--xdp native",
        };
        let has_rules = ["--profile", "--rules"].map(|option| arguments.contains(option));
        let profile = match has_rules {
            [false, false] => "--profile source",
            _ => "",
        };
        let mut command = recon(&format!(
            "run -vv -i {HOST_LINK} {xdp} {profile} {arguments}"
        ))?;
        command.args(lab.watched_sockets());
        Self::spawn(lab, command, stdout)
    }

    /// Starts `command`, a `recon run` of any kind, and waits until it watches.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn spawn(lab: &Lab, command: Command, stdout: Stdio) -> Result<Self> {
        let agent = Self::launch(lab, command, stdout)?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Starts `command`, which runs `recon run`.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn launch(lab: &Lab, mut command: Command, stdout: Stdio) -> Result<Self> {
        let has_pins = command.get_args().any(|argument| argument == "--pins");
        command.stdout(stdout).stderr(Stdio::piped());
        let mut process = Process::spawn(lab.host(), command)?;
        let watch = Arc::<Watch>::default();
        let stderr = process.take_stderr().context("a pipe from stderr")?;
        let mut readers = vec![watch.follow(stderr, Seen::read_stderr)];
        if let Some(stdout) = process.take_stdout() {
            readers.push(watch.follow(stdout, Seen::read_stdout));
        }
        Ok(Self {
            process,
            watch,
            readers,
            has_pins,
        })
    }

    /// Waits until it watches.
    ///
    /// # Errors
    /// As [`Agent::wait_for`].
    pub fn wait_ready(&self) -> Result<()> {
        /// On an emulated processor that others use too, the kernel takes most of a minute to
        /// verify the programs.
        const START: Duration = Duration::from_secs(120);
        self.wait_within(START, "ready", |seen| seen.is_ready.then_some(()))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A copy of what it has written so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.watch.lock().clone()
    }

    /// Waits until `condition` returns a value.
    ///
    /// # Errors
    /// When the deadline passes, the agent ends, or it writes garbage. The error has its output.
    pub fn wait_for<T>(&self, what: &str, condition: impl FnMut(&Seen) -> Option<T>) -> Result<T> {
        self.wait_within(PATIENCE, what, condition)
    }

    /// Like [`Agent::wait_for`], with another deadline.
    ///
    /// # Errors
    /// As [`Agent::wait_for`].
    pub fn wait_within<T>(
        &self,
        deadline: Duration,
        what: &str,
        condition: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T> {
        self.watch.wait_within(deadline, what, condition)
    }

    /// Waits until that many signals since the start are drained or counted as lost, and their
    /// alerts are written.
    ///
    /// # Errors
    /// As [`Agent::wait_for`]; the deadline starts anew with each further signal.
    pub fn wait_drained(&self, signals: u64) -> Result<()> {
        let drained = |seen: &Seen| seen.polled.signals + seen.polled.lost;
        loop {
            let before = drained(&self.seen());
            let waited = self.wait_for(&format!("{signals} signals drained"), |seen| {
                (drained(seen) >= signals).then_some(())
            });
            match waited {
                Ok(()) => return self.wait_poll().map(drop),
                Err(_) if drained(&self.seen()) > before => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the alert that `find` returns, about an event after which there are `signals`
    /// since the start. It must be reported by the poll that drains the last of them: the event's
    /// own poll, or the next one if a poll splits the event.
    ///
    /// # Errors
    /// As [`Agent::wait_for`], and when the alert is reported later.
    pub fn wait_alert(
        &self,
        what: &str,
        signals: u64,
        mut find: impl FnMut(&Seen) -> Option<Alert>,
    ) -> Result<Alert> {
        let (alert, reported, drained) = self.wait_for(what, |seen| {
            let alert = find(seen)?;
            let reported = seen.reported_in(&alert)?;
            Some((alert, reported, seen.drained_in(signals)?))
        })?;
        ensure!(
            reported <= drained,
            "drained by poll {drained}, reported in poll {reported}: {alert}"
        );
        Ok(alert)
    }

    /// Reads neither its stdout nor its stderr while the guard lives. Nothing here that waits for
    /// it may be called meanwhile.
    #[must_use]
    pub fn hold(&self) -> impl Drop + use<'_> {
        self.watch.lock()
    }

    /// Waits for the end of the next poll, and returns its number.
    ///
    /// # Errors
    /// As [`Agent::wait_for`].
    pub fn wait_poll(&self) -> Result<u64> {
        let before = self.watch.lock().polls;
        self.wait_for("another poll", |seen| {
            (seen.polls > before).then_some(seen.polls)
        })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Asks it to stop, and waits for its end.
    ///
    /// # Errors
    /// When it does not end, or has written garbage.
    pub fn stop(self) -> Result<Stopped> {
        self.signal(Signal::SIGTERM)?;
        self.wait()
    }

    /// Waits for its end, whatever the cause, and checks the sums of its totals, unless its hooks
    /// go on.
    ///
    /// # Errors
    /// As [`Agent::stop`].
    pub fn wait(mut self) -> Result<Stopped> {
        let ended = self.process.wait(PATIENCE);
        let status = ended.with_context(|| self.seen().to_string())?;
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| anyhow!("a reader panicked"))?;
        }
        let seen = self.seen();
        ensure!(
            seen.garbage.is_empty(),
            "stdout has a line that is no alert\n{seen}"
        );
        // What somebody has deleted from the maps is in no sum.
        let is_intact = !seen.alerts.iter().any(Alert::is_about_maps);
        if let Some(totals) = seen.totals.filter(|_| is_intact && !self.has_pins) {
            totals.check_sums().with_context(|| seen.to_string())?;
        }
        Ok(Stopped { status, seen })
    }
}

impl Watch {
    /// A panicking test must not hide the output.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `condition` returns a value, or no pipe brings another line.
    fn wait_within<T>(
        &self,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + deadline;
        let mut seen = self.lock();
        loop {
            if let Some(found) = condition(&seen) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.open_pipes == 0 || !seen.garbage.is_empty() {
                bail!("waiting for: {what}\n{seen}");
            }
            seen = self
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Passes the lines of `pipe` to `take` on a thread.
    fn follow(
        self: &Arc<Self>,
        pipe: impl Read + Send + 'static,
        take: fn(&mut Seen, &str),
    ) -> JoinHandle<()> {
        self.lock().open_pipes += 1;
        let watch = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                take(&mut watch.lock(), &line);
                watch.changed.notify_all();
            }
            watch.lock().open_pipes -= 1;
            watch.changed.notify_all();
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    /// Which of two pipes the kernel closes first, and which reader is slower, is chance.
    #[test]
    fn the_end_of_one_pipe_does_not_hide_the_lines_of_the_other() -> Result<()> {
        let watch = Arc::<Watch>::default();
        let (stdout, mut alerts) = io::pipe()?;
        let stdout = watch.follow(stdout, Seen::read_stdout);
        watch.follow(io::empty(), Seen::read_stderr).join().ok();
        let writer = thread::spawn(move || writeln!(alerts, r#"{{"rule":{{"id":"late"}}}}"#));
        watch.wait_within(PATIENCE, "the alert", |seen| seen.alerts.first().cloned())?;
        writer.join().map_err(|_| anyhow!("a writer panicked"))??;
        stdout.join().map_err(|_| anyhow!("a reader panicked"))?;
        let nothing = watch.wait_within(PATIENCE, "another", |_| None::<()>);
        ensure!(nothing.is_err(), "no pipe is open");
        Ok(())
    }
}
