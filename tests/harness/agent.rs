//! The agent as a process in the lab's host, judged by what it writes.
//!
//! The decision held here: whoever waits names a condition on what was read, and is woken by each line; a dead agent or a line on
//! stdout that is no alert ends every wait at once.

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
}

/// What an agent left that was asked to stop.
#[derive(Debug)]
pub struct Stopped {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote.
    pub seen: Seen,
}

impl Stopped {
    /// The sum it wrote last.
    ///
    /// # Errors
    /// When it wrote none.
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

/// `recon ARGUMENTS`, these separated by blanks.
///
/// # Errors
/// When it has not been built.
pub fn recon(arguments: &str) -> Result<Command> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/recon");
    let binary = env::var_os("RECON_BIN").map_or(built, PathBuf::from);
    ensure!(
        binary.exists(),
        "{} is not there: run cargo build --release -p recon-user, or name the binary in RECON_BIN",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.args(arguments.split_whitespace());
    Ok(command)
}

impl Agent {
    /// Starts `recon run` on the host's end of the pair and for its processes, and waits until it watches. Every poll writes a line.
    ///
    /// # Errors
    /// When it does not come that far.
    pub fn start(lab: &Lab, arguments: &str) -> Result<Self> {
        Self::start_into(lab, arguments, Stdio::piped())
    }

    /// The same with its stdout going elsewhere, so that no alert is seen here.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn start_into(lab: &Lab, arguments: &str, stdout: Stdio) -> Result<Self> {
        // The hook of most hosts: by itself it would take the one that costs a veth pair the least.
        let xdp = match arguments.contains("--xdp") {
            true => "",
            false => "--xdp native",
        };
        let mut command = recon(&format!("run -vv -i {HOST_LINK} {xdp} {arguments}"))?;
        command.args(lab.watched_sockets());
        Self::spawn(lab, command, stdout)
    }

    /// Starts `command`, which is some `recon run`, and waits until it watches.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn spawn(lab: &Lab, command: Command, stdout: Stdio) -> Result<Self> {
        let agent = Self::launch(lab, command, stdout)?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Starts `command`, which is something that starts `recon run`, be it once or several times.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn launch(lab: &Lab, mut command: Command, stdout: Stdio) -> Result<Self> {
        command.stdout(stdout).stderr(Stdio::piped());
        let mut process = Process::spawn(lab.host(), command)?;
        let watch = Arc::<Watch>::default();
        let stderr = process.take_stderr().context("a pipe from stderr")?;
        let mut readers = vec![watch.follow(stderr, Seen::read_stderr, |seen| seen.is_over = true)];
        if let Some(stdout) = process.take_stdout() {
            readers.push(watch.follow(stdout, Seen::read_stdout, |_| {}));
        }
        Ok(Self {
            process,
            watch,
            readers,
        })
    }

    /// Waits until it watches.
    ///
    /// # Errors
    /// As [`Agent::wait_for`].
    pub fn wait_ready(&self) -> Result<()> {
        self.wait_for("ready", |seen| seen.is_ready.then_some(()))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Forgets what it has written, before another one starts that writes to the same place.
    pub fn forget(&self) {
        let mut seen = self.watch.lock();
        let is_over = seen.is_over;
        *seen = Seen::default();
        seen.is_over = is_over;
    }

    /// What it has written so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.watch.lock().clone()
    }

    /// Waits until `condition` gives something.
    ///
    /// # Errors
    /// When that takes too long, the agent ends, or it writes garbage; with what it has written.
    pub fn wait_for<T>(&self, what: &str, condition: impl FnMut(&Seen) -> Option<T>) -> Result<T> {
        self.wait_within(PATIENCE, what, condition)
    }

    /// The same with another deadline.
    ///
    /// # Errors
    /// As [`Agent::wait_for`].
    pub fn wait_within<T>(
        &self,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + deadline;
        let mut seen = self.watch.lock();
        loop {
            if let Some(found) = condition(&seen) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.is_over || !seen.garbage.is_empty() {
                bail!("waiting for: {what}\n{seen}");
            }
            seen = self
                .watch
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until that many signals have been drained or counted as lost since the start, and the alerts they caused are out.
    ///
    /// # Errors
    /// As [`Agent::wait_for`]; what takes too long is a time without any more.
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

    /// Waits for the alert that `find` finds, about an event with which `signals` have been made since the start. It must be told of
    /// by the poll that drains the last of them: the event's own poll, or the one after where that cuts it in two.
    ///
    /// # Errors
    /// As [`Agent::wait_for`], and when it is told of later.
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

    /// Waits until the next poll is over, and returns its number.
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

    /// Waits for its end, of whatever cause.
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
            "stdout is for alerts alone\n{seen}"
        );
        Ok(Stopped { status, seen })
    }
}

impl Watch {
    /// A panicking test must not hide what was seen.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds the lines of `pipe` to `take` on a thread, and calls `end` after the last.
    fn follow(
        self: &Arc<Self>,
        pipe: impl Read + Send + 'static,
        take: fn(&mut Seen, &str),
        end: fn(&mut Seen),
    ) -> JoinHandle<()> {
        let watch = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                take(&mut watch.lock(), &line);
                watch.changed.notify_all();
            }
            end(&mut watch.lock());
            watch.changed.notify_all();
        })
    }
}
