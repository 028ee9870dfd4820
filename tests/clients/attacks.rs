//! The rows of attacks that must be reported at medium or high, whatever else happens.

use std::process::Command;

use anyhow::{Result, ensure};
use recon_tests::process::shell;
use recon_tests::{Lab, Server};

use super::Side;
use super::bench::{Guards, Network, nothing};

pub(super) struct Attack {
    pub(super) name: &'static str,
    /// Starts the servers that it needs beyond those of every lab.
    pub(super) serve: fn(&Lab, Network) -> Result<Guards>,
    pub(super) side: Side,
    /// A shell command with placeholders.
    pub(super) line: &'static str,
    /// Another one, two polls later.
    pub(super) later: Option<&'static str>,
    /// The rule that must report it, if not any will do.
    pub(super) rule: Option<&'static str>,
}

const ATTACK: Attack = Attack {
    name: "",
    serve: nothing,
    side: Side::Peer,
    line: "",
    later: None,
    rule: None,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "nmap -sS of a hundred ports",
        line: "{nmap} -sS -p 2000-2099 {host}",
        ..ATTACK
    },
    Attack {
        name: "nmap -sT of a hundred ports",
        line: "{nmap} -sT -p 2000-2099 {host}",
        ..ATTACK
    },
    Attack {
        name: "nmap -sX of eighteen ports",
        line: "{nmap} -sX -p 2000-2017 {host}",
        ..ATTACK
    },
    Attack {
        name: "nmap -sA, which only resets show",
        line: "{nmap} -sA -p 2000-2029 {host}",
        rule: Some("port-scan"),
        ..ATTACK
    },
    Attack {
        name: "nmap -sW",
        line: "{nmap} -sW -p 2000-2029 {host}",
        rule: Some("port-scan"),
        ..ATTACK
    },
    Attack {
        name: "FIN+PSH+ACK to thirty ports",
        line: "{nmap} -sA --scanflags FINPSHACK -p 2000-2029 {host}",
        rule: Some("port-scan"),
        ..ATTACK
    },
    Attack {
        name: "FIN+URG+ACK to thirty ports",
        line: "{nmap} -sA --scanflags FINURGACK -p 2000-2029 {host}",
        rule: Some("port-scan"),
        ..ATTACK
    },
    Attack {
        name: "nmap -sU of forty ports",
        line: "{nmap} -sU --top-ports 40 {host}",
        ..ATTACK
    },
    Attack {
        name: "nmap -F",
        line: "{nmap} -F {host}",
        ..ATTACK
    },
    Attack {
        name: "fifteen common ports",
        line: "{nmap} -sS -p 21,22,23,25,80,110,135,139,143,443,445,1433,3306,3389,8080 {host}",
        ..ATTACK
    },
    Attack {
        name: "one port of 64 addresses",
        line: "{nmap} -sS -p 3389 {spares}",
        ..ATTACK
    },
    Attack {
        name: "four neighbours, which share a hundred ports",
        line: "for i in 0 1 2 3; do \
                   nmap -n -Pn -T4 --max-retries 1 -e {link} -S {net}.1$i -sS -p $((2000 + 25 * i))-$((2024 + 25 * i)) {host} || exit; \
               done",
        ..ATTACK
    },
    Attack {
        name: "hping3: six hundred SYNs to one closed port",
        line: "hping3 --quiet --syn --count 600 --interval u1000 --destport 3389 --spoof {net}.1 {host} || test $? = 1",
        rule: Some("syn-flood"),
        ..ATTACK
    },
    Attack {
        name: "SYNs without an option, with 'don't fragment', to one closed port",
        line: "/usr/bin/python3 -c 'from scapy.all import IP, TCP, conf; \
                   socket = conf.L3socket(); \
                   packet = IP(src=\"{net}.1\", dst=\"{host}\", flags=\"DF\") / TCP(sport=40000, dport=3389, flags=\"S\"); \
                   [socket.send(packet) for _ in range(600)]'",
        rule: Some("syn-flood"),
        ..ATTACK
    },
    Attack {
        name: "an outbound nmap -sS of a hundred ports",
        side: Side::Host,
        line: "nmap -n -Pn -T4 --max-retries 1 -sS -p 2000-2099 {net}.1",
        ..ATTACK
    },
    Attack {
        name: "an outbound nmap -sT of a hundred ports under another name",
        side: Side::Host,
        line: "folder=$(mktemp -d) && cp $(command -v nmap) $folder/updater && \
               $folder/updater -n -Pn -T4 --max-retries 1 -sT -p 2000-2099 {net}.1 && rm -r $folder",
        ..ATTACK
    },
    Attack {
        name: "an outbound nmap -sA, which looks like packets of connections",
        side: Side::Host,
        line: "nmap -n -Pn -T4 --max-retries 1 -sA -p 2000-2029 {net}.1",
        rule: Some("outbound-scan-tool"),
        ..ATTACK
    },
    Attack {
        name: "an outbound nmap -sW under another name",
        side: Side::Host,
        line: "folder=$(mktemp -d) && cp $(command -v nmap) $folder/updater && \
               $folder/updater -n -Pn -T4 --max-retries 1 -sW -p 2000-2029 {net}.1 && rm -r $folder",
        rule: Some("outbound-port-scan"),
        ..ATTACK
    },
    Attack {
        // nmap sends on a raw socket of protocol 255, whose socket has this number as its port.
        name: "an outbound nmap -sW under another name, from the port 255",
        side: Side::Host,
        line: "folder=$(mktemp -d) && cp $(command -v nmap) $folder/updater && \
               $folder/updater -n -Pn -T4 --max-retries 1 -g 255 -sW -p 2000-2029 {net}.1 && rm -r $folder",
        rule: Some("outbound-port-scan"),
        ..ATTACK
    },
    Attack {
        name: "an outbound nmap -sM under another name",
        side: Side::Host,
        line: "folder=$(mktemp -d) && cp $(command -v nmap) $folder/updater && \
               $folder/updater -n -Pn -T4 --max-retries 1 -sM -p 2000-2029 {net}.1 && rm -r $folder",
        rule: Some("outbound-port-scan"),
        ..ATTACK
    },
    Attack {
        name: "an outbound sweep of 150 addresses, none of which answers",
        side: Side::Host,
        line: "{traffic} connect {host} {silent}.1-150 445 1 EINPROGRESS",
        ..ATTACK
    },
    Attack {
        name: "thirty guesses of a password",
        serve: guessed,
        // The server ends the connection after a wrong one.
        line: "export HOME=/nonexistent DROPBEAR_PASSWORD=guess && \
               seq 30 | xargs -P 4 -I % sh -c \
                   'dbclient -y -y -b {net}.1 admin@{host} true < /dev/null 2>&1 | grep -q closed'",
        ..ATTACK
    },
    Attack {
        // At the server of the row before.
        name: "a few guesses of each of six neighbours",
        line: "export HOME=/nonexistent DROPBEAR_PASSWORD=guess && \
               seq 36 | xargs -P 4 -I GUESS sh -c \
                   'dbclient -y -y -b {net}.1$((GUESS % 6)) admin@{host} true < /dev/null 2>&1 | grep -q closed'",
        rule: Some("split-guessing"),
        ..ATTACK
    },
    Attack {
        name: "nmap -O of two ports",
        line: "{nmap} -O -p 80,2000 {host}",
        rule: Some("os-detection"),
        ..ATTACK
    },
    Attack {
        name: "a search for five services that amplify",
        line: "{nmap} -sU --max-retries 0 -p 17,19,69,111,389 {host}",
        rule: Some("amplifier-scan"),
        ..ATTACK
    },
    Attack {
        name: "nmap -sS, and then curl at the open port",
        line: "{nmap} -sS -p 80,2000-2099 {host}",
        later: Some("{curl} http://{host}/"),
        rule: Some("scan-then-connect"),
        ..ATTACK
    },
];

/// An SSH server on the host, which allows one guess for each connection.
fn guessed(lab: &Lab, _: Network) -> Result<Guards> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    let mut make = Command::new("dropbearkey");
    let made = make.args(["-t", "ed25519", "-f"]).arg(&key).output()?;
    ensure!(made.status.success(), "dropbearkey: {}", made.status);
    let line = format!("exec dropbear -F -E -T 1 -p 22 -r {}", key.display());
    let server = Server::start(lab.host(), shell(&line), "Not backgrounding")?;
    Ok(vec![Box::new(server), Box::new(folder)])
}
