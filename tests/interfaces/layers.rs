//! Packets without an Ethernet header: real scanners through a tun, both ways.

use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::process::{run, shell};
use recon_tests::{Lab, rows};
use serde_json::{Value, json};

use super::link::{Kind, Link};
use super::{INTERVAL, start, wait_logged};

const DEADLINE: Duration = Duration::from_secs(60);
/// The addresses of IPv6 on the link.
const NEAR6: &str = "2001:db8:7::1";
const FAR6: &str = "2001:db8:7::2";

/// A field of an alert and its value.
type Field = (&'static str, fn() -> Value);

struct Row {
    name: &'static str,
    kind: Kind,
    /// Whether the host scans.
    is_outbound: bool,
    command: &'static str,
    rule: [&'static str; 2],
    /// Fields of the alert.
    fields: &'static [Field],
}

const ON_T0: Field = ("observer.ingress.interface.name", || json!("t0"));
const BY_NMAP: Field = ("process.name", || json!("nmap"));
const PORT_SCAN: [&str; 2] = ["port-scan", "distinct_ports"];
const TOOL: [&str; 2] = ["outbound-scan-tool", "count"];
const OUTBOUND_SCAN: [&str; 2] = ["outbound-port-scan", "distinct_ports"];

const fn inbound(name: &'static str, command: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Tun,
        is_outbound: false,
        command,
        rule: PORT_SCAN,
        fields: &[ON_T0],
    }
}

const fn outbound(name: &'static str, command: &'static str, rule: [&'static str; 2]) -> Row {
    Row {
        is_outbound: true,
        rule,
        fields: &[BY_NMAP],
        ..inbound(name, command)
    }
}

const ROWS: &[Row] = &[
    inbound("nmap -sS", "nmap -n -Pn -sS -p 2000-2039 203.0.113.1"),
    inbound("nmap -sT", "nmap -n -Pn -sT -p 2000-2039 203.0.113.1"),
    inbound(
        "nmap -sU",
        "nmap -n -Pn -sU -T5 --max-retries 0 -p 2000-2039 203.0.113.1",
    ),
    inbound(
        "nmap -sX over IPv6",
        "nmap -6 -n -Pn -sX -p 2000-2039 2001:db8:7::1",
    ),
    inbound(
        "nmap -sS in fragments",
        "nmap -n -Pn -sS -f -p 2000-2039 203.0.113.1",
    ),
    Row {
        rule: ["icmp-sweep", "count"],
        ..inbound("pings", "ping -n -q -c 60 -i 0.002 203.0.113.1")
    },
    outbound(
        "outbound nmap -sS",
        "nmap -n -Pn -sS -p 2000-2039 203.0.113.2",
        TOOL,
    ),
    outbound(
        "outbound nmap -sT",
        "nmap -n -Pn -sT -p 2000-2039 203.0.113.2",
        OUTBOUND_SCAN,
    ),
    outbound(
        "outbound nmap -sS over IPv6",
        "nmap -6 -n -Pn -sS -p 2000-2039 2001:db8:7::2",
        TOOL,
    ),
    Row {
        kind: Kind::Tap,
        ..inbound(
            "nmap -sS over a tap",
            "nmap -n -Pn -sS -p 2000-2039 203.0.113.1",
        )
    },
];

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let agent = start(&lab, INTERVAL)?;
    let _link = Link::create(row.kind, &lab, "t0")?;
    for (namespace, address, device) in [(lab.host(), NEAR6, "t0"), (lab.attacker(), FAR6, "far0")]
    {
        namespace.ip(&format!("address add {address}/64 dev {device} nodad\n"))?;
    }
    wait_logged(&agent, "is new: t0: inbound by ", 1)?;
    let namespace = match row.is_outbound {
        true => lab.host(),
        false => lab.attacker(),
    };
    let output = run(namespace, shell(row.command), DEADLINE)?.success()?;
    let [rule, measure] = row.rule;
    let alert = agent.wait_for(rule, |seen| seen.fired(rule, measure).next().cloned())?;
    for (field, expected) in row.fields {
        let found = alert.field(field).cloned().unwrap_or_default();
        ensure!(found == expected(), "{field}: {found}\n{alert}\n{output}");
    }
    let stopped = agent.stop()?;
    let totals = stopped.totals()?;
    ensure!(totals.lost == 0, "lost {}\n{}", totals.lost, stopped.seen);
    Ok(())
}

#[test]
fn scans_through_a_device_without_ethernet_are_reported() {
    rows::check(ROWS, |row| row.name, check);
}
