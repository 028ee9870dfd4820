//! An unprivileged user in a network namespace of his own: what he does there between any two
//! addresses is nobody's traffic. What a container behind this host does is.

use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::lab::{ATTACKER, GUEST, HOST};
use recon_tests::namespace::Namespace;
use recon_tests::process::{run, shell};
use recon_tests::program::PYTHON;
use recon_tests::{Agent, Lab, Server, rows};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);
/// The address that the user gives himself. It stands for an innocent's.
const FORGED: &str = "203.0.113.66";
const FORGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile_netns/forger.py");
/// A shell of user nobody, who is root in his own user and network namespace.
const UNPRIVILEGED: &str =
    "setpriv --reuid=65534 --clear-groups unshare --user --map-root-user --net";

struct Row {
    name: &'static str,
    /// What the user does there.
    forge: &'static [&'static str],
    profile: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "accepts 150 connections of an innocent on a port of root's server",
        forge: &["accept {forged} {host} 80 150"],
        profile: "source",
    },
    Row {
        name: "connects to 60 ports, and sends to as many, by the source's rules",
        forge: &["connect {forged} 2000 60", "send {forged} 3000 60"],
        profile: "source",
    },
    Row {
        name: "connects to 150 ports, all of which refuse",
        forge: &["connect {forged} 2000 150"],
        profile: "outcomes",
    },
    Row {
        name: "connects to 60 ports, and sends to as many",
        forge: &["connect {forged} 2000 60", "send {forged} 3000 60"],
        profile: "outcomes",
    },
];

/// Runs the commands as that user, whose namespace has the address `forged` and the host's.
fn forge(lab: &Lab, forged: &str, commands: &[&str]) -> Result<()> {
    let commands: String = commands
        .iter()
        .map(|command| format!(" && {PYTHON} {FORGER} {command}"))
        .collect();
    let line = format!(
        "exec {UNPRIVILEGED} sh -c 'ip link set lo up && \
         ip address add {{forged}} dev lo && ip address add {{host}} dev lo{commands}'"
    );
    let line = line
        .replace("{forged}", forged)
        .replace("{host}", &HOST.to_string());
    run(lab.host(), shell(&line), DEADLINE)?.success().map(drop)
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, &format!("--interval 200ms --profile {}", row.profile))?;
    forge(&lab, FORGED, row.forge)?;
    // A call waits for its packet until the poll after the next.
    for _ in 0..4 {
        agent.wait_poll()?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.seen.alerts.is_empty(), "{}", stopped.seen);
    Ok(())
}

#[test]
fn what_an_unprivileged_user_forges_names_nobody() {
    rows::check(ROWS, |row| row.name, check);
}

/// A scan is real, and its use is forged.
#[test]
fn a_forged_use_is_not_the_scanners() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 200ms --profile outcomes")?;
    let scan = format!("nmap -n -Pn -T4 --max-retries 1 -sS -p 2000-2099 {HOST}");
    run(lab.attacker(), shell(&scan), DEADLINE)?.success()?;
    agent.wait_for("an alert about the scan", |seen| {
        seen.fired("port-scan", "distinct_ports").next().cloned()
    })?;
    forge(
        &lab,
        &ATTACKER.to_string(),
        &["accept {forged} {host} 80 1"],
    )?;
    for _ in 0..4 {
        agent.wait_poll()?;
    }
    let stopped = agent.stop()?;
    let used = stopped.seen.fired("scan-then-connect", "count").count();
    ensure!(used == 0, "{}", stopped.seen);
    Ok(())
}

/// Connections to a container and from one, whose packets this host forwards.
#[test]
fn what_a_container_does_counts() -> Result<()> {
    const CONNECTIONS: usize = 101;
    let lab = Lab::new()?;
    let guest = lab.add_guest()?;
    let _server = web(&guest)?;
    // It listens on the same port, and is not who serves the guest's clients.
    let _other = web(lab.host())?;
    let agent = Agent::start(&lab, "--interval 200ms --profile source")?;
    let visit = format!(
        "for i in $(seq {CONNECTIONS}); do curl -sSf -o /dev/null http://{GUEST}/ || exit; done"
    );
    run(lab.attacker(), shell(&visit), DEADLINE)?.success()?;
    let accepted = agent.wait_for("an alert about accepted connections", |seen| {
        let mut alerts = seen.alerts.iter();
        alerts
            .find(|alert| alert.signals() == ["accepted"])
            .cloned()
    })?;
    ensure!(
        accepted.text("source.ip") == Some(ATTACKER.to_string()),
        "{accepted}"
    );
    ensure!(accepted.text("process.pid").is_none(), "{accepted}");
    let elsewhere = json!([guest.name()]);
    ensure!(
        accepted.field("recon.netns") == Some(&elsewhere),
        "{accepted}"
    );
    let scan = format!("nmap -n -Pn -T4 --max-retries 1 -sT -p 2000-2039 {ATTACKER}");
    run(&guest, shell(&scan), DEADLINE)?.success()?;
    let scanned = agent.wait_for("an alert that names nmap", |seen| {
        let mut alerts = seen.fired("outbound-scan-tool", "count");
        alerts
            .find(|alert| alert.text("process.name").as_deref() == Some("nmap"))
            .cloned()
    })?;
    ensure!(
        scanned.field("recon.netns") == Some(&elsewhere),
        "{scanned}"
    );
    agent.stop().map(drop)
}

fn web(namespace: &Namespace) -> Result<Server> {
    Server::nginx(
        namespace,
        tempfile::tempdir()?,
        "server { listen 80; location / { return 200 hello; } }",
    )
}
