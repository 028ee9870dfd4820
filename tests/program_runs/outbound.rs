//! Outbound frames: how this host answers and refuses, whom it contacts, and what says nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use etherparse::{PacketBuilder, TcpHeader};
use recon_common::protocol::tcp_flag::{ACK, CWR, ECE, FIN, PSH, RST, SYN, URG};
use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER, icmpv6, port};
use recon_common::{Direction, Loss, Signal};
use recon_tests::frame::{Path, data, segment, syn};

use crate::Counted::{self, As, Lost, Nothing};
use crate::Row;
use crate::mangle::{first_fragment, later_fragment, with_byte};

pub(crate) const REMOTE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const REMOTE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
pub(crate) const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);

/// A local port that nobody listens on.
const CLOSED: u16 = 8080;
const CLIENT: u16 = 40_000;
/// A local port on which somebody listens.
const OPEN: u16 = 22;
/// A remote's port.
const SERVICE: u16 = 443;
/// Where the header after IPv4 starts.
const TRANSPORT: usize = ETHERNET_HEADER + IPV4_HEADER;
/// The bit of the first byte of a frame's destination that marks a group address.
const GROUP: u8 = 1;

fn row(name: &'static str, frame: Vec<u8>, counted: Counted) -> Row {
    Row {
        name,
        direction: Direction::Out,
        frame,
        counted,
    }
}

fn v4() -> Path {
    Path::new(LOCAL_V4, REMOTE_V4)
}

fn v6() -> Path {
    Path::new(LOCAL_V6, REMOTE_V6)
}

pub(crate) fn rows() -> Result<Vec<Row>> {
    let query = dns_query();
    let stream = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    let mut rows = vec![
        row(
            "reset that refuses",
            v4().tcp(reset(true, 0), &[])?,
            As(Signal::RefusedTcp, CLOSED),
        ),
        row(
            "reset that refuses, IPv6",
            v6().tcp(reset(true, 0), &[])?,
            As(Signal::RefusedTcp, CLOSED),
        ),
        row(
            "reset that aborts",
            v4().tcp(reset(true, 77), &[])?,
            Nothing,
        ),
        row(
            "reset that answers an ACK",
            v4().tcp(reset(false, 77), &[])?,
            As(Signal::RefusedTcp, CLOSED),
        ),
        row(
            "SYN-ACK",
            v4().tcp(syn_ack(), &[])?,
            As(Signal::AnsweredTcp, OPEN),
        ),
        row(
            "SYN-ACK, IPv6",
            v6().tcp(syn_ack(), &[])?,
            As(Signal::AnsweredTcp, OPEN),
        ),
        row("data", v4().tcp(data(CLIENT), b"HTTP/1.1 200 OK")?, Nothing),
        row(
            "UDP sent",
            v4().udp([CLIENT, SERVICE], b"x")?,
            As(Signal::DatagramSent, SERVICE),
        ),
        row(
            "UDP sent over IPv6",
            v6().udp([CLIENT, SERVICE], b"x")?,
            As(Signal::DatagramSent, SERVICE),
        ),
        row(
            "UDP sent to a group address",
            with_byte(&v4().udp([5353, 5353], b"x")?, 0, GROUP),
            Nothing,
        ),
        row(
            "no DNS sent to port 53",
            v4().udp([CLIENT, port::DNS], b"hello")?,
            As(Signal::DatagramSent, port::DNS),
        ),
        row(
            "DNS query sent",
            v4().udp([CLIENT, port::DNS], &query)?,
            As(Signal::DnsSentUdp, port::DNS),
        ),
        row(
            "DNS query sent over IPv6",
            v6().udp([CLIENT, port::DNS], &query)?,
            As(Signal::DnsSentUdp, port::DNS),
        ),
        row(
            "DNS query sent over TCP",
            v4().tcp(data(port::DNS), &stream)?,
            As(Signal::DnsSentTcp, port::DNS),
        ),
        row(
            "DNS answer sent that nobody asked for",
            v4().udp([port::DNS, CLIENT], &dns_reply())?,
            As(Signal::DatagramSent, CLIENT),
        ),
        row(
            "ICMPv6's number above IPv4 sent",
            with_byte(
                &with_byte(&v4().echo(1)?, TRANSPORT - 11, 58),
                TRANSPORT,
                128,
            ),
            Nothing,
        ),
        row("ping sent", v4().echo(1)?, As(Signal::EchoSent, 0)),
        row(
            "ping sent over IPv6",
            v6().echo(1)?,
            As(Signal::EchoSent, 0),
        ),
        row(
            "echo reply sent",
            with_byte(&v4().echo(1)?, TRANSPORT, 0),
            Nothing,
        ),
        row(
            "TCP header cut",
            v4().tcp(syn(1), &[])?[..ETHERNET_HEADER + 25].to_vec(),
            Lost(Loss::Truncated),
        ),
    ];
    rows.extend(segments()?);
    rows.extend(refusals()?);
    Ok(rows)
}

