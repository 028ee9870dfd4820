//! A scanner inside of a flood from a million spoofed sources: recon reports both, loses nothing
//! silently, and its memory is bounded.
//!
//! The flood is IPv6, since the ranges reserved for tests have too few IPv4 addresses. The host
//! answers each SYN with a reset, so its answers are a flood as well. nmap scans at its usual speed
//! in the meantime.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use recon_tests::agent::Stopped;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST, HOST6};
use recon_tests::process::{run, shell};
use recon_tests::usage::peak_memory;
use recon_tests::{Agent, Alert, Lab, Seen, Sender};

/// At a rate at which the host can answer a scanner at its usual speed, and within one window of
/// the rule on distributed floods.
const PACED: Flood = Flood {
    sources: 1_000_000,
    rate: Some(60_000),
};
/// For over a minute, as fast as the machine can.
const FULL: Flood = Flood {
    sources: 10_000_000,
    rate: None,
};
/// The prefix of the sources, in none of the lab's own networks.
const NETWORK: u128 = 0x2001_0db8_00ff_0000_0000_0000_0000_0000;
/// A closed port.
const TARGET: u16 = 443;
/// Ports that nmap scans, and how many of them recon must count.
const SCANNED: u64 = 1000;
const COUNTED: u64 = SCANNED * 95 / 100;
/// Three standard errors of the estimated number of sources, in percent.
const ERROR: u64 = 10;
/// The default limit.
const MEMORY: u64 = 256 << 20;
/// The deadline of the flood and the end of its incident.
const DEADLINE: Duration = Duration::from_secs(300);

/// A flood: this many sources, and more as long as the scan runs.
#[derive(Clone, Copy)]
struct Flood {
    sources: u32,
    /// Packets a second; `None` for as many as the machine can send.
    rate: Option<u32>,
}

