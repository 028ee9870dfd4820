//! The rows for the rules' source: ten queries, copied, which count every row that they literally
//! match.
//!
//! A refused SYN is two events, and counts twice where a query does not filter by `ActionType`. So
//! where they can, the rows send frames that the host does not answer: frames with unknown VLAN
//! tags.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use recon_tests::dns::{self, QUERY};
use recon_tests::frame::{Path, double_tagged, syn};
use recon_tests::lab::HOST;
use recon_tests::process::{run, shell};
use recon_tests::{PATIENCE, TestProcess, server::Server};

use super::table::{self, CLOSED, COMMON, HTTP, SMB};
use super::{Bench, Extra, REMOTES, Row};

pub(super) const QUERIES: &[u8] = include_bytes!("../second_opinion/detections.kql");

const ROW: Row = Row {
    event: |bench, remote, _| bench.unanswered(remote, CLOSED),
    signals: 1,
    port: Some(CLOSED),
    ..table::ROW
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "1",
        rule: "detect-multiple-ports-scanned-from-a-single-ip",
        threshold: 20,
        ..ROW
    },
    Row {
        name: "2",
        rule: "identify-rapid-scanning-behaviour",
        threshold: 50,
        ..ROW
    },
    Row {
        name: "3",
        rule: "suspicious-network-scanning-patterns",
        threshold: 10,
        event: |bench, remote, number| {
            bench.unanswered(remote, COMMON[usize::from(number) % COMMON.len()])
        },
        port: None,
        counts_private: true,
        ..ROW
    },
    Row {
        name: "4",
        rule: "identify-outbound-port-scanning",
        event: |bench, remote, _| bench.scan(remote, CLOSED),
        direction: "egress",
        ..ROW
    },
    Row {
        name: "5",
        rule: "multiple-failed-connection-attempts",
        threshold: 100,
        event: |bench, remote, _| bench.segment(remote, HOST, CLOSED),
        // The SYN and its reset.
        signals: 2,
        ..ROW
    },
    Row {
        name: "6",
        rule: "identify-icmp-echo-requests-ping-sweeps",
        threshold: 50,
        event: |bench, remote, number| bench.echo(remote, HOST, number),
        port: None,
        ..ROW
    },
    Row {
        name: "7",
        rule: "scan-for-smb-shares",
        threshold: 10,
        event: |bench, remote, _| bench.unanswered(remote, SMB),
        port: Some(SMB),
        ..ROW
    },
    Row {
        name: "8",
        rule: "http-get-request-flooding",
        threshold: 100,
        event: |bench, remote, _| bench.visit(remote),
        // The SYN, its answer, the connection, the request, and the connection's end.
        signals: 5,
        port: Some(HTTP),
        ..ROW
    },
    Row {
        name: "9",
        rule: "identify-dns-query-flooding",
        threshold: 200,
        event: |bench, remote, _| {
            bench.resolver.send_to(QUERY, (remote, dns::PORT))?;
            Ok(())
        },
        port: Some(dns::PORT),
        direction: "egress",
        ..ROW
    },
    Row {
        name: "10",
        rule: "detecting-high-numbers-of-syn-packets",
        threshold: 500,
        ..ROW
    },
];

impl Bench<'_> {
    /// Sends a SYN that the host counts and does not answer.
    fn unanswered(&self, remote: IpAddr, port: u16) -> Result<()> {
        let frame = Path::new(remote, HOST).tcp(syn(port), &[])?;
        self.sender.send(&double_tagged(&frame))
    }

    /// Sends a datagram from a program named nmap.
    fn scan(&self, remote: IpAddr, port: u16) -> Result<()> {
        if self.extra.get().is_none() {
            let scanner = TestProcess::start(self.lab.host(), "nmap")?;
            let _ = self.extra.set(Extra::Scanner(scanner));
        }
        let Some(Extra::Scanner(scanner)) = self.extra.get() else {
            unreachable!("a row needs one kind");
        };
        scanner.send(remote, port).map(drop)
    }

    /// Visits the host's web server.
    fn visit(&self, remote: IpAddr) -> Result<()> {
        if self.extra.get().is_none() {
            const PAGE: u64 = 100;
            let addresses = REMOTES.map(|remote| format!("address add {remote}/32 dev lo\n"));
            self.lab.attacker().ip(&addresses.concat())?;
            let server = Server::web(self.lab.host(), PAGE)?;
            let _ = self.extra.set(Extra::Web { _server: server });
        }
        let curl = format!("curl -s -o /dev/null --interface {remote} http://{HOST}/");
        let visit = run(self.lab.attacker(), shell(&curl), PATIENCE)?;
        visit.success().map(drop).context(curl)
    }
}
