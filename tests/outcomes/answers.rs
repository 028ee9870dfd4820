//! Attempts of this host and of a guest behind it, and of a remote at a guest.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use anyhow::{Result, ensure};
use etherparse::TcpHeader;
use recon_common::protocol::tcp_flag::{ACK, FIN, RST};
use recon_tests::dns::{self, Responder};
use recon_tests::frame::{CLIENT_PORT, Path, segment, syn, tagged, with_options};
use recon_tests::kernel::{self, Linux};
use recon_tests::lab::{ATTACKER, ATTACKER6, GUEST, HOST, HOST_LINK, HOST6};
use recon_tests::namespace::Namespace;
use recon_tests::process::run;
use recon_tests::{Lab, PATIENCE, TestProcess, rows};

use crate::{Counts, count};

const OPEN: u16 = 8081;
const CLOSED: u16 = 8082;
/// An address behind the attacker that nobody has.
const ABSENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// The first port of traceroute(8).
const TRACED: u16 = 33_434;
/// The hop limit of ordinary datagrams.
const ORDINARY: u32 = 64;

struct Row {
    name: &'static str,
    traffic: fn(&Bench) -> Result<()>,
    /// What counts, and how often.
    counts: &'static [(&'static str, u64)],
}

/// Frames full of IPv6 extension headers, all of which Linux 6.18 follows.
const EXTENSION_HEADERS_BEFORE_7_0: Row = Row {
    name: "frames full of IPv6 extension headers, both answered",
    traffic: |bench| {
        let syn = Path::new(ATTACKER6, HOST6).tcp(syn(CLOSED), &[])?;
        let sender = bench.lab.sender()?;
        sender.send(&with_options(&syn, 9))?;
        sender.send(&with_options(&syn, 180))
    },
    counts: &[("SYN 8082", 2), ("ConnectionFailed 8082", 2)],
};
/// Linux 7.2 answers one of the two: it follows fewer headers than recon does.
const EXTENSION_HEADERS_SINCE_7_0: Row = Row {
    name: "frames full of IPv6 extension headers, one answered",
    counts: &[("SYN 8082", 2), ("ConnectionFailed 8082", 1)],
    ..EXTENSION_HEADERS_BEFORE_7_0
};

/// The host, a guest behind it, and the attacker, each with a process.
struct Bench {
    /// Of the host.
    client: TestProcess,
    /// Of the guest, in the watched cgroup.
    contained: TestProcess,
    /// Of the attacker.
    remote: TestProcess,
    _nameserver: Responder,
    /// Removed before the lab, whose cgroup is above its own.
    guest: Namespace,
    lab: Lab,
}

