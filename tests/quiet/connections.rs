//! Connections that are older than the agent, and unsolicited answers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::TcpStreamExt;

use anyhow::{Result, ensure};
use etherparse::TcpHeader;
use recon_tests::Lab;
use recon_tests::frame::{Path, segment};
use recon_tests::lab::HOST;

/// The two ends of a connection.
pub(super) struct Connection {
    host: TcpStream,
    attacker: TcpStream,
}

pub(super) fn open_connections(lab: &Lab) -> Result<Vec<Connection>> {
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

/// Sends data each way over each connection, then ends it in one of three ways.
pub(super) fn use_and_close(connections: Vec<Connection>) -> Result<()> {
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
                // The host closes with unread data, which aborts the connection.
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

/// Closes `first` and then the other end, and returns whether that one had reached the end of the
/// stream.
fn end(first: TcpStream, mut second: TcpStream) -> Result<bool> {
    drop(first);
    Ok(second.read(&mut [0])? == 0)
}

/// Closes the host's end, acknowledges that, and then closes the other end.
pub(super) fn forget(Connection { host, mut attacker }: Connection) -> Result<()> {
    drop(host);
    ensure!(attacker.read(&mut [0])? == 0, "the host has not closed");
    // Sends the acknowledgment that the kernel would delay into the next segment.
    attacker.set_quickack(true)?;
    Ok(())
}

/// Peers of connections that the host does not know.
pub(super) const FORGOTTEN: u8 = 100;

/// Data of peers whose connections to one service the host does not know any more.
pub(super) fn use_forgotten(lab: &Lab) -> Result<()> {
    const SERVICE: u16 = 443;
    const PEER_PORT: u16 = 40_000;
    let sender = lab.sender()?;
    for peer in 1..=FORGOTTEN {
        let path = Path::new(Ipv4Addr::new(203, 0, 113, peer), HOST);
        let data = TcpHeader {
            ack: true,
            psh: true,
            sequence_number: 1000,
            acknowledgment_number: 2000,
            ..segment([PEER_PORT, SERVICE])
        };
        sender.send(&path.tcp(data, b"still there?")?)?;
    }
    Ok(())
}

pub(super) const BACKSCATTER_PORTS: u16 = 300;

/// Answers to packets that somebody else sent with this host's address: SYN-ACKs, resets, ICMP
/// errors.
pub(super) fn backscatter(lab: &Lab) -> Result<()> {
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
