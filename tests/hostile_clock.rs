//! Time that does not pass as recon expects: the wall clock is set, and recon itself is stopped.
//! Windows measure the time that has passed, so that a scan is reported once, with all its ports.

use std::net::IpAddr;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST, HOST_LINK};
use recon_tests::process::{run, shell};
use recon_tests::scan::{PORTS, SIGNALS_PER_PORT, has_alert, scan};
use recon_tests::wall_clock::WallClock;
use recon_tests::{Agent, Alert, Lab, PATIENCE, Seen, rows};

const HOUR: i64 = 3600;

/// Where the wall clock is set in the middle of a scan, and after it.
struct Step {
    name: &'static str,
    /// Seconds after this machine's time.
    ahead: &'static [i64],
}

const STEPS: &[Step] = &[
    Step {
        name: "five hours forward",
        ahead: &[5 * HOUR],
    },
    Step {
        name: "five hours back",
        ahead: &[-5 * HOUR],
    },
    Step {
        name: "forward and back",
        ahead: &[5 * HOUR, -5 * HOUR, 0],
    },
    Step {
        name: "seventy years forward",
        ahead: &[70 * 365 * 24 * HOUR],
    },
    Step {
        name: "fifty years back",
        ahead: &[-50 * 365 * 24 * HOUR],
    },
];

fn scans(seen: &Seen) -> Vec<&Alert> {
    seen.fired("port-scan", "distinct_ports").collect()
}

fn phase(alert: &Alert) -> String {
    alert.text("recon.phase").unwrap_or_default()
}

/// Starts recon under that clock.
fn start(lab: &Lab, clock: &WallClock, options: &str) -> Result<Agent> {
    let mut command = recon(&format!(
        "run -vv -i {HOST_LINK} --xdp native --profile source --interval 100ms {options}"
    ))?;
    command.args(lab.watched_sockets());
    Agent::spawn(lab, clock.give_to(&command), Stdio::piped())
}

/// Sets the clock, and waits until recon has noticed.
fn set(agent: &Agent, clock: &WallClock, ahead: i64) -> Result<()> {
    let text = "the wall clock was set";
    let count = |seen: &Seen| seen.log.iter().filter(|line| line.contains(text)).count();
    let before = count(&agent.seen());
    clock.set_ahead(ahead)?;
    agent.wait_for(text, |seen| (count(seen) > before).then_some(()))
}

/// A scan in progress is neither forgotten nor reported twice, whatever the wall clock says.
#[test]
fn a_wall_clock_that_is_set_loses_no_scan_and_repeats_no_alert() {
    rows::check(
        STEPS,
        |row| row.name,
        |row| {
            let lab = Lab::new()?;
            let clock = WallClock::new()?;
            let agent = start(&lab, &clock, "")?;
            let middle = PORTS.start + 15;
            scan(&lab, PORTS.start..middle)?;
            agent.wait_drained(15 * SIGNALS_PER_PORT)?;
            for &ahead in row.ahead {
                set(&agent, &clock, ahead)?;
            }
            scan(&lab, middle..PORTS.end)?;
            let signals = SIGNALS_PER_PORT * PORTS.len() as u64;
            agent.wait_drained(signals)?;
            agent.wait_for("the alert", |seen| has_alert(seen).then_some(()))?;
            // The same once more, while there is an incident.
            for &ahead in row.ahead.iter().rev().chain(&[0]) {
                clock.set_ahead(ahead)?;
                agent.wait_poll()?;
            }
            scan(&lab, PORTS)?;
            agent.wait_drained(2 * signals)?;
            let alerts = agent.seen();
            let alerts = scans(&alerts);
            ensure!(
                alerts.len() == 1 && phase(alerts[0]) == "began",
                "{alerts:?}"
            );
            ensure!(alerts[0].text("recon.count").as_deref() == Some("21"));
            ensure_on_clock(alerts[0], *row.ahead.last().context("a step")?)?;
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            ensure!(stopped.totals()?.lost == 0, "{}", stopped.seen);
            Ok(())
        },
    );
}

