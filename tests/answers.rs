//! Real servers under real clients and scanners: an alert says what this host answered, and what it
//! accepted after a scan.

#[path = "answers/table.rs"]
mod table;

use std::any::Any;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{Backlog, listen};
use recon_tests::lab::{ATTACKER, ATTACKER_LINK, HOST, HOST_LINK};
use recon_tests::process::{run, shell};
use recon_tests::program::{NETCAT, locate};
use recon_tests::{Agent, Alert, Lab, Server, report, rows};
use serde_json::json;

use table::ROWS;

/// The port of netcat.
const SSH: u16 = 22;
/// The port of a server with a full queue: the kernel silently drops further SYNs.
const FULL: u16 = 8025;
/// The port behind a firewall rule that drops packets.
const DROPPED: u16 = 8026;
/// The port of a UDP server that receives datagrams and never answers.
const MUTE: u16 = 2005;

const DEADLINE: Duration = Duration::from_secs(60);
/// The deadline of a scan of all ports, which takes seconds, but most of a minute on an emulated
/// processor.
const ALL_PORTS_DEADLINE: Duration = Duration::from_secs(240);

struct Row {
    name: &'static str,
    /// Starts the servers, which run as long as the row.
    serve: fn(&Lab) -> Result<Guards>,
    /// The attacker's shell command. Names in braces are placeholders for parts of the lab.
    line: &'static str,
    measure: &'static str,
    /// The port in the alert, if the alert is about one port.
    port: Option<u16>,
    /// The number of ports and addresses for each kind of answer.
    open: u64,
    refused: u64,
    silent: u64,
    open_ports: &'static [u16],
}

/// A guard, which ends its server when it is dropped.
type Guards = Vec<Box<dyn Any>>;

/// Fills the queue of a server that never accepts: further connections get no answer.
fn serve_nobody(lab: &Lab) -> Result<Guards> {
    lab.host()
        .enter(|| {
            let listener = TcpListener::bind((HOST, FULL))?;
            // The size of the queue.
            listen(&listener, Backlog::new(0)?)?;
            let first = TcpStream::connect((HOST, FULL))?;
            let second = TcpStream::connect_timeout(&(HOST, FULL).into(), Duration::from_millis(1));
            ensure!(
                second.is_err_and(|error| error.kind() == ErrorKind::TimedOut),
                "the queue is not full"
            );
            Ok(vec![
                Box::new(listener) as Box<dyn Any + Send>,
                Box::new(first),
            ])
        })
        .map(|guards| {
            guards
                .into_iter()
                .map(|guard| guard as Box<dyn Any>)
                .collect()
        })
}

/// Makes the host's routing rules drop packets for one port. The kernel applies them before its
/// table of local addresses.
fn drop_one_port(lab: &Lab) -> Result<()> {
    lab.host().ip(&format!(
        "rule add pref 1 iif {HOST_LINK} ipproto tcp dport {DROPPED} blackhole\n\
         rule add pref 2 lookup local\n\
         rule delete pref 0\n"
    ))
}

/// nginx on 80, netcat on 22, a full queue, and a port behind a silent drop.
fn serve_all(lab: &Lab) -> Result<Guards> {
    const NO_DOWNLOAD: u64 = 0;
    drop_one_port(lab)?;
    let mut guards = serve_nobody(lab)?;
    guards.push(Box::new(Server::web(lab.host(), NO_DOWNLOAD)?));
    guards.push(Box::new(Server::netcat(lab.host(), SSH)?));
    Ok(guards)
}

/// A UDP server that receives datagrams and never answers.
fn serve_mutely(lab: &Lab) -> Result<UdpSocket> {
    lab.host().enter(|| Ok(UdpSocket::bind((HOST, MUTE))?))
}

/// The command with the lab's names filled in.
fn fill(line: &str) -> String {
    [
        ("{nmap}", "nmap -n -Pn -T4 --max-retries 1"),
        ("{nc}", "nc.openbsd -n -z -w 10"),
        ("{host}", HOST.to_string().as_str()),
    ]
    .into_iter()
    .fold(line.to_owned(), |line, (name, value)| {
        line.replace(name, value)
    })
}

/// The numbers of open, refused and silent ports in an alert.
fn outcomes(alert: &Alert) -> Result<(u64, u64, u64)> {
    let number = |name: &str| {
        let field = alert.field(&format!("recon.outcomes.{name}"));
        let number = field.and_then(serde_json::Value::as_u64);
        number.with_context(|| format!("no {name}: {alert}"))
    };
    let open = number("accepted")? + number("half_open")?;
    Ok((open, number("refused")?, number("silent")?))
}

fn check(row: &Row) -> Result<()> {
    /// One poll at the end judges all packets.
    const LONGEST: &str = "--interval 60s";
    let lab = Lab::new()?;
    // No limit on 'port unreachable'.
    lab.host().set("ipv4/icmp_ratemask", 0)?;
    let _guards = (row.serve)(&lab)?;
    let agent = Agent::start(&lab, LONGEST)?;
    let output = run(lab.attacker(), shell(&fill(row.line)), DEADLINE)?.success()?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let mut alerts = stopped.seen.fired("port-scan", row.measure);
    let alert = alerts
        .next()
        .with_context(|| format!("no alert\n{}{output}", stopped.seen))?;
    let expected = (row.open, row.refused, row.silent);
    let found = outcomes(alert)?;
    let ports = alert.field("recon.outcomes.open_ports");
    ensure!(
        found == expected && ports == Some(&json!(row.open_ports)),
        "not {expected:?}, {:?}: {alert}\n{output}",
        row.open_ports
    );
    let port = alert.text("destination.port");
    ensure!(
        port == row.port.map(|port| port.to_string()),
        "port {port:?}: {alert}"
    );
    ensure!(alerts.next().is_none(), "a second alert\n{}", stopped.seen);
    Ok(())
}

