//! The rows of the processes test: a tool, its environment, and the alerts that it must cause.

use recon_tests::kernel::{NAMESPACES, PACKET_SENDERS};
use recon_tests::program::PYTHON;

use super::{As, Fired, Row};

/// The common parts of most rows.
const ROW: Row = Row {
    name: "",
    program: "",
    alias: None,
    arguments: "",
    runs: As::Root,
    options: "",
    expected: TOOL_AND_SCAN,
    signals: &["syn-sent"],
    since: None,
};

/// Tools that send through packet sockets.
const PACKETS: Row = Row {
    since: Some(PACKET_SENDERS),
    ..ROW
};

/// The dynamic loader of this machine.
#[cfg(target_arch = "x86_64")]
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
#[cfg(target_arch = "aarch64")]
const LOADER: &str = "/lib/ld-linux-aarch64.so.1";

const TOOL: Fired = ("outbound-scan-tool", "count");
const SCAN: Fired = ("outbound-port-scan", "distinct_ports");
const TOOL_AND_SCAN: &[Fired] = &[TOOL, SCAN];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nmap -sT",
        program: "nmap",
        arguments: "{nmap} -sT -p 2000-2039 {attacker}",
        ..ROW
    },
    Row {
        name: "nmap -sS",
        program: "nmap",
        arguments: "{nmap} -sS -p 2000-2039 {attacker}",
        ..ROW
    },
    Row {
        name: "nmap -sU",
        program: "nmap",
        arguments: "{nmap} -sU -p 2000-2039 {attacker}",
        signals: &["udp-sent"],
        ..ROW
    },
    Row {
        name: "nmap -sX",
        program: "nmap",
        arguments: "{nmap} -sX -p 2000-2039 {attacker}",
        signals: &["odd-flags-sent"],
        ..ROW
    },
    Row {
        name: "masscan",
        program: "masscan",
        arguments: "{masscan} -p 2000-2039 {attacker}",
        ..PACKETS
    },
    Row {
        name: "hping3",
        program: "hping3",
        arguments: "--quiet --syn --destport ++2000 --count 25 --interval u2000 {attacker}",
        ..ROW
    },
    Row {
        name: "nmap of one port",
        program: "nmap",
        arguments: "{nmap} -sS -p 2000 {attacker}",
        expected: &[TOOL],
        ..ROW
    },
    Row {
        name: "hping3, one packet",
        program: "hping3",
        arguments: "--quiet --syn --destport 2000 --count 1 {attacker}",
        expected: &[TOOL],
        ..ROW
    },
    Row {
        name: "hping3, one ping",
        program: "hping3",
        arguments: "--quiet --icmp --count 1 {attacker}",
        expected: &[TOOL],
        signals: &["echo-request-sent"],
        ..ROW
    },
    Row {
        name: "hping3 in a container",
        program: "hping3",
        arguments: "--quiet --syn --destport ++2000 --count 25 --interval u2000 {attacker}",
        runs: As::Container,
        ..ROW
    },
    Row {
        name: "nmap -sT in a container with a network of its own",
        program: "nmap",
        arguments: "{nmap} -sT -p 2000-2039 {attacker}",
        runs: As::Guest,
        since: Some(NAMESPACES),
        ..ROW
    },
    Row {
        name: "nmap -sT under another name",
        program: "nmap",
        alias: Some("updater"),
        arguments: "{nmap} -sT -p 2000-2039 {attacker}",
        expected: &[SCAN],
        ..ROW
    },
    Row {
        name: "nmap -sS under another name",
        program: "nmap",
        alias: Some("updater"),
        arguments: "{nmap} -sS -p 2000-2039 {attacker}",
        expected: &[SCAN],
        ..ROW
    },
    Row {
        name: "nmap under a name that the operator has given",
        program: "nmap",
        alias: Some("updater"),
        arguments: "{nmap} -sS -p 2000-2039 {attacker}",
        options: "--scanner probe --scanner updater",
        ..ROW
    },
    Row {
        name: "nmap, which the operator permits",
        program: "nmap",
        arguments: "{nmap} -sS -p 2000-2039 {attacker}",
        options: "--not-scanner nmap",
        expected: &[SCAN],
        ..ROW
    },
    Row {
        name: "another program with the name of a tool",
        program: PYTHON,
        alias: Some("zmap"),
        arguments: "-I {loop} {attacker} 2000 2000",
        expected: &[TOOL],
        ..ROW
    },
    Row {
        name: "nmap through the dynamic loader",
        program: LOADER,
        // The kernel cuts the long names of most loaders.
        alias: Some("ld.so.1"),
        arguments: "{path of nmap} {nmap} -sT -p 2000-2039 {attacker}",
        ..ROW
    },
    Row {
        name: "dig with many questions",
        program: "dig",
        arguments: "@{attacker} +tries=1 -f {questions}",
        expected: &[("dns-flood", "count")],
        signals: &["dns-query-sent"],
        ..ROW
    },
    Row {
        name: "a connect loop in Python",
        program: PYTHON,
        arguments: "-I {loop} {attacker} 2000 2024",
        expected: &[SCAN],
        ..ROW
    },
    Row {
        name: "a connect loop in Python, by another user",
        program: PYTHON,
        arguments: "-I {loop} {attacker} 2000 2024",
        runs: As::Nobody,
        expected: &[SCAN],
        ..ROW
    },
];
