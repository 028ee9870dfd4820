//! Packets that belong to nothing of this host: answers to nobody, other protocols, fragments
//! without a beginning, questions for neighbours.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use etherparse::TcpHeader;
use recon_common::Signal;
use recon_common::protocol::{
    ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, icmp, icmpv6, ip_protocol, sctp,
};
use recon_tests::frame::segment;

use crate::Counted::{As, Nothing};
use crate::mangle::{tagged, with_byte};
use crate::outbound::{LOCAL_V4, REMOTE_V4};
use crate::story::By::{Guest, Host, Remote};
use crate::story::{CLIENT, PORT, TRANSPORT, check_stories, inward, inward_v6, outward};

/// Where IPv4 has the protocol, the identification's second byte, and flags with the offset.
const PROTOCOL: usize = ETHERNET_HEADER + 9;
const IDENTIFICATION: usize = ETHERNET_HEADER + 5;
const FRAGMENT: usize = ETHERNET_HEADER + 6;

#[test]
fn what_answers_nothing_is_a_stray() -> Result<()> {
    let answer = |header: TcpHeader| inward().tcp(header, &[]);
    let reset = TcpHeader {
        rst: true,
        sequence_number: 77,
        ..segment([CLIENT, PORT])
    };
    let close = TcpHeader {
        fin: true,
        ack: true,
        ..segment([PORT, CLIENT])
    };
    let of_icmp = |kind| Ok::<_, anyhow::Error>(with_byte(&inward().echo(1)?, TRANSPORT, kind));
    let of_icmpv6 = |kind| {
        let frame = inward_v6().echo(1)?;
        Ok::<_, anyhow::Error>(with_byte(&frame, ETHERNET_HEADER + IPV6_HEADER, kind))
    };
    let request = As(Signal::IcmpRequest, 0);
    let notice = As(Signal::IcmpNotice, 0);
    check_stories(vec![
        (
            "a reset of no connection, and of one that this host has closed",
            vec![
                (
                    Remote,
                    answer(reset.clone())?,
                    As(Signal::StraySegment, PORT),
                ),
                (Host, outward().tcp(close, &[])?, Nothing),
                (Remote, answer(reset)?, Nothing),
            ],
        ),
        (
            "requests of ICMP",
            vec![
                (Remote, of_icmp(icmp::TIMESTAMP)?, request),
                (Remote, of_icmp(icmp::INFORMATION)?, request),
                (Remote, of_icmp(icmp::ADDRESS_MASK)?, request),
                (Remote, of_icmp(icmp::ROUTER_SOLICITATION)?, request),
                (Remote, of_icmpv6(icmpv6::NODE_INFORMATION)?, request),
            ],
        ),
        (
            "what asks nothing",
            vec![
                (Remote, of_icmp(icmp::ECHO_REPLY)?, notice),
                (Remote, of_icmp(icmp::UNREACHABLE)?, notice),
                (Remote, of_icmp(11)?, notice),
                (Remote, of_icmpv6(icmpv6::UNREACHABLE)?, notice),
                // Neighbours that know each other.
                (Remote, of_icmpv6(icmpv6::NEIGHBOUR_SOLICITATION)?, Nothing),
                (Remote, of_icmpv6(136)?, Nothing),
            ],
        ),
    ])
}

