//! What is nobody's scan stays quiet: busy, old, answered and strayed traffic causes no alert, and the counters show that it was seen.
//!
//! Each row also says how many signals its traffic gives. A threshold would hide a few that should not be.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use etherparse::TcpHeader;
use recon_tests::dns::Responder;
use recon_tests::frame::{Path, segment};
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::server::DOWNLOAD;
use recon_tests::{Agent, Lab, Server, rows};

/// What happens while the agent runs. What has to happen before is done when this is made.
type Traffic<'lab> = Box<dyn FnOnce() -> Result<()> + 'lab>;

struct Row {
    name: &'static str,
    traffic: for<'lab> fn(&'lab Lab) -> Result<Traffic<'lab>>,
    /// At least as many frames cross in and out.
    frames: [u64; 2],
    /// The signals among them: connections that are opened, questions that are asked.
    signals: u64,
}

const ROWS: &[Row] = &[
    Row {
        name: "iperf3 over TCP, both ways",
        traffic: |lab| {
            let server = Server::iperf(lab.host())?;
            Ok(Box::new(move || {
                let _server = server;
                from_attacker(lab, "iperf3 -c {host} -n 100M --bidir")
            }))
        },
        frames: [1_600, 1_600],
        // A connection to talk and one for the data each way.
        signals: 3,
    },
    Row {
        name: "iperf3 over UDP, both ways",
        traffic: |lab| {
            let server = Server::iperf(lab.host())?;
            Ok(Box::new(move || {
                let _server = server;
                from_attacker(lab, "iperf3 -u -c {host} -b 200M -n 10M --bidir")
            }))
        },
        frames: [7_000, 7_000],
        // A connection to talk, and on each of two flows a datagram before the first answer.
        signals: 3,
    },
    Row {
        name: "iperf3 over UDP, this host as the client",
        traffic: |lab| {
            let server = Server::iperf(lab.attacker())?;
            Ok(Box::new(move || {
                let _server = server;
                from_host(lab, "iperf3 -u -c {attacker} -b 200M -n 10M --reverse")
            }))
        },
        frames: [7_000, 10],
        signals: 0,
    },
    Row {
        name: "a hundred old connections",
        traffic: |lab| {
            let connections = open_connections(lab)?;
            Ok(Box::new(move || use_and_close(connections)))
        },
        frames: [200, 200],
        signals: 0,
    },
    Row {
        name: "connections that this host has closed and forgotten",
        traffic: |lab| {
            // As after a minute in FIN-WAIT-2: nothing is kept of a connection whose end was acknowledged.
            lab.host().set("ipv4/tcp_max_tw_buckets", 0)?;
            let connections = open_connections(lab)?;
            Ok(Box::new(move || {
                connections.into_iter().try_for_each(forget)
            }))
        },
        frames: [200, 100],
        signals: 0,
    },
    Row {
        name: "a resolver's client",
        traffic: |lab| {
            let upstream = Responder::start(lab.attacker(), ATTACKER)?;
            Ok(Box::new(move || {
                let _upstream = upstream;
                from_host(
                    lab,
                    "for i in $(seq 150); do echo $i.example; done | dig @{attacker} +tries=1 -f -",
                )
            }))
        },
        frames: [150, 150],
        // The questions; the answers, to 150 ports, are none.
        signals: 150,
    },
    Row {
        name: "backscatter",
        traffic: |lab| Ok(Box::new(|| backscatter(lab))),
        // The host resets the connections that it never asked for.
        frames: [5 * BACKSCATTER_PORTS as u64, BACKSCATTER_PORTS as u64],
        signals: 0,
    },
    Row {
        name: "a download to this host and one from it",
        traffic: |lab| {
            const SIZE: u64 = 200 << 20;
            let servers = [
                Server::web(lab.host(), SIZE)?,
                Server::web(lab.attacker(), SIZE)?,
            ];
            Ok(Box::new(move || {
                let _servers = servers;
                from_attacker(
                    lab,
                    &format!("curl -sSf -o /dev/null http://{HOST}/{DOWNLOAD}"),
                )?;
                from_host(
                    lab,
                    &format!("curl -sSf -o /dev/null http://{ATTACKER}/{DOWNLOAD}"),
                )
            }))
        },
        frames: [3_200, 3_200],
        // One SYN and one GET.
        signals: 2,
    },
];

const DEADLINE: Duration = Duration::from_secs(60);

fn from_attacker(lab: &Lab, line: &str) -> Result<()> {
    let line = line.replace("{host}", &HOST.to_string());
    run(lab.attacker(), shell(&line), DEADLINE)?
        .success()
        .map(drop)
}

