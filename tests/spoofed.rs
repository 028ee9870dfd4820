//! A scanner inside a flood of a million spoofed sources: both are told of, nothing is lost in silence, and memory is bounded.
//!
//! The flood is of IPv6, since the ranges set aside for tests have too few IPv4 addresses; the host answers each SYN with a reset, so that its answers
//! are a flood as well. nmap scans at its usual speed meanwhile.

use std::net::Ipv6Addr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST, HOST6};
use recon_tests::process::{run, shell};
use recon_tests::usage::peak_memory;
use recon_tests::{Agent, Alert, Lab, Seen, Sender};

/// Sources, each with one SYN.
const SOURCES: u32 = 1_000_000;
/// What is ahead of a source's number: none of the lab's own networks.
const NETWORK: u128 = 0x2001_0db8_00ff_0000_0000_0000_0000_0000;
/// A port that nobody listens on.
const TARGET: u16 = 443;
/// Ports that nmap scans, and how many of them have to be counted.
const SCANNED: u64 = 1000;
const COUNTED: u64 = SCANNED * 95 / 100;
/// Three standard errors of the estimate of sources, in per cent.
const ERROR: u64 = 10;
/// The bound by default.
const MEMORY: u64 = 256 << 20;
/// How long the flood and the end of its incident may take.
const DEADLINE: Duration = Duration::from_secs(120);

fn flood(sender: &Sender) -> Result<()> {
    (0..SOURCES).try_for_each(|number| {
        let source = Ipv6Addr::from(NETWORK | u128::from(number));
        sender.send(&Path::new(source, HOST6).tcp(syn(TARGET), &[])?)
    })
}

fn number(alert: &Alert, name: &str) -> Option<u64> {
    alert.text(name)?.parse().ok()
}

/// How many packets nmap says that it has sent.
fn sent_by_nmap(output: &str) -> Result<u64> {
    let (_, rest) = output
        .split_once("Raw packets sent: ")
        .with_context(|| output.to_owned())?;
    let sent = rest.split_whitespace().next().unwrap_or_default();
    Ok(sent.parse()?)
}

/// The alert that tells of all of nmap's ports but a few.
fn scan(seen: &Seen) -> Option<Alert> {
    seen.fired("port-scan", "distinct_ports")
        .find(|alert| number(alert, "recon.count") >= Some(COUNTED))
        .cloned()
}

/// The alert that the flood is over.
fn flood_end(seen: &Seen) -> Option<Alert> {
    seen.alerts
        .iter()
        .filter(|alert| alert.text("rule.id").as_deref() == Some("syn-flood-distributed"))
        .find(|alert| alert.text("recon.phase").as_deref() == Some("ended"))
        .cloned()
}

#[test]
fn a_scanner_inside_a_spoofed_flood_is_seen() -> Result<()> {
    let lab = Lab::new()?;
    let sender = lab.sender()?;
    let agent = Agent::start(&lab, "")?;
    let nmap = format!("nmap -v -n -Pn -sS -p 1-{SCANNED} {HOST}");
    let output = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&sender));
        let output = run(lab.attacker(), shell(&nmap), DEADLINE)?.success()?;
        ensure!(
            !flood.is_finished(),
            "the flood was over before the scan: {output}"
        );
        flood.join().map_err(|_| anyhow!("the sender panicked"))??;
        anyhow::Ok(output)
    })?;
    let scan = agent.wait_within(DEADLINE, "the scan", scan)?;
    let end = agent.wait_within(DEADLINE, "the flood's end", flood_end)?;
    let memory = peak_memory(agent.pid())?;
    let stopped = agent.stop()?;
    let totals = stopped.totals()?;

    ensure!(
        scan.text("source.ip") == Some(ATTACKER.to_string()),
        "{scan}"
    );
    ensure!(number(&scan, "recon.count") <= Some(SCANNED), "{scan}");
    let sources = number(&end, "recon.columns.source_count").context("an estimate")?;
    let off = sources.abs_diff(u64::from(SOURCES)) * 100 / u64::from(SOURCES);
    ensure!(off <= ERROR, "{sources} sources: {end}");
    ensure!(
        number(&end, "recon.count") == Some(u64::from(SOURCES)),
        "{end}"
    );
    ensure!(memory < MEMORY, "{memory} bytes of memory");

    // Every SYN was answered, and each of both is a signal. nmap counts the request for the host's hardware address too.
    let flood = u64::from(SOURCES);
    let signals = 2 * (flood + SCANNED)..=2 * (flood + sent_by_nmap(&output)?);
    ensure!(
        signals.contains(&(totals.signals + totals.lost)),
        "{signals:?} sent: {totals:?}"
    );
    ensure!(totals.sketched > 0, "nothing was sketched: {totals:?}");
    // Nobody is told of who sent but one packet.
    for alert in &stopped.seen.alerts {
        let source = alert.text("source.ip");
        let is_flood = alert.text("rule.id").as_deref() == Some("syn-flood-distributed");
        ensure!(is_flood || source == Some(ATTACKER.to_string()), "{alert}");
    }
    Ok(())
}
