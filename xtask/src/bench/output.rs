//! The cost of what leaves the agent: sinks of all kinds, scrapes, and looks at many sources.
//!
//! In: the agent; a lab that scans it. Out: rows of microseconds.
//! The decisions held here: each side has an agent of its own that sees the same scans, and the
//! sides take turns. Without sinks, alerts go to /dev/null. A poll is timed by the agent's own
//! histogram; it includes the wait for running programs, some milliseconds. A processor's time is
//! that of all threads of the agent. Without a NATS server, the rows say that it is missing.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{Path as Flow, syn};
use recon_tests::lab::{HOST, HOST_LINK};
use recon_tests::nats_server;
use recon_tests::process::run;
use recon_tests::scrape::{Address, Scraper};
use recon_tests::usage::{Meter, first_thread_cpu_time};
use recon_tests::{Agent, Lab, Sender};
use serde_json::Value;

use super::readers::{BUS, Readers};
use super::row::Row;
use super::watch::watch;

/// Even, so that each side comes first equally often.
const ROUNDS: u32 = 4;
/// Polls with scans in a round, the sources that scan in each, and their ports.
const POLLS: u32 = 5;
const SOURCES: u32 = 100;
const PORTS: u16 = 30;
/// Each scan is several alerts, and none is suppressed.
const UNLIMITED: &str = "[alerts]\nlines = 'unlimited'\ninformational_per_hour = 'unlimited'\n";
/// Scrapes in a round.
const SCRAPES: u32 = 50;
/// Sources of a look: most of what the agent keeps.
const KNOWN: u32 = 60_000;
const LOOKS: u32 = 11;
/// As many are sent at once as the kernel's table holds.
const SOURCES_AT_ONCE: u32 = 15_000;
/// The sources that send, and how often they do at most.
const MOST_KNOWN: u32 = 4 * SOURCES_AT_ONCE + SOURCES_AT_ONCE;
const MOST_SENT: u32 = 10 * MOST_KNOWN;
/// The agent's interval.
const INTERVAL: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(20);
/// All addresses of sources are in 198.18.0.0/15.
const FIRST_SOURCE: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();
const UNIT: &str = "us";

/// Measures all of it.
pub(super) fn measure(agent: &Path) -> Result<Vec<Row>> {
    let mut rows = sinks(agent)?.to_vec();
    rows.push(scrape(agent)?);
    rows.extend(looks(agent)?);
    Ok(rows)
}

/// An agent that is watched itself.
struct Measured {
    agent: Agent,
    metrics: Address,
}

impl Measured {
    fn start(lab: &Lab, agent: &Path, folder: &Path, options: &[&str]) -> Result<Self> {
        let metrics = folder.join("metrics");
        let place = format!("unix:{}", metrics.display());
        let options = [
            &[
                "-i",
                HOST_LINK,
                "--metrics",
                &place,
                "--interval",
                "200ms",
                "--profile",
                "source",
            ],
            options,
        ];
        Ok(Self {
            agent: watch(lab, agent, &options.concat())?,
            metrics: Address::Unix(metrics),
        })
    }

    /// The number of a metric: that with its labels, or without them the sum over all.
    fn count(&self, lab: &Lab, name: &str) -> Result<f64> {
        let answer = Scraper::new(lab, &self.metrics).get("/metrics", "")?;
        let samples = answer.body.lines().filter_map(|line| {
            let (sample, value) = line.split_once(' ')?;
            let of = sample.split('{').next()?;
            (of == name || sample == name).then(|| value.split(' ').next()?.parse::<f64>().ok())?
        });
        Ok(samples.sum())
    }

    /// Waits until a poll has begun and ended.
    fn wait_poll(&self, lab: &Lab) -> Result<()> {
        let polls = || self.count(lab, "recon_polls_total");
        let before = polls()?;
        let until = Instant::now() + DEADLINE;
        while polls()? < before + 2.0 {
            ensure!(Instant::now() < until, "no poll");
            sleep(INTERVAL);
        }
        Ok(())
    }

    fn stop(self) -> Result<()> {
        let stopped = self.agent.stop()?;
        ensure!(stopped.status.success(), "{}", stopped.seen);
        Ok(())
    }
}

