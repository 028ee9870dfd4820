//! The networks of the peers, the servers, and the names in the shell commands.

use std::any::Any;
use std::ops::RangeInclusive;

use anyhow::Result;
use recon_tests::lab::{ATTACKER_LINK, HOST, HOST_LINK, SPARES};
use recon_tests::namespace::Namespace;
use recon_tests::process::shell;
use recon_tests::program::PYTHON;
use recon_tests::{Alert, Lab, Server};

/// Guards, which end their servers when they are dropped.
pub(super) type Guards = Vec<Box<dyn Any>>;

/// The first two bytes of every peer's address.
const PEERS: &str = "198.19";
/// The networks whose addresses the attacker's namespace has.
const ANSWERING: &str = "198.19.0.0/17";
/// The difference between a network and the silent one that belongs to the same peer.
const SILENT: u8 = 128;
/// The number of the first attacker's network.
const FIRST_ATTACKER: u8 = 64;

/// Ports of the web servers, besides those that they usually have.
pub(super) const BACKENDS: RangeInclusive<u16> = 8000..=8029;
/// A port of the host behind a rule that drops packets.
const DROPPED: u16 = 8126;

const TRAFFIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/traffic.py");

/// A peer's network, of 256 addresses.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Network(pub(super) u8);

impl Network {
    /// One for each row of ordinary traffic.
    pub(super) fn clients() -> impl Iterator<Item = Self> {
        (1..FIRST_ATTACKER).map(Self)
    }

    /// One for each attack.
    pub(super) fn attackers() -> impl Iterator<Item = Self> {
        (FIRST_ATTACKER..SILENT).map(Self)
    }

    /// The first three bytes of its addresses.
    fn prefix(self) -> String {
        format!("{PEERS}.{}", self.0)
    }

    /// The address of the container that belongs to this peer.
    fn container(self) -> String {
        format!("192.0.2.{}", self.0)
    }

    /// The network of an address, or of an address with a prefix length.
    fn of(address: &str) -> Option<Self> {
        let rest = address.strip_prefix(PEERS)?.strip_prefix('.')?;
        let (third, _) = rest.split_once('.')?;
        Some(Self(third.parse::<u8>().ok()? % SILENT))
    }

    /// The networks of the peers that an alert names, at either end.
    fn named(alert: &Alert) -> Vec<Self> {
        const ONE: [&str; 4] = [
            "source.ip",
            "destination.ip",
            "recon.source_network",
            "recon.destination_network",
        ];
        const SEVERAL: [&str; 2] = ["recon.sources", "recon.destinations"];
        let one = ONE.iter().filter_map(|name| alert.field(name));
        let several = SEVERAL
            .iter()
            .filter_map(|name| alert.field(name)?.as_array());
        let ends = one.chain(several.flatten());
        ends.filter_map(|end| Self::of(end.as_str()?)).collect()
    }

    /// Whether the alert names a peer in this network.
    pub(super) fn is_named_by(self, alert: &Alert) -> bool {
        Self::named(alert).contains(&self)
    }

    /// Whether the alert names peers in this network, and no others.
    pub(super) fn is_all_of(self, alert: &Alert) -> bool {
        let named = Self::named(alert);
        !named.is_empty() && named.iter().all(|&network| network == self)
    }

    /// The command with the lab's names filled in.
    pub(super) fn fill(self, line: &str) -> String {
        let Self(number) = self;
        [
            ("{curl}", "curl -sSf -o /dev/null --interface {net}.1"),
            // The option -S is the source.
            (
                "{nmap}",
                "nmap -n -Pn -T4 --max-retries 1 --host-timeout 30s -e {link} -S {net}.1",
            ),
            ("{traffic}", &format!("{PYTHON} -I {TRAFFIC}")),
            ("{net}", &self.prefix()),
            ("{silent}", &Self(number + SILENT).prefix()),
            ("{container}", &self.container()),
            ("{host}", &HOST.to_string()),
            ("{link}", ATTACKER_LINK),
            ("{spares}", SPARES),
        ]
        .into_iter()
        .fold(line.to_owned(), |line, (name, value)| {
            line.replace(name, value)
        })
    }
}

/// Gives the peers their addresses, makes the host drop what comes to one port, and starts the web
/// servers on both sides.
pub(super) fn prepare(lab: &Lab) -> Result<Guards> {
    const WEB: &str = "listen 80; listen 443; listen 9100; location / { return 200 hello; }";
    lab.attacker()
        .ip(&format!("route add local {ANSWERING} dev lo\n"))?;
    lab.host().ip(&format!(
        "rule add pref 1 iif {HOST_LINK} ipproto tcp dport {DROPPED} blackhole\n\
         rule add pref 2 lookup local\n\
         rule delete pref 0\n"
    ))?;
    let ports: String = BACKENDS.map(|port| format!("listen {port}; ")).collect();
    let config = format!("server {{ {ports} {WEB} }}");
    let web = |namespace| Server::nginx(namespace, tempfile::tempdir()?, &config);
    Ok(vec![
        Box::new(web(lab.host())?),
        Box::new(web(lab.attacker())?),
    ])
}

pub(super) fn nothing(_: &Lab, _: Network) -> Result<Guards> {
    Ok(Vec::new())
}

/// A server of traffic.py.
pub(super) fn serve(namespace: &Namespace, network: Network, what: &str) -> Result<Guards> {
    let line = network.fill(&format!("exec {{traffic}} {what}"));
    Ok(vec![Box::new(Server::start(
        namespace,
        shell(&line),
        "ready",
    )?)])
}
