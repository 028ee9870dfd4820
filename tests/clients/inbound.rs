//! The rows of ordinary traffic that remotes begin.

use recon_tests::dns::Responder;
use recon_tests::lab::HOST;

use super::bench::{nothing, serve};
use super::{Row, Side};

const ROW: Row = Row {
    name: "",
    serve: nothing,
    side: Side::Peer,
    line: "",
    signals: 0,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "sixty files by passive FTP",
        serve: |lab, network| serve(lab.host(), network, "ftp"),
        line: "{curl} 'ftp://{host}/file[1-60]'",
        // One connection for the commands, and one to a port of its own for each file.
        signals: 61,
        ..ROW
    },
    Row {
        name: "six neighbours, ten files each by passive FTP",
        serve: |lab, network| serve(lab.host(), network, "ftp"),
        line: "for i in 1 2 3 4 5 6; do curl -sSf -o /dev/null --interface {net}.$i 'ftp://{host}/file[1-10]' || exit; done",
        signals: 66,
        ..ROW
    },
    Row {
        name: "a load balancer's health checks of thirty ports",
        line: "for i in 1 2 3; do nc.openbsd -n -z -w 10 -s {net}.1 {host} 8000-8029 || exit; done",
        signals: 90,
        ..ROW
    },
    Row {
        name: "UDP clients of thirty ports behind one address",
        serve: |lab, network| serve(lab.host(), network, "udp 5000-5029"),
        line: "{traffic} ask {net}.1 0 {host} 5000-5029",
        signals: 30,
        ..ROW
    },
    Row {
        name: "three traceroutes over UDP",
        // A longer path has spent more ports before it gets here. The host limits its answers.
        line: "for port in 33434 33450 33466; do traceroute -n -w 1 -s {net}.1 -p $port {host} || exit; done",
        signals: 20,
        ..ROW
    },
    Row {
        name: "mtr over UDP",
        line: "mtr --udp --report --no-dns --report-cycles 40 --interval 0.1 --gracetime 1 --address {net}.1 {host}",
        signals: 40,
        ..ROW
    },
    Row {
        name: "five hundred requests on as many connections",
        line: "{curl} -H Connection:close 'http://{host}/?[1-500]'",
        signals: 500,
        ..ROW
    },
    Row {
        name: "three hundred requests on one connection",
        line: "{curl} 'http://{host}/?[1-300]'",
        signals: 300,
        ..ROW
    },
    Row {
        name: "a prober that connects to one port again and again",
        line: "{traffic} connect {net}.1 {host} 443 300 connected",
        signals: 300,
        ..ROW
    },
    Row {
        name: "a client of a service that is down",
        line: "{traffic} connect {net}.1 {host} 8099 720 ECONNREFUSED",
        signals: 720,
        ..ROW
    },
    Row {
        name: "a client of a service behind a rule that drops",
        line: "{traffic} connect {net}.1 {host} 8126 720 EINPROGRESS",
        signals: 720,
        ..ROW
    },
    Row {
        name: "a client of file shares",
        // Only the port is SMB's.
        serve: |lab, network| serve(lab.host(), network, "tcp 445"),
        line: "for i in $(seq 30); do echo hello | nc.openbsd -n -N -w 10 -s {net}.1 {host} 445 || exit; done",
        signals: 30,
        ..ROW
    },
    Row {
        name: "three hundred DNS queries of one client",
        serve: |lab, _| Ok(vec![Box::new(Responder::start(lab.host(), HOST)?)]),
        line: "for i in $(seq 300); do echo $i.example; done | dig -b {net}.1 @{host} +tries=1 -f -",
        signals: 300,
        ..ROW
    },
    Row {
        name: "seventy pings",
        line: "ping -q -c 70 -i 0.01 -I {net}.1 {host}",
        signals: 70,
        ..ROW
    },
    Row {
        name: "a mail program that guesses ports",
        line: "{traffic} connect {net}.1 {host} 25,110,143,465,587,993,995 1 ECONNREFUSED && {curl} http://{host}:443/",
        signals: 8,
        ..ROW
    },
    Row {
        name: "a user of a web site who also tries five panels",
        line: "{curl} http://{host}:443/ && {traffic} connect {net}.1 {host} 2083,8080,8443,9090,10000 1 ECONNREFUSED && \
               {curl} http://{host}:443/",
        signals: 7,
        ..ROW
    },
    Row {
        name: "three mistyped ports",
        line: "{traffic} connect {net}.1 {host} 81,4443,8880 1 ECONNREFUSED && {curl} http://{host}/",
        signals: 4,
        ..ROW
    },
];
