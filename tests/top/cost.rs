//! What a look costs the agent while a flood of spoofed sources fills what it keeps.

use std::net::Ipv6Addr;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use recon_tests::PATIENCE;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST6};

use super::{PORTS, Watched};

/// More sources than the agent keeps evidence about.
const SOURCES: u128 = 120_000;
const NETWORK: u128 = 0x2001_0db8_00ff_0000_0000_0000_0000_0000;
/// A closed port.
const TARGET: u16 = 443;
/// A look is put together between two polls: docs/top.md has what it takes. Here the agent may be
/// built without optimisation, on a busy machine.
const MOST_MICROS: u64 = 500_000;
/// What a look's answer takes at most.
const MOST_BYTES: usize = 1 << 18;

/// However many sources there are, an answer has as many as before, and takes as long.
#[test]
fn a_look_is_bounded_under_a_flood() -> Result<()> {
    let watched = Watched::start("")?;
    watched.scanned()?;
    let sender = watched.lab.sender()?;
    let until = Instant::now() + 4 * PATIENCE;
    let mut sent = 0;
    // Each sends twice: near the bound, a first failure only leaves a mark.
    let status = loop {
        for number in sent..sent + SOURCES / 4 {
            let source = Ipv6Addr::from(NETWORK | number);
            for port in [TARGET, TARGET + 1] {
                sender.send(&Path::new(source, HOST6).tcp(syn(port), &[])?)?;
            }
        }
        sent += SOURCES / 4;
        watched.agent.wait_poll()?;
        let status = watched.json("status --sort new")?;
        let known = status["known_sources"]["undecided"].as_u64();
        if known >= Some(40_000) {
            break status;
        }
        ensure!(
            Instant::now() < until,
            "{} {}",
            status["known_sources"],
            watched.agent.seen()
        );
    };
    let listed = status["sources"].as_array().map(Vec::len);
    ensure!(listed == Some(200), "{listed:?}");
    let took = status["took_us"].as_u64().context("took_us")?;
    println!(
        "a look at {} sources, {} incidents: {took} us",
        status["known_sources"], status["incidents_open"]
    );
    ensure!(took < MOST_MICROS, "{took} us");
    let answer = watched.ask("status --json")?.success()?;
    ensure!(answer.len() < MOST_BYTES, "{} bytes", answer.len());
    // The scanner is found among them.
    for arguments in [
        "--sort ports --limit 1".to_owned(),
        format!("--filter {ATTACKER}"),
    ] {
        let found = watched.json(&format!("status {arguments}"))?;
        let first = &found["sources"][0];
        ensure!(
            first["ip"] == ATTACKER.to_string() && first["targets"] == PORTS.count(),
            "{arguments}: {first:#}"
        );
    }
    watched.stop()
}
