//! How the agent starts, where it attaches, how it ends, and how it copes with a bad reader of its
//! alerts.

#[path = "command_line/log_formats.rs"]
mod log_formats;
#[path = "command_line/modes.rs"]
mod modes;

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::frame::{Path, syn};
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::lab::{ATTACKER, HOST, HOST_LINK};
use recon_tests::process::run;
use recon_tests::program::open_folder;
use recon_tests::scan::{PORTS, SIGNALS_PER_PORT, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE, rows};
use serde_json::{Value, json};

use modes::{MODES, SOCKET_HOOKS, report_hooks, tc};

const INTERVAL: &str = "--interval 100ms";

fn ensure_nothing_attached(lab: &Lab) -> Result<()> {
    let left = [attached(lab)?, attached_to_cgroup(lab)?].concat();
    ensure!(left.is_empty(), "still attached: {left:?}");
    Ok(())
}

#[test]
fn each_mode_is_reported_sees_packets_and_leaves_nothing() {
    rows::check(
        MODES,
        |row| row.arguments,
        |row| {
            let lab = Lab::new()?;
            let agent = Agent::start(&lab, &format!("{INTERVAL} {}", row.arguments))?;
            let [said, found] = tc()?;
            let inbound = row.inbound.replace("TC", said);
            let says = format!("veth0: inbound by {inbound}, outbound by {said} egress");
            ensure!(agent.seen().has_logged(&says), "{}", agent.seen());
            let hooks = attached(&lab)?;
            let expected = [row.attached.replace("TC", found), format!("{found} egress")];
            ensure!(hooks == expected, "attached: {hooks:?}");
            let hooks = attached_to_cgroup(&lab)?;
            ensure!(hooks == SOCKET_HOOKS, "attached: {hooks:?}");
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            report_hooks(row.arguments, &agent.seen());
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            let signals = SIGNALS_PER_PORT * PORTS.len() as u64;
            ensure!(stopped.totals()?.signals == signals, "{}", stopped.seen);
            ensure_nothing_attached(&lab)
        },
    );
}

#[test]
fn without_a_name_every_interface_but_loopback_is_watched() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::spawn(&lab, recon(&format!("run {INTERVAL}"))?, Stdio::piped())?;
    ensure!(
        agent.seen().has_logged("veth0: inbound by "),
        "{}",
        agent.seen()
    );
    ensure!(
        !agent.seen().has_logged("lo: inbound by "),
        "{}",
        agent.seen()
    );
    scan(&lab, PORTS)?;
    ensure_alert(&agent)
}

#[test]
fn another_xdp_program_keeps_its_place() -> Result<()> {
    let lab = Lab::new()?;
    let first = Agent::start(&lab, &format!("{INTERVAL} --xdp native"))?;

    for mode in ["native", "generic"] {
        let arguments = format!("run -i {HOST_LINK} --xdp {mode}");
        let refused = run(lab.host(), recon(&arguments)?, PATIENCE)?;
        ensure!(!refused.status.success(), "{}", refused.output);
        for text in ["veth0 already has an XDP program", "--xdp auto"] {
            ensure!(
                refused.output.contains(text),
                "no {text:?} in: {}",
                refused.output
            );
        }
    }
    let second = Agent::start(&lab, &format!("{INTERVAL} --xdp auto"))?;
    let [tc, _] = tc()?;
    let says = format!("veth0: inbound by {tc} ingress, outbound by {tc} egress");
    ensure!(second.seen().has_logged(&says), "{}", second.seen());

    scan(&lab, PORTS)?;
    for agent in [first, second] {
        ensure_alert(&agent)?;
        ensure!(agent.stop()?.status.success());
    }
    ensure_nothing_attached(&lab)
}

#[test]
fn a_closed_pipe_ends_the_agent_cleanly() -> Result<()> {
    let lab = Lab::new()?;
    let (reader, writer) = std::io::pipe()?;
    let agent = Agent::start_into(&lab, INTERVAL, writer.into())?;
    scan(&lab, PORTS)?;
    // What `head -1` does.
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line)?;
    ensure!(line.contains("port-scan"), "{line}");
    let stopped = agent.wait()?;
    ensure!(
        stopped.status.success(),
        "{}\n{}",
        stopped.status,
        stopped.seen
    );
    ensure_nothing_attached(&lab)
}

#[test]
fn a_full_disk_costs_the_alerts_and_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let full = File::options().write(true).open("/dev/full")?;
    let agent = Agent::start_into(&lab, INTERVAL, full.into())?;
    scan(&lab, PORTS)?;
    agent.wait_for("the loss", |seen| {
        (seen.has_logged("stdout: ") && seen.has_logged("dropped")).then_some(())
    })?;
    scan(&lab, PORTS)?;
    agent.wait_drained(2 * SIGNALS_PER_PORT * PORTS.len() as u64)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    // The alert and the digest.
    ensure!(
        stopped.seen.has_logged("alerts=0 alerts_dropped=2"),
        "{}",
        stopped.seen
    );
    ensure_nothing_attached(&lab)
}