#[test]
fn an_alert_says_what_the_host_answered() {
    rows::check(ROWS, |row| row.name, check);
}

/// Another address of the attacker's, which does not scan.
const VISITOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// Connects to the host's port 22 from that address, and sends something.
fn connect(lab: &Lab, from: Ipv4Addr) -> Result<()> {
    let line = format!("printf hello | {NETCAT} -n -N -w 10 -s {from} {HOST} {SSH}");
    run(lab.attacker(), shell(&line), DEADLINE)?
        .success()
        .map(drop)
}

/// Rule and measure.
const SCAN_THEN_CONNECT: (&str, &str) = ("scan-then-connect", "count");

fn accepted(alert: &Alert) -> bool {
    let (rule, measure) = SCAN_THEN_CONNECT;
    alert.is(rule, measure)
}

#[test]
fn only_a_connection_after_a_scan_is_reported() -> Result<()> {
    report::detections([SCAN_THEN_CONNECT], check_connection_after_scan())
}

fn check_connection_after_scan() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker()
        .ip(&format!("address add {VISITOR}/32 dev {ATTACKER_LINK}\n"))?;
    let server = Server::netcat(lab.host(), SSH)?;
    // Long enough for the scan to end before the report.
    let agent = Agent::start(&lab, "--interval 2s --profile outcomes")?;
    agent.wait_poll()?;
    let scan = fill("{nmap} -sT -p 22,2000-2029 {host}");
    run(lab.attacker(), shell(&scan), DEADLINE)?.success()?;
    agent.wait_for("an alert about the scan", |seen| {
        seen.fired("port-scan", "distinct_ports").next().cloned()
    })?;
    connect(&lab, VISITOR)?;
    agent.wait_poll()?;
    agent.wait_poll()?;
    let seen = agent.seen();
    ensure!(!seen.alerts.iter().any(accepted), "too early\n{seen}");

    connect(&lab, ATTACKER)?;
    let alert = agent.wait_for("an alert about the connection", |seen| {
        seen.alerts.iter().find(|alert| accepted(alert)).cloned()
    })?;
    let text = |value: &str| Some(value.to_owned());
    for (field, expected) in [
        ("source.ip", Some(ATTACKER.to_string())),
        ("destination.ip", Some(HOST.to_string())),
        ("destination.port", Some(SSH.to_string())),
        ("network.direction", text("ingress")),
        ("recon.severity", text("high")),
        ("recon.count", text("1")),
        ("recon.threshold", text("0")),
        ("process.pid", Some(server.pid().to_string())),
        (
            "process.executable",
            Some(locate(NETCAT)?.display().to_string()),
        ),
    ] {
        let found = alert.text(field);
        ensure!(
            found == expected,
            "{field} is {found:?}, not {expected:?}: {alert}"
        );
    }
    ensure!(alert.signals() == ["used"], "{alert}");
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let count = stopped.seen.alerts.iter().filter(|alert| accepted(alert));
    ensure!(count.count() == 1, "more than one alert\n{}", stopped.seen);
    Ok(())
}

#[test]
fn a_scan_of_all_ports_has_few_lines_and_its_exact_count() -> Result<()> {
    const PORTS: u64 = 65_535;
    /// One line at the start and one at the end; one more is allowed for a slow scan.
    const MOST_LINES: usize = 3;
    let lab = Lab::new()?;
    let _server = Server::netcat(lab.host(), SSH)?;
    // Each port is hit and refused, perhaps all in one poll. Beyond half of the table a source has
    // a share of it.
    let agent = Agent::start(&lab, "--table-entries 300000")?;
    let scan = fill("{nmap} -sS -p- --min-rate 5000 {host}");
    run(lab.attacker(), shell(&scan), ALL_PORTS_DEADLINE)?.success()?;
    agent.wait_for("an alert about the scan", |seen| {
        seen.fired("port-scan", "distinct_ports").next().cloned()
    })?;
    agent.wait_poll()?;
    // The first alert has the exact count if the scan was over by then, else the end has it.
    let stopped = agent.stop()?;
    ensure!(stopped.totals()?.lost == 0, "{}", stopped.seen);
    let mut scans = stopped.seen.fired("port-scan", "distinct_ports");
    let is_exact = |alert: &&Alert| alert.field("recon.count") == Some(&json!(PORTS));
    let alert = scans
        .find(is_exact)
        .with_context(|| format!("no alert with the exact count\n{}", stopped.seen))?;
    ensure!(outcomes(alert)? == (1, PORTS - 1, 0), "{alert}");
    let is_of_rule = |alert: &&Alert| alert.text("rule.category").as_deref() == Some("port-scan");
    let lines = stopped.seen.alerts.iter().filter(is_of_rule).count();
    ensure!(lines <= MOST_LINES, "{lines} lines\n{}", stopped.seen);
    Ok(())
}