/// The end of an incident comes after the quiet time, neither before nor hours later.
#[test]
fn a_wall_clock_that_is_set_delays_no_end() {
    rows::check(
        STEPS,
        |row| row.name,
        |row| {
            const QUIET: Duration = Duration::from_secs(3);
            let lab = Lab::new()?;
            let clock = WallClock::new()?;
            let agent = start(&lab, &clock, "--quiet 3s")?;
            scan(&lab, PORTS)?;
            agent.wait_for("the alert", |seen| has_alert(seen).then_some(()))?;
            // An end is reported if the count has grown since.
            let begun = Instant::now();
            scan(&lab, PORTS.end..PORTS.end + 5)?;
            for &ahead in row.ahead {
                set(&agent, &clock, ahead)?;
            }
            let ended = |seen: &Seen| {
                let mut alerts = scans(seen).into_iter();
                alerts.find(|alert| phase(alert) == "ended").map(drop)
            };
            agent.wait_for("the end", ended)?;
            let took = begun.elapsed();
            ensure!(took >= QUIET, "after {took:?}");
            ensure!(scans(&agent.seen()).len() == 2, "{}", agent.seen());
            agent.stop().map(drop)
        },
    );
}

/// A scan in progress is neither forgotten nor reported twice if the wall clock is set while no
/// recon runs.
#[test]
fn a_wall_clock_that_is_set_between_two_agents_loses_no_scan() {
    rows::check(
        STEPS,
        |row| row.name,
        |row| {
            let lab = Lab::new()?;
            let clock = WallClock::new()?;
            let folder = tempfile::tempdir()?;
            let state = format!("--state {}", folder.path().join("state").display());
            let middle = PORTS.start + 15;
            let agent = start(&lab, &clock, &state)?;
            scan(&lab, PORTS.start..middle)?;
            agent.wait_drained(15 * SIGNALS_PER_PORT)?;
            ensure!(agent.stop()?.status.success());
            let ahead = *row.ahead.first().context("a step")?;
            clock.set_ahead(ahead)?;
            let agent = start(&lab, &clock, &state)?;
            scan(&lab, middle..PORTS.end)?;
            agent.wait_for("the alert", |seen| has_alert(seen).then_some(()))?;
            let stopped = agent.stop()?;
            let alerts = scans(&stopped.seen);
            ensure!(
                alerts.len() == 1 && phase(alerts[0]) == "began",
                "{alerts:?}"
            );
            ensure!(alerts[0].text("recon.count").as_deref() == Some("21"));
            ensure_on_clock(alerts[0], ahead)?;
            // The same ports once more, while there is an incident.
            clock.set_ahead(0)?;
            let agent = start(&lab, &clock, &state)?;
            scan(&lab, PORTS)?;
            agent.wait_drained(SIGNALS_PER_PORT * PORTS.len() as u64)?;
            let stopped = agent.stop()?;
            ensure!(scans(&stopped.seen).is_empty(), "{}", stopped.seen);
            Ok(())
        },
    );
}

/// Fails unless the alert was written at about this time by a clock that is so far ahead.
fn ensure_on_clock(alert: &Alert, ahead: i64) -> Result<()> {
    let written = alert.text("@timestamp").context("a time")?;
    let written: jiff::Timestamp = written.parse()?;
    let off = written.duration_since(jiff::Timestamp::now()).as_secs() - ahead;
    ensure!(off.abs() < HOUR, "{written} is {off} s off");
    Ok(())
}

