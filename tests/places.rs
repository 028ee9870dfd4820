//! Where recon saw what an alert is about: the interface on which the packets came in, or the
//! network namespace of the sockets.
//!
//! In: real traffic by two pairs of interfaces, and in namespaces that are not the agent's. Out:
//! the places in alerts and rows. The decision held here: one poll, at the agent's end, judges a
//! whole scan. So `recon judge` gets the same rows, and must write the same alerts.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::agent::{Stopped, recon};
use recon_tests::lab::{HOST, HOST_LINK};
use recon_tests::namespace::Namespace;
use recon_tests::process::{run, shell};
use recon_tests::program::PYTHON;
use recon_tests::scan::PORTS;
use recon_tests::{Agent, Alert, Lab, Process, rows};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);
/// One poll, at the end.
const AT_THE_END: &str = "--interval 60s";
/// The host's end of the second pair.
const OTHER_LINK: &str = "dmz0";
/// The host's address there.
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The attacker's address there.
const OTHER_ATTACKER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

/// Joins the host and the attacker by a second pair.
fn join_again(lab: &Lab) -> Result<()> {
    lab.host().ip(&format!(
        "link add {OTHER_LINK} type veth peer name dmz1 netns {}\n\
         address add {OTHER_HOST}/24 dev {OTHER_LINK}\nlink set {OTHER_LINK} up\n",
        lab.attacker().name()
    ))?;
    lab.attacker().ip(&format!(
        "address add {OTHER_ATTACKER}/24 dev dmz1\nlink set dmz1 up\n"
    ))
}

/// Connects to closed ports of these addresses of the host.
fn scan(lab: &Lab, targets: &[Ipv4Addr]) -> Result<()> {
    lab.attacker().enter(|| {
        for &target in targets {
            for port in PORTS {
                match TcpStream::connect((target, port)) {
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    other => bail!("{target} port {port}: {other:?}"),
                }
            }
        }
        Ok(())
    })
}

/// What the alerts say of their interface: the field of the only one, or the list.
fn interfaces(alerts: &[&Alert]) -> Vec<[Value; 2]> {
    let fields = ["observer.ingress.interface.name", "recon.interfaces"];
    let of = |alert: &&Alert| fields.map(|field| alert.field(field).cloned().unwrap_or_default());
    let mut found: Vec<_> = alerts.iter().map(of).collect();
    found.sort_by_key(|found| format!("{found:?}"));
    found
}

/// The rows of that column value in a file of rows.
fn count_rows(events: &Path, column: &str, expected: &str) -> Result<usize> {
    let text = fs::read_to_string(events)?;
    let mut count = 0;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        count += usize::from(row[column] == expected);
    }
    Ok(count)
}

/// Checks that `recon judge` writes the same alerts for the rows of a run. Rows do not say when
/// their first poll began.
fn ensure_judged_alike(lab: &Lab, stopped: &Stopped, events: &Path, rules: &str) -> Result<()> {
    let judge = recon(&format!("judge {} {rules}", events.display()))?;
    let output = run(lab.host(), judge, DEADLINE)?.success()?;
    let comparable = |line: &str| -> Result<Value> {
        let mut alert: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        // Rows don't have the time of the first event, nor the lines and the id of their host.
        for field in ["/event/start", "/event/duration", "/event/sequence"] {
            alert.pointer_mut(field).map(Value::take);
        }
        if let Some(host) = alert["host"].as_object_mut() {
            host.remove("id");
        }
        Ok(alert)
    };
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let mut judged = lines.map(comparable).collect::<Result<Vec<_>>>()?;
    judged.retain(|line| line["event"]["kind"] == "alert");
    for alert in &stopped.seen.alerts {
        let alert = comparable(&alert.to_string())?;
        ensure!(judged.contains(&alert), "not judged: {alert}");
    }
    ensure!(judged.len() == stopped.seen.alerts.len(), "{output}");
    Ok(())
}

