//! The rows of the answers test: the host's servers, the attack, and the answers.

use recon_tests::Server;
use recon_tests::dns::{PORT as DNS, Responder};
use recon_tests::lab::HOST;

use super::{FULL, Row, SSH, drop_one_port, serve_all, serve_mutely, serve_nobody};

const HTTP: u16 = 80;

/// The common parts of most rows: a scan of all ports.
const ROW: Row = Row {
    name: "",
    serve: serve_all,
    line: "",
    measure: "distinct_ports",
    port: None,
    open: 2,
    refused: 30,
    silent: 2,
    open_ports: &[SSH, HTTP],
};

/// Connections to one open port.
const CALLS: Row = Row {
    measure: "count",
    port: Some(HTTP),
    open: 1,
    refused: 0,
    silent: 0,
    open_ports: &[HTTP],
    ..ROW
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nmap -sS",
        line: "{nmap} -sS -p 22,80,8025,8026,2000-2029 {host}",
        ..ROW
    },
    Row {
        name: "nmap -sT",
        line: "{nmap} -sT -p 22,80,8025,8026,2000-2029 {host}",
        ..ROW
    },
    Row {
        name: "nmap -sF, to which open ports do not answer",
        line: "{nmap} -sF -p 22,80,8025,8026,2000-2029 {host}",
        open: 0,
        silent: 4,
        open_ports: &[],
        ..ROW
    },
    Row {
        name: "nmap -sM, which open ports refuse as well",
        line: "{nmap} -sM -p 22,80,8025,8026,2000-2029 {host}",
        open: 0,
        refused: 33,
        silent: 1,
        open_ports: &[],
        ..ROW
    },
    Row {
        name: "nmap -f, whose fragments show no flags",
        line: "{nmap} -sS -f -p 22,80,8025,2000-2029 {host}",
        silent: 1,
        ..ROW
    },
    Row {
        name: "nmap -sS of four addresses",
        // netcat and nginx serve all of them; the full queue belongs to the first one.
        line: "{nmap} -sS -p 22,80,2000-2029 198.18.0.0/30",
        open: 8,
        refused: 120,
        silent: 0,
        ..ROW
    },
    Row {
        name: "nmap -sU",
        serve: |lab| {
            Ok(vec![
                Box::new(Responder::start(lab.host(), HOST)?),
                Box::new(serve_mutely(lab)?),
            ])
        },
        line: "{nmap} -sU -p 53,2000-2029 {host}",
        open: 1,
        refused: 29,
        silent: 1,
        open_ports: &[DNS],
        ..ROW
    },
    Row {
        name: "curl at nginx",
        line: "curl --silent --fail --header Connection:close 'http://{host}/?[1-25]'",
        ..CALLS
    },
    Row {
        name: "wrk at nginx",
        line: "wrk --threads 1 --connections 30 --duration 1s http://{host}/",
        ..CALLS
    },
    Row {
        name: "netcat at netcat on 22",
        line: "for i in $(seq 25); do {nc} {host} 22 || exit; done",
        port: Some(SSH),
        open_ports: &[SSH],
        ..CALLS
    },
    Row {
        name: "netcat at closed port 22",
        serve: |_| Ok(Vec::new()),
        line: "for i in $(seq 25); do ! {nc} {host} 22 || exit; done",
        port: Some(SSH),
        open: 0,
        refused: 1,
        open_ports: &[],
        ..CALLS
    },
    Row {
        name: "hping3 at a full queue",
        serve: serve_nobody,
        // It fails if it receives nothing.
        line: "! hping3 --quiet --syn --count 25 --interval u2000 --keep --destport 8025 {host}",
        port: Some(FULL),
        open: 0,
        silent: 1,
        open_ports: &[],
        ..CALLS
    },
    Row {
        name: "hping3 at a port whose packets are dropped, before a server",
        serve: |lab| {
            drop_one_port(lab)?;
            Ok(vec![Box::new(Server::netcat(lab.host(), super::DROPPED)?)])
        },
        line: "! hping3 --quiet --syn --count 25 --interval u2000 --keep --destport 8026 {host}",
        port: Some(super::DROPPED),
        open: 0,
        silent: 1,
        open_ports: &[],
        ..CALLS
    },
];
