//! Silence with a socket behind it, and silence without: rows and rules tell the two apart, live
//! and when the written rows are judged.
//!
//! The decision held here: a routing rule of the host drops the segments and datagrams before any
//! socket, so that each port is silent whatever waits there. The server with a full queue is silent
//! by itself.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::sockopt::{BindToDevice, Ipv6V6Only};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn6, bind, listen, setsockopt, socket,
};
use recon_tests::agent::recon;
use recon_tests::frame::{CLIENT_PORT, Path, segment, syn};
use recon_tests::lab::{GUEST, HOST, HOST_LINK, spare};
use recon_tests::process::run;
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::Value;

const REMOTE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
/// The port of a server whose queue is full.
const FULL: u16 = 8025;
/// Packets to these ports are dropped, to whatever address.
const DROPPED: &str = "9000-9099";

/// Rules on all that is silent, by what `LocalListener` says.
const RULES: &str = r#"
// id: served
// window: 1h
ReconEvents
| where ActionType == "Attempt" and Outcome == "ignored" and LocalListener
| summarize tries = count() by RemoteIP, LocalPort
| where tries > 0

// id: unserved
// window: 1h
ReconEvents
| where ActionType == "Attempt" and Outcome == "ignored" and LocalListener == false
| summarize tries = count() by RemoteIP, LocalPort
| where tries > 0

// id: unknown
// window: 1h
ReconEvents
| where ActionType == "Attempt" and Outcome == "ignored" and isnull(LocalListener)
| summarize tries = count() by RemoteIP, LocalPort
| where tries > 0
"#;

/// A socket, which waits until it is dropped.
type Waiting = Box<dyn Any + Send>;

/// A packet, and what waits at its port.
struct Row {
    name: &'static str,
    local: IpAddr,
    port: u16,
    packet: Packet,
    /// Runs in the host's namespace.
    wait: fn(port: u16) -> Result<Vec<Waiting>>,
    /// The rule that it fires.
    rule: &'static str,
}

#[derive(Clone, Copy)]
enum Packet {
    Syn,
    Fin,
    Datagram,
}

const ROW: Row = Row {
    name: "",
    local: IpAddr::V4(HOST),
    port: 0,
    packet: Packet::Syn,
    wait: |_| Ok(Vec::new()),
    rule: "served",
};

fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row {
            name: "a server with a full queue",
            port: FULL,
            wait: fill_queue,
            ..ROW
        },
        Row {
            name: "a drop before a listener",
            wait: |port| Ok(vec![Box::new(TcpListener::bind((HOST, port))?)]),
            ..ROW
        },
        Row {
            name: "a drop before nothing",
            rule: "unserved",
            ..ROW
        },
        Row {
            name: "a listener of all addresses",
            local: spare(1),
            wait: |port| Ok(vec![Box::new(TcpListener::bind(("0.0.0.0", port))?)]),
            ..ROW
        },
        Row {
            name: "a listener of another address",
            local: spare(1),
            wait: |port| Ok(vec![Box::new(TcpListener::bind((spare(2), port))?)]),
            rule: "unserved",
            ..ROW
        },
        Row {
            name: "a listener of IPv6 that takes IPv4",
            wait: |port| listen_on_v6(port, false),
            ..ROW
        },
        Row {
            name: "a listener of IPv6 alone",
            wait: |port| listen_on_v6(port, true),
            rule: "unserved",
            ..ROW
        },
        Row {
            name: "a listener of the watched interface",
            wait: |port| listen_on_interface(port, HOST_LINK),
            ..ROW
        },
        Row {
            name: "a listener of another interface",
            wait: |port| listen_on_interface(port, "lo"),
            rule: "unserved",
            ..ROW
        },
        Row {
            name: "a guest's port, with a listener of all addresses of the host",
            local: IpAddr::V4(GUEST),
            wait: |port| Ok(vec![Box::new(TcpListener::bind(("0.0.0.0", port))?)]),
            rule: "unknown",
            ..ROW
        },
        Row {
            name: "a FIN at an open port, to which the standard demands silence",
            packet: Packet::Fin,
            wait: |port| Ok(vec![Box::new(TcpListener::bind((HOST, port))?)]),
            rule: "unknown",
            ..ROW
        },
        Row {
            name: "a receiver of logs",
            packet: Packet::Datagram,
            wait: |port| Ok(vec![Box::new(UdpSocket::bind((HOST, port))?)]),
            ..ROW
        },
        Row {
            name: "datagrams that are dropped before nothing",
            packet: Packet::Datagram,
            rule: "unserved",
            ..ROW
        },
        Row {
            name: "datagrams to a socket that is connected to somebody else",
            packet: Packet::Datagram,
            wait: |port| {
                let socket = UdpSocket::bind((HOST, port))?;
                socket.connect((HOST, port + 1))?;
                Ok(vec![Box::new(socket)])
            },
            rule: "unserved",
            ..ROW
        },
    ];
    for (port, row) in (9000..).zip(&mut rows) {
        if row.port == 0 {
            row.port = port;
        }
    }
    rows
}