/// What a stopped recon misses is counted by the kernel, and recon says that it was late.
fn ensure_stop_is_survived(stop: Duration) -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 100ms")?;
    scan(&lab, PORTS.start..PORTS.start + 5)?;
    agent.wait_drained(5 * SIGNALS_PER_PORT)?;
    agent.signal(Signal::SIGSTOP)?;
    let end = Instant::now() + stop;
    let mut scanned = 5;
    while Instant::now() < end {
        scan(&lab, PORTS)?;
        scanned += PORTS.len() as u64;
        // Time that passes is what the test is about.
        thread::sleep(Duration::from_millis(200));
    }
    ensure!(scans(&agent.seen()).is_empty(), "it was not stopped");
    agent.signal(Signal::SIGCONT)?;
    agent.wait_drained(scanned * SIGNALS_PER_PORT)?;
    agent.wait_for("the alert", |seen| has_alert(seen).then_some(()))?;
    agent.wait_for("an alert that polls were missed", |seen| {
        let mut alerts = seen.alerts.iter();
        let is_it = |alert: &&Alert| {
            let message = alert.text("message").unwrap_or_default();
            alert.text("rule.category").as_deref() == Some("recon-blind")
                && message.contains("late")
        };
        alerts.find(is_it).map(drop)
    })?;
    ensure!(scans(&agent.seen()).len() == 1, "{}", agent.seen());
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(totals.signals == scanned * SIGNALS_PER_PORT, "{totals:?}");
    // A busy machine starts more programs in a minute than the ring of their names holds.
    ensure!(totals.lost_table_full == 0, "{totals:?}");
    ensure!(
        !stopped.seen.has_logged(" missed_polls=0 "),
        "{}",
        stopped.seen
    );
    Ok(())
}

#[test]
fn a_stop_of_ten_seconds_loses_nothing() -> Result<()> {
    ensure_stop_is_survived(Duration::from_secs(10))
}

#[test]
#[ignore = "takes a minute"]
fn a_stop_of_a_minute_loses_nothing() -> Result<()> {
    ensure_stop_is_survived(Duration::from_secs(60))
}

const DROP: &str = "drop";
const REFUSE: &str = "tcp dport 0-65535 reject with tcp reset";

/// A firewall that gets in behind recon's hooks, and whose rules are flushed.
#[test]
fn firewalls_that_come_and_go_change_no_count() {
    rows::check(
        &[DROP, REFUSE],
        |rule| rule,
        |rule| {
            let lab = Lab::new()?;
            let agent = Agent::start(&lab, "--interval 100ms --xdp off")?;
            let sender = lab.sender()?;
            let path = Path::new(IpAddr::from(ATTACKER), HOST);
            let close = format!(
                "nft -f - <<END\ntable inet wall {{\nchain in {{\n\
                 type filter hook input priority 0\n{rule}\n}}\n}}\nEND"
            );
            let mut attempts = 0;
            for step in ["true", &close, "nft flush ruleset"] {
                run(lab.host(), shell(step), PATIENCE)?.success()?;
                for port in PORTS {
                    sender.send(&path.tcp(syn(port), &[])?)?;
                    attempts += 1;
                }
                agent.wait_drained(attempts)?;
            }
            agent.wait_for("the alert", |seen| has_alert(seen).then_some(()))?;
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            let [[inbound, ..], _] = stopped.totals()?.classes;
            ensure!(inbound == attempts, "{inbound} of {attempts}");
            ensure!(scans(&stopped.seen).len() == 1, "{}", stopped.seen);
            Ok(())
        },
    );
}

/// Another XDP program takes its place in front of recon's TC hook, and leaves it.
#[test]
fn an_xdp_program_in_front_changes_no_count() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 100ms --xdp off")?;
    let per_scan = SIGNALS_PER_PORT * PORTS.len() as u64;
    scan(&lab, PORTS)?;
    agent.wait_drained(per_scan)?;
    for round in 1..=3 {
        let other = Agent::start(&lab, "--interval 100ms --xdp native")?;
        scan(&lab, PORTS)?;
        agent.wait_drained((2 * round) * per_scan)?;
        ensure!(other.stop()?.status.success());
        scan(&lab, PORTS)?;
        agent.wait_drained((2 * round + 1) * per_scan)?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(
        totals.signals == 7 * per_scan && totals.lost == 0,
        "{totals:?}"
    );
    ensure!(scans(&stopped.seen).len() == 1, "{}", stopped.seen);
    Ok(())
}