struct Scanned {
    name: &'static str,
    /// The addresses of the host that are scanned, by the pair of each.
    targets: &'static [Ipv4Addr],
    arguments: &'static str,
    /// Of each alert on the scan, the only interface and the list.
    expected: fn() -> Vec<[Value; 2]>,
}

const SCANNED: &[Scanned] = &[
    Scanned {
        name: "by the first, native XDP",
        targets: &[HOST],
        arguments: "--xdp native --profile outcomes",
        expected: || vec![[json!(HOST_LINK), json!(null)]],
    },
    Scanned {
        name: "by the second, native XDP",
        targets: &[OTHER_HOST],
        arguments: "--xdp native --profile outcomes",
        expected: || vec![[json!(OTHER_LINK), json!(null)]],
    },
    Scanned {
        name: "by the second, generic XDP",
        targets: &[OTHER_HOST],
        arguments: "--xdp generic --profile outcomes",
        expected: || vec![[json!(OTHER_LINK), json!(null)]],
    },
    Scanned {
        name: "by the second, TC ingress, hits alone",
        targets: &[OTHER_HOST],
        arguments: "--xdp off --profile source",
        expected: || vec![[json!(OTHER_LINK), json!(null)]],
    },
    Scanned {
        name: "one by each",
        targets: &[HOST, OTHER_HOST],
        arguments: "--xdp native --profile outcomes",
        expected: || {
            vec![
                [json!(HOST_LINK), json!(null)],
                [json!(OTHER_LINK), json!(null)],
            ]
        },
    },
];

fn check_scanned(row: &Scanned) -> Result<()> {
    let lab = Lab::new()?;
    join_again(&lab)?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let arguments = format!(
        "-i {OTHER_LINK} {AT_THE_END} {} --events {}",
        row.arguments,
        events.display()
    );
    let agent = Agent::start(&lab, &arguments)?;
    scan(&lab, row.targets)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let scans: Vec<_> = stopped.seen.fired("port-scan", "distinct_ports").collect();
    let found = interfaces(&scans);
    let is_elsewhere = |alert: &&Alert| alert.field("recon.netns").is_some();
    ensure!(!scans.iter().any(is_elsewhere), "{}", stopped.seen);
    let mut expected = (row.expected)();
    expected.sort_by_key(|found| format!("{found:?}"));
    ensure!(found == expected, "{found:?}\n{}", stopped.seen);
    for (target, link) in [(HOST, HOST_LINK), (OTHER_HOST, OTHER_LINK)] {
        let is_scanned = row.targets.contains(&target);
        let written = count_rows(&events, "InterfaceName", link)?;
        ensure!(
            (written >= PORTS.len()) == is_scanned,
            "{link}: {written} rows"
        );
    }
    let rules = match row.arguments.contains("source") {
        true => "--profile source",
        false => "--profile outcomes",
    };
    ensure_judged_alike(&lab, &stopped, &events, rules)
}

#[test]
fn an_alert_names_the_interface_of_the_scan() {
    rows::check(SCANNED, |row| row.name, check_scanned);
}

/// A remote that comes in on two interfaces.
#[test]
fn an_alert_lists_several_interfaces() -> Result<()> {
    let lab = Lab::new()?;
    join_again(&lab)?;
    lab.attacker().ip(&format!(
        "route replace {OTHER_HOST}/32 dev dmz1 src {}\n",
        recon_tests::lab::ATTACKER
    ))?;
    let arguments = format!("-i {OTHER_LINK} {AT_THE_END} --profile outcomes");
    let agent = Agent::start(&lab, &arguments)?;
    scan(&lab, &[HOST, OTHER_HOST])?;
    let stopped = agent.stop()?;
    let scans: Vec<_> = stopped.seen.fired("port-scan", "distinct_ports").collect();
    let found = interfaces(&scans);
    let expected = [[json!(null), json!([OTHER_LINK, HOST_LINK])]];
    ensure!(found == expected, "{found:?}\n{}", stopped.seen);
    Ok(())
}