const ROWS: &[Row] = &[
    Row {
        name: "a connection that a remote accepts",
        traffic: |bench| bench.connect(ATTACKER, OPEN, "connected"),
        counts: &[("ConnectionRequest 8081", 1), ("AnswerReceived 8081", 1)],
    },
    Row {
        name: "a connection that a remote refuses",
        traffic: |bench| bench.connect(ATTACKER, CLOSED, "ECONNREFUSED"),
        counts: &[
            ("ConnectionRequest 8082", 1),
            ("RefusalReceived 8082", 1),
            ("ConnectionFailed 8082", 1),
        ],
    },
    Row {
        name: "a connection that a remote refuses, over IPv6",
        traffic: |bench| bench.connect(ATTACKER6, CLOSED, "ECONNREFUSED"),
        counts: &[
            ("ConnectionRequest 8082", 1),
            ("RefusalReceived 8082", 1),
            ("ConnectionFailed 8082", 1),
        ],
    },
    Row {
        name: "a SYN that a remote refuses by a reset with a sequence number of its own",
        traffic: |bench| {
            bench.client.order(&format!("raw {ABSENT} {CLOSED}"))?;
            let refusal = TcpHeader {
                rst: true,
                ack: true,
                ..segment([CLOSED, CLIENT_PORT])
            };
            let frame = Path::new(ABSENT, HOST).tcp(refusal, &[])?;
            bench.lab.sender()?.send(&frame)
        },
        counts: &[("ConnectionRequest 8082", 1), ("RefusalReceived 8082", 1)],
    },
    Row {
        name: "ACK and FIN+ACK of a raw socket",
        traffic: |bench| {
            bench
                .client
                .order(&format!("raw {ABSENT} {CLOSED} {ACK}"))?;
            let flags = FIN | ACK;
            bench
                .client
                .order(&format!("raw {ABSENT} {CLOSED} {flags}"))?;
            let refusal = TcpHeader {
                rst: true,
                ..segment([CLOSED, CLIENT_PORT])
            };
            let frame = Path::new(ABSENT, HOST).tcp(refusal, &[])?;
            bench.lab.sender()?.send(&frame)
        },
        counts: &[("ProbeSent 8082", 2), ("RefusalReceived 8082", 1)],
    },
    Row {
        name: "an ACK of a raw socket over IPv6, which a remote resets",
        traffic: |bench| {
            bench
                .client
                .order(&format!("raw {ATTACKER6} {CLOSED} {ACK}"))
        },
        counts: &[("ProbeSent 8082", 1), ("RefusalReceived 8082", 1)],
    },
    Row {
        name: "an ACK of a packet socket",
        traffic: |bench| {
            bench.client.order(&format!(
                "packet {ABSENT} {CLOSED} {HOST_LINK} {HOST} {ACK}"
            ))
        },
        counts: &[("ProbeSent 8082", 1)],
    },
    Row {
        name: "resets with a sequence number of their own, of a raw socket and of a guest",
        traffic: |bench| {
            let flags = RST | ACK;
            let order = format!("raw {ABSENT} {CLOSED} {flags}");
            bench.client.order(&order)?;
            bench.contained.order(&order)
        },
        counts: &[("ConnectionFailed 40000", 2)],
    },
    Row {
        name: "the kernel's ACK for a connection that is gone",
        traffic: |bench| {
            let mut client = bench
                .lab
                .host()
                .enter(|| Ok(TcpStream::connect((ATTACKER, OPEN))?))?;
            client.shutdown(Shutdown::Write)?;
            ensure!(client.read(&mut [0])? == 0, "it has not closed");
            let port = client.local_addr()?.port();
            drop(client);
            let late = TcpHeader {
                ack: true,
                ..segment([OPEN, port])
            };
            let frame = Path::new(ATTACKER, HOST).tcp(late, &[])?;
            bench.lab.sender()?.send(&frame)
        },
        counts: &[("ConnectionRequest 8081", 1), ("AnswerReceived 8081", 1)],
    },
    Row {
        name: "pings that are answered",
        traffic: |bench| bench.ping(ATTACKER.into()),
        counts: &[("EchoSent", 2), ("AnswerReceived", 2)],
    },
    Row {
        name: "pings that are answered, over IPv6",
        traffic: |bench| bench.ping(ATTACKER6.into()),
        counts: &[("EchoSent", 2), ("AnswerReceived", 2)],
    },
    Row {
        name: "DNS queries that are answered, from one port",
        traffic: |bench| {
            let client = bench.socket(bench.lab.host(), HOST)?;
            for _ in 0..3 {
                client.send_to(dns::QUERY, (ATTACKER, dns::PORT))?;
                client.recv(&mut [0; 512])?;
            }
            Ok(())
        },
        counts: &[("Query 53", 3), ("AnswerReceived 53", 1)],
    },
    Row {
        name: "a traceroute to this host",
        traffic: |bench| {
            let client = bench.socket(bench.lab.attacker(), ATTACKER)?;
            for (hops, port) in (1..=3).zip(TRACED..) {
                client.set_ttl(hops)?;
                client.send_to(b"hop", (HOST, port))?;
            }
            client.set_ttl(ORDINARY)?;
            client.send_to(b"hop", (HOST, TRACED + 3))?;
            Ok(())
        },
        counts: &[
            ("TraceProbe 33434", 1),
            ("TraceProbe 33435", 1),
            ("TraceProbe 33436", 1),
            ("Datagram 33437", 1),
            ("ConnectionFailed 33434", 1),
            ("ConnectionFailed 33435", 1),
            ("ConnectionFailed 33436", 1),
            ("ConnectionFailed 33437", 1),
        ],
    },
    Row {
        name: "a traceroute from this host",
        traffic: |bench| {
            let client = bench.socket(bench.lab.host(), HOST)?;
            for (hops, port) in (1..=3).zip(TRACED..) {
                client.set_ttl(hops)?;
                client.send_to(b"hop", (ATTACKER, port))?;
            }
            client.set_ttl(ORDINARY)?;
            client.send_to(b"hop", (ATTACKER, TRACED + 3))?;
            Ok(())
        },
        counts: &[
            ("TraceSent 33434", 1),
            ("TraceSent 33435", 1),
            ("TraceSent 33436", 1),
            ("DatagramSent 33437", 1),
            // The port is closed.
            ("IcmpNotice", 4),
        ],
    },
    Row {
        name: "tags with the VLAN ID 0, all of which Linux removes",
        traffic: |bench| {
            const NO_VLAN: u16 = 0;
            let syn = Path::new(ATTACKER, HOST).tcp(syn(CLOSED), &[])?;
            let tags = (0..9).fold(syn, |frame, _| tagged(&frame, NO_VLAN));
            bench.lab.sender()?.send(&tags)
        },
        counts: &[("SYN 8082", 1), ("ConnectionFailed 8082", 1)],
    },
    Row {
        name: "connections that a guest accepts",
        // Its socket is of no watched cgroup, as in a virtual machine.
        traffic: |bench| {
            let listener = bench
                .guest
                .enter(|| Ok(TcpListener::bind((GUEST, OPEN))?))?;
            for guest_closes_first in [false, true] {
                let client = bench
                    .lab
                    .attacker()
                    .enter(|| Ok(TcpStream::connect((GUEST, OPEN))?))?;
                let (server, _) = listener.accept()?;
                let (first, mut second) = match guest_closes_first {
                    true => (server, client),
                    false => (client, server),
                };
                drop(first);
                ensure!(second.read(&mut [0])? == 0, "it has not closed");
            }
            Ok(())
        },
        counts: &[
            ("SYN 8081", 2),
            ("PortAnswered 8081", 2),
            ("ForwardedConnectionEnded 8081", 2),
        ],
    },
    Row {
        name: "a server in a container that answers datagrams",
        traffic: |bench| {
            bench.contained.echo(GUEST, OPEN)?;
            let client = bench.socket(bench.lab.attacker(), ATTACKER)?;
            for _ in 0..3 {
                client.send_to(b"hello", (GUEST, OPEN))?;
                client.recv(&mut [0; 5])?;
            }
            Ok(())
        },
        counts: &[
            ("Datagram 8081", 1),
            ("PortAnswered 8081", 1),
            ("SessionDatagram 8081", 2),
        ],
    },
];

