//! Whom recon names when somebody takes care that it names the wrong one.
//!
//! In: packets that leave in another context than their sender's, programs that change. Out: the
//! process of each row that the agent writes. The decision held here: a row of a table says who is
//! named, the sender or nobody. Any other process is a wrong name, and this test's own is the most
//! likely: it answers for the neighbour, and the kernel then sends what had waited while this test
//! is the current task.

#[path = "hostile_names/asymmetric.rs"]
mod asymmetric;
#[path = "hostile_names/images.rs"]
mod images;
#[path = "hostile_names/logins.rs"]
mod logins;
#[path = "hostile_names/neighbour.rs"]
mod neighbour;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use recon_tests::{Agent, Lab};
use serde_json::Value;

/// Polls during the traffic.
const MEANWHILE: &str = "100ms";
/// One poll, after it.
const AFTERWARDS: &str = "60s";

/// A field of the rows that the agent wrote of `traffic`, without repetition, of which `signals`
/// are wanted.
fn field_of_rows(
    lab: &Lab,
    interval: &str,
    signals: u64,
    is_wanted: impl Fn(&Value) -> bool,
    field: &str,
    traffic: impl FnOnce() -> Result<()>,
) -> Result<BTreeSet<Option<String>>> {
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("events");
    let options = format!("--interval {interval} --events {}", events.display());
    let agent = Agent::start(lab, &options)?;
    traffic()?;
    if interval == MEANWHILE {
        agent.wait_drained(signals)?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let mut found = BTreeSet::new();
    let mut events_found = 0;
    for line in fs::read_to_string(&events)?.lines() {
        let row: Value = serde_json::from_str(line).context("a row")?;
        if is_wanted(&row) {
            events_found += row["Count"].as_u64().unwrap_or_default();
            let value = row.get(field).filter(|value| !value.is_null());
            found
                .insert(value.map(|value| value.as_str().map_or(value.to_string(), str::to_owned)));
        }
    }
    ensure!(
        events_found == signals,
        "{events_found} of {signals} events"
    );
    Ok(found)
}