#[test]
fn other_protocols_count_by_their_number() -> Result<()> {
    let with_protocol = |frame: &[u8], number| with_byte(frame, PROTOCOL, number);
    let (to_host, from_host) = (
        inward().udp([CLIENT, PORT], &[0; 16])?,
        outward().udp([PORT, CLIENT], &[0; 16])?,
    );
    let chunk = |kind| {
        let frame = with_protocol(&to_host, ip_protocol::SCTP);
        with_byte(&frame, TRANSPORT + sctp::HEADER, kind)
    };
    const GRE: u8 = 47;
    let gre = As(Signal::ProtocolProbe, GRE.into());
    check_stories(vec![
        (
            "a tunnel that the remote began, and this host answers",
            vec![
                (Remote, with_protocol(&to_host, GRE), gre),
                (Remote, with_protocol(&to_host, GRE), gre),
                (Host, with_protocol(&from_host, GRE), Nothing),
                (Remote, with_protocol(&to_host, GRE), Nothing),
                (
                    Remote,
                    with_protocol(&to_host, 50),
                    As(Signal::ProtocolProbe, 50),
                ),
            ],
        ),
        (
            "SCTP",
            vec![
                (Remote, chunk(sctp::INIT), As(Signal::SctpProbe, PORT)),
                (
                    Remote,
                    chunk(sctp::COOKIE_ECHO),
                    As(Signal::SctpProbe, PORT),
                ),
                (
                    Remote,
                    chunk(0),
                    As(Signal::ProtocolProbe, ip_protocol::SCTP.into()),
                ),
            ],
        ),
        (
            "UDP-Lite, whose ports are UDP's",
            vec![
                (
                    Remote,
                    with_protocol(&to_host, ip_protocol::UDP_LITE),
                    As(Signal::Datagram, PORT),
                ),
                (
                    Host,
                    with_protocol(&from_host, ip_protocol::UDP_LITE),
                    As(Signal::AnsweredUdp, PORT),
                ),
            ],
        ),
    ])
}

/// A fragment of a datagram of 24 bytes: eight bytes at that offset.
fn fragment(protocol: u8, offset: u8, is_last: bool) -> Result<Vec<u8>> {
    const BYTES: u16 = 8;
    let frame = inward().udp([CLIENT, PORT], &[])?;
    let mut frame = with_byte(&frame, PROTOCOL, protocol);
    frame[FRAGMENT] = if is_last { 0 } else { 0x20 };
    frame[FRAGMENT + 1] = offset;
    let total = IPV4_HEADER as u16 + BYTES;
    frame[ETHERNET_HEADER + 2..ETHERNET_HEADER + 4].copy_from_slice(&total.to_be_bytes());
    Ok(frame)
}

#[test]
fn a_fragment_counts_unless_it_continues_its_datagram() -> Result<()> {
    let udp = |offset, is_last| fragment(ip_protocol::UDP, offset, is_last);
    let stray = As(Signal::StrayFragment, 0);
    let hit = As(Signal::Datagram, PORT);
    let mut empty = udp(1, false)?;
    empty[ETHERNET_HEADER + 3] = IPV4_HEADER as u8;
    let data = TcpHeader {
        ack: true,
        ..segment([CLIENT, PORT])
    };
    let first = |header: TcpHeader| {
        let mut frame = inward().tcp(header, &[0; 4])?;
        frame[FRAGMENT] = 0x20;
        Ok::<_, anyhow::Error>(frame)
    };
    let end = |ports| TcpHeader {
        fin: true,
        ack: true,
        ..segment(ports)
    };
    let accepts = outward().tcp(
        TcpHeader {
            syn: true,
            ack: true,
            ..segment([PORT, CLIENT])
        },
        &[],
    )?;
    let connects = outward().tcp(
        TcpHeader {
            syn: true,
            ..segment([PORT, CLIENT])
        },
        &[],
    )?;
    let later = |offset| fragment(ip_protocol::TCP, offset, true);
    const SERVICE: u16 = 443;
    check_stories(vec![
        (
            "a whole datagram, and one of its fragments again",
            vec![
                (Remote, udp(0, false)?, hit),
                (Remote, udp(1, false)?, Nothing),
                (Remote, udp(2, true)?, Nothing),
                (Remote, udp(1, false)?, stray),
            ],
        ),
        (
            "fragments without a beginning, of another datagram, with a gap",
            vec![
                (Remote, udp(1, false)?, stray),
                (Remote, udp(2, false)?, stray),
                (Remote, udp(0, false)?, hit),
                (Remote, with_byte(&udp(1, false)?, IDENTIFICATION, 9), stray),
                (Remote, udp(2, false)?, stray),
                (Remote, udp(1, false)?, Nothing),
            ],
        ),
        (
            "fragments without a payload: the second one would continue the first",
            vec![
                (Remote, udp(0, false)?, hit),
                (Remote, empty.clone(), Nothing),
                (Remote, empty, stray),
            ],
        ),
        (
            "the data of a connection in fragments",
            vec![
                (Host, connects, As(Signal::SynSent, CLIENT)),
                (Remote, first(data.clone())?, Nothing),
                (Remote, later(3)?, Nothing),
                (Remote, later(4)?, stray),
            ],
        ),
        (
            "the data of a guest's connection in fragments",
            vec![
                (Guest, accepts, As(Signal::AnsweredTcp, PORT)),
                (Remote, first(data.clone())?, Nothing),
                (Remote, later(3)?, Nothing),
            ],
        ),
        (
            "data of no connection in fragments",
            vec![
                (Remote, first(data)?, stray),
                (Remote, later(3)?, stray),
                (Remote, first(end([SERVICE, CLIENT]))?, stray),
                (Remote, later(3)?, stray),
            ],
        ),
        (
            "a Maimon probe in fragments",
            vec![
                (
                    Remote,
                    first(end([CLIENT, PORT]))?,
                    As(Signal::MaimonProbe, PORT),
                ),
                (Remote, later(3)?, Nothing),
            ],
        ),
    ])
}

