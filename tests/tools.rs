//! Real tools against the host: each causes these detections, and no others.
//!
//! A row lists all alerts that may come: other rules, measures, signals and sources are forbidden,
//! and so is another tool than the one that its packets give away.

#[path = "tools/strays.rs"]
mod strays;
#[path = "tools/table.rs"]
mod table;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_tests::dns::Responder;
use recon_tests::kernel::{Linux, XDP_FRAGS, is_emulated};
use recon_tests::lab::{
    ATTACKER, ATTACKER_LINK, ATTACKER_MAC, HOST, HOST_LINK, HOST_MAC, HOST6, SPARES,
};
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Alert, Lab, Server, report, rows};

/// Rule, measure, the counted signal, source: an address, a network, or empty where an alert names
/// none.
type Fired = (&'static str, &'static str, &'static str, &'static str);

struct Row {
    name: &'static str,
    /// The agent's arguments, in addition to the interval.
    arguments: &'static str,
    setup: Setup,
    /// The shell command, run on `side`. Names in braces are placeholders for parts of the lab.
    line: &'static str,
    side: Side,
    /// The alerts that must come, and no others.
    expected: &'static [Fired],
    /// What every alert says of the tool: `recon.tool`, which is absent if empty.
    tool: &'static [&'static str],
    /// The least number of signals that the tool causes.
    at_least: u64,
}

#[derive(Clone, Copy)]
enum Setup {
    Nothing,
    /// nginx on the host.
    Web,
    /// nginx on the host, and jumbo frames on the pair.
    WebJumbo,
    /// A DNS responder there.
    Nameserver(Side),
    /// A VLAN interface on the host's end, if this kernel supports it.
    Vlan,
}

#[derive(Clone, Copy)]
enum Side {
    Host,
    Attacker,
}

/// The command or the arguments with the lab's names filled in.
fn fill(line: &str) -> Result<String> {
    let xdp_of_jumbo_frames = match Linux::running()? >= XDP_FRAGS {
        true => "native",
        false => "generic",
    };
    // Its receiver ends on the first frame after the scan, so pings send some.
    let masscan = format!(
        "ping -q -i 0.5 -c 40 {HOST} & masscan --interface {ATTACKER_LINK} --adapter-ip {ATTACKER} --adapter-mac {ATTACKER_MAC} --router-mac {HOST_MAC} \
         --rate 1000 --wait 0"
    );
    // Without an output it needs no answer, and it must not read the machine's list of networks.
    let zmap = format!(
        "zmap --interface {ATTACKER_LINK} --source-ip {ATTACKER} --gateway-mac {HOST_MAC} --blacklist-file /dev/null \
         --rate 1000 --cooldown-time 0 --output-file /dev/null --quiet"
    );
    let filled = [
        ("{nmap}", "nmap -n -Pn -T4"),
        ("{masscan}", &masscan),
        ("{zmap}", &zmap),
        (
            "{questions}",
            "for i in $(seq 210); do echo $i.example; done",
        ),
        // scapy lists all addresses at its start and warns of those that it can't read.
        ("{scapy}", "/usr/bin/python3 -c 'import sys, logging; logging.disable(); from scapy.all import *; conf.verb = 0; exec(sys.argv[1])'"),
        ("{host}", &HOST.to_string()),
        ("{host6}", &HOST6.to_string()),
        ("{host_mac}", &HOST_MAC.to_string()),
        ("{attacker}", &ATTACKER.to_string()),
        ("{spares}", SPARES),
        ("{xdp_of_jumbo_frames}", xdp_of_jumbo_frames),
    ]
    .into_iter()
    .fold(line.to_owned(), |line, (name, value)| {
        line.replace(name, value)
    });
    Ok(filled)
}