/// The interface is gone by the time of the poll that counts its packets.
#[test]
fn an_interface_that_is_gone_keeps_its_name() -> Result<()> {
    let lab = Lab::new()?;
    join_again(&lab)?;
    let arguments = format!("-i {OTHER_LINK} {AT_THE_END} --profile outcomes");
    let agent = Agent::start(&lab, &arguments)?;
    scan(&lab, &[OTHER_HOST])?;
    lab.host().ip(&format!("link delete {OTHER_LINK}\n"))?;
    agent.wait_for("its end", |seen| {
        seen.has_logged("dmz0: is gone").then_some(())
    })?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let scans: Vec<_> = stopped.seen.fired("port-scan", "distinct_ports").collect();
    let found = interfaces(&scans);
    ensure!(
        found == [[json!(OTHER_LINK), json!(null)]],
        "{found:?}\n{}",
        stopped.seen
    );
    Ok(())
}

const FORGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile_netns/forger.py");
/// A remote that exists in the other namespace only.
const FORGED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

struct Elsewhere {
    name: &'static str,
    /// What somebody does there.
    forge: &'static str,
    signal: &'static str,
    rule: [&'static str; 2],
    /// Whether iproute2 knows the namespace.
    is_named: bool,
}

const ACCEPTS: Elsewhere = Elsewhere {
    name: "accepts 150 connections",
    forge: "accept {forged} {host} 80 150",
    signal: "accepted",
    rule: ["http-flood", "count"],
    is_named: true,
};
const CONNECTS: Elsewhere = Elsewhere {
    name: "connects to 60 ports",
    forge: "connect {forged} 2000 60",
    signal: "syn-sent",
    rule: ["outbound-port-scan", "distinct_ports"],
    is_named: true,
};

const ELSEWHERE: &[Elsewhere] = &[
    ACCEPTS,
    CONNECTS,
    Elsewhere {
        name: "sends to 60 ports",
        forge: "send {forged} 3000 60",
        signal: "udp-sent",
        ..CONNECTS
    },
    Elsewhere {
        name: "accepts 150 connections in a namespace without a name",
        is_named: false,
        ..ACCEPTS
    },
];

/// The end of the line keeps the namespace until its process is dropped.
fn check_elsewhere(row: &Elsewhere) -> Result<()> {
    let lab = Lab::new()?;
    let other = Namespace::create("other")?.with_cgroup_below(lab.host())?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let arguments = format!("--netns all --interval 200ms --events {}", events.display());
    let agent = Agent::start(&lab, &arguments)?;
    let inside = match row.is_named {
        true => "",
        false => "unshare --net",
    };
    let forge = row.forge.replace("{forged}", &FORGED.to_string());
    let forge = forge.replace("{host}", &HOST.to_string());
    let line = format!(
        "exec {inside} sh -c 'ip link set lo up && ip address add {FORGED} dev lo && \
         ip address add {HOST} dev lo && {PYTHON} {FORGER} {forge} && exec cat'"
    );
    let process = Process::spawn_fed(&other, shell(&line))?;
    let [rule, measure] = row.rule;
    let alert = agent.wait_for("an alert", |seen| {
        let mut alerts = seen.fired(rule, measure);
        alerts
            .find(|alert| alert.signals().contains(&row.signal))
            .cloned()
    })?;
    let expected = match row.is_named {
        true => other.name().to_owned(),
        false => {
            let link = fs::read_link(format!("/proc/{}/ns/net", process.pid()))?;
            link.to_string_lossy().into_owned()
        }
    };
    ensure!(
        alert.field("recon.netns") == Some(&json!([expected])),
        "not {expected}: {alert}"
    );
    ensure!(alert.field("observer.ingress").is_none(), "{alert}");
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(count_rows(&events, "NetworkNamespace", &expected)? > 0);
    match row.signal {
        // A row does not have all that is known of a process.
        "accepted" => ensure_judged_alike(&lab, &stopped, &events, "--profile source"),
        _ => Ok(()),
    }
}

#[test]
fn an_alert_names_the_network_namespace() {
    rows::check(ELSEWHERE, |row| row.name, check_elsewhere);
}
