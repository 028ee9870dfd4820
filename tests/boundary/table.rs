//! The rows of the boundary test: one for each rule and measure, and for the address families and
//! tags that a parser could get wrong.

use std::net::IpAddr;

use recon_tests::dns::{self, QUERY};
use recon_tests::frame::{Path, double_tagged, syn};
use recon_tests::lab::{HOST, HOST6, spare};

use super::{Family, Row};

/// A closed port.
pub(super) const CLOSED: u16 = 8081;
pub(super) const SMB: u16 = 445;
pub(super) const HTTP: u16 = 80;

/// The ports of the rule about common ports.
pub(super) const COMMON: [u16; 5] = [22, 23, 80, 443, 3389];

/// The common parts of most rows.
pub(super) const ROW: Row = Row {
    name: "",
    rule: "",
    measure: "count",
    threshold: 0,
    window: "1h",
    event: |bench, remote, _| bench.segment(remote, HOST, CLOSED),
    signals: 2,
    odd_signals: None,
    host: Some(IpAddr::V4(HOST)),
    port: None,
    direction: "ingress",
    family: Family::V4,
    counts_private: false,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "ports of one address",
        rule: "port-scan",
        measure: "distinct_ports",
        threshold: 20,
        event: |bench, remote, number| bench.segment(remote, HOST, CLOSED + number),
        ..ROW
    },
    Row {
        name: "ports of one IPv6 address",
        rule: "port-scan",
        measure: "distinct_ports",
        threshold: 20,
        event: |bench, remote, number| bench.segment(remote, HOST6, CLOSED + number),
        host: Some(IpAddr::V6(HOST6)),
        family: Family::V6,
        ..ROW
    },
    Row {
        name: "ports under two VLAN tags",
        rule: "port-scan",
        measure: "distinct_ports",
        threshold: 20,
        event: |bench, remote, number| {
            let frame = Path::new(remote, HOST).tcp(syn(CLOSED + number), &[])?;
            bench.sender.send(&double_tagged(&frame))
        },
        // The host has no such VLAN and does not answer.
        signals: 1,
        ..ROW
    },
    Row {
        name: "hits on one port",
        rule: "port-scan",
        threshold: 20,
        port: Some(CLOSED),
        ..ROW
    },
    Row {
        name: "hits in a short time",
        rule: "rapid-scan",
        threshold: 50,
        window: "1m",
        port: Some(CLOSED),
        ..ROW
    },
    Row {
        name: "hits on common ports",
        rule: "common-ports",
        threshold: 10,
        event: |bench, remote, number| {
            bench.segment(remote, HOST, COMMON[usize::from(number) % COMMON.len()])
        },
        counts_private: true,
        ..ROW
    },
    Row {
        name: "resets",
        rule: "failed-connections",
        threshold: 100,
        port: Some(CLOSED),
        ..ROW
    },
    Row {
        name: "port unreachable",
        rule: "failed-connections",
        threshold: 100,
        event: |bench, remote, _| bench.datagram(remote, CLOSED, b"anybody?"),
        port: Some(CLOSED),
        ..ROW
    },
    Row {
        name: "pings of one address",
        rule: "icmp-sweep",
        threshold: 50,
        event: |bench, remote, number| bench.echo(remote, HOST, number),
        signals: 1,
        ..ROW
    },
    Row {
        name: "pings of one IPv6 address",
        rule: "icmp-sweep",
        threshold: 50,
        event: |bench, remote, number| bench.echo(remote, HOST6, number),
        signals: 1,
        host: Some(IpAddr::V6(HOST6)),
        family: Family::V6,
        ..ROW
    },
    Row {
        name: "pings of many addresses",
        rule: "icmp-sweep",
        measure: "distinct_addresses",
        threshold: 50,
        event: |bench, remote, number| bench.echo(remote, spare(u8::try_from(number)?), number),
        signals: 1,
        host: None,
        ..ROW
    },
    Row {
        name: "hits on SMB",
        rule: "smb-scan",
        threshold: 10,
        event: |bench, remote, _| bench.segment(remote, HOST, SMB),
        port: Some(SMB),
        ..ROW
    },
    Row {
        name: "GET requests",
        rule: "http-flood",
        threshold: 100,
        event: |bench, remote, _| {
            bench.payload(remote, HTTP, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        },
        port: Some(HTTP),
        ..ROW
    },
    Row {
        name: "DNS queries sent",
        rule: "dns-flood",
        threshold: 200,
        event: |bench, remote, _| {
            bench.resolver.send_to(QUERY, (remote, dns::PORT))?;
            Ok(())
        },
        signals: 1,
        port: Some(dns::PORT),
        direction: "egress",
        ..ROW
    },
    Row {
        name: "DNS queries received, over UDP and TCP",
        rule: "dns-flood",
        threshold: 200,
        event: |bench, remote, number| match number % 2 {
            0 => bench.datagram(remote, dns::PORT, QUERY),
            _ => bench.payload(remote, dns::PORT, &dns::framed(QUERY)),
        },
        signals: 1,
        odd_signals: Some(2),
        port: Some(dns::PORT),
        ..ROW
    },
    Row {
        name: "SYNs",
        rule: "syn-flood",
        threshold: 500,
        port: Some(CLOSED),
        ..ROW
    },
    Row {
        name: "addresses on one port",
        rule: "address-sweep",
        measure: "distinct_addresses",
        threshold: 50,
        event: |bench, remote, number| bench.segment(remote, spare(u8::try_from(number)?), CLOSED),
        host: None,
        port: Some(CLOSED),
        ..ROW
    },
];
