//! The rows of ordinary traffic by processes of the host, and by one in a container.

use std::iter;

use anyhow::{Context, Result};
use recon_tests::lab::{ATTACKER_LINK, HOST};
use recon_tests::namespace::Namespace;
use recon_tests::process::shell;
use recon_tests::{Lab, Server};

use super::bench::{BACKENDS, Guards, Network, nothing, serve};
use super::{Row, Side};

const ROW: Row = Row {
    name: "",
    serve: nothing,
    side: Side::Host,
    line: "",
    signals: 0,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "a reverse proxy with thirty backends",
        serve: |lab, network| {
            let backends = BACKENDS.map(|port| format!("{{net}}.1:{port}"));
            proxy(lab, network, 8100, backends)
        },
        line: "curl -sSf -o /dev/null 'http://127.0.0.1:8100/?[1-90]'",
        signals: 90,
        ..ROW
    },
    Row {
        name: "a reverse proxy, one of whose backends is down",
        serve: |lab, network| {
            // It gets half of all requests, and the proxy then asks another one.
            let down = "{net}.1:8099 weight=30 max_fails=0".to_owned();
            let backends = BACKENDS.map(|port| format!("{{net}}.1:{port}"));
            proxy(lab, network, 8101, backends.chain(iter::once(down)))
        },
        line: "curl -sSf -o /dev/null 'http://127.0.0.1:8101/?[1-300]'",
        // A SYN for each request, and for half of them a refusal and another SYN.
        signals: 600,
        ..ROW
    },
    Row {
        name: "a collector of metrics from thirty ports",
        line: "curl -sSf -o /dev/null 'http://{net}.1:[8000-8029]/metrics?[1-3]'",
        signals: 30,
        ..ROW
    },
    Row {
        name: "a collector of metrics from 150 addresses",
        line: "curl -sSf -o /dev/null 'http://{net}.[1-150]:9100/metrics'",
        signals: 150,
        ..ROW
    },
    Row {
        name: "a mail relay with two hundred remotes, ten of which refuse",
        serve: |lab, network| serve(lab.attacker(), network, "smtp {net}.1-190"),
        // curl ends with the result of the last address.
        line: "letter=$(mktemp) && echo hello > $letter && \
               { curl -sS --mail-from a@a.example --mail-rcpt b@b.example -T $letter 'smtp://{net}.[1-200]' || test $? = 7; } && \
               rm $letter",
        signals: 200,
        ..ROW
    },
    Row {
        name: "a SIP gateway with forty streams",
        serve: |lab, network| serve(lab.attacker(), network, "udp 5000-5039"),
        line: "{traffic} ask {host} 0 {net}.1 5000-5039",
        signals: 40,
        ..ROW
    },
    Row {
        name: "sixty files fetched by passive FTP",
        serve: |lab, network| serve(lab.attacker(), network, "ftp"),
        line: "curl -sSf -o /dev/null 'ftp://{net}.1/file[1-60]'",
        signals: 61,
        ..ROW
    },
    Row {
        name: "a traceroute over UDP, which nobody answers",
        line: "traceroute -n -w 0.5 {silent}.1",
        // Thirty hops, three probes each.
        signals: 90,
        ..ROW
    },
    Row {
        name: "mtr over UDP, which nobody answers",
        line: "mtr --udp --report --no-dns --report-cycles 5 --interval 0.2 --gracetime 1 {silent}.1",
        signals: 30,
        ..ROW
    },
    Row {
        name: "a time server and 150 clients",
        serve: |lab, network| serve(lab.host(), network, "udp 123"),
        side: Side::Peer,
        line: "{traffic} ask {net}.1-150 123 {host} 123",
        signals: 150,
    },
    Row {
        name: "a time server in a container, and 150 clients",
        serve: |lab, network| container(lab, network, "udp 123"),
        side: Side::Peer,
        line: "{traffic} ask {net}.1-150 123 {container} 123",
        signals: 150,
    },
    Row {
        name: "a server in a container, and forty clients behind one address",
        serve: |lab, network| container(lab, network, "udp 4433"),
        side: Side::Peer,
        line: "{traffic} ask {net}.1 41000-41039 {container} 4433",
        signals: 40,
    },
];

/// nginx on a port of the host's loopback address, with these backends.
fn proxy(
    lab: &Lab,
    network: Network,
    port: u16,
    backends: impl Iterator<Item = String>,
) -> Result<Guards> {
    let backends: String = backends
        .map(|backend| format!("server {backend}; "))
        .collect();
    let config = network.fill(&format!(
        "upstream backends {{ {backends} }} server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://backends; }} }}"
    ));
    let server = Server::nginx(lab.host(), tempfile::tempdir()?, &config)?;
    Ok(vec![Box::new(server)])
}

/// A server of traffic.py in a network namespace and a cgroup of its own, below the host's cgroup.
/// The host forwards what comes for its address.
fn container(lab: &Lab, network: Network, what: &str) -> Result<Guards> {
    const GATEWAY: &str = "192.0.2.254";
    let Network(number) = network;
    let namespace = Namespace::create("container")?;
    let name = namespace.name();
    let link = format!("container{number}");
    let address = network.fill("{container}");
    lab.host().set("ipv4/ip_forward", 1)?;
    lab.host().ip(&format!(
        "link add {link} type veth peer name eth0 netns {name}\n\
         address add {GATEWAY}/32 dev {link}\n\
         link set {link} up\n\
         route add {address} dev {link}\n"
    ))?;
    namespace.ip(&format!(
        "address add {address}/32 dev eth0\n\
         link set eth0 up\n\
         route add {GATEWAY} dev eth0\n\
         route add default via {GATEWAY}\n"
    ))?;
    lab.attacker().ip(&format!(
        "route add {address} via {HOST} dev {ATTACKER_LINK}\n"
    ))?;
    let cgroup = lab.host().cgroup().context("the host has a cgroup")?;
    let cgroup = cgroup.path().join(&link);
    let cgroup = cgroup.display();
    let line = network.fill(&format!(
        "mkdir {cgroup} && echo $$ > {cgroup}/cgroup.procs && exec ip netns exec {name} {{traffic}} {what}"
    ));
    let server = Server::start(lab.host(), shell(&line), "ready")?;
    Ok(vec![Box::new(server), Box::new(namespace)])
}
