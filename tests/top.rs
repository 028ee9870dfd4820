//! What an operator sees of a running agent: `recon status`, `recon explain` and `recon top`,
//! compared with what a real nmap did, and what a look costs the agent.

#[path = "top/cost.rs"]
mod cost;
#[path = "top/explain.rs"]
mod explain;
#[path = "top/screen.rs"]
mod screen;
#[path = "top/status.rs"]
mod status;
#[path = "top/terminal.rs"]
mod terminal;

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::agent::recon;
use recon_tests::lab::HOST;
use recon_tests::process::{Finished, run, shell};
use recon_tests::{Agent, Alert, Lab, PATIENCE};
use serde_json::Value;
use tempfile::TempDir;

/// The ports that nmap scans, of which one is open.
const PORTS: RangeInclusive<u16> = 1..=100;
const OPEN: u16 = 80;

/// A host under watch with one open port, and its agent's socket.
struct Watched {
    agent: Agent,
    lab: Lab,
    socket: PathBuf,
    _folder: TempDir,
    _listener: TcpListener,
}

impl Watched {
    /// Starts an agent with these arguments.
    fn start(arguments: &str) -> Result<Self> {
        let lab = Lab::new()?;
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("control.sock");
        let listener = lab.host().enter(|| Ok(TcpListener::bind((HOST, OPEN))?))?;
        let line = format!(
            "--interval 250ms --control {} {arguments}",
            socket.display()
        );
        let agent = Agent::start(&lab, &line)?;
        Ok(Self {
            agent,
            lab,
            socket,
            _folder: folder,
            _listener: listener,
        })
    }

    /// Scans [`PORTS`] by a real nmap.
    fn scan(&self) -> Result<()> {
        let (first, last) = PORTS.into_inner();
        let line = format!("nmap -n -Pn -sS -p {first}-{last} {HOST}");
        run(self.lab.attacker(), shell(&line), PATIENCE)?.success()?;
        Ok(())
    }

    /// `recon ARGUMENTS` at the agent's socket, run to its end.
    fn ask(&self, arguments: &str) -> Result<Finished> {
        let line = format!("{arguments} --control {}", self.socket.display());
        run(self.lab.host(), recon(&line)?, PATIENCE)
    }

    /// The answer of that command as JSON.
    fn json(&self, arguments: &str) -> Result<Value> {
        let answer = self.ask(&format!("{arguments} --json"))?.success()?;
        serde_json::from_str(&answer).with_context(|| answer.clone())
    }

    /// Asks after each poll until `is_it` accepts the answer.
    fn wait_json(
        &self,
        arguments: &str,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.json(arguments)?;
            if is_it(&answer) {
                return Ok(answer);
            }
            if Instant::now() >= until {
                bail!("{what}: {answer:#}\n{}", self.agent.seen());
            }
            self.agent.wait_poll()?;
        }
    }

    /// Scans, and waits until the outcomes of all ports are known.
    fn scanned(&self) -> Result<Value> {
        self.scan()?;
        let count = PORTS.count();
        self.wait_json("status", "all ports", |status| {
            status["sources"][0]["targets"] == count
        })
    }

    /// The alert of that rule and measure.
    fn alert(&self, rule: &str, measure: &str) -> Result<Alert> {
        self.agent
            .wait_for(rule, |seen| seen.fired(rule, measure).next().cloned())
    }

    /// Ends the agent in order.
    fn stop(self) -> Result<()> {
        ensure!(self.agent.stop()?.status.success());
        Ok(())
    }
}

/// How long that takes.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    let done = work()?;
    Ok((done, begun.elapsed()))
}
