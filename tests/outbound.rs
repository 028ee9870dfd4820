//! The boundary of the detections that know this host's processes, on real connections: N events
//! raise no alert, one more does.
//!
//! One row for each rule and measure. Two processes of the host, and a third one for inbound
//! connections, do what the row says with three remotes of the attacker's. Other rules may fire on
//! the same connections: a row checks only its own rule, measure and signals.

#[path = "outbound/bench.rs"]
mod bench;
#[path = "outbound/failures.rs"]
mod failures;
#[path = "outbound/table.rs"]
mod table;

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use recon_tests::kernel::is_emulated;
use recon_tests::seen::Seen;
use recon_tests::{Agent, Alert, Lab, report, rows};

use bench::{Actor, Bench, Group, Place};
use table::{FAILED, ROWS};

const INTERVAL: &str = "--interval 100ms";
const WINDOW: &str = "1h";

struct Row {
    name: &'static str,
    rule: &'static str,
    measure: &'static str,
    /// The counted signals.
    signals: &'static [&'static str],
    /// N, the last quiet number of events.
    threshold: u64,
    direction: &'static str,
    /// The names of the host's two processes.
    programs: [&'static str; 2],
    /// Events of the second process at the first remote that must raise no alert: none if both
    /// processes count together.
    others: u64,
    /// Lines of `ip -batch` on the host.
    routes: &'static str,
    /// Makes the event with this number for the group.
    event: fn(&Bench, Group, u16) -> Result<()>,
    /// Signals of an event, of all kinds together.
    gives: u64,
    /// The ends that an alert names.
    ends: fn(Place) -> Ends,
}

/// The source and the destination that an alert names.
struct Ends {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    port: Option<u16>,
}

impl Row {
    /// Makes the events with these numbers, and returns how many signals they cause.
    fn make(&self, bench: &Bench, group: Group, numbers: std::ops::Range<u64>) -> Result<u64> {
        let signals = self.gives * (numbers.end - numbers.start);
        for number in numbers {
            (self.event)(bench, group, u16::try_from(number)?)?;
        }
        Ok(signals)
    }

    /// The fields of an alert about the group.
    fn names(&self, bench: &Bench, group: Group) -> Vec<(&'static str, Option<String>)> {
        let Ends {
            source,
            destination,
            port,
        } = (self.ends)(group.place);
        let process = match self.direction {
            "egress" => bench.actor(group.actor),
            _ => &bench.server,
        };
        let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string());
        vec![
            ("source.ip", ip(source)),
            ("destination.ip", ip(destination)),
            ("destination.port", port.map(|port| port.to_string())),
            ("process.pid", Some(process.pid().to_string())),
        ]
    }

    /// This row's alerts, about any group.
    fn fired<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a Alert> {
        seen.fired(self.rule, self.measure)
            .filter(|alert| alert.signals() == self.signals)
    }

    /// The first alert about the group.
    fn about(&self, bench: &Bench, group: Group, seen: &Seen) -> Option<Alert> {
        let names = self.names(bench, group);
        let is_named =
            |alert: &&Alert| names.iter().all(|(name, value)| alert.text(name) == *value);
        self.fired(seen).find(is_named).cloned()
    }

    /// Fails if there is any alert: no group has more than N events.
    fn ensure_quiet(&self, seen: &Seen) -> Result<()> {
        match self.fired(seen).next() {
            Some(early) => bail!("at {} events: {early}", self.threshold),
            None => Ok(()),
        }
    }

    fn check_alert(&self, bench: &Bench, group: Group, alert: &Alert) -> Result<()> {
        /// The tests run as root.
        const ROOT: &str = "0";
        let process = match self.direction {
            "egress" => bench.actor(group.actor),
            _ => &bench.server,
        };
        let text = |value: &str| Some(value.to_owned());
        let executable = process.executable();
        let name = executable.file_name().map(|name| name.to_string_lossy());
        for (field, expected) in [
            ("event.kind", text("alert")),
            ("network.direction", text(self.direction)),
            ("network.transport", text("tcp")),
            ("recon.count", Some((self.threshold + 1).to_string())),
            ("recon.threshold", Some(self.threshold.to_string())),
            ("recon.window", text(WINDOW)),
            ("recon.lower_bound", text("false")),
            ("process.name", name.map(Into::into)),
            ("process.executable", Some(executable.display().to_string())),
            ("process.command_line", text(process.command_line())),
            ("process.parent.pid", Some(std::process::id().to_string())),
            ("user.id", text(ROOT)),
            ("container.id", None),
        ] {
            let found = alert.text(field);
            ensure!(
                found == expected,
                "{field} is {found:?}, not {expected:?}: {alert}"
            );
        }
        Ok(())
    }

    /// Makes one more event for a group with N, after `signals` in all, and expects an alert from
    /// the poll that drains it.
    fn cross(&self, bench: &Bench, agent: &Agent, group: Group, signals: u64) -> Result<u64> {
        let more = self.make(bench, group, self.threshold..self.threshold + 1)?;
        let what = format!("an alert about {group:?}");
        let alert =
            agent.wait_alert(&what, signals + more, |seen| self.about(bench, group, seen))?;
        self.check_alert(bench, group, &alert)?;
        Ok(more)
    }
}

