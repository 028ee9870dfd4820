//! Sinks of the settings: disks that are full, readers that stop, go and come back. In each,
//! written and dropped lines together are what was sent, and neither a poll nor another sink waits.
//!
//! The decision held here: another sink of the same agent, a file, says what was sent.

#[path = "sinks/closers.rs"]
mod closers;
#[path = "sinks/everything.rs"]
mod everything;
#[path = "sinks/files.rs"]
mod files;
#[path = "sinks/http_server.rs"]
mod http_server;
#[path = "sinks/journals.rs"]
mod journals;
#[path = "sinks/nats.rs"]
mod nats;
#[path = "sinks/otlp.rs"]
mod otlp;
#[path = "sinks/peers.rs"]
mod peers;
#[path = "sinks/tls.rs"]
mod tls;
#[path = "sinks/tls_peers.rs"]
mod tls_peers;
#[path = "sinks/webhooks.rs"]
mod webhooks;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::agent::{Stopped, recon};
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::process::run;
use recon_tests::scan::scan;
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::Value;

/// The sink that gets everything.
const ALL: &str = "all";

/// An agent with sinks, in a lab of its own.
struct Watched {
    agent: Agent,
    lab: Lab,
    all: PathBuf,
    socket: PathBuf,
}

/// What became of the lines of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals {
    written: u64,
    dropped: u64,
    repeated: u64,
}

/// What `recon status` says of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    written: u64,
    dropped: u64,
    waiting: u64,
}

impl Watched {
    /// Starts an agent with these tables of recon.toml and a sink that gets everything.
    fn start(lab: Lab, folder: &Path, sinks: &str) -> Result<Self> {
        Self::start_into(lab, folder, sinks, Stdio::piped())
    }

    /// The same with its stdout redirected, so that no alert is seen here.
    fn start_into(lab: Lab, folder: &Path, sinks: &str, stdout: Stdio) -> Result<Self> {
        let [config, socket, all] =
            ["recon.toml", "control.sock", "all.jsonl"].map(|name| folder.join(name));
        let text = format!(
            "{sinks}\n[sinks.{ALL}]\ntype = 'file'\npath = '{}'\nlines = ['alerts', 'rows']\n",
            all.display()
        );
        fs::write(&config, text)?;
        let arguments = format!(
            "--interval 250ms --config {} --control {}",
            config.display(),
            socket.display()
        );
        let agent = Agent::start_into(&lab, &arguments, stdout)?;
        Ok(Self {
            agent,
            lab,
            all,
            socket,
        })
    }

    /// Scans ports, and waits until all of it is drained.
    fn scan(&self, ports: Range<u16>) -> Result<()> {
        let before = self.agent.seen().polled.signals;
        let signals = 2 * u64::try_from(ports.len())?;
        scan(&self.lab, ports)?;
        self.agent.wait_drained(before + signals)
    }

