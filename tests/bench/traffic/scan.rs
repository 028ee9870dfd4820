//! Scanners, and how the network answers.
//!
//! In: nothing. Out: a probe at a time, with its answer.
//! The decision held here: each kind of scan goes on for the whole capture, from sources of its
//! own: once it has tried all ports, or all addresses, the next source begins.

use std::net::Ipv4Addr;

use anyhow::Result;
use etherparse::TcpHeader;
use recon_tests::frame::{Path, segment};

use super::server_address;

/// Who is scanned where one host is.
const TARGET: u8 = 5;
/// Ports of a scan, from the first on.
const PORTS: u32 = 1_000;
/// Addresses of a sweep.
const ADDRESSES: u32 = 254;
/// The port of a sweep.
const SSH: u16 = 22;
/// The host answers every port below it.
const UNREACHABLE: [u8; 2] = [3, 3];
/// How much of a datagram an error quotes, from its IP header on.
const QUOTED: usize = 28;
const ETHERNET_HEADER: usize = 14;
const SCANNER_PORT: u16 = 51_000;

/// What a scanner sends.
#[derive(Clone, Copy)]
enum Probe {
    Syn,
    Fin,
    Null,
    Xmas,
    Ack,
    Udp,
    /// SYNs to one port of many addresses.
    Sweep,
    /// Echo requests to many addresses.
    Ping,
}

const PROBES: [Probe; 8] = [
    Probe::Syn,
    Probe::Fin,
    Probe::Null,
    Probe::Xmas,
    Probe::Ack,
    Probe::Udp,
    Probe::Sweep,
    Probe::Ping,
];

/// A scanner, which takes another address after each scan.
pub(super) struct Scanner {
    probe: Probe,
    kind: u8,
    sent: u32,
}

/// One of each kind.
pub(super) fn all() -> Vec<Scanner> {
    let kinds = (1..).zip(PROBES);
    let scanners = kinds.map(|(kind, probe)| Scanner {
        probe,
        kind,
        sent: 0,
    });
    scanners.collect()
}

impl Scanner {
    /// The next probe and its answer, if there is one.
    pub(super) fn next_probe(&mut self) -> Result<Vec<Vec<u8>>> {
        let each = match self.probe {
            Probe::Sweep | Probe::Ping => ADDRESSES,
            _ => PORTS,
        };
        let (scan, number) = (self.sent / each, self.sent % each);
        self.sent += 1;
        let source = Ipv4Addr::new(198, 51, 100, self.kind + (scan % 16) as u8 * 16);
        let port = number as u16 + 1;
        let tcp = |header| reset_by_target(source, header);
        let ports = [SCANNER_PORT, port];
        match self.probe {
            Probe::Syn => tcp(TcpHeader {
                syn: true,
                ..segment(ports)
            }),
            Probe::Fin => tcp(TcpHeader {
                fin: true,
                ..segment(ports)
            }),
            Probe::Null => tcp(segment(ports)),
            Probe::Xmas => tcp(TcpHeader {
                fin: true,
                psh: true,
                urg: true,
                ..segment(ports)
            }),
            Probe::Ack => tcp(TcpHeader {
                ack: true,
                acknowledgment_number: 7,
                ..segment(ports)
            }),
            Probe::Udp => refused_datagram(source, ports),
            // Few of the addresses have a host.
            Probe::Sweep => {
                let to = server_address(number as u8 + 1);
                let header = TcpHeader {
                    syn: true,
                    ..segment([SCANNER_PORT, SSH])
                };
                Ok(vec![Path::new(source, to).tcp(header, &[])?])
            }
            Probe::Ping => {
                let to = server_address(number as u8 + 1);
                Ok(vec![Path::new(source, to).echo(port)?])
            }
        }
    }
}

/// A segment to the target, which has no such connection (RFC 9293, 3.5.2).
fn reset_by_target(source: Ipv4Addr, header: TcpHeader) -> Result<Vec<Vec<u8>>> {
    let target = server_address(TARGET);
    let reset = TcpHeader {
        rst: true,
        ack: !header.ack,
        sequence_number: header.acknowledgment_number,
        acknowledgment_number: match header.ack {
            true => 0,
            false => header.sequence_number.wrapping_add(1),
        },
        ..segment([header.destination_port, header.source_port])
    };
    Ok(vec![
        Path::new(source, target).tcp(header, &[])?,
        Path::new(target, source).tcp(reset, &[])?,
    ])
}

fn refused_datagram(source: Ipv4Addr, ports: [u16; 2]) -> Result<Vec<Vec<u8>>> {
    let target = server_address(TARGET);
    let probe = Path::new(source, target).udp(ports, &[])?;
    let quoted = probe[ETHERNET_HEADER..][..QUOTED].to_vec();
    let error = Path::new(target, source).icmp_error(UNREACHABLE, &quoted)?;
    Ok(vec![probe, error])
}
