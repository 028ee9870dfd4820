//! Exactness under a flood: what was drained and what was counted as lost add up to what was sent,
//! to the packet.
//!
//! Two senders work at once, so that two processors count the same keys if the hook lets them
//! (native XDP on a veth pair has one queue), while the agent swaps the generations under them.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use recon_tests::frame::{Path, syn};
use recon_tests::kernel::is_emulated;
use recon_tests::scrape::{Address, Samples, Scraper};
use recon_tests::{Agent, Alert, Lab, Sender, rows};

/// The keys: that many sources, on one port of one address.
const KEYS: u32 = 50_000;
/// What an emulated processor sends in the same time.
const FEW_KEYS: u32 = 10_000;
const SENDERS: u32 = 2;
/// How often a sender sends all keys.
const ROUNDS: u32 = 2;
/// The first source.
const SOURCES: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
const PORT: u16 = 2000;
/// An address that the host forwards to but does not have: an answer of the host would count as
/// well.
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));

/// One source that sends far more than the others: a frame after every `TURN` of theirs.
const SCANNER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const TURN: u32 = 100;

struct Row {
    name: &'static str,
    arguments: &'static str,
    /// Whether all the others send too. Without them, two processors count under the scanner's key
    /// all the time.
    has_others: bool,
    /// Whether the table is too small for a key for every source of an interval.
    is_short: bool,
}

const ROWS: &[Row] = &[
    Row {
        name: "native XDP",
        arguments: "--interval 50ms --xdp native",
        has_others: true,
        is_short: false,
    },
    Row {
        name: "generic XDP",
        arguments: "--interval 50ms --xdp generic",
        has_others: true,
        is_short: false,
    },
    Row {
        name: "TC",
        arguments: "--interval 50ms --xdp off",
        has_others: true,
        is_short: false,
    },
    Row {
        name: "one key, generic XDP",
        arguments: "--interval 50ms --xdp generic",
        has_others: false,
        is_short: false,
    },
    Row {
        name: "one key, TC",
        arguments: "--interval 50ms --xdp off",
        has_others: false,
        is_short: false,
    },
    Row {
        name: "a table of 1024 entries",
        arguments: "--interval 500ms --table-entries 1024",
        has_others: true,
        is_short: true,
    },
];

/// One round of one sender.
fn frames(row: &Row) -> Result<Vec<Vec<u8>>> {
    let syn_from = |source| Path::new(source, TARGET).tcp(syn(PORT), &[]);
    let mut frames = Vec::new();
    let keys = if is_emulated()? { FEW_KEYS } else { KEYS };
    for key in 0..keys {
        if row.has_others {
            let source = Ipv4Addr::from(u32::from(SOURCES) + key);
            frames.push(syn_from(IpAddr::V4(source))?);
        }
        if !row.has_others || key % TURN == 0 {
            frames.push(syn_from(SCANNER)?);
        }
    }
    Ok(frames)
}

fn flood(sender: &Sender, frames: &[Vec<u8>]) -> Result<()> {
    (0..ROUNDS).try_for_each(|_| frames.iter().try_for_each(|frame| sender.send(frame)))
}

/// Whether it says that the table is full or, as emulated processors have it, that polls come late.
/// Neither is about a source.
fn is_about_limits(row: &Row, alert: &Alert) -> Result<bool> {
    Ok(match alert.text("recon.blind.part").as_deref() {
        Some("polls") => is_emulated()?,
        Some(_) => row.is_short,
        None => false,
    })
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    // Only the flood crosses: IPv6 would send listener reports.
    lab.attacker().set("ipv6/conf/all/disable_ipv6", 1)?;
    let senders = [lab.sender()?, lab.sender()?];
    let frames = frames(row)?;
    let folder = tempfile::tempdir()?;
    let address = Address::Unix(folder.path().join("metrics.sock"));
    let agent = Agent::start(&lab, &format!("{} --metrics {address}", row.arguments))?;
    let scraper = Scraper::new(&lab, &address);
    thread::scope(|scope| {
        let floods = senders
            .each_ref()
            .map(|sender| scope.spawn(|| flood(sender, &frames)));
        floods
            .into_iter()
            .try_for_each(|flood| flood.join().map_err(|_| anyhow!("a sender panicked"))?)
    })?;
    let sent = frames.len() as u64 * u64::from(ROUNDS * SENDERS);
    agent.wait_drained(sent)?;
    let sum = |samples: &Samples, metric: &str, labels: &[&str]| samples.sum(metric, labels);
    let counted = |samples: &Samples| {
        sum(samples, "recon_signals_total", &[]) + sum(samples, "recon_losses_total", &[])
    };
    // A frame may be in a row one poll before it is in its class.
    let frames = |samples: &Samples| sum(samples, "recon_frames_total", &[]);
    let found = scraper.wait_for(&agent, "all is counted", |samples| {
        counted(samples).min(frames(samples)) >= sent
    })?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(
        sum(&found, "recon_polls_total", &[]) > 1,
        "all was drained in one poll"
    );
    ensure!(counted(&found) == sent, "{sent} sent, {found}");
    let lost = sum(&found, "recon_losses_total", &[]);
    for (metric, labels, number) in [
        ("recon_frames_total", "direction=\"in\"", sent),
        ("recon_signals_total", "kind=\"syn\"", sent - lost),
        ("recon_losses_total", "reason=\"table_full\"", lost),
    ] {
        ensure!(
            sum(&found, metric, &[labels]) == number,
            "{sent} sent, {found}"
        );
    }
    let sketched = sum(&found, "recon_sketched_signals_total", &[]);
    ensure!((sketched + lost > 0) == row.is_short, "{found}");
    for alert in &stopped.seen.alerts {
        if is_about_limits(row, alert)? {
            continue;
        }
        let source = alert.text("source.ip");
        // An alert about all sources together names none.
        let is_of_all = row.has_others && alert.is("syn-flood-distributed", "count");
        ensure!(
            source == (!is_of_all).then(|| SCANNER.to_string()),
            "an alert about {source:?}: {alert}"
        );
    }
    let first = stopped.seen.fired("port-scan", "count").next();
    let lower_bound = first.and_then(|alert| alert.text("recon.lower_bound"));
    ensure!(
        lower_bound == Some(row.is_short.to_string()),
        "lower_bound of {first:?}"
    );
    Ok(())
}

#[test]
fn no_frame_is_lost_silently() {
    rows::check(ROWS, |row| row.name, check);
}