/// What a row needs while it runs.
enum Ready {
    Nothing,
    Web(#[expect(dead_code, reason = "a guard")] Server),
    Nameserver(#[expect(dead_code, reason = "a guard")] Responder),
    /// This kernel does not support the row.
    Never(String),
}

fn set_up(row: &Row, lab: &Lab) -> Result<Ready> {
    const NO_DOWNLOAD: u64 = 0;
    const JUMBO: u16 = 9000;
    Ok(match row.setup {
        Setup::Nothing => Ready::Nothing,
        Setup::Web => Ready::Web(Server::web(lab.host(), NO_DOWNLOAD)?),
        Setup::WebJumbo => {
            lab.set_mtu(JUMBO)?;
            Ready::Web(Server::web(lab.host(), NO_DOWNLOAD)?)
        }
        Setup::Nameserver(Side::Host) => Ready::Nameserver(Responder::start(lab.host(), HOST)?),
        Setup::Nameserver(Side::Attacker) => {
            Ready::Nameserver(Responder::start(lab.attacker(), ATTACKER)?)
        }
        Setup::Vlan => {
            let interface = format!("link add link {HOST_LINK} name vlan7 up type vlan id 7\n");
            match lab.host().ip(&interface) {
                Ok(()) => Ready::Nothing,
                Err(error) => Ready::Never(error.to_string()),
            }
        }
    })
}

/// Returns whether the row could be tried here.
fn check(row: &Row) -> Result<bool> {
    /// The slowest row takes a tenth of it on two processors.
    const DEADLINE: Duration = Duration::from_secs(60);
    /// Packets that take an emulated processor too long.
    const FLOOD: u64 = 10_000;
    // scapy alone takes such a processor longer to start than a row may take.
    let is_slow = row.at_least > FLOOD || row.line.contains("scapy");
    if is_slow && is_emulated()? {
        report::skip(row.name, "it takes an emulated processor too long");
        return Ok(false);
    }
    let lab = Lab::new()?;
    let ready = set_up(row, &lab)?;
    if let Ready::Never(reason) = ready {
        report::skip(row.name, &reason);
        return Ok(false);
    }
    let agent = Agent::start(&lab, &format!("--interval 100ms {}", fill(row.arguments)?))?;
    let side = match row.side {
        Side::Host => lab.host(),
        Side::Attacker => lab.attacker(),
    };
    let command: Command = shell(&fill(row.line)?);
    run(side, command, DEADLINE)?.success()?;
    agent.wait_for("the expected alerts", |seen| {
        let has = |&fired| seen.alerts.iter().any(|alert| is(alert, fired));
        row.expected.iter().all(has).then_some(())
    })?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(
        totals.signals >= row.at_least,
        "too few signals: {totals:?}"
    );
    ensure!(totals.lost == 0, "losses: {totals:?}");
    only_the_expected(row, &stopped.seen.alerts).with_context(|| stopped.seen.to_string())?;
    Ok(true)
}

fn is(alert: &Alert, (rule, measure, signal, source): Fired) -> bool {
    alert.is(rule, measure)
        && alert.signals() == [signal]
        && alert
            .text("source.ip")
            .or_else(|| alert.text("recon.source_network"))
            .unwrap_or_default()
            == source
}

fn only_the_expected(row: &Row, alerts: &[Alert]) -> Result<()> {
    /// One alert at the threshold, one at ten times that.
    const MOST_LINES: usize = 2;
    for alert in alerts {
        let known = row.expected.iter().any(|&fired| is(alert, fired));
        ensure!(known, "unexpected alert: {alert}");
        let tool = alert.field("recon.tool");
        let is_as_expected = match row.tool {
            [] => tool.is_none(),
            tools => tool == Some(&serde_json::json!(tools)),
        };
        ensure!(is_as_expected, "not of {:?}: {alert}", row.tool);
    }
    for &fired in row.expected {
        let lines = alerts.iter().filter(|alert| is(alert, fired)).count();
        ensure!(
            (1..=MOST_LINES).contains(&lines),
            "{lines} lines of {fired:?}"
        );
    }
    Ok(())
}

#[test]
fn each_tool_causes_its_alerts_and_no_others() {
    check_all(table::ROWS);
}

#[test]
fn each_other_scan_and_flood_causes_its_alerts_and_no_others() {
    check_all(strays::ROWS);
}

fn check_all(rows: &[Row]) {
    rows::check(
        rows,
        |row| row.name,
        |row| {
            let fired = row.expected.iter();
            let detections = fired.map(|&(rule, measure, ..)| (rule, measure));
            match check(row) {
                Ok(false) => Ok(()),
                tried => report::detections(detections, tried).map(drop),
            }
        },
    );
}
