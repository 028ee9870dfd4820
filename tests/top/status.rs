//! `recon status`: text and JSON say what the scan did, and a stopped agent is said at once.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::PATIENCE;
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use serde_json::json;

use super::{OPEN, PORTS, Watched, timed};

#[test]
fn a_scan_is_one_source_with_its_ports_and_outcomes() -> Result<()> {
    let watched = Watched::start("")?;
    let quiet = watched.json("status")?;
    ensure!(quiet["sources"] == json!([]), "{quiet:#}");
    ensure!(quiet["incidents"] == json!([]), "{quiet:#}");
    let alert = {
        watched.scan()?;
        watched.alert("port-scan", "distinct_ports")?
    };
    let status = watched.scanned()?;
    let source = &status["sources"][0];
    let count = PORTS.count();
    let (first, last) = PORTS.into_inner();
    for (field, expected) in [
        ("ip", json!(ATTACKER)),
        ("verdict", json!("scanner")),
        ("proven", json!(false)),
        ("targets", json!(count)),
        ("port_range", json!([first, last])),
        ("ports", json!((first..first + 16).collect::<Vec<_>>())),
        ("tools", json!(["nmap"])),
        (
            "outcomes",
            json!({"accepted": 0, "refused": count - 1, "half_open": 1, "silent": 0, "open_ports": [OPEN]}),
        ),
    ] {
        ensure!(source[field] == expected, "{field}: {source:#}");
    }
    ensure!(
        status["sources"].as_array().map(Vec::len) == Some(1),
        "{status:#}"
    );
    ensure!(
        status["known_sources"] == json!({"client": 0, "undecided": 0, "scanner": 1}),
        "{status:#}"
    );
    // What was there before stays, in the same object.
    ensure!(
        status["pid"] == watched.agent.pid() && status["lost"] == 0,
        "{status:#}"
    );
    let id = alert.text("event.id").context("event.id")?;
    let incidents = status["incidents"].as_array().context("incidents")?;
    ensure!(status["incidents_open"] == incidents.len(), "{status:#}");
    let incident = incidents.iter().find(|it| it["event_id"] == *id);
    let incident = incident.with_context(|| format!("{id}: {status:#}"))?;
    ensure!(
        incident["source"] == ATTACKER.to_string()
            && incident["rule_id"] == "port-scan/distinct_ports"
            && incident["count"] == count
            && incident["phase"] == "began",
        "{incident:#}"
    );
    let text = watched.ask("status")?.success()?;
    for part in [
        format!(
            "  {ATTACKER} scanner: {count} targets on ports {first} to {last}: 0 accepted, 1 half-open, {} refused, 0 not answered",
            count - 1
        ),
        format!("port-scan/distinct_ports: {ATTACKER}: distinct_ports {count}, over 20"),
        id,
        "looks like nmap".to_owned(),
        "watching     veth0".to_owned(),
    ] {
        ensure!(text.contains(&part), "no {part:?} in {text}");
    }
    watched.stop()
}

#[test]
fn sources_are_selected() -> Result<()> {
    let watched = Watched::start("")?;
    watched.scanned()?;
    for (arguments, listed) in [
        ("--filter scanner --sort ports", 1),
        ("--filter 198.51.100", 1),
        ("--filter 203.0.113.0/24", 0),
        ("--filter client", 0),
        ("--limit 0", 0),
    ] {
        let status = watched.json(&format!("status {arguments}"))?;
        let found = status["sources"].as_array().map(Vec::len);
        ensure!(found == Some(listed), "{arguments}: {status:#}");
        ensure!(status["known_sources"]["scanner"] == 1, "{status:#}");
    }
    watched.stop()
}

/// A tool of this host that scans is a process with its name, also if that name is hostile.
#[test]
fn own_scanners_are_processes() -> Result<()> {
    let watched = Watched::start("")?;
    let line = format!(
        "d=$(mktemp -d); cp $(command -v nmap) \"$d/$(printf 'u\\033[2Jp')\"; \"$d\"/u* -n -Pn -sT -p 1-60 {ATTACKER}; rm -r \"$d\""
    );
    run(watched.lab.host(), shell(&line), PATIENCE)?.success()?;
    let status = watched.wait_json("status", "a process", |status| {
        status["processes"][0]["name"].is_string()
    })?;
    let process = &status["processes"][0];
    ensure!(
        process["name"] == "u\\u{1b}[2Jp" && process["user"] == "root",
        "{process:#}"
    );
    let text = watched.ask("status")?.success()?;
    ensure!(text.contains("process      u\\u{1b}[2Jp (pid "), "{text}");
    ensure!(!text.contains('\u{1b}'), "{text:?}");
    ensure!(!text.contains(&format!("  {HOST} ")), "{text}");
    watched.stop()
}

/// An answer never comes from a stopped agent: each command says so within a second.
#[test]
fn a_stopped_agent_is_said_at_once() -> Result<()> {
    const SOON: Duration = Duration::from_secs(1);
    let watched = Watched::start("")?;
    watched.agent.signal(Signal::SIGSTOP)?;
    let id = "0".repeat(32);
    for command in ["status", "status --json", &format!("explain {id}")] {
        let (refused, took) = timed(|| watched.ask(command))?;
        ensure!(refused.status.code() == Some(1), "{refused:?}");
        let pid = watched.agent.pid();
        for part in ["is stopped by a signal", &format!("kill -CONT {pid}")] {
            ensure!(refused.output.contains(part), "{refused:?}");
        }
        ensure!(took < SOON, "{command}: {took:?}");
    }
    watched.agent.signal(Signal::SIGCONT)?;
    ensure!(watched.json("status")?["failed_polls"] == 0);
    watched.stop()
}