fn groups_are_counted_apart(row: &Row, lab: &Lab, bench: &Bench) -> Result<()> {
    let [first, other, second, private] = Group::ALL;
    let agent = Agent::start(lab, INTERVAL)?;
    let mut signals = row.make(bench, first, 0..row.threshold)?;
    signals += row.make(bench, other, 0..row.others)?;
    signals += row.make(bench, second, 0..row.threshold)?;
    signals += row.make(bench, private, 0..row.threshold + 1)?;
    agent.wait_drained(signals)?;
    row.ensure_quiet(&agent.seen())?;

    signals += row.cross(bench, &agent, first, signals)?;
    agent.wait_drained(signals)?;
    let stopped = agent.stop()?;
    let totals = stopped.totals()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(
        (totals.signals, totals.lost) == (signals, 0),
        "{signals} signals, not {totals:?}"
    );
    let count = row.fired(&stopped.seen).count();
    ensure!(count == 1, "{count} alerts, not one\n{}", stopped.seen);
    Ok(())
}

fn private_places_count_on_demand(row: &Row, lab: &Lab, bench: &Bench) -> Result<()> {
    let [.., private] = Group::ALL;
    let agent = Agent::start(lab, &format!("{INTERVAL} --include-private"))?;
    let signals = row.make(bench, private, 0..row.threshold)?;
    agent.wait_drained(signals)?;
    row.ensure_quiet(&agent.seen())?;
    row.cross(bench, &agent, private, signals)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    Ok(())
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let bench = Bench::new(&lab, row.programs, row.routes)?;
    groups_are_counted_apart(row, &lab, &bench).context("public places")?;
    private_places_count_on_demand(row, &lab, &bench).context("with --include-private")
}

/// An alert waits a tenth of a second for the name of its process. Emulated processors that four
/// rows share may take longer over it, so that a row has a second try there.
fn check_in_time(row: &Row) -> Result<()> {
    match check(row) {
        Err(error) if is_emulated()? => {
            println!("{}: again after: {error:#}", row.name);
            check(row)
        }
        checked => checked,
    }
}

#[test]
fn one_more_than_the_threshold_alerts_and_names_the_process() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| report::detections([(row.rule, row.measure)], check_in_time(row)),
    );
}

#[test]
fn several_processes_are_named_in_a_list() -> Result<()> {
    let lab = Lab::new()?;
    let bench = Bench::new(&lab, FAILED.programs, FAILED.routes)?;
    let agent = Agent::start(&lab, INTERVAL)?;
    let [first, other, ..] = Group::ALL;
    let signals = FAILED.make(&bench, first, 0..FAILED.threshold)?;
    agent.wait_drained(signals)?;
    FAILED.make(&bench, other, 0..1)?;
    let alert = agent.wait_for("an alert about both", |seen| {
        seen.fired(FAILED.rule, FAILED.measure).next().cloned()
    })?;
    ensure!(
        alert.field("process").is_none(),
        "names one of two processes: {alert}"
    );
    let processes = alert.field("recon.processes");
    let processes = processes.and_then(|list| list.as_array());
    let pids = processes.into_iter().flatten();
    let mut pids: Vec<_> = pids
        .filter_map(|process| process.get("pid")?.as_u64())
        .collect();
    pids.sort_unstable();
    let mut expected = [Actor::One, Actor::Other].map(|actor| u64::from(bench.actor(actor).pid()));
    expected.sort_unstable();
    ensure!(pids == expected, "{expected:?} in {alert}");
    Ok(())
}