/// An ARP message: who asks, for whom, and the operation.
fn arp(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let ethernet = [&[0xff; 6][..], &[4; 6], &[8, 6]].concat();
    let start = [0, 1, 8, 0, 6, 4, 0, operation];
    let ends = [&[4; 6][..], &sender.octets(), &[0; 6], &target.octets()].concat();
    [&ethernet[..], &start, &ends].concat()
}

/// A neighbour solicitation with that source, hop limit and type, for the same target.
fn solicitation(source: Ipv6Addr, hops: u8, kind: u8) -> Vec<u8> {
    let target: Ipv6Addr = "2001:db8::77".parse().expect("an address");
    let group: Ipv6Addr = "ff02::1:ff00:77".parse().expect("an address");
    let ethernet = [&[0x33, 0x33, 0xff, 0, 0, 0x77][..], &[4; 6], &[0x86, 0xdd]].concat();
    let ip = [0x60, 0, 0, 0, 0, 24, ip_protocol::ICMPV6, hops];
    let message = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat();
    [
        &ethernet[..],
        &ip,
        &source.octets(),
        &group.octets(),
        &message,
    ]
    .concat()
}

#[test]
fn a_question_for_a_neighbour_is_one_of_who_asks() -> Result<()> {
    const REQUEST: u8 = 1;
    let asked = As(Signal::NeighbourRequest, 0);
    let (sender, target) = (REMOTE_V4, LOCAL_V4);
    let link: Ipv6Addr = "fe80::7".parse()?;
    let kind = icmpv6::NEIGHBOUR_SOLICITATION;
    check_stories(vec![
        (
            "ARP",
            vec![
                (Remote, arp(REQUEST, sender, target), asked),
                (
                    Remote,
                    tagged(&arp(REQUEST, sender, target), &[0x8100]),
                    asked,
                ),
                // A host that looks for a free address, an announcement, and an answer.
                (Remote, arp(REQUEST, Ipv4Addr::UNSPECIFIED, target), Nothing),
                (Remote, arp(REQUEST, sender, sender), Nothing),
                (Remote, arp(2, sender, target), Nothing),
                (Host, arp(REQUEST, target, sender), Nothing),
            ],
        ),
        (
            "neighbour solicitations",
            vec![
                (Remote, solicitation(link, 255, kind), asked),
                // From another link, from nobody yet, and other messages to a group.
                (Remote, solicitation(link, 254, kind), Nothing),
                (
                    Remote,
                    solicitation(Ipv6Addr::UNSPECIFIED, 255, kind),
                    Nothing,
                ),
                (Remote, solicitation(link, 255, 134), Nothing),
            ],
        ),
    ])
}
