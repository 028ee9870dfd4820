//! Sums of counters agree with what was sent, to the packet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{Path, data, syn};
use recon_tests::scrape::{Address, Samples, Scraper};
use recon_tests::{Agent, Lab, PATIENCE, Seen, rows};

use super::{start, tcp, unix};

/// An address that the host forwards to but does not have: an answer of the host would count, too.
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));
/// The first source.
const SOURCES: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
/// How many sources send a SYN to each of some ports.
const SOURCE_COUNT: u32 = 1000;
const PORTS: std::ops::Range<u16> = 2000..2005;
/// Of one source.
const ECHOES: u16 = 77;
const DATAGRAMS: u16 = 33;
const GARBAGE: usize = 11;
const NOT_IP: usize = 5;

/// What was sent, by the labels of its counter.
pub(super) struct Flood {
    pub(super) frames: Vec<Vec<u8>>,
    /// Metric, label, number.
    pub(super) expected: Vec<(&'static str, &'static str, u64)>,
}

pub(super) fn flood() -> Result<Flood> {
    const IP_VERSION: usize = 14;
    const ETHER_TYPE: std::ops::Range<usize> = 12..14;
    let mut frames = Vec::new();
    let one = Path::new(SOURCES, TARGET);
    for source in 0..SOURCE_COUNT {
        let source = Ipv4Addr::from(u32::from(SOURCES) + source);
        for port in PORTS {
            frames.push(Path::new(source, TARGET).tcp(syn(port), &[])?);
        }
    }
    for number in 0..ECHOES {
        frames.push(one.echo(number)?);
    }
    for port in 0..DATAGRAMS {
        frames.push(one.udp([40_000, 3000 + port], b"?")?);
    }
    for _ in 0..GARBAGE {
        let mut frame = one.tcp(data(80), b"?")?;
        // A version that is neither 4 nor 6.
        frame[IP_VERSION] = 0x95;
        frames.push(frame);
    }
    for _ in 0..NOT_IP {
        let mut frame = one.tcp(data(80), b"?")?;
        // For experiments, see IEEE 802.
        frame[ETHER_TYPE].copy_from_slice(&[0x88, 0xb5]);
        frames.push(frame);
    }
    let syns = u64::from(SOURCE_COUNT) * PORTS.len() as u64;
    let hits = syns + u64::from(ECHOES) + u64::from(DATAGRAMS);
    let sent = frames.len() as u64;
    let garbage = GARBAGE as u64;
    let expected = vec![
        ("recon_frames_total", "direction=\"in\"", sent),
        ("recon_frames_total", "class=\"signal\"", hits),
        ("recon_frames_total", "kind=\"malformed\"", garbage),
        ("recon_frames_total", "kind=\"not_ip\"", NOT_IP as u64),
        ("recon_losses_total", "", garbage),
        ("recon_losses_total", "reason=\"malformed\"", garbage),
        ("recon_signals_total", "kind=\"syn\"", syns),
        (
            "recon_signals_total",
            "kind=\"echo-request\"",
            ECHOES.into(),
        ),
        ("recon_signals_total", "kind=\"udp\"", DATAGRAMS.into()),
    ];
    Ok(Flood { frames, expected })
}

/// Two identities of docs/metrics.md, and two that hold without evictions and --state.
fn check_identities(samples: &Samples) -> Result<()> {
    let sum = |metric: &str, label: &str| samples.sum(metric, &[label]);
    let signals = sum("recon_signals_total", "");
    ensure!(
        sum("recon_frames_total", "class=\"signal\"") + sum("recon_socket_signals_total", "")
            == signals + sum("recon_losses_total", "reason=\"table_full\""),
        "{samples}"
    );
    ensure!(
        sum("recon_alerts_total", "") + sum("recon_digests_total", "")
            == sum("recon_sink_written_lines_total", "sink=\"stdout\"")
                + sum("recon_sink_dropped_lines_total", "sink=\"stdout\"")
                + sum("recon_sink_queued_lines", "sink=\"stdout\""),
        "{samples}"
    );
    ensure!(
        sum("recon_begun_incidents_total", "")
            == sum("recon_ended_incidents_total", "") + sum("recon_open_incidents", ""),
        "{samples}"
    );
    ensure!(sum("recon_poll_duration_seconds_count", "") == sum("recon_polls_total", ""));
    Ok(())
}

/// Scrapes until all lines that were counted by then have been written and read here, and sums
/// agree: those of sockets are ahead by the connections that a scrape by TCP makes during a poll.
fn settle(agent: &Agent, scraper: Scraper<'_>) -> Result<(Samples, Seen)> {
    let end = Instant::now() + PATIENCE;
    loop {
        let (samples, read) = (scraper.scrape()?, agent.seen());
        let is_written = samples.sum("recon_sink_queued_lines", &[]) == 0;
        let is_read = samples.sum("recon_alerts_total", &[]) == read.alerts.len() as u64;
        let agree = check_identities(&samples);
        if is_written && is_read && agree.is_ok() {
            return Ok((samples, read));
        }
        ensure!(
            Instant::now() < end,
            "{} lines are read here, {agree:?}: {samples}",
            read.alerts.len()
        );
        agent.wait_poll()?;
    }
}