/// A poll with scans, and an alert, with sinks of all kinds and without any.
fn sinks(agent: &Path) -> Result<[Row; 3]> {
    let lab = Lab::new()?;
    let sender = lab.sender()?;
    let nats = nats_server::installed();
    let all = match nats {
        Some(_) => "all sinks",
        None => "all sinks but NATS (`cargo xtask test` installs its server)",
    };
    let mut rows = [
        Row::new(&format!("a poll with scans, {all}"), UNIT),
        Row::new("processor time of the thread that polls, a poll", UNIT),
        Row::new(
            &format!("an alert and its rows, {all}, processor time"),
            UNIT,
        ),
    ];
    for round in 0..ROUNDS {
        let with_first = round % 2 == 1;
        for with in [with_first, !with_first] {
            let folder = tempfile::tempdir()?;
            let readers = with
                .then(|| Readers::start(&lab, folder.path(), nats.as_deref()))
                .transpose()?;
            let tables = readers.as_ref().map_or("", |it| &it.tables);
            let settings = folder.path().join("recon.toml");
            fs::write(&settings, format!("{UNLIMITED}{tables}"))?;
            let options = ["--config", settings.to_str().context("a path")?];
            let measured = Measured::start(&lab, agent, folder.path(), &options)?;
            let pid = measured.agent.pid();
            let (meter, polling) = (Meter::start(pid)?, first_thread_cpu_time(pid)?);
            let polled = measured.count(&lab, "recon_polls_total")?;
            scan(&lab, &measured, &sender)?;
            let spent = meter.spent()?;
            let polling = first_thread_cpu_time(pid)?.saturating_sub(polling);
            let polled = measured.count(&lab, "recon_polls_total")? - polled;
            let count = |name| measured.count(&lab, name);
            let seconds = count("recon_poll_duration_seconds_sum")?;
            let polls = count("recon_poll_duration_seconds_count")?;
            let alerts = count("recon_alerts_total")?;
            ensure!(
                alerts > 0.0 && polls > 0.0,
                "{alerts} alerts, {polls} polls"
            );
            if with && nats.is_some() {
                let stored = count(&format!("recon_sink_written_lines_total{{sink=\"{BUS}\"}}"))?;
                ensure!(stored >= alerts, "NATS has {stored} lines, {alerts} alerts");
                rows[2].note("NATS has stored", "lines an alert", stored / alerts);
            }
            rows[0].push(with, seconds * 1e6 / polls);
            rows[1].push(with, polling.as_secs_f64() * 1e6 / polled);
            rows[2].push(with, spent.as_secs_f64() * 1e6 / alerts);
            rows[0].note("alerts", "a poll", alerts / polls);
            measured.stop()?;
        }
    }
    Ok(rows)
}

/// Scans in each of some polls.
fn scan(lab: &Lab, measured: &Measured, sender: &Sender) -> Result<()> {
    for poll in 0..POLLS {
        send(sender, poll * SOURCES..(poll + 1) * SOURCES, PORTS)?;
        measured.wait_poll(lab)?;
    }
    measured.wait_poll(lab)
}

/// A SYN from each of these sources to each of so many ports.
fn send(sender: &Sender, sources: Range<u32>, ports: u16) -> Result<()> {
    for source in sources {
        let from = Ipv4Addr::from_bits(FIRST_SOURCE + source);
        for port in 1..=ports {
            sender.send(&Flow::new(from, HOST).tcp(syn(port), &[])?)?;
        }
    }
    Ok(())
}

/// A scrape after each poll, against polls that nobody scrapes.
fn scrape(agent: &Path) -> Result<Row> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let measured = Measured::start(&lab, agent, folder.path(), &[])?;
    let scraper = Scraper::new(&lab, &measured.metrics);
    let mut row = Row::new("a scrape, processor time", UNIT);
    for _ in 0..ROUNDS {
        let meter = Meter::start(measured.agent.pid())?;
        let begin = Instant::now();
        let mut bytes = 0;
        for _ in 0..SCRAPES {
            bytes = scraper.get("/metrics", "")?.body.len();
            sleep(INTERVAL);
        }
        let (spent, time) = (meter.spent()?, begin.elapsed());
        let idle = Meter::start(measured.agent.pid())?;
        sleep(time);
        let added = spent.saturating_sub(idle.spent()?);
        row.push(true, added.as_secs_f64() * 1e6 / f64::from(SCRAPES));
        row.note("answer", "bytes", bytes as f64);
    }
    measured.stop()?;
    Ok(row)
}

/// `recon status` of an agent that knows many sources: how long no poll can begin for it.
fn looks(agent: &Path) -> Result<Vec<Row>> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let control = folder.path().join("control");
    let control = control.to_str().context("a path")?;
    let measured = Measured::start(&lab, agent, folder.path(), &["--control", control])?;
    let sender = lab.sender()?;
    let look = |order: &str| -> Result<Value> {
        let mut recon = Command::new(agent);
        recon.args(["status", "--json", "--control", control, "--sort", order]);
        let answer = run(lab.host(), recon, DEADLINE)?.success()?;
        Ok(serde_json::from_str(&answer)?)
    };
    let mut sent = 0;
    // Near the bound, a first failure only leaves a mark: so the same ones send again.
    while known(&look("new")?) < u64::from(KNOWN) {
        ensure!(
            sent < MOST_SENT,
            "{} of {sent} are known",
            known(&look("new")?)
        );
        let next = sent % MOST_KNOWN;
        send(&sender, next..next + SOURCES_AT_ONCE, 2)?;
        sent += SOURCES_AT_ONCE;
        measured.wait_poll(&lab)?;
    }
    let mut rows = Vec::new();
    for order in ["recent", "ports"] {
        let mut row = Row::new(&format!("a look at {KNOWN} sources by {order}"), UNIT);
        for _ in 0..LOOKS {
            let took = look(order)?["took_us"].as_f64();
            row.push(true, took.context("took_us")?);
        }
        rows.push(row);
    }
    measured.stop()?;
    Ok(rows)
}

/// The sources that a look has counted.
fn known(look: &Value) -> u64 {
    let all = look["known_sources"].as_object().into_iter().flatten();
    all.filter_map(|(_, number)| number.as_u64()).sum()
}
