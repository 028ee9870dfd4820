//! Who hides among forged or started others is named all the same.
//!
//! The others take as many lines as one query has in a minute. The agent is stopped before that
//! minute is over, which ends it.

use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::agent::Stopped;
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Alert, Lab};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(120);
/// Lines of a query in a minute.
const LINES: usize = 20;

/// The alerts of one rule.
fn alerts<'a>(stopped: &'a Stopped, rule: &'a str, measure: &'a str) -> Vec<&'a Alert> {
    stopped.seen.fired(rule, measure).collect()
}

fn is_left_out(alert: &Alert) -> bool {
    alert.text("recon.phase").as_deref() == Some("left_out")
}

/// Whether a line of its own, or the line about the suppressed findings, names this source.
fn names(alert: &Alert, source: &str) -> bool {
    let listed = alert.field("recon.left_out_sources");
    let mut listed = listed.and_then(Value::as_array).into_iter().flatten();
    alert.text("source.ip").as_deref() == Some(source)
        || listed.any(|listed| listed["ip"] == source)
}

/// nmap's scan of that many ports with these decoys.
fn scan(ports: u32, decoys: &[String]) -> String {
    let decoys = decoys.join(",");
    format!("nmap -n -Pn -sS --max-retries 1 -p 1-{ports} -D {decoys},ME {HOST}")
}

#[test]
fn a_scanner_among_decoys_is_named() -> Result<()> {
    const PORTS: u32 = 100;
    let neighbours = (0..40).map(|number| format!("198.51.100.{}", 30 + number));
    let others = (0..40).map(|number| format!("198.19.{number}.1"));
    // (who the decoys are, their addresses)
    for (what, decoys) in [
        ("neighbours", neighbours.collect::<Vec<_>>()),
        ("of many networks", others.collect()),
    ] {
        let lab = Lab::new()?;
        let agent = Agent::start(&lab, "")?;
        run(lab.attacker(), shell(&scan(PORTS, &decoys)), DEADLINE)?.success()?;
        // The host asks for the neighbours' hardware addresses instead of answering them.
        agent.wait_drained(u64::from(PORTS) * (decoys.len() as u64 + 1))?;
        agent.wait_poll()?;
        let stopped = agent.stop()?;
        let scans = alerts(&stopped, "port-scan", "distinct_ports");
        let (left_out, own): (Vec<&Alert>, Vec<&Alert>) =
            scans.iter().partition(|scan| is_left_out(scan));
        ensure!(own.len() <= LINES, "{what}: {} lines", own.len());
        ensure!(left_out.len() == 1, "{what}: {left_out:?}");
        for source in decoys.iter().chain([&ATTACKER.to_string()]) {
            let is_named = scans.iter().any(|scan| names(scan, source));
            ensure!(is_named, "{what}: {source} is not named");
        }
    }
    Ok(())
}

#[test]
fn a_user_who_starts_many_tools_does_not_hide_those_of_others() -> Result<()> {
    const OTHERS: usize = 30;
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "")?;
    let tool = format!("nmap -n -Pn -sT --unprivileged -p 9 {ATTACKER}");
    let line = format!(
        "for i in $(seq {OTHERS}); do setpriv --reuid=65534 --clear-groups {tool} & done; wait"
    );
    run(lab.host(), shell(&line), DEADLINE)?.success()?;
    let of_user = |alert: &&Alert, user: &str| alert.text("user.id").as_deref() == Some(user);
    let is_tool = |alert: &&Alert| alert.text("rule.id").as_deref() == Some("outbound-scan-tool");
    agent.wait_for("alerts about the user", |seen| {
        let tools = seen.alerts.iter().filter(is_tool);
        (tools.filter(|alert| of_user(alert, "65534")).count() >= LINES / 2).then_some(())
    })?;
    run(lab.host(), shell(&tool), DEADLINE)?.success()?;
    agent.wait_for("an alert about root's tool", |seen| {
        let mut tools = seen.alerts.iter().filter(is_tool);
        tools.find(|alert| of_user(alert, "0")).map(drop)
    })?;
    agent.stop().map(drop)
}