    /// The whole of what `recon status` says.
    fn status(&self) -> Result<Value> {
        let line = format!("status --json --control {}", self.socket.display());
        let answer = run(self.lab.host(), recon(&line)?, PATIENCE)?.success()?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// What `recon check` says of the settings in that folder, as one line.
    fn check(&self, folder: &Path) -> Result<String> {
        let config = folder.join("recon.toml");
        let command = recon(&format!("check --config {}", config.display()))?;
        let report = run(self.lab.host(), command, PATIENCE)?.output;
        let words: Vec<_> = report.split_whitespace().collect();
        Ok(words.join(" "))
    }

    /// What it says of a sink.
    fn status_of(&self, sink: &str) -> Result<Value> {
        let status = self.status()?;
        let sinks = status["sinks"].as_array().context("sinks")?;
        let found = sinks.iter().find(|it| it["name"] == sink);
        found.cloned().with_context(|| format!("{sink}: {status}"))
    }

    fn state(&self, sink: &str) -> Result<State> {
        let found = self.status_of(sink)?;
        let number = |name: &str| found[name].as_u64().with_context(|| found.to_string());
        Ok(State {
            written: number("written")?,
            dropped: number("dropped")?,
            waiting: number("waiting")?,
        })
    }

    /// Waits until a sink is in a state. Looks after each poll.
    fn wait_state(&self, sink: &str, what: &str, is_it: impl Fn(State) -> bool) -> Result<State> {
        let until = Instant::now() + PATIENCE;
        loop {
            let state = self.state(sink)?;
            if is_it(state) {
                return Ok(state);
            }
            if Instant::now() >= until {
                bail!("{sink}: {what}: {state:?}\n{}", self.agent.seen());
            }
            self.agent.wait_poll()?;
        }
    }

    /// Waits until the last failure of a sink has this text.
    fn wait_problem(&self, sink: &str, text: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status_of(sink)?;
            if status["problem"]
                .as_str()
                .is_some_and(|it| it.contains(text))
            {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{text}: {status}");
            self.agent.wait_poll()?;
        }
    }

    /// Waits until nothing waits in a sink.
    fn wait_empty(&self, sink: &str) -> Result<State> {
        self.wait_state(sink, "nothing waits", |it| it.waiting == 0)
    }

    /// Waits until the log has a text.
    fn wait_logged(&self, text: &str) -> Result<()> {
        self.agent
            .wait_for(text, |seen| seen.has_logged(text).then_some(()))
    }

    /// Checks that all polls were in time and the sink of everything has lost nothing, and ends the
    /// agent.
    fn stop(self) -> Result<Ended> {
        let status = self.status()?;
        ensure!(
            status["missed_polls"] == 0 && status["failed_polls"] == 0,
            "{status}"
        );
        self.end(Agent::stop)
    }

    /// Waits for the end of the agent.
    fn end(self, wait: impl FnOnce(Agent) -> Result<Stopped>) -> Result<Ended> {
        let begun = Instant::now();
        let stopped = wait(self.agent)?;
        let took = begun.elapsed();
        ensure!(stopped.status.success(), "{}", stopped.seen);
        ensure!(took.as_secs() < 10, "the end took {took:?}");
        let left = [attached(&self.lab)?, attached_to_cgroup(&self.lab)?].concat();
        ensure!(left.is_empty(), "still attached: {left:?}");
        let ended = Ended {
            sent: lines(&fs::read_to_string(&self.all)?)?,
            stopped,
        };
        let all = ended.totals(ALL)?;
        ensure!(
            all.dropped == 0 && all.written == ended.sent.len() as u64,
            "{all:?}: {}",
            ended.stopped.seen
        );
        Ok(ended)
    }
}

/// An agent that has ended.
struct Ended {
    stopped: Stopped,
    /// All lines that were sent.
    sent: Vec<String>,
}

impl Ended {
    fn totals(&self, sink: &str) -> Result<Totals> {
        let head = format!("totals of sink {sink}: ");
        let mut log = self.stopped.seen.log.iter();
        let line = log.find_map(|line| Some(line.split_once(&head)?.1));
        let line = line.with_context(|| format!("no {head:?}: {}", self.stopped.seen))?;
        let value = |name: &str| -> Result<u64> {
            let mut words = line.split_whitespace();
            let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            Ok(value.with_context(|| line.to_owned())?.parse()?)
        };
        Ok(Totals {
            written: value("written")?,
            dropped: value("dropped")?,
            repeated: value("repeated")?,
        })
    }

    /// Checks that a sink has written or dropped each line, and that these are what was written.
    fn ensure_agrees(&self, sink: &str, received: &[String]) -> Result<Totals> {
        let totals = self.totals(sink)?;
        ensure!(
            received.len() as u64 == totals.written + totals.repeated,
            "{} received, {totals:?}: {}",
            received.len(),
            self.stopped.seen
        );
        self.ensure_all_came(sink, received)?;
        Ok(totals)
    }

    /// Checks that what has come are the lines that count as written, each at least once.
    fn ensure_all_came(&self, sink: &str, received: &[String]) -> Result<Totals> {
        let totals = self.totals(sink)?;
        ensure!(
            totals.written + totals.dropped == self.sent.len() as u64,
            "{totals:?} of {}: {}",
            self.sent.len(),
            self.stopped.seen
        );
        let sent: BTreeSet<_> = self.sent.iter().collect();
        let distinct: BTreeSet<_> = received.iter().collect();
        let strange: Vec<_> = distinct.difference(&sent).collect();
        ensure!(strange.is_empty(), "nobody has sent {strange:?}");
        ensure!(
            distinct.len() as u64 == totals.written,
            "{} different lines, {totals:?}",
            distinct.len()
        );
        Ok(totals)
    }
}

/// The lines of a text, each of which must be a whole object.
fn lines(text: &str) -> Result<Vec<String>> {
    ensure!(
        text.is_empty() || text.ends_with('\n'),
        "the last line is torn"
    );
    let whole = |line: &str| -> Result<String> {
        let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(value.is_object(), "{line}");
        Ok(line.to_owned())
    };
    text.lines().map(whole).collect()
}
