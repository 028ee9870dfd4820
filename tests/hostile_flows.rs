//! What a remote began counts, however this host answers, and wherever the kernel keeps it.
//!
//! In: one flow of datagrams to a real service, frames in pieces. Out: the alert on a flood, the
//! number of signals. The decision held here: the frames of the flood leave a packet socket, which
//! loses none, on the flow that a real exchange has begun.

use std::net::{IpAddr, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{CLIENT_PORT, Path, double_tagged, syn, with_options};
use recon_tests::kernel::is_emulated;
use recon_tests::lab::{ATTACKER, ATTACKER6, HOST, HOST6};
use recon_tests::{Agent, Lab, PATIENCE, TestProcess, report, rows};

/// The threshold of `udp-flood`.
const THRESHOLD: u64 = 30_000;
/// A service that answers, and one that never does.
const ECHO: u16 = 8081;
const SILENT: u16 = 40_001;
const V4: [IpAddr; 2] = [IpAddr::V4(ATTACKER), IpAddr::V4(HOST)];
const V6: [IpAddr; 2] = [IpAddr::V6(ATTACKER6), IpAddr::V6(HOST6)];

struct Row {
    name: &'static str,
    ends: [IpAddr; 2],
    /// Whether the service that answers has answered this remote's port before.
    is_answered: bool,
    /// The port that is flooded.
    port: u16,
    /// Hops that its datagrams have left.
    hops: u8,
}

const ROW: Row = Row {
    name: "",
    ends: V4,
    is_answered: true,
    port: ECHO,
    hops: 64,
};

const ROWS: &[Row] = &[
    Row {
        name: "a service that answers",
        ..ROW
    },
    Row {
        name: "a service that answers, over IPv6",
        ends: V6,
        ..ROW
    },
    Row {
        name: "a service that never answers",
        is_answered: false,
        port: SILENT,
        ..ROW
    },
    Row {
        name: "a service that never answers, after an answer of another one",
        port: SILENT,
        ..ROW
    },
    Row {
        name: "datagrams that look like a traceroute's",
        is_answered: false,
        port: SILENT,
        hops: 3,
        ..ROW
    },
];

impl Row {
    fn frame(&self) -> Result<Vec<u8>> {
        let [remote, host] = self.ends;
        let path = Path::new(remote, host);
        path.with_hops(self.hops)
            .udp([CLIENT_PORT, self.port], b"again")
    }
}

fn check(row: &Row) -> Result<()> {
    if is_emulated()? {
        report::skip(row.name, "it takes an emulated processor too long");
        return Ok(());
    }
    let lab = Lab::new()?;
    let [remote, host] = row.ends;
    let service = TestProcess::start(lab.host(), "service")?;
    service.echo(host, ECHO)?;
    let _silent = lab.host().enter(|| Ok(UdpSocket::bind((host, SILENT))?))?;
    let agent = Agent::start(&lab, "--interval 100ms --profile outcomes")?;
    // What counts for the rule, and what else counts.
    let (mut sent, mut answers) = (0, 0);
    // Open to the end: without it the attacker's kernel would refuse the answers.
    let client = lab
        .attacker()
        .enter(|| Ok(UdpSocket::bind((remote, CLIENT_PORT))?))?;
    if row.is_answered {
        client.set_read_timeout(Some(PATIENCE))?;
        client.send_to(b"hello", (host, ECHO))?;
        client.recv(&mut [0; 5])?;
        answers += 1;
        sent += u64::from(row.port == ECHO);
        // Its own datagram, if the flood is elsewhere.
        answers += u64::from(row.port != ECHO);
    }
    let sender = lab.sender()?;
    let frame = row.frame()?;
    while sent < THRESHOLD {
        sender.send(&frame)?;
        sent += 1;
    }
    agent.wait_drained(sent + answers)?;
    let early = agent.seen();
    ensure!(
        early.fired("udp-flood", "count").next().is_none(),
        "at the threshold\n{early}"
    );
    sender.send(&frame)?;
    let alert = agent.wait_for("an alert on the flood", |seen| {
        seen.fired("udp-flood", "count").next().cloned()
    })?;
    let found = ["source.ip", "destination.port", "recon.severity"].map(|name| alert.text(name));
    let expected = [
        remote.to_string(),
        row.port.to_string(),
        "informational".into(),
    ];
    ensure!(found == expected.map(Some), "{alert}");
    let stopped = agent.stop()?;
    let totals = stopped.totals()?;
    ensure!(
        (totals.signals, totals.lost) == (sent + answers + 1, 0),
        "{} signals, not {totals:?}",
        sent + answers + 1
    );
    Ok(())
}

#[test]
fn one_flow_can_flood_no_service_unseen() {
    rows::check(ROWS, |row| row.name, check);
}

/// Frames longer than a page, whose transport header is not in the first buffer.
#[test]
fn headers_in_page_fragments_are_read() -> Result<()> {
    const JUMBO: u16 = 9000;
    const CLOSED: u16 = 8082;
    /// More than the fixed headers of IPv4 and TCP.
    const LINEAR: u16 = 60;
    let payload = [0; 5000];
    let v4 = Path::new(ATTACKER, HOST).tcp(syn(CLOSED), &payload)?;
    let v6 = Path::new(ATTACKER6, HOST6).tcp(syn(CLOSED), &payload)?;
    // (name, frame, signals: the host refuses what is for it)
    let frames = [
        ("IPv6", v6.clone(), 2),
        ("nine extension headers", with_options(&v6, 9), 2),
        ("two tags", double_tagged(&v4), 1),
    ];
    for (name, frame, signals) in frames {
        let lab = Lab::new()?;
        lab.set_mtu(JUMBO)?;
        let agent = Agent::start(&lab, "--interval 100ms --xdp off")?;
        lab.sender()?.send_split(&frame, LINEAR)?;
        agent.wait_drained(signals).context(name)?;
        let totals = agent.stop()?.totals()?;
        ensure!(
            (totals.signals, totals.lost) == (signals, 0),
            "{name}: {totals:?}"
        );
    }
    Ok(())
}