/// Sends the flood, and returns the number of sources.
fn send(sender: &Sender, flood: Flood, is_scanned: &AtomicBool) -> Result<u32> {
    /// Packets between two readings of the clock.
    const BURST: u32 = 500;
    let start = Instant::now();
    for number in 0.. {
        if number % BURST == 0 {
            if number >= flood.sources && is_scanned.load(Ordering::Relaxed) {
                return Ok(number);
            }
            let due = flood.rate.map_or(Duration::ZERO, |rate| {
                Duration::from_secs(number.into()) / rate
            });
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        let source = Ipv6Addr::from(NETWORK | u128::from(number));
        sender.send(&Path::new(source, HOST6).tcp(syn(TARGET), &[])?)?;
    }
    bail!("there are no more sources")
}

fn number(alert: &Alert, name: &str) -> Option<u64> {
    alert.text(name)?.parse().ok()
}

/// The number of packets that nmap reports as sent.
fn sent_by_nmap(output: &str) -> Result<u64> {
    let (_, rest) = output
        .split_once("Raw packets sent: ")
        .with_context(|| output.to_owned())?;
    let sent = rest.split_whitespace().next().unwrap_or_default();
    Ok(sent.parse()?)
}

/// The alert about all of nmap's ports but a few.
fn scan(seen: &Seen) -> Option<Alert> {
    seen.fired("port-scan", "distinct_ports")
        .find(|alert| number(alert, "recon.count") >= Some(COUNTED))
        .cloned()
}

/// The alert about the end of the flood.
fn flood_end(seen: &Seen) -> Option<Alert> {
    seen.alerts
        .iter()
        .filter(|alert| alert.text("rule.category").as_deref() == Some("syn-flood-distributed"))
        .find(|alert| alert.text("recon.phase").as_deref() == Some("ended"))
        .cloned()
}

/// The result of a flood with a scan in it.
struct Outcome {
    scan: Alert,
    /// The agent's peak memory in bytes.
    memory: u64,
    sources: u32,
    /// Packets that nmap reports as sent.
    by_nmap: u64,
    stopped: Stopped,
}

/// Floods and scans, then waits for `until`.
fn attack(flood: Flood, until: impl FnOnce(&Agent) -> Result<()>) -> Result<Outcome> {
    let lab = Lab::new()?;
    let sender = lab.sender()?;
    // The test waits for the end of the flood.
    let agent = Agent::start(&lab, "--quiet 10s")?;
    let nmap = format!("nmap -v -n -Pn -sS -p 1-{SCANNED} {HOST}");
    let is_scanned = AtomicBool::new(false);
    let (output, sources) = thread::scope(|scope| {
        let flood = scope.spawn(|| send(&sender, flood, &is_scanned));
        let output = run(lab.attacker(), shell(&nmap), DEADLINE);
        is_scanned.store(true, Ordering::Relaxed);
        let sources = flood.join().map_err(|_| anyhow!("the sender panicked"))??;
        anyhow::Ok((output?.success()?, sources))
    })?;
    agent.wait_drained(2 * (u64::from(sources) + SCANNED))?;
    until(&agent)?;
    Ok(Outcome {
        scan: agent.wait_within(DEADLINE, "the scan", scan)?,
        memory: peak_memory(agent.pid())?,
        sources,
        by_nmap: sent_by_nmap(&output)?,
        stopped: agent.stop()?,
    })
}

/// Checks the properties of any flood.
fn check(outcome: &Outcome) -> Result<()> {
    let Outcome {
        scan,
        memory,
        stopped,
        ..
    } = outcome;
    ensure!(
        scan.text("source.ip") == Some(ATTACKER.to_string()),
        "{scan}"
    );
    ensure!(number(scan, "recon.count") <= Some(SCANNED), "{scan}");
    ensure!(*memory < MEMORY, "{memory} bytes of memory");

    // Every SYN was answered, and both are signals. nmap also counts the request for the host's
    // hardware address.
    let totals = stopped.totals()?;
    let [least, most] =
        [SCANNED, outcome.by_nmap].map(|scan| 2 * (u64::from(outcome.sources) + scan));
    ensure!(
        (least..=most).contains(&(totals.signals + totals.lost)),
        "{least} to {most} sent: {totals:?}"
    );
    ensure!(totals.sketched > 0, "nothing was sketched: {totals:?}");
    // A source with a single packet is never reported.
    for alert in &stopped.seen.alerts {
        let source = alert.text("source.ip");
        let id = alert.text("rule.category").unwrap_or_default();
        let is_flood = ["syn-flood-distributed", "syn-flood-sources"].contains(&&*id);
        ensure!(is_flood || source == Some(ATTACKER.to_string()), "{alert}");
    }
    Ok(())
}

#[test]
fn a_scanner_inside_of_a_spoofed_flood_is_reported() -> Result<()> {
    let is_over = |agent: &Agent| {
        agent
            .wait_within(DEADLINE, "the flood's end", flood_end)
            .map(drop)
    };
    let outcome = attack(PACED, is_over)?;
    check(&outcome)?;
    let end = flood_end(&outcome.stopped.seen).context("the flood's end")?;
    let sources = number(&end, "recon.columns.source_count").context("an estimate")?;
    let sent = u64::from(outcome.sources);
    let off = sources.abs_diff(sent) * 100 / sent;
    ensure!(off <= ERROR, "{sources} sources: {end}");
    ensure!(number(&end, "recon.count") == Some(sent), "{end}");
    Ok(())
}

#[test]
#[ignore = "takes two minutes of both processors"]
fn ten_million_sources_exceed_no_memory_bound_and_delay_no_poll() -> Result<()> {
    let outcome = attack(FULL, |_| Ok(()))?;
    check(&outcome)?;
    let totals = outcome.stopped.seen.log.last().context("no totals")?;
    println!("{} bytes of memory; {totals}", outcome.memory);
    ensure!(totals.contains(" missed_polls=0 "), "{totals}");
    Ok(())
}
