//! Each kind of interface through its life: there at the start or later, down and up, renamed,
//! gone, and back. Its packets count once, under the name of that time.

use anyhow::{Result, ensure};
use recon_tests::kernel::is_emulated;
use recon_tests::lab::HOST_LINK;
use recon_tests::report::{self, INTERFACE, PASSED};
use recon_tests::scan::PORTS;
use recon_tests::{Agent, Lab, rows};

use super::link::{BRIDGE, Kind, Link, MEMBER};
use super::{
    INTERVAL, answers, count, descriptors, scan, start, stop, wait_descriptors, wait_logged,
};

/// The arguments of who asks for nothing.
const DEFAULT: &str = "--xdp auto";
/// How often a link goes and comes back. A scan comes before, and in each two.
const ROUNDS: usize = 3;

struct Row {
    name: &'static str,
    kind: Kind,
    arguments: &'static str,
    /// Whether it is there when the agent starts.
    is_first: bool,
    /// What is logged once it is back; empty if it is not watched itself.
    says: &'static str,
    /// The interface that counts its packets.
    counts_on: &'static str,
}

const fn row(name: &'static str, kind: Kind, arguments: &'static str) -> Row {
    Row {
        name,
        kind,
        arguments,
        is_first: false,
        says: "is new: t0: inbound by ",
        counts_on: "t0",
    }
}

/// A link that does not come and go by itself: the agent misses it while it is gone.
const fn lasting(name: &'static str, kind: Kind, arguments: &'static str) -> Row {
    Row {
        says: ": t0: inbound by ",
        ..row(name, kind, arguments)
    }
}

/// A link that the agent watches by default on the interface below it.
const fn stacked(name: &'static str, kind: Kind, below: &'static str) -> Row {
    Row {
        says: "",
        counts_on: below,
        ..row(name, kind, DEFAULT)
    }
}

const ROWS: &[Row] = &[
    row("a veth by default", Kind::Veth, DEFAULT),
    row(
        "a veth by a pattern, native XDP",
        Kind::Veth,
        "--xdp native -i t*",
    ),
    row("a veth beside one that is excluded", Kind::Veth, "-i !x*"),
    row("a tap by default", Kind::Tap, DEFAULT),
    row(
        "a tap by a pattern, generic XDP",
        Kind::Tap,
        "--xdp generic -i t[0-9] -i r?",
    ),
    row("a tap, TC", Kind::Tap, "--xdp off"),
    row("a tun by default", Kind::Tun, DEFAULT),
    row("a tun by a pattern", Kind::Tun, "-i t* -i r*"),
    row(
        "a tun, native XDP for the others",
        Kind::Tun,
        "--xdp native",
    ),
    row("a port of a bridge by default", Kind::BridgedVeth, DEFAULT),
    Row {
        is_first: true,
        ..row("a veth that is there", Kind::Veth, DEFAULT)
    },
    Row {
        is_first: true,
        ..row("a tun that is there", Kind::Tun, DEFAULT)
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
    row("WireGuard by default", Kind::WireGuard, DEFAULT),
    row("WireGuard by a pattern", Kind::WireGuard, "-i t*"),
    row("GRE by default", Kind::Gre, DEFAULT),
    row("GRE by a pattern", Kind::Gre, "-i t*"),
    row("IP in IP by default", Kind::Ipip, DEFAULT),
    row("IP in IP by a pattern", Kind::Ipip, "-i t*"),
    row("SIT by default", Kind::Sit, DEFAULT),
    row("PPP by default", Kind::Ppp, DEFAULT),
    stacked("a VLAN by default", Kind::Vlan, HOST_LINK),
    lasting("a VLAN by a pattern", Kind::Vlan, "-i t*"),
    stacked("a macvlan by default", Kind::MacVlan, HOST_LINK),
    lasting(
        "a macvlan by a pattern, TC",
        Kind::MacVlan,
        "-i t* --xdp off",
    ),
    stacked("a bond by default", Kind::Bond, MEMBER),
    lasting("a bond by a pattern", Kind::Bond, "-i t*"),
    lasting("a bond by a pattern, TC", Kind::Bond, "-i t* --xdp off"),
];

/// Waits until the link is watched for so many times, and nothing else that shows its packets.
fn wait_watched(agent: &Agent, row: &Row, times: usize) -> Result<()> {
    match row.says {
        // The announcement comes before the next poll.
        "" => drop(agent.wait_poll()?),
        says => wait_logged(agent, says, times)?,
    }
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
    for round in 1..=ROUNDS {
        host.ip("link set t0 down\nlink set t0 up\n")?;
        host.ip(&format!("link set {near} mtu {}\n", 1400 + round))?;
        answers(&lab)?;
        scan(&lab)?;
        agent.wait_poll()?;
        if let Some(link) = link.take() {
            link.remove(&lab, "t0")?;
        }
        if !row.says.is_empty() {
            wait_logged(&agent, "t0: is gone", round)?;
        }
        link = Some(create()?);
        returns += 1;
        wait_watched(&agent, row, returns)?;
        answers(&lab)?;
        scan(&lab)?;
        agent.wait_poll()?;
    }
    wait_descriptors(&agent, open)?;
    let stopped = stop(agent)?;
    let expected = (1 + 2 * ROUNDS) as u64 * PORTS.len() as u64;
    for interface in ["t0", BRIDGE, MEMBER, HOST_LINK, ""] {
        let counted = count(&events, "SYN", interface)?;
        let expected = if interface == row.counts_on {
            expected
        } else {
            0
        };
        ensure!(
            counted == expected,
            "{counted} SYN on {interface:?} instead of {expected}\n{}",
            stopped.seen
        );
    }
    // The refusals of all rounds are enough for an alert of their own.
    let began = stopped.seen.fired("port-scan", "distinct_ports");
    let began: Vec<_> = began
        .filter(|alert| alert.text("recon.phase").as_deref() != Some("ended"))
        .map(|alert| alert.text("observer.ingress.interface.name"))
        .collect();
    let expected = Some(row.counts_on.to_owned());
    ensure!(began == [expected], "{began:?}\n{}", stopped.seen);
    Ok(())
}

impl Row {
    /// Whether it is for each kernel: an emulated processor would take minutes for the others.
    fn is_for_guests(&self) -> bool {
        let is_everywhere = matches!(
            self.kind,
            Kind::Veth | Kind::Tap | Kind::Tun | Kind::BridgedVeth
        );
        !is_everywhere || (self.arguments == DEFAULT && !self.is_first)
    }
}

fn check_or_skip(row: &Row) -> Result<()> {
    if is_emulated()? && !row.is_for_guests() {
        report::skip(row.name, "emulated processors do one row of such a kind");
        return Ok(());
    }
    let kind = format!("{:?}", row.kind);
    if let Some(reason) = row.kind.is_missing()? {
        report::skip(row.name, &reason);
        report::record(INTERFACE, &kind, "not in this kernel");
        return Ok(());
    }
    check(row)?;
    report::record(INTERFACE, &kind, PASSED);
    Ok(())
}

#[test]
fn a_packet_counts_once_whatever_became_of_its_interface() {
    rows::check(ROWS, |row| row.name, check_or_skip);
}