/// The call, which knows the process, and the packet.
const CALL_IN_CONTAINER: Row = Row {
    name: "a client in a container that sends a datagram",
    traffic: |bench| {
        let sent = bench.contained.send(ATTACKER, OPEN)?;
        ensure!(sent == "sent", "{sent}");
        Ok(())
    },
    counts: &[("DatagramSent 8081", 2), ("IcmpNotice", 1)],
};

/// The packet alone: the call looks like one of this host, which its packets show.
const CALL_IN_UNKNOWN_NAMESPACE: Row = Row {
    counts: &[("DatagramSent 8081", 1), ("IcmpNotice", 1)],
    ..CALL_IN_CONTAINER
};

impl Bench {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let guest = lab.add_guest()?;
        let bench = Self {
            client: TestProcess::start(lab.host(), "client")?,
            contained: TestProcess::start(&guest, "contained")?,
            remote: TestProcess::start(lab.attacker(), "remote")?,
            _nameserver: Responder::start(lab.attacker(), ATTACKER)?,
            guest,
            lab,
        };
        bench.remote.listen(ATTACKER, OPEN)?;
        Ok(bench)
    }

    fn connect(&self, to: impl Into<IpAddr>, port: u16, outcome: &str) -> Result<()> {
        let found = self.client.connect(to, port)?;
        ensure!(found == outcome, "{found}");
        Ok(())
    }

    fn ping(&self, to: IpAddr) -> Result<()> {
        let mut ping = Command::new("ping");
        ping.args(["-n", "-q", "-i", "0.2", "-c", "2", &to.to_string()]);
        run(self.lab.host(), ping, PATIENCE)?.success().map(drop)
    }

    /// A datagram socket, which waits for answers.
    fn socket(&self, namespace: &Namespace, address: Ipv4Addr) -> Result<UdpSocket> {
        const ANY_PORT: u16 = 0;
        let socket = namespace.enter(|| Ok(UdpSocket::bind((address, ANY_PORT))?))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }
}

#[test]
fn attempts_and_their_answers_count() {
    rows::check(ROWS, |row| row.name, check);
}

#[test]
fn syns_behind_many_headers_count() -> Result<()> {
    check(match Linux::running()? {
        newer if newer >= kernel::FEW_EXTENSION_HEADERS => &EXTENSION_HEADERS_SINCE_7_0,
        _ => &EXTENSION_HEADERS_BEFORE_7_0,
    })
}

#[test]
fn a_call_in_a_container_counts_where_namespaces_are_known() -> Result<()> {
    check(match Linux::running()? {
        older if older < kernel::NAMESPACES => &CALL_IN_UNKNOWN_NAMESPACE,
        _ => &CALL_IN_CONTAINER,
    })
}

fn check(row: &Row) -> Result<()> {
    let bench = Bench::new()?;
    let counts = count(&bench.lab, || (row.traffic)(&bench))?;
    let expected = row.counts.iter();
    let expected: Counts = expected
        .map(|&(what, count)| (what.to_owned(), count))
        .collect();
    ensure!(counts == expected, "{counts:#?}, not {expected:#?}");
    Ok(())
}
