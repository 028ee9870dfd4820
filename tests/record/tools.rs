//! Scans by real tools: each file has the probes that its alert is about.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::process::{run, shell};
use recon_tests::wire::{Layer, Wire};
use recon_tests::{Lab, PATIENCE, Seen, rows};
use serde_json::Value;

use super::{INTERVAL, Recording, SOCKET, dump, has, probed_ports};

/// Packets that a file has at most.
const MOST: usize = 64;
/// What nmap scans, in this order: as many ports as a source has records between two polls.
const FIRST: u16 = 2000;
const LAST: u16 = 2063;

struct Row {
    name: &'static str,
    mode: &'static str,
    is_by_host: bool,
    /// Whether the packets cross an interface without an Ethernet header.
    is_bare: bool,
    line: &'static str,
    expected: (&'static str, &'static str),
    /// What a replay of the file must report of the attacker.
    replayed: Option<(&'static str, &'static str)>,
}

const ROW: Row = Row {
    name: "",
    mode: "--xdp native",
    is_by_host: false,
    is_bare: false,
    line: "nmap -n -Pn -sS -r -p 2000-2063 198.51.100.1",
    expected: ("port-scan", "distinct_ports"),
    replayed: Some(("port-scan", "distinct_ports")),
};

const ROWS: &[Row] = &[
    Row {
        name: "nmap -sS, native XDP",
        ..ROW
    },
    Row {
        name: "nmap -sS, generic XDP",
        mode: "--xdp generic",
        ..ROW
    },
    Row {
        name: "nmap -sS, TC",
        mode: "--xdp off",
        ..ROW
    },
    Row {
        name: "nmap -6 -sS",
        line: "nmap -n -Pn -6 -sS -r -p 2000-2063 2001:db8:1::1",
        ..ROW
    },
    Row {
        name: "nmap -sS, tun",
        mode: "--xdp off -i t0",
        is_bare: true,
        line: "nmap -n -Pn -sS -r -p 2000-2063 203.0.113.1",
        ..ROW
    },
    Row {
        name: "nmap -sS by the host",
        is_by_host: true,
        line: "nmap -n -Pn -sS -r -p 2000-2063 198.51.100.2",
        expected: ("outbound-port-scan", "distinct_ports"),
        replayed: None,
        ..ROW
    },
];

const REPLAY: &str = "replay --local 198.51.100.1 --local 2001:db8:1::1 --local 203.0.113.1 --";

/// Joins host and attacker by interfaces without an Ethernet header.
fn join_tun(lab: &Lab) -> Result<Wire> {
    let (host, attacker) = (lab.host(), lab.attacker());
    let wire = Wire::join(Layer::Ip, [(host, "t0"), (attacker, "far0")])?;
    host.ip("address replace 203.0.113.1/24 dev t0\nlink set t0 up\n")?;
    attacker.ip("address replace 203.0.113.2/24 dev far0\nlink set far0 up\n")?;
    Ok(wire)
}

/// Checks that a file has each SYN that nmap had sent by then, or the last ones if it is full.
fn check_probes(packets: &[String]) -> Result<()> {
    let ports = probed_ports(packets)?;
    let (Some(&first), Some(&last)) = (ports.first(), ports.last()) else {
        anyhow::bail!("no SYN: {packets:?}");
    };
    let is_complete = ports.iter().copied().eq(first..=last) && last <= LAST;
    ensure!(is_complete, "{ports:?}");
    ensure!(packets.len() > 20 && packets.len() <= MOST, "{packets:?}");
    ensure!(packets.len() == MOST || first == FIRST, "{ports:?}");
    Ok(())
}

#[test]
fn an_alert_leaves_the_headers_of_its_packets() {
    rows::check(ROWS, |row| row.name, check);
}

fn check(row: &Row) -> Result<()> {
    let arguments = format!("{INTERVAL} --profile outcomes {}", row.mode);
    let lab = Lab::new()?;
    let _wire = row.is_bare.then(|| join_tun(&lab)).transpose()?;
    let recording = Recording::start_in(lab, tempfile::tempdir()?, "", &arguments)?;
    let (host, attacker) = (recording.lab.host(), recording.lab.attacker());
    let namespace = if row.is_by_host { host } else { attacker };
    run(namespace, shell(row.line), PATIENCE)?.success()?;
    let (rule, measure) = row.expected;
    let (alert, file) = recording.evidence(rule, measure)?;
    let packets = dump(&recording.lab, &file)?;
    let named = alert.field("recon.evidence.packets");
    let named = named.and_then(serde_json::Value::as_u64);
    let found = packets.len() as u64;
    ensure!(named == Some(found), "{named:?} {found}: {packets:?}");
    check_probes(&packets)?;
    for field in ["event.id", "message"] {
        let text = alert.text(field).context(field)?;
        ensure!(has(&file, text.as_bytes())?, "{field}: {text}");
    }
    let socket = recording.root.path().join(SOCKET);
    let id = alert.text("event.id").context("event.id")?;
    let explain = recon(&format!(
        "explain {id} --json --control {}",
        socket.display()
    ))?;
    let explained: Value = serde_json::from_str(&run(host, explain, PATIENCE)?.success()?)?;
    let path = explained
        .pointer("/lines/0/evidence")
        .and_then(Value::as_str);
    ensure!(path == file.to_str(), "{explained:#}");
    let mode = fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o137 == 0, "{mode:o}");
    if let Some((rule, measure)) = row.replayed {
        let mut command = recon(REPLAY)?;
        command.arg(&file);
        let mut seen = Seen::default();
        let text = run(host, command, PATIENCE)?.success()?;
        text.lines().for_each(|line| seen.read_stdout(line));
        let source = alert.text("source.ip");
        let mut fired = seen.fired(rule, measure);
        let is_same = fired.any(|alert| alert.text("source.ip") == source);
        ensure!(is_same, "{text}");
    }
    let stopped = recording.agent.stop()?;
    let text = "failed=0 lost_packets=0";
    ensure!(stopped.seen.has_logged(text), "{}", stopped.seen);
    Ok(())
}
