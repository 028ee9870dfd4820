//! Whether a person who has the lines alone finds one incident as one group.
//!
//! DuckDB groups the lines of real traffic by `event.id`. Each group is one rule's measure of one
//! source, begins once and ends at most once; no two groups are of the same incident; and some have
//! several lines.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use recon_tests::{Agent, Lab, Server};
use serde_json::Value;

use super::engine::script;
use super::{INTERVAL, PAGE, make_traffic};

/// There are no fewer incidents: of the two scans, the floods and the host's own scan.
const LEAST: usize = 8;

#[test]
fn each_incident_is_one_group_of_lines() -> Result<()> {
    let lab = Lab::new()?;
    let _server = Server::web(lab.host(), PAGE)?;
    let agent = Agent::start(&lab, INTERVAL)?;
    make_traffic(&lab)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let lines = stopped
        .seen
        .alerts
        .iter()
        .map(|alert| alert.fields().to_string());
    let groups = group(&lines.collect::<Vec<_>>().join("\n"))?;

    let mut known = BTreeSet::new();
    for group in &groups {
        let texts = |name: &str| -> Vec<&str> {
            let texts = group[name].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).collect()
        };
        let [rules, sources, destinations, processes] =
            ["rules", "sources", "destinations", "processes"].map(texts);
        ensure!(
            rules.len() == 1 && sources.len() <= 1 && destinations.len() == 1,
            "lines of several incidents: {group}"
        );
        let actions = texts("actions");
        let count_action = |wanted| actions.iter().filter(|&&action| action == wanted).count();
        ensure!(
            actions.first() == Some(&"began")
                && count_action("began") == 1
                && count_action("ended") <= 1,
            "no course of one incident: {group}"
        );
        ensure!(
            count_action("ended") == 0 || actions.last() == Some(&"ended"),
            "it goes on after its end: {group}"
        );
        ensure!(
            group["sequences"] == group["lines"] && group["is_ordered"] == true,
            "a number twice, or an end before its start: {group}"
        );
        let incident = (rules, sources, destinations, processes);
        ensure!(
            known.insert(incident),
            "one incident in two groups: {group}"
        );
    }
    let mut lines = groups.iter().map(|group| group["lines"].as_u64());
    ensure!(
        lines.any(|lines| lines > Some(1)),
        "no incident has two lines"
    );
    ensure!(groups.len() >= LEAST, "{}", Value::from(groups));
    Ok(())
}

/// The groups of the lines, by `incidents.py`.
fn group(lines: &str) -> Result<Vec<Value>> {
    let mut engine = script("incidents.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("DuckDB does not start: cargo xtask test installs it")?;
    let mut stdin = engine.stdin.take().context("piped")?;
    writeln!(stdin, "{lines}")?;
    drop(stdin);
    let output = engine.wait_with_output()?;
    ensure!(output.status.success(), "DuckDB: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
