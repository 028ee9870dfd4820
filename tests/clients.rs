//! Ordinary clients, servers and programs raise no alert above informational, and attacks among
//! them do.
//!
//! Each peer has a network of its own, so that an alert tells which one it names.

#[path = "clients/attacks.rs"]
mod attacks;
#[path = "clients/bench.rs"]
mod bench;
#[path = "clients/inbound.rs"]
mod inbound;
#[path = "clients/outbound.rs"]
mod outbound;
#[path = "clients/verdict.rs"]
mod verdict;

use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::namespace::Namespace;
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Alert, Lab, rows};

use attacks::{ATTACKS, Attack};
use bench::{Guards, Network, prepare};

const INTERVAL: &str = "--interval 100ms";
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Side {
    Host,
    Peer,
}

impl Side {
    fn namespace(self, lab: &Lab) -> &Namespace {
        match self {
            Self::Host => lab.host(),
            Self::Peer => lab.attacker(),
        }
    }
}

/// Ordinary traffic.
struct Row {
    name: &'static str,
    /// Starts the servers that this traffic needs beyond those of every lab.
    serve: fn(&Lab, Network) -> Result<Guards>,
    /// Where the clients run.
    side: Side,
    /// Their shell command. Names in braces are placeholders for parts of the lab.
    line: &'static str,
    /// The least number of signals that the traffic causes: one for each connection, flow or ping.
    signals: u64,
}

/// A row's traffic, and the network of its peers.
struct Traffic {
    row: &'static Row,
    network: Network,
}

impl Traffic {
    fn run(&self, lab: &Lab) -> Result<()> {
        execute(lab, self.row.side, self.network, self.row.line)
    }
}

fn all_traffic() -> Vec<Traffic> {
    let rows = inbound::ROWS.iter().chain(outbound::ROWS);
    let networks = Network::clients();
    rows.zip(networks)
        .map(|(row, network)| Traffic { row, network })
        .collect()
}

fn execute(lab: &Lab, side: Side, network: Network, line: &str) -> Result<()> {
    let line = network.fill(line);
    run(side.namespace(lab), shell(&line), DEADLINE)?
        .success()
        .map(drop)
}

/// Waits until that many signals are drained and until two more polls have ended: the second one
/// has begun after the last packet.
fn settle(agent: &Agent, signals: u64) -> Result<()> {
    agent.wait_drained(signals)?;
    agent.wait_poll().map(drop)
}

/// Stops the agent and returns its alerts above informational.
fn stop(agent: Agent) -> Result<Vec<Alert>> {
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(totals.lost == 0, "losses: {totals:?}");
    let mut alerts = stopped.seen.alerts;
    alerts.retain(|alert| severity(alert) > Severity::Informational);
    Ok(alerts)
}

#[derive(PartialEq, PartialOrd)]
enum Severity {
    Informational,
    Low,
    MediumOrHigh,
}

/// An unknown severity counts as the highest.
fn severity(alert: &Alert) -> Severity {
    match alert.text("recon.severity").as_deref() {
        Some("informational") => Severity::Informational,
        Some("low") => Severity::Low,
        _ => Severity::MediumOrHigh,
    }
}

/// The first alert of each rule and measure, each in a line.
fn describe<'a>(alerts: impl Iterator<Item = &'a Alert>) -> String {
    let mut fired = Vec::new();
    let mut lines = String::new();
    for alert in alerts {
        if !fired.contains(&alert.fired()) {
            fired.push(alert.fired());
            let text = |name| alert.text(name).unwrap_or_default();
            let (severity, direction) = (text("recon.severity"), text("network.direction"));
            lines += &format!("\n{severity} {direction} {}", text("message"));
        }
    }
    lines
}

fn check(traffic: &Traffic) -> Result<()> {
    let lab = Lab::new()?;
    let _servers = prepare(&lab)?;
    let _more = (traffic.row.serve)(&lab, traffic.network)?;
    let agent = Agent::start(&lab, &format!("{INTERVAL} --profile outcomes"))?;
    traffic.run(&lab)?;
    settle(&agent, traffic.row.signals)?;
    let lines = describe(stop(agent)?.iter());
    ensure!(lines.is_empty(), "{lines}");
    Ok(())
}

#[test]
fn ordinary_traffic_raises_nothing_above_informational() {
    rows::check(&all_traffic(), |traffic| traffic.row.name, check);
}

