//! What became of attempts, on real sockets: how accepted connections ended, which attempts of this
//! host and of a guest were answered. The agent writes it as rows.
//!
//! A row of a table lists everything that its traffic counts as, so that nothing counts twice or
//! for the wrong end.

#[path = "outcomes/answers.rs"]
mod answers;
#[path = "outcomes/endings.rs"]
mod endings;
#[path = "outcomes/listeners.rs"]
mod listeners;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use recon_tests::{Agent, Lab};
use serde_json::Value;

/// What counts, as words, and how often.
type Counts = BTreeMap<String, u64>;

/// Runs the agent during `traffic`, and returns what it counted.
fn count(lab: &Lab, traffic: impl FnOnce() -> Result<()>) -> Result<Counts> {
    /// Longer than any traffic: the agent drains once, at its end.
    const INTERVAL: &str = "60s";
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("events");
    let options = format!("--interval {INTERVAL} --events {}", events.display());
    let agent = Agent::start(lab, &options)?;
    traffic()?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let mut counts = Counts::new();
    for line in fs::read_to_string(&events)?.lines() {
        let row: Value = serde_json::from_str(line).context("a row")?;
        *counts.entry(describe(&row)).or_default() += row["Count"].as_u64().unwrap_or_default();
    }
    let totals = stopped.totals()?;
    ensure!(totals.lost == 0, "{totals:?}");
    Ok(counts)
}

/// The row's action and port, and how a connection ended.
fn describe(row: &Value) -> String {
    let port = row.get("LocalPort").or_else(|| row.get("RemotePort"));
    let ending = ["BytesReceived", "BytesSent", "ConnectionSeconds"];
    [row.get("ActionType"), port]
        .into_iter()
        .chain(ending.map(|name| row.get(name)))
        .flatten()
        .map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(" ")
}
