//! What recon reports of a capture is what it has reported of the packets: tcpdump writes what a
//! recon on the host sees, and `recon replay` reads it.
//!
//! A row is what happens in the lab. Each incident must be in both outputs, with the same rule,
//! group, severity, counts and outcomes at its end.

#[path = "replay/cases.rs"]
mod cases;
#[path = "replay/containers.rs"]
mod containers;
#[path = "replay/kept.rs"]
mod kept;
#[path = "replay/made.rs"]
mod made;
#[path = "replay/recording.rs"]
mod recording;
#[path = "replay/sent.rs"]
mod sent;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::lab::{ATTACKER, HOST, HOST6, SPARES};
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Alert, Lab, Server, rows};

use recording::{Recording, replay};

const DEADLINE: Duration = Duration::from_secs(90);
/// A port with a server that accepts.
const OPEN: u16 = 22;

struct Row {
    name: &'static str,
    /// The rules.
    profile: &'static str,
    /// Where the line runs.
    is_by_host: bool,
    /// A shell command. Names in braces are placeholders for parts of the lab.
    line: &'static str,
    /// Rules and measures that must fire, in both.
    expected: &'static [(&'static str, &'static str)],
    /// Rules about which the kernel's sockets or processes know more than packets.
    except: &'static [&'static str],
}

const ROW: Row = Row {
    name: "",
    profile: "outcomes",
    is_by_host: false,
    line: "",
    expected: &[("port-scan", "distinct_ports")],
    except: &[],
};

const ROWS: &[Row] = &[
    Row {
        name: "nmap -sS",
        line: "{nmap} -sS -p 20-99 {host}",
        ..ROW
    },
    Row {
        name: "nmap -sS, every hit",
        profile: "source",
        line: "{nmap} -sS -p 20-99 {host}",
        ..ROW
    },
    Row {
        name: "nmap -sT over IPv6",
        line: "{nmap} -6 -sT -p 20-99 {host6}",
        ..ROW
    },
    Row {
        name: "nmap -sU",
        profile: "source",
        line: "{nmap} -sU --max-retries 0 -p 2000-2039 {host}",
        ..ROW
    },
    Row {
        name: "nmap -sF, -sN, -sX and -sM",
        profile: "source",
        line: "{nmap} -sF -p 2000-2029 {host}; {nmap} -sN -p 3000-3029 {host}; {nmap} -sX -p 4000-4029 {host}; {nmap} -sM -p 5000-5029 {host}",
        ..ROW
    },
    Row {
        name: "nmap -sA",
        profile: "source",
        line: "{nmap} -sA -p 2000-2149 {host}",
        expected: &[("failed-connections", "count")],
        ..ROW
    },
    Row {
        name: "fragments",
        profile: "source",
        line: "{nmap} -sS -f -p 2000-2039 {host}; {nmap} -sS -ff -p 3000-3039 {host}",
        ..ROW
    },
    Row {
        name: "a scan, then a connection",
        line: "{nmap} -sT -p 20-99 {host}; sleep 2; printf hello | nc.openbsd -n -N -w 5 {host} 22",
        expected: &[
            ("port-scan", "distinct_ports"),
            ("scan-then-connect", "count"),
        ],
        ..ROW
    },
    Row {
        name: "a sweep of pings",
        profile: "source",
        line: "{nmap} -sn -PE {spares}; ping -q -c 250 -i 0.002 {host}",
        expected: &[("icmp-sweep", "count")],
        ..ROW
    },
    Row {
        name: "a flood of SYNs",
        line: "hping3 -q -S -p 22 -i u500 -c 3000 {host}",
        expected: &[("syn-flood", "count")],
        ..ROW
    },
    Row {
        name: "a scan by the host",
        is_by_host: true,
        line: "{nmap} -sS -p 2000-2149 {attacker}",
        expected: &[("failed-connections", "distinct_ports")],
        // They are about processes, which no packet names.
        except: &["outbound-scan-tool", "outbound-port-scan"],
        ..ROW
    },
];

fn fill(line: &str) -> String {
    [
        ("{nmap}", "nmap -n -Pn -T4 --max-retries 1"),
        ("{host}", &HOST.to_string()),
        ("{host6}", &HOST6.to_string()),
        ("{attacker}", &ATTACKER.to_string()),
        ("{spares}", SPARES),
    ]
    .into_iter()
    .fold(line.to_owned(), |line, (name, value)| {
        line.replace(name, value)
    })
}

/// What an incident is about, and what is known of it at its end.
type Incidents = BTreeMap<String, String>;

/// The incidents of a run, by what they are about.
fn incidents<'a>(alerts: impl Iterator<Item = &'a Alert>, except: &[&str]) -> Incidents {
    const ABOUT: [&str; 8] = [
        "rule.category",
        "recon.measure",
        "rule.id",
        "source.ip",
        "destination.ip",
        "destination.port",
        "network.direction",
        "recon.severity",
    ];
    const KNOWN: [&str; 6] = [
        "recon.count",
        "recon.signals",
        "recon.outcomes",
        "recon.verdict",
        "recon.tool",
        "recon.columns",
    ];
    let fields = |alert: &Alert, names: &[&str]| -> String {
        let values = names
            .iter()
            .filter_map(|name| Some(format!("{name}={} ", alert.text(name)?)));
        values.collect()
    };
    alerts
        .filter(|alert| {
            let rule = alert.text("rule.category");
            rule.is_some_and(|rule| !except.contains(&&*rule))
        })
        .map(|alert| (fields(alert, &ABOUT), fields(alert, &KNOWN)))
        .collect()
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    // No limit on 'port unreachable'.
    lab.host().set("ipv4/icmp_ratemask", 0)?;
    let _server = Server::netcat(lab.host(), OPEN)?;
    let recording = Recording::start(&lab)?;
    let arguments = format!("--profile {}", row.profile);
    let agent = Agent::start(&lab, &arguments)?;
    let side = if row.is_by_host {
        lab.host()
    } else {
        lab.attacker()
    };
    run(side, shell(&fill(row.line)), DEADLINE)?.success()?;
    agent.wait_poll()?;
    agent.wait_poll()?;
    let stopped = agent.stop()?;
    let capture = recording.stop()?;
    ensure!(stopped.totals()?.lost == 0, "{}", stopped.seen);
    let locals = format!("--local {HOST} --local {HOST6} --local {SPARES}");
    let replayed = replay(capture.path(), &format!("{locals} {arguments}"))?;
    let live = incidents(stopped.seen.alerts.iter(), row.except);
    let found = incidents(replayed.alerts.iter(), row.except);
    ensure!(
        live == found,
        "live:\n{live:#?}\nreplayed:\n{found:#?}\n{}",
        replayed.log
    );
    for &(rule, measure) in row.expected {
        let fired = replayed.alerts.iter().any(|alert| alert.is(rule, measure));
        ensure!(fired, "{rule}/{measure} is missing: {found:#?}");
    }
    Ok(())
}

#[test]
fn a_capture_is_judged_as_its_packets_were() {
    rows::check(ROWS, |row| row.name, check);
}