/// Segments to [`SERVICE`] by their flags, whole and in pieces.
fn segments() -> Result<Vec<Row>> {
    /// Where a frame has the flags.
    const FLAGS: usize = TRANSPORT + 13;
    let asks = As(Signal::SynSent, SERVICE);
    let probes = As(Signal::ProbeSent, SERVICE);
    let plain = v4().tcp(segment([CLIENT, SERVICE]), &[])?;
    let syn_v4 = v4().tcp(syn(SERVICE), &[])?;
    let mut rows = vec![
        row("SYN sent over IPv6", v6().tcp(syn(SERVICE), &[])?, asks),
        row(
            "first fragment sent with the whole header",
            first_fragment(&syn_v4, 16),
            asks,
        ),
        row(
            "tiny first fragment sent",
            first_fragment(&syn_v4, 8),
            probes,
        ),
        row("later fragment sent", later_fragment(&syn_v4), Nothing),
    ];
    for (name, flags, counted) in [
        ("SYN sent", SYN, asks),
        ("ECN SYN sent", SYN | ECE | CWR, asks),
        ("NULL sent", 0, probes),
        ("FIN sent", FIN, probes),
        ("XMAS sent", FIN | PSH | URG, probes),
        ("SYN and FIN sent", SYN | FIN, probes),
        ("SYN and RST sent", SYN | RST, probes),
        ("PSH alone sent", PSH, probes),
        (
            "RST sent on no known connection",
            RST,
            As(Signal::RefusedTcp, CLIENT),
        ),
        ("ACK sent", ACK, Nothing),
        ("FIN and ACK sent, the usual end", FIN | ACK, Nothing),
    ] {
        rows.push(row(name, with_byte(&plain, FLAGS, flags), counted));
    }
    Ok(rows)
}

fn syn_ack() -> TcpHeader {
    TcpHeader {
        syn: true,
        ack: true,
        ..segment([OPEN, CLIENT])
    }
}

fn reset(ack: bool, sequence: u32) -> TcpHeader {
    TcpHeader {
        rst: true,
        ack,
        sequence_number: sequence,
        ..segment([CLOSED, CLIENT])
    }
}

/// ICMP errors about a probe to [`CLOSED`].
fn refusals() -> Result<Vec<Row>> {
    let udp = probe(&Path::new(REMOTE_V4, LOCAL_V4).udp([CLIENT, CLOSED], b"x")?);
    let tcp = probe(&Path::new(REMOTE_V4, LOCAL_V4).tcp(syn(CLOSED), &[])?);
    let ping = probe(&Path::new(REMOTE_V4, LOCAL_V4).echo(1)?);
    let of_protocol = |number| {
        let udp = Path::new(REMOTE_V4, LOCAL_V4).udp([CLIENT, CLOSED], b"x")?;
        anyhow::Ok(probe(&with_byte(&udp, TRANSPORT - 11, number)))
    };
    let [gre, sctp, lite] = [47, 132, 136].map(of_protocol);
    let (gre, sctp, lite) = (gre?, sctp?, lite?);
    let refused = As(Signal::RefusedIcmp, CLOSED);
    let mut rows = Vec::new();
    for (name, kind_and_code, quoted, counted) in [
        ("port unreachable, UDP", [3, 3], &udp, refused),
        (
            "port unreachable, TCP (a firewall's)",
            [3, 3],
            &tcp,
            refused,
        ),
        ("network prohibited", [3, 9], &tcp, refused),
        ("host prohibited", [3, 10], &tcp, refused),
        ("communication prohibited", [3, 13], &udp, refused),
        ("host unreachable, a router's", [3, 1], &udp, Nothing),
        ("fragmentation needed", [3, 4], &tcp, Nothing),
        ("time exceeded", [11, 0], &udp, Nothing),
        ("port unreachable, ping", [3, 3], &ping, Nothing),
        (
            "protocol unreachable",
            [3, 2],
            &gre,
            As(Signal::RefusedIcmp, 0),
        ),
        (
            "port unreachable, SCTP (a firewall's)",
            [3, 3],
            &sctp,
            refused,
        ),
        ("port unreachable, UDP-Lite", [3, 3], &lite, refused),
    ] {
        rows.push(row(name, v4().icmp_error(kind_and_code, quoted)?, counted));
    }
    let udp_v6 = probe(&Path::new(REMOTE_V6, LOCAL_V6).udp([CLIENT, CLOSED], b"x")?);
    for (name, code, counted) in [
        ("port unreachable, IPv6", icmpv6::PORT_UNREACHABLE, refused),
        ("prohibited, IPv6", icmpv6::PROHIBITED, refused),
        ("no route, IPv6", 0, Nothing),
    ] {
        rows.push(row(name, icmpv6_unreachable(code, &udp_v6)?, counted));
    }
    Ok(rows)
}

/// What an ICMP error quotes of a frame: the datagram, or its start.
fn probe(frame: &[u8]) -> Vec<u8> {
    frame[ETHERNET_HEADER..].to_vec()
}

fn icmpv6_unreachable(code: u8, quoted: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(LOCAL_V6.octets(), REMOTE_V6.octets(), 64)
        .icmpv6_raw(icmpv6::UNREACHABLE, code, [0; 4])
        .write(&mut bytes, quoted)?;
    Ok(bytes)
}

/// A standard query for the root's name servers.
pub(crate) fn dns_query() -> Vec<u8> {
    vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]
}

/// A reply to [`dns_query`].
pub(crate) fn dns_reply() -> Vec<u8> {
    const RESPONSE: u8 = 0x80;
    let mut message = dns_query();
    message[2] |= RESPONSE;
    message
}