fn from_host(lab: &Lab, line: &str) -> Result<()> {
    let line = line.replace("{attacker}", &ATTACKER.to_string());
    run(lab.host(), shell(&line), DEADLINE)?.success().map(drop)
}

/// The two ends of a connection.
struct Connection {
    host: TcpStream,
    attacker: TcpStream,
}

fn open_connections(lab: &Lab) -> Result<Vec<Connection>> {
    const COUNT: usize = 100;
    const ANY_PORT: u16 = 0;
    let listener = lab
        .host()
        .enter(|| Ok(TcpListener::bind((HOST, ANY_PORT))?))?;
    let address = listener.local_addr()?;
    lab.attacker().enter(|| {
        let connect = |_| {
            let attacker = TcpStream::connect(address)?;
            let (host, _) = listener.accept()?;
            Ok(Connection { host, attacker })
        };
        (0..COUNT).map(connect).collect()
    })
}

/// Sends something each way over each connection, then ends it in one of three ways.
fn use_and_close(connections: Vec<Connection>) -> Result<()> {
    const MESSAGE: &[u8] = b"are you still there?";
    let mut read = [0; MESSAGE.len()];
    for (number, connection) in connections.into_iter().enumerate() {
        let Connection {
            mut host,
            mut attacker,
        } = connection;
        attacker.write_all(MESSAGE)?;
        host.read_exact(&mut read)?;
        host.write_all(MESSAGE)?;
        attacker.read_exact(&mut read)?;
        let ended = match number % 3 {
            0 => end(attacker, host)?,
            1 => end(host, attacker)?,
            _ => {
                // The host closes with something unread, which aborts the connection.
                attacker.write_all(MESSAGE)?;
                host.peek(&mut read)?;
                drop(host);
                attacker.read(&mut read).is_err()
            }
        };
        ensure!(ended, "connection {number} has not ended");
    }
    Ok(())
}

/// Closes `first` and then the other end, and says whether that one had reached the end of what was sent.
fn end(first: TcpStream, mut second: TcpStream) -> Result<bool> {
    drop(first);
    Ok(second.read(&mut [0])? == 0)
}

/// Closes the host's end, acknowledges that, and only then closes the other.
fn forget(Connection { host, mut attacker }: Connection) -> Result<()> {
    drop(host);
    ensure!(attacker.read(&mut [0])? == 0, "the host has not closed");
    // Sends the acknowledgment that the kernel would rather put into the next segment.
    attacker.set_quickack(true)?;
    Ok(())
}

const BACKSCATTER_PORTS: u16 = 300;

/// Answers to what somebody else sent under this host's address: SYN-ACKs, resets, ICMP errors.
fn backscatter(lab: &Lab) -> Result<()> {
    const VICTIM: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 20));
    const SERVICE: u16 = 443;
    const FIRST_PORT: u16 = 30_000;
    const ETHERNET: usize = 14;
    /// Port unreachable and time exceeded (RFC 792).
    const ERRORS: [[u8; 2]; 2] = [[3, 3], [11, 0]];
    let sender = lab.sender()?;
    let path = Path::new(VICTIM, HOST);
    for port in FIRST_PORT..FIRST_PORT + BACKSCATTER_PORTS {
        let plain = segment([SERVICE, port]);
        let syn_ack = TcpHeader {
            syn: true,
            ack: true,
            ..plain.clone()
        };
        let reset = TcpHeader {
            rst: true,
            ..plain.clone()
        };
        let refusal = TcpHeader {
            rst: true,
            ack: true,
            ..plain
        };
        for header in [syn_ack, reset, refusal] {
            sender.send(&path.tcp(header, &[])?)?;
        }
        let asked = TcpHeader {
            syn: true,
            ..segment([port, SERVICE])
        };
        let asked = Path::new(HOST, VICTIM).tcp(asked, &[])?;
        for error in ERRORS {
            sender.send(&path.icmp_error(error, &asked[ETHERNET..])?)?;
        }
    }
    Ok(())
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let traffic = (row.traffic)(&lab)?;
    let agent = Agent::start(&lab, "--interval 100ms")?;
    traffic()?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(
        stopped.seen.alerts.is_empty(),
        "not quiet\n{}",
        stopped.seen
    );
    let totals = stopped.totals()?;
    let [frames_in, frames_out] = row.frames;
    ensure!(
        totals.frames_in >= frames_in && totals.frames_out >= frames_out,
        "not seen: {totals:?}"
    );
    ensure!(
        (totals.signals, totals.lost) == (row.signals, 0),
        "{totals:?}"
    );
    Ok(())
}

#[test]
fn what_is_nobodys_scan_stays_quiet() {
    rows::check(ROWS, |row| row.name, check);
}