/// A server that never accepts. Further connections get no answer.
fn fill_queue(port: u16) -> Result<Vec<Waiting>> {
    let listener = TcpListener::bind((HOST, port))?;
    listen(&listener, Backlog::new(0)?)?;
    let first = TcpStream::connect((HOST, port))?;
    let second = TcpStream::connect_timeout(&(HOST, port).into(), Duration::from_millis(1));
    ensure!(second.is_err(), "the queue is not full");
    Ok(vec![Box::new(listener), Box::new(first)])
}

fn listen_on_v6(port: u16, is_alone: bool) -> Result<Vec<Waiting>> {
    let listener = socket(
        AddressFamily::Inet6,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&listener, Ipv6V6Only, &is_alone)?;
    let all = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    bind(listener.as_raw_fd(), &all)?;
    listen(&listener, Backlog::new(1)?)?;
    Ok(vec![Box::new(listener)])
}

fn listen_on_interface(port: u16, interface: &str) -> Result<Vec<Waiting>> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    setsockopt(&listener.as_fd(), BindToDevice, &interface.into())?;
    Ok(vec![Box::new(listener)])
}

impl Row {
    fn frame(&self) -> Result<Vec<u8>> {
        let path = Path::new(REMOTE, self.local);
        match self.packet {
            Packet::Syn => path.tcp(syn(self.port), &[]),
            Packet::Fin => {
                let mut fin = segment([CLIENT_PORT, self.port]);
                fin.fin = true;
                path.tcp(fin, &[])
            }
            Packet::Datagram => path.udp([CLIENT_PORT, self.port], b"<14>a line"),
        }
    }
}

/// The rule that each port has fired. The digest is no alert.
fn fired<'a>(alerts: impl Iterator<Item = &'a Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    alerts
        .filter(|line| line["event"]["kind"] == "alert")
        .map(|alert| {
            (
                text(&alert["destination"]["port"]),
                text(&alert["rule"]["category"]),
            )
        })
        .collect()
}

#[test]
fn silence_with_a_socket_differs_from_silence_without() -> Result<()> {
    /// One poll, at the end, counts everything.
    const INTERVAL: &str = "60s";
    let lab = Lab::new()?;
    let _guest = lab.add_guest()?;
    for protocol in ["tcp", "udp"] {
        lab.host().ip(&format!(
            "rule add pref 1 iif {HOST_LINK} ipproto {protocol} dport {DROPPED} blackhole\n"
        ))?;
    }
    lab.host()
        .ip("rule add pref 2 lookup local\nrule delete pref 0\n")?;
    let rows = rows();
    let mut waiting = Vec::new();
    for row in &rows {
        let sockets = lab.host().enter(|| (row.wait)(row.port));
        waiting.extend(sockets.context(row.name)?);
    }
    let folder = tempfile::tempdir()?;
    let (rules, events) = (
        folder.path().join("rules.kql"),
        folder.path().join("events"),
    );
    fs::write(&rules, RULES)?;
    let rules = format!("--rules {}", rules.display());
    let options = format!(
        "--interval {INTERVAL} {rules} --events {}",
        events.display()
    );
    let agent = Agent::start(&lab, &options)?;
    let sender = lab.sender()?;
    for row in &rows {
        sender.send(&row.frame()?)?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);

    let expected: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (row.port.to_string(), row.rule.to_owned()))
        .collect();
    let names: BTreeMap<_, _> = rows.iter().map(|row| (row.port, row.name)).collect();
    let alerts = stopped.seen.alerts.iter();
    let live: Vec<Value> = alerts
        .map(|alert| serde_json::from_str(&alert.to_string()))
        .collect::<Result<_, _>>()?;
    ensure!(
        fired(live.iter()) == expected,
        "{:#?}, not {expected:#?}: {names:#?}",
        fired(live.iter())
    );
    let judge = recon(&format!("judge {} {rules}", events.display()))?;
    let lines = run(lab.host(), judge, PATIENCE)?.success()?;
    let judged: Vec<Value> = lines
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(
        fired(judged.iter()) == expected,
        "judged: {:#?}, not {expected:#?}",
        fired(judged.iter())
    );
    Ok(())
}
