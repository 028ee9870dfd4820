//! Packets that wait until a neighbour's hardware address is known. They leave in softirq, under
//! whatever task is current.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use recon_tests::kernel::{Linux, PACKET_SENDERS};
use recon_tests::lab::{ATTACKER_MAC, HOST, HOST_LINK, HOST_MAC, HOST6};
use recon_tests::process::run;
use recon_tests::{Lab, PATIENCE, TestProcess, rows};

use crate::{MEANWHILE, field_of_rows};

/// Addresses on the link that nobody has.
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x77);
/// As many packets as the kernel keeps for one neighbour by default, and some fewer.
const PACKETS: u16 = 40;
const FIRST_PORT: u16 = 2000;

#[derive(Clone, Copy, PartialEq)]
enum Named {
    /// The process that sends.
    Sender,
    /// The same, where the kernel says who that is.
    PacketSender,
    /// No process.
    Nobody,
}

struct Row {
    name: &'static str,
    /// The command for the process with that number. `STRANGER`, `STRANGER6` and `PORT` are
    /// placeholders.
    order: &'static str,
    /// A command before the agent starts, as above.
    before: &'static str,
    action: &'static str,
    /// Packets that count: those of one flow of datagrams count once.
    counted: u16,
    named: Named,
}

const ROW: Row = Row {
    name: "",
    order: "",
    before: "",
    action: "ConnectionRequest",
    counted: PACKETS,
    named: Named::Sender,
};

const ROWS: &[Row] = &[
    Row {
        name: "SYNs of a raw socket",
        order: "raw STRANGER PORT",
        ..ROW
    },
    Row {
        name: "SYNs of a raw socket over IPv6",
        order: "raw STRANGER6 PORT",
        ..ROW
    },
    Row {
        name: "pings of a raw socket",
        order: "ping STRANGER 3",
        action: "EchoSent",
        ..ROW
    },
    Row {
        name: "pings of a ping socket",
        order: "ping STRANGER 2",
        action: "EchoSent",
        ..ROW
    },
    Row {
        name: "pings of a ping socket over IPv6",
        order: "ping STRANGER6 2",
        action: "EchoSent",
        ..ROW
    },
    Row {
        name: "SYNs of a raw socket that is older than the agent",
        before: "raw 127.0.0.1 1",
        order: "raw STRANGER PORT",
        named: Named::Nobody,
        ..ROW
    },
    Row {
        name: "datagrams of a connected socket that is older than the agent",
        before: "datagram STRANGER 2000",
        order: "datagram STRANGER 2000",
        action: "DatagramSent",
        counted: 1,
        named: Named::Nobody,
    },
    Row {
        name: "datagrams of new sockets",
        order: "send STRANGER PORT",
        action: "DatagramSent",
        ..ROW
    },
    Row {
        name: "connections",
        order: "begin STRANGER PORT",
        ..ROW
    },
    Row {
        name: "connections over IPv6",
        order: "begin STRANGER6 PORT",
        ..ROW
    },
    Row {
        name: "frames of a packet socket, which wait for nothing",
        order: "packet STRANGER PORT veth0 198.51.100.1",
        named: Named::PacketSender,
        ..ROW
    },
];

/// The stranger's answers to the host's question for its hardware address.
fn answers() -> Result<[Vec<u8>; 2]> {
    let mut advertised = Vec::new();
    const ADVERTISEMENT: u8 = 136;
    /// Solicited, and overrides what is known.
    const FLAGS: [u8; 4] = [0x60, 0, 0, 0];
    /// The option 'target link-layer address', of eight bytes.
    const TARGET: [u8; 2] = [2, 1];
    const HOP_LIMIT: u8 = 255;
    let content = [&STRANGER6.octets()[..], &TARGET, &ATTACKER_MAC.0].concat();
    PacketBuilder::ethernet2(ATTACKER_MAC.0, HOST_MAC.0)
        .ipv6(STRANGER6.octets(), HOST6.octets(), HOP_LIMIT)
        .icmpv6_raw(ADVERTISEMENT, 0, FLAGS)
        .write(&mut advertised, &content)?;
    /// Ethernet's type of ARP; then hardware Ethernet, protocol IPv4, their lengths, 'reply'.
    const REPLY: [u8; 10] = [8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
    let reply = [
        &HOST_MAC.0[..],
        &ATTACKER_MAC.0,
        &REPLY,
        &ATTACKER_MAC.0,
        &STRANGER.octets(),
        &HOST_MAC.0,
        &HOST.octets(),
    ]
    .concat();
    Ok([reply, advertised])
}

/// Lets the host ask for long, and any user open ping sockets.
fn configure(lab: &Lab) -> Result<()> {
    const QUESTIONS: u32 = 60;
    for family in ["ipv4", "ipv6"] {
        let parameter = format!("{family}/neigh/{HOST_LINK}/mcast_solicit");
        lab.host().set(&parameter, QUESTIONS)?;
    }
    lab.host().enter(|| {
        fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").context("ping sockets")
    })
}

fn fill(order: &str, number: u16) -> String {
    order
        .replace("STRANGER6", &STRANGER6.to_string())
        .replace("STRANGER", &STRANGER.to_string())
        .replace("PORT", &(FIRST_PORT + number).to_string())
}

/// Fails unless the kernel is still asking: otherwise nothing would wait.
fn ensure_unknown(lab: &Lab, stranger: IpAddr) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["neighbor", "show", &stranger.to_string()]);
    let shown = run(lab.host(), command, PATIENCE)?.success()?;
    ensure!(shown.contains("INCOMPLETE"), "{stranger}: {shown:?}");
    Ok(())
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    configure(&lab)?;
    let process = TestProcess::start(lab.host(), "sender")?;
    if !row.before.is_empty() {
        process.order(&fill(row.before, 0))?;
    }
    let is_wanted = |row_action: &str| row_action == row.action;
    let traffic = || {
        for number in 0..PACKETS {
            process.order(&fill(row.order, number))?;
        }
        match row.order {
            order if order.contains("STRANGER6") => ensure_unknown(&lab, STRANGER6.into())?,
            order if !order.starts_with("packet") => ensure_unknown(&lab, STRANGER.into())?,
            _ => {}
        }
        let sender = lab.sender()?;
        answers()?.iter().try_for_each(|answer| sender.send(answer))
    };
    let named = field_of_rows(
        &lab,
        MEANWHILE,
        row.counted.into(),
        |row| row["ActionType"].as_str().is_some_and(is_wanted),
        "InitiatingProcessId",
        traffic,
    )?;
    let expected = match row.named {
        Named::PacketSender if Linux::running()? < PACKET_SENDERS => None,
        Named::Sender | Named::PacketSender => Some(process.pid().to_string()),
        Named::Nobody => None,
    };
    ensure!(
        named == BTreeSet::from([expected.clone()]),
        "{named:?} instead of {expected:?}; this test is {}",
        std::process::id()
    );
    Ok(())
}

#[test]
fn packets_that_wait_for_a_neighbour_name_no_other_process() {
    rows::check(ROWS, |row| row.name, check);
}