/// Gauges of a healthy agent, and metrics that are above 0.
fn check_gauges(samples: &Samples) -> Result<()> {
    for (metric, label, number) in [
        ("recon_hooks", "hook=\"xdp_native\"", 1),
        ("recon_hooks", "hook=\"sock_ops\"", 1),
        ("recon_missing_hooks", "", 0),
        ("recon_interfaces", "", 1),
        ("recon_missing_interfaces", "", 0),
        ("recon_failed_polls_total", "", 0),
        ("recon_blind", "", 0),
        ("recon_tampered", "", 0),
    ] {
        ensure!(
            samples.sum(metric, &[label]) == number,
            "{metric} {label}: {samples}"
        );
    }
    for metric in [
        "recon_polls_total",
        "recon_begun_incidents_total",
        "recon_drained_rows_total",
        "recon_groups",
        "recon_group_memory_bytes",
        "recon_group_memory_limit_bytes",
        "recon_rules",
        "recon_resident_memory_bytes",
        "recon_start_time_seconds",
        "recon_last_poll_timestamp_seconds",
    ] {
        ensure!(samples.sum(metric, &[]) > 0, "{metric}: {samples}");
    }
    ensure!(samples.has("recon_cpu_seconds_total"), "{samples}");
    Ok(())
}

/// Nothing of a packet is in a label.
fn check_labels(samples: &Samples) -> Result<()> {
    let source = SOURCES.to_string();
    let told = samples.series().find(|series| {
        [source.as_str(), "198.19.", "203.0.113.", "veth"]
            .iter()
            .any(|part| series.contains(part))
    });
    ensure!(told.is_none(), "{told:?}");
    Ok(())
}

/// The lines that the test has read are those that were counted.
fn check_lines(samples: &Samples, read: &Seen) -> Result<()> {
    let by_rule = |rule: &str| {
        let lines = read.alerts.iter();
        lines
            .filter(|alert| alert.text("rule.id").as_deref() == Some(rule))
            .count() as u64
    };
    let rules: BTreeSet<String> = read
        .alerts
        .iter()
        .filter_map(|alert| alert.text("rule.id"))
        .collect();
    let has_sweep = rules.iter().any(|rule| rule.starts_with("icmp-sweep/"));
    ensure!(has_sweep, "{rules:?}");
    for rule in &rules {
        let label = format!("rule=\"{rule}\"");
        let counted = samples.sum("recon_alerts_total", &[&label]);
        ensure!(
            counted == by_rule(rule),
            "{rule}: {counted}, not {}",
            by_rule(rule)
        );
    }
    Ok(())
}

fn check(lab: &Lab, agent: Agent, address: &Address) -> Result<()> {
    let scraper = Scraper::new(lab, address);
    let Flood { frames, expected } = flood()?;
    let sender = lab.sender()?;
    frames.iter().try_for_each(|frame| sender.send(frame))?;
    let is_counted = |samples: &Samples| {
        let mut expected = expected.iter();
        expected.all(|(metric, label, number)| samples.sum(metric, &[label]) >= *number)
    };
    scraper.wait_for(&agent, "all frames are counted", is_counted)?;
    // Another poll judges what the one before has drained.
    agent.wait_poll()?;
    let (samples, read) = settle(&agent, scraper)?;
    for (metric, label, number) in &expected {
        let found = samples.sum(metric, &[label]);
        ensure!(
            found == *number,
            "{metric} {label}: {found}, not {number}\n{samples}"
        );
    }
    check_gauges(&samples)?;
    check_labels(&samples)?;
    check_lines(&samples, &read)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let totals = stopped.totals()?;
    ensure!(totals.frames_in == frames.len() as u64, "{totals:?}");
    ensure!(totals.lost == GARBAGE as u64, "{totals:?}");
    Ok(())
}

#[test]
fn counters_agree_with_what_was_sent() {
    let names = ["TCP", "Unix"];
    rows::check(
        &names,
        |name| name,
        |&name| {
            let lab = Lab::new()?;
            // Only the flood crosses: IPv6 would send listener reports.
            lab.attacker().set("ipv6/conf/all/disable_ipv6", 1)?;
            let folder = tempfile::tempdir()?;
            let address = match name {
                "TCP" => tcp(),
                _ => unix(folder.path()),
            };
            let agent = start(&lab, &address, "")?;
            check(&lab, agent, &address).context(name)?;
            let left = std::fs::read_dir(folder.path())?.count();
            ensure!(left == 0, "the socket is left");
            Ok(())
        },
    );
}
