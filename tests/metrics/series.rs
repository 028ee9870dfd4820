//! A series is there before its first event: an increase over one that appears with it misses it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::scrape::{Samples, Scraper};
use recon_tests::{Agent, Lab};

use super::{start, tcp};

/// A rule that is there by default, and that no other one names.
const RULE: &str = "icmp-sweep/count";
/// Those of lines about recon itself.
const OWN: [&str; 2] = ["recon-blind", "recon-tampered"];

fn has(samples: &Samples, series: &str) -> bool {
    samples.series().any(|found| found == series)
}

/// The rules that have a series for the beginning of an incident.
fn rules(samples: &Samples) -> BTreeSet<&str> {
    let series = samples.series();
    let began = series.filter_map(|series| {
        let labels = series.strip_prefix("recon_alerts_total{rule=\"")?;
        labels.strip_suffix("\",phase=\"began\"}")
    });
    began.collect()
}

#[test]
fn counters_are_there_before_the_first_poll() -> Result<()> {
    let lab = Lab::new()?;
    let address = tcp();
    // The first poll comes after the scrape.
    let agent = Agent::start(&lab, &format!("--interval 20s --metrics {address}"))?;
    let samples = Scraper::new(&lab, &address).scrape()?;
    let found = rules(&samples);
    for rule in OWN.into_iter().chain([RULE]) {
        ensure!(found.contains(rule), "no {rule}: {found:?}");
    }
    let in_force = samples.sum("recon_rules", &[]);
    ensure!(
        found.len() as u64 == in_force + OWN.len() as u64,
        "{found:?}"
    );
    for series in [
        "recon_sink_dropped_lines_total{sink=\"stdout\"}",
        "recon_missing_hooks{hook=\"xdp_native\"}",
        "recon_blind_reports_total{part=\"hook\"}",
        "recon_losses_total{reason=\"table_full\"}",
    ] {
        ensure!(has(&samples, series), "no {series}");
    }
    ensure!(samples.sum("recon_interfaces", &[]) == 1, "{samples}");
    ensure!(agent.stop()?.status.success());
    Ok(())
}

#[test]
fn a_reload_begins_the_counts_of_new_rules() -> Result<()> {
    let lab = Lab::new()?;
    let address = tcp();
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("recon.toml");
    fs::write(&config, format!("rules.'{RULE}'.enabled = false"))?;
    let agent = start(&lab, &address, &format!("--config {}", config.display()))?;
    let scraper = Scraper::new(&lab, &address);
    let before = scraper.scrape()?;
    ensure!(!rules(&before).contains(RULE), "it is in force");
    fs::write(&config, "")?;
    agent.signal(Signal::SIGHUP)?;
    scraper.wait_for(&agent, "the rule is there", |samples| {
        rules(samples).contains(RULE)
    })?;
    ensure!(agent.stop()?.status.success());
    Ok(())
}
