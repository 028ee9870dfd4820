//! Who hides among forged or started others is named all the same.
//!
//! The others take as many lines as one query has in a minute. The agent is stopped before that
//! minute is over, which ends it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::agent::Stopped;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST, HOST6};
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Alert, Lab, Seen};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(120);
/// Lines of a query in a minute.
const LINES: usize = 20;

/// The alerts of one rule.
fn alerts<'a>(stopped: &'a Stopped, rule: &'a str, measure: &'a str) -> Vec<&'a Alert> {
    stopped.seen.fired(rule, measure).collect()
}

fn is_left_out(alert: &Alert) -> bool {
    alert.text("recon.phase").as_deref() == Some("left_out")
}

/// Whether a line of its own, or the line about the suppressed findings, names this source.
fn names(alert: &Alert, source: &str) -> bool {
    let listed = alert.field("recon.left_out_sources");
    let mut listed = listed.and_then(Value::as_array).into_iter().flatten();
    alert.text("source.ip").as_deref() == Some(source)
        || listed.any(|listed| listed["ip"] == source)
}

/// nmap's scan of that many ports with these decoys.
fn scan(ports: u32, decoys: &[String]) -> String {
    let decoys = decoys.join(",");
    format!("nmap -n -Pn -sS --max-retries 1 -p 1-{ports} -D {decoys},ME {HOST}")
}

#[test]
fn a_scanner_among_decoys_is_named() -> Result<()> {
    const PORTS: u32 = 100;
    let neighbours = (0..40).map(|number| format!("198.51.100.{}", 30 + number));
    let others = (0..40).map(|number| format!("198.19.{number}.1"));
    // (who the decoys are, their addresses)
    for (what, decoys) in [
        ("neighbours", neighbours.collect::<Vec<_>>()),
        ("of many networks", others.collect()),
    ] {
        let lab = Lab::new()?;
        let agent = Agent::start(&lab, "")?;
        run(lab.attacker(), shell(&scan(PORTS, &decoys)), DEADLINE)?.success()?;
        // The host asks for the neighbours' hardware addresses instead of answering them.
        agent.wait_drained(u64::from(PORTS) * (decoys.len() as u64 + 1))?;
        agent.wait_poll()?;
        let stopped = agent.stop()?;
        let scans = alerts(&stopped, "port-scan", "distinct_ports");
        let (left_out, own): (Vec<&Alert>, Vec<&Alert>) =
            scans.iter().partition(|scan| is_left_out(scan));
        ensure!(own.len() <= LINES, "{what}: {} lines", own.len());
        ensure!(left_out.len() == 1, "{what}: {left_out:?}");
        for source in decoys.iter().chain([&ATTACKER.to_string()]) {
            let is_named = scans.iter().any(|scan| names(scan, source));
            ensure!(is_named, "{what}: {source} is not named");
        }
    }
    Ok(())
}

#[test]
fn a_user_who_starts_many_tools_does_not_hide_those_of_others() -> Result<()> {
    const OTHERS: usize = 30;
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "")?;
    let tool = format!("nmap -n -Pn -sT --unprivileged -p 9 {ATTACKER}");
    let line = format!(
        "for i in $(seq {OTHERS}); do setpriv --reuid=65534 --clear-groups {tool} & done; wait"
    );
    run(lab.host(), shell(&line), DEADLINE)?.success()?;
    let of_user = |alert: &&Alert, user: &str| alert.text("user.id").as_deref() == Some(user);
    let is_tool =
        |alert: &&Alert| alert.text("rule.category").as_deref() == Some("outbound-scan-tool");
    agent.wait_for("alerts about the user", |seen| {
        let tools = seen.alerts.iter().filter(is_tool);
        (tools.filter(|alert| of_user(alert, "65534")).count() >= LINES / 2).then_some(())
    })?;
    run(lab.host(), shell(&tool), DEADLINE)?.success()?;
    agent.wait_for("an alert about root's tool", |seen| {
        let mut tools = seen.alerts.iter().filter(is_tool);
        tools.find(|alert| of_user(alert, "0")).map(drop)
    })?;
    agent.stop().map(drop)
}

/// Sends a SYN from `source` to each port.
fn send_syns(lab: &Lab, source: IpAddr, ports: Range<u16>) -> Result<()> {
    let sender = lab.sender()?;
    let host = match source {
        IpAddr::V4(_) => IpAddr::V4(HOST),
        IpAddr::V6(_) => IpAddr::V6(HOST6),
    };
    for port in ports {
        sender.send(&Path::new(source, host).tcp(syn(port), &[])?)?;
    }
    Ok(())
}

/// The alert of a rule about a network.
fn about_network(seen: &Seen, rule: &str, network: &str) -> Option<Alert> {
    let mut alerts = seen.alerts.iter();
    let is_it = |alert: &&Alert| {
        alert.text("rule.category").as_deref() == Some(rule)
            && alert.text("recon.source_network").as_deref() == Some(network)
    };
    alerts.find(is_it).cloned()
}

/// Whoever has a /56 or a /48 of IPv6 scans from as many /64s as he likes.
#[test]
fn networks_of_one_owner_that_share_a_scan_are_named() -> Result<()> {
    const NETWORKS: u16 = 67;
    const EACH: u16 = 15;
    for (rule, owner, step) in [
        ("split-scan-site", "2001:db8:ff:100::/56", 1),
        ("split-scan-block", "2001:db8:ff::/48", 0x100),
    ] {
        let lab = Lab::new()?;
        let agent = Agent::start(&lab, "--interval 200ms --profile outcomes")?;
        for number in 0..NETWORKS {
            let link = 0x100 + number * step;
            let source = Ipv6Addr::new(0x2001, 0xdb8, 0xff, link, 0, 0, 0, 1);
            let first = 2000 + number * EACH;
            send_syns(&lab, source.into(), first..first + EACH)?;
        }
        agent.wait_for(rule, |seen| about_network(seen, rule, owner))?;
        agent.stop()?;
    }
    Ok(())
}

/// Ten neighbours share a scan. After each, somebody forges the scan of another neighbour, which is
/// reported by itself and would hide what the others have done so far.
#[test]
fn forged_neighbours_hide_no_split_scan() -> Result<()> {
    const EACH: u16 = 18;
    const FORGED: Range<u16> = 5000..5021;
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 200ms --profile outcomes")?;
    for number in 1..=10_u8 {
        let first = 2000 + u16::from(number) * EACH;
        let source = Ipv4Addr::new(203, 0, 113, number);
        send_syns(&lab, source.into(), first..first + EACH)?;
        let forged = Ipv4Addr::new(203, 0, 113, 100 + number);
        send_syns(&lab, forged.into(), FORGED)?;
        agent.wait_for("the forged scan", |seen| {
            let mut scans = seen.fired("port-scan", "distinct_ports");
            scans
                .find(|alert| names(alert, &forged.to_string()))
                .map(drop)
        })?;
    }
    let network = "203.0.113.0/24";
    agent.wait_for("the split scan", |seen| {
        about_network(seen, "split-scan", network)
    })?;
    agent.stop().map(drop)
}
