//! Interfaces that come and go: which are watched, from when on, and that each packet counts once.
//!
//! In: links of each kind that a host with guests and tunnels has, created and removed while the
//! agent runs. Out: what it logs, and rows and alerts with the right interface. The decision held
//! here: a packet must count if it was sent after the agent said that it watches the interface, so
//! a test waits for that line and then counts exactly.

#[path = "interfaces/hundred.rs"]
mod hundred;
#[path = "interfaces/kinds.rs"]
mod kinds;
#[path = "interfaces/layers.rs"]
mod layers;
#[path = "interfaces/link.rs"]
mod link;
#[path = "interfaces/names.rs"]
mod names;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::agent::recon;
use recon_tests::process::{run, shell};
use recon_tests::scan::PORTS;
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::Value;

use link::NEAR;

const INTERVAL: &str = "--interval 100ms";

/// Starts `recon run` with these arguments alone.
fn start(lab: &Lab, arguments: &str) -> Result<Agent> {
    let mut command = recon(&format!("run -vv --profile source {arguments}"))?;
    command.args(lab.watched_sockets());
    Agent::spawn(lab, command, Stdio::piped())
}

/// Waits until the log has so many lines with that text.
fn wait_logged(agent: &Agent, text: &str, times: usize) -> Result<()> {
    agent.wait_for(&format!("{times} times {text:?}"), |seen| {
        let lines = seen.log.iter().filter(|line| line.contains(text));
        (lines.count() >= times).then_some(())
    })
}

/// Connects from the far end of a link to closed ports of the near one.
fn scan(lab: &Lab) -> Result<()> {
    scan_ports(lab, PORTS)
}

/// The same for any closed ports.
fn scan_ports(lab: &Lab, ports: Range<u16>) -> Result<()> {
    lab.attacker().enter(|| {
        for port in ports {
            match TcpStream::connect((NEAR, port)) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                other => bail!("port {port}: {other:?}"),
            }
        }
        Ok(())
    })
}

/// The sum of the counts of a signal on an interface, in a file of rows.
fn count(events: &Path, signal: &str, interface: &str) -> Result<u64> {
    let text = fs::read_to_string(events)?;
    let mut sum = 0;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if row["ActionType"] == signal && row["InterfaceName"] == interface {
            sum += row["Count"].as_u64().context("a count")?;
        }
    }
    Ok(sum)
}

/// Waits until the near end answers pings: a SYN that a link just set up loses is sent again.
fn answers(lab: &Lab) -> Result<()> {
    let pings = format!("until ping -n -q -c 1 -W 1 {NEAR}; do :; done");
    run(lab.attacker(), shell(&pings), PATIENCE)?
        .success()
        .map(drop)
}

/// Waits until the agent has no more descriptors open than before. It holds some for a moment, for
/// a question, and those may be among what was counted before.
fn wait_descriptors(agent: &Agent, before: usize) -> Result<()> {
    let waited = agent.wait_for(&format!("at most {before} descriptors"), |_| {
        (descriptors(agent.pid()).ok()? <= before).then_some(())
    });
    waited.with_context(|| list_descriptors(agent.pid()))
}

/// What they are, how often.
fn list_descriptors(pid: u32) -> String {
    let mut kinds = BTreeMap::<String, usize>::new();
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    for entry in entries.into_iter().flatten().flatten() {
        let kind = fs::read_link(entry.path()).unwrap_or_default();
        *kinds.entry(kind.display().to_string()).or_default() += 1;
    }
    format!("{kinds:?}")
}

/// How many descriptors a process has open.
fn descriptors(pid: u32) -> Result<usize> {
    let folder = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&folder).context(folder)?.count())
}

/// Stops the agent, whose totals must add up.
fn stop(agent: Agent) -> Result<recon_tests::agent::Stopped> {
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    Ok(stopped)
}