enum Activity<'a> {
    Ordinary(&'a Traffic),
    Attack(&'a Attack, Network),
}

impl Activity<'_> {
    /// Runs it, and returns how it failed.
    fn run(&self, lab: &Lab, agent: &Agent) -> Option<String> {
        let (name, result) = match self {
            Self::Ordinary(traffic) => (traffic.row.name, traffic.run(lab)),
            Self::Attack(attack, network) => (attack.name, attack.run(lab, agent, *network)),
        };
        let error = result.err()?;
        Some(format!("\n== {name}: {error:#}"))
    }
}

impl Attack {
    fn run(&self, lab: &Lab, agent: &Agent, network: Network) -> Result<()> {
        execute(lab, self.side, network, self.line)?;
        let Some(later) = self.later else {
            return Ok(());
        };
        agent.wait_poll()?;
        agent.wait_poll()?;
        execute(lab, self.side, network, later)
    }

    /// Whether the alert reports this attack, by peers in this network.
    fn is_reported_by(&self, network: Network, alert: &Alert) -> bool {
        let rule = alert.text("rule.category");
        severity(alert) == Severity::MediumOrHigh
            && self.rule.is_none_or(|id| rule.as_deref() == Some(id))
            && network.is_named_by(alert)
    }
}

/// A paragraph for each attack without an alert at medium or high.
fn list_missed(attacks: &[(&Attack, Network)], alerts: &[Alert]) -> String {
    let mut text = String::new();
    for &(attack, network) in attacks {
        let about = || alerts.iter().filter(|alert| network.is_named_by(alert));
        if !about().any(|alert| attack.is_reported_by(network, alert)) {
            text += &format!("\n== missed: {}{}", attack.name, describe(about()));
        }
    }
    text
}

/// A paragraph for each row of ordinary traffic that an alert names, and one for alerts that name
/// nobody.
fn list_false(traffic: &[Traffic], attacks: &[(&Attack, Network)], alerts: &[Alert]) -> String {
    // An alert about an attacker and somebody else is wrong too.
    let is_right = |alert: &Alert| attacks.iter().any(|(_, network)| network.is_all_of(alert));
    let wrong: Vec<_> = alerts.iter().filter(|alert| !is_right(alert)).collect();
    let wrong = || wrong.iter().copied();
    let mut text = String::new();
    for Traffic { row, network } in traffic {
        let lines = describe(wrong().filter(|alert| network.is_named_by(alert)));
        if !lines.is_empty() {
            text += &format!("\n== ordinary: {}{lines}", row.name);
        }
    }
    let is_about = |alert: &Alert| traffic.iter().any(|peer| peer.network.is_named_by(alert));
    let lines = describe(wrong().filter(|alert| !is_about(alert)));
    if !lines.is_empty() {
        text += &format!("\n== about none of these{lines}");
    }
    text
}

#[test]
fn attacks_among_ordinary_traffic_are_reported_and_nobody_else() -> Result<()> {
    /// Most commands wait for answers, and nmap for more of them.
    const AT_A_TIME: usize = 8;
    let traffic = all_traffic();
    let attacks: Vec<_> = ATTACKS.iter().zip(Network::attackers()).collect();
    let lab = Lab::new()?;
    let mut guards = prepare(&lab)?;
    for Traffic { row, network } in &traffic {
        guards.extend((row.serve)(&lab, *network)?);
    }
    for (attack, network) in &attacks {
        guards.extend((attack.serve)(&lab, *network)?);
    }
    let mut activities: Vec<_> = traffic.iter().map(Activity::Ordinary).collect();
    // Spread among the others.
    let distance = activities.len() / attacks.len() + 1;
    for (number, &(attack, network)) in attacks.iter().enumerate() {
        activities.insert(number * distance, Activity::Attack(attack, network));
    }

    let agent = Agent::start(&lab, &format!("{INTERVAL} --profile outcomes"))?;
    let failures = rows::map_in_parallel(&activities, AT_A_TIME, |activity| {
        activity.run(&lab, &agent)
    });
    settle(
        &agent,
        traffic.iter().map(|traffic| traffic.row.signals).sum(),
    )?;
    let alerts = stop(agent)?;

    let failed: String = failures.into_iter().flatten().collect();
    let missed = list_missed(&attacks, &alerts);
    let report = failed + &missed + &list_false(&traffic, &attacks, &alerts);
    ensure!(report.is_empty(), "{report}");
    Ok(())
}