#[test]
fn the_agent_does_not_wait_for_a_stalled_reader() -> Result<()> {
    /// Each causes an alert of some 700 bytes: in all more than the 64 KiB that a pipe holds.
    const SCANNERS: u8 = 200;
    let lab = Lab::new()?;
    let (_reader, writer) = std::io::pipe()?;
    // The default limit of lines would suppress so many alerts of one rule.
    let mut config = tempfile::NamedTempFile::new()?;
    config.write_all(b"alerts.lines = 'unlimited'")?;
    let options = format!("{INTERVAL} --config {}", config.path().display());
    let agent = Agent::start_into(&lab, &options, writer.into())?;
    let sender = lab.sender()?;
    for scanner in 0..SCANNERS {
        let path = Path::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, scanner)), HOST);
        PORTS
            .clone()
            .try_for_each(|port| sender.send(&path.tcp(syn(port), &[])?))?;
    }
    let signals = SIGNALS_PER_PORT * PORTS.len() as u64 * u64::from(SCANNERS);
    agent.wait_drained(signals)?;
    scan(&lab, PORTS)?;
    agent.wait_drained(signals + SIGNALS_PER_PORT * PORTS.len() as u64)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(
        stopped.seen.has_logged("reader does not read"),
        "{}",
        stopped.seen
    );
    ensure_nothing_attached(&lab)
}

#[test]
fn min_severity_suppresses_lesser_alerts() -> Result<()> {
    /// Enough for the rules that count hits on one port in an hour (informational) and in a minute
    /// (low).
    const REPEATS: u16 = 51;
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, &format!("{INTERVAL} --min-severity high"))?;
    for _ in 0..REPEATS {
        scan(&lab, PORTS.start..PORTS.start + 1)?;
    }
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    let seen = agent.stop()?.seen;
    let alert = seen.alerts.first().context("the alert above")?;
    ensure!(
        seen.alerts.len() == 1 && alert.is("port-scan", "distinct_ports"),
        "{seen}"
    );
    Ok(())
}

/// Each format has the incident, its rule and its ends where its readers look for them.
#[test]
fn alerts_are_written_in_each_format() -> Result<()> {
    type Expected = (&'static str, Value);
    let attacker = || json!(ATTACKER.to_string());
    let rows: [(&str, [Expected; 4]); 3] = [
        (
            "ecs",
            [
                ("/event/kind", json!("alert")),
                ("/rule/id", json!("port-scan/distinct_ports")),
                ("/source/ip", attacker()),
                ("/network/transport", json!("tcp")),
            ],
        ),
        (
            "ocsf",
            [
                ("/class_uid", json!(2004)),
                (
                    "/finding_info/analytic/uid",
                    json!("port-scan/distinct_ports"),
                ),
                ("/evidences/0/src_endpoint/ip", attacker()),
                ("/evidences/0/connection_info/protocol_name", json!("tcp")),
            ],
        ),
        (
            "eve",
            [
                ("/event_type", json!("alert")),
                (
                    "/alert/metadata/rule_id/0",
                    json!("port-scan/distinct_ports"),
                ),
                ("/src_ip", attacker()),
                ("/proto", json!("TCP")),
            ],
        ),
    ];
    for (format, expected) in rows {
        let lab = Lab::new()?;
        let folder = open_folder()?;
        let events = folder.path().join("rows.jsonl");
        let arguments = format!("{INTERVAL} --format {format} --events {}", events.display());
        let agent = Agent::start(&lab, &arguments)?;
        scan(&lab, PORTS)?;
        let (at, rule) = &expected[1];
        let alert = agent.wait_for("the alert", |seen| {
            let mut alerts = seen.alerts.iter().map(|alert| alert.fields().clone());
            alerts.find(|alert| alert.pointer(at) == Some(rule))
        })?;
        ensure!(agent.stop()?.status.success(), "{format}");
        let judged = format!("judge --format {format} {}", events.display());
        let judged = String::from_utf8(recon(&judged)?.output()?.stdout)?;
        let judged = judged.lines().map(serde_json::from_str);
        let judged: Vec<Value> = judged.collect::<Result<_, _>>()?;
        let mut judged = judged.iter();
        let judged = judged.find(|alert| alert.pointer(at) == Some(rule));
        for alert in [&alert, judged.context("no such alert of recon judge")?] {
            for (at, value) in &expected {
                ensure!(alert.pointer(at) == Some(value), "{format}: {at}: {alert}");
            }
        }
    }
    Ok(())
}

/// A rule file replaces the built-in rules, and the settings lower its threshold.
#[test]
fn rules_and_settings_of_files_are_applied() -> Result<()> {
    const RULE: &str = "// id: port-scan
DeviceNetworkEvents | summarize ports = dcount(LocalPort) by RemoteIP | where ports > 1000";
    const SETTINGS: &str = "[rules.port-scan]\nthreshold = 2\nseverity = 'low'\n";
    let folder = tempfile::tempdir()?;
    let [rules, settings] = ["a.kql", "recon.toml"].map(|name| folder.path().join(name));
    std::fs::write(&rules, RULE)?;
    std::fs::write(&settings, SETTINGS)?;
    let lab = Lab::new()?;
    let [rules, settings] = [rules.display(), settings.display()];
    let arguments = format!("{INTERVAL} --rules {rules} --config {settings}");
    let agent = Agent::start(&lab, &arguments)?;
    scan(&lab, PORTS.start..PORTS.start + 3)?;
    ensure_alert(&agent)?;
    let seen = agent.stop()?.seen;
    ensure!(seen.alerts.len() == 1, "{seen}");
    ensure!(
        seen.alerts[0].text("recon.severity").as_deref() == Some("low"),
        "{seen}"
    );
    Ok(())
}
