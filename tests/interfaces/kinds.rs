//! Each kind of interface through its life: there at the start or later, down and up, renamed,
//! gone, and back. Its packets count once, under the name of that time.

use anyhow::{Result, ensure};
use recon_tests::scan::PORTS;
use recon_tests::{Agent, Lab, rows};

use super::link::{BRIDGE, Kind, Link};
use super::{
    INTERVAL, answers, count, descriptors, scan, start, stop, wait_descriptors, wait_logged,
};

struct Row {
    name: &'static str,
    kind: Kind,
    arguments: &'static str,
    /// Whether it is there when the agent starts.
    is_first: bool,
    /// What is logged once it is back.
    says: &'static str,
}

const fn row(name: &'static str, kind: Kind, arguments: &'static str) -> Row {
    Row {
        name,
        kind,
        arguments,
        is_first: false,
        says: "is new: t0: inbound by ",
    }
}

const ROWS: &[Row] = &[
    row("a veth by default", Kind::Veth, "--xdp auto"),
    row(
        "a veth by a pattern, native XDP",
        Kind::Veth,
        "--xdp native -i t*",
    ),
    row("a veth beside one that is excluded", Kind::Veth, "-i !x*"),
    row("a tap by default", Kind::Tap, "--xdp auto"),
    row(
        "a tap by a pattern, generic XDP",
        Kind::Tap,
        "--xdp generic -i t[0-9] -i r?",
    ),
    row("a tap, TC", Kind::Tap, "--xdp off"),
    row("a tun by default", Kind::Tun, "--xdp auto"),
    row("a tun by a pattern", Kind::Tun, "-i t* -i r*"),
    row(
        "a tun, native XDP for the others",
        Kind::Tun,
        "--xdp native",
    ),
    row(
        "a port of a bridge by default",
        Kind::BridgedVeth,
        "--xdp auto",
    ),
    Row {
        is_first: true,
        ..row("a veth that is there", Kind::Veth, "--xdp auto")
    },
    Row {
        is_first: true,
        ..row("a tun that is there", Kind::Tun, "--xdp auto")
    },
    Row {
        is_first: true,
        says: "is back: t0: inbound by ",
        ..row("a veth that is named", Kind::Veth, "-i t0")
    },
    Row {
        is_first: true,
        says: "is back: t0: inbound by ",
        ..row("a tun that is named", Kind::Tun, "-i t0")
    },
];

/// Waits until the link is watched for so many times, and nothing else that shows its packets.
fn wait_watched(agent: &Agent, row: &Row, times: usize) -> Result<()> {
    wait_logged(agent, row.says, times)?;
    match row.kind {
        Kind::BridgedVeth => wait_logged(agent, "br0: is no longer watched", times),
        _ => Ok(()),
    }
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host();
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let near = match row.kind {
        Kind::BridgedVeth => BRIDGE,
        _ => "t0",
    };
    if row.kind == Kind::BridgedVeth {
        host.ip(&format!(
            "link add {BRIDGE} type bridge\nlink set {BRIDGE} up\n"
        ))?;
    }
    let arguments = format!("{INTERVAL} {} --events {}", row.arguments, events.display());
    let create = || Link::create(row.kind, &lab, "t0");
    let mut link = row.is_first.then(create).transpose()?;
    let agent = start(&lab, &arguments)?;
    let mut returns = 0;
    if link.is_none() {
        link = Some(create()?);
        returns += 1;
        wait_watched(&agent, row, returns)?;
    }
    answers(&lab)?;
    scan(&lab)?;
    agent.wait_poll()?;
    let open = descriptors(agent.pid())?;
    for round in 1..=3 {
        host.ip("link set t0 down\nlink set t0 up\n")?;
        host.ip(&format!("link set {near} mtu {}\n", 1400 + round))?;
        answers(&lab)?;
        scan(&lab)?;
        agent.wait_poll()?;
        if let Some(link) = link.take() {
            link.remove(&lab, "t0")?;
        }
        wait_logged(&agent, "t0: is gone", round)?;
        link = Some(create()?);
        returns += 1;
        wait_watched(&agent, row, returns)?;
        answers(&lab)?;
        scan(&lab)?;
        agent.wait_poll()?;
    }
    wait_descriptors(&agent, open)?;
    let stopped = stop(agent)?;
    let expected = 7 * PORTS.len() as u64;
    for (signal, interface) in [("SYN", "t0"), ("SYN", "br0"), ("SYN", "")] {
        let counted = count(&events, signal, interface)?;
        let expected = if interface == "t0" { expected } else { 0 };
        ensure!(
            counted == expected,
            "{counted} {signal} on {interface:?} instead of {expected}\n{}",
            stopped.seen
        );
    }
    Ok(())
}

#[test]
fn a_packet_counts_once_whatever_became_of_its_interface() {
    rows::check(ROWS, |row| row.name, check);
}
