//! The verdict attacked: a scan forged in a client's name, and a scanner that buys successes.

use anyhow::{Result, ensure};
use recon_tests::{Agent, Alert, Lab, rows};

use super::bench::{Network, prepare};
use super::{INTERVAL, Severity, Side, describe, execute, settle, severity, stop};

const PEER: Network = Network(1);

/// What a source does, and what must be said of it.
struct Case {
    name: &'static str,
    /// Shell commands of the peer, each with the least number of signals so far. recon polls
    /// between them.
    steps: &'static [(&'static str, u64)],
    /// The severity of the gravest alert.
    gravest: &'static str,
    /// Whether an alert says that the source is proven.
    is_proven: bool,
    /// The rule that must report it.
    rule: &'static str,
}

const CASES: &[Case] = &[
    Case {
        // From the host's side both are the same packets: the client's address sends SYNs, and
        // completes no handshake on a port that it tried.
        name: "a scan in the name of a client, which goes on as before",
        steps: &[
            (
                "for i in $(seq 6); do {curl} http://{host}/ || exit; done",
                12,
            ),
            ("{nmap} -sS -p 2000-2099 {host}", 212),
            (
                "for i in $(seq 6); do {curl} http://{host}/ || exit; done",
                224,
            ),
        ],
        gravest: "medium",
        is_proven: false,
        rule: "port-scan",
    },
    Case {
        name: "two hundred successes among forty failures",
        steps: &[
            (
                "for i in $(seq 100); do {curl} http://{host}/ || exit; done",
                200,
            ),
            ("{nmap} -sS -p 2000-2019 {host}", 240),
            (
                "for i in $(seq 100); do {curl} http://{host}/ || exit; done",
                440,
            ),
            ("{nmap} -sS -p 2020-2039 {host}", 480),
        ],
        gravest: "medium",
        is_proven: false,
        rule: "port-scan",
    },
    Case {
        name: "a scan whose sender uses what it found",
        steps: &[
            ("{nmap} -sS -p 80,2000-2099 {host}", 202),
            ("{curl} http://{host}/", 204),
        ],
        gravest: "high",
        is_proven: true,
        rule: "scan-then-connect",
    },
];

fn check(case: &Case) -> Result<()> {
    let lab = Lab::new()?;
    let _servers = prepare(&lab)?;
    let agent = Agent::start(&lab, &format!("{INTERVAL} --profile outcomes"))?;
    for (line, signals) in case.steps {
        execute(&lab, Side::Peer, PEER, line)?;
        settle(&agent, *signals)?;
    }
    agent.wait_for("an alert of the rule", |seen| {
        let mut alerts = seen.alerts.iter();
        let is_of_rule = |alert: &&Alert| alert.text("rule.category").as_deref() == Some(case.rule);
        alerts.find(is_of_rule).cloned()
    })?;
    let alerts = stop(agent)?;
    let lines = || describe(alerts.iter());
    ensure!(
        alerts.iter().all(|alert| PEER.is_all_of(alert)),
        "{}",
        lines()
    );
    let is_high = |alert: &Alert| alert.text("recon.severity").as_deref() == Some("high");
    let gravest = match alerts.iter().any(is_high) {
        true => "high",
        false => "medium",
    };
    ensure!(gravest == case.gravest, "{gravest}{}", lines());
    ensure!(
        alerts
            .iter()
            .any(|alert| severity(alert) == Severity::MediumOrHigh),
        "{}",
        lines()
    );
    let says_proven = |alert: &Alert| alert.text("recon.source_proven").as_deref() == Some("true");
    let is_proven = alerts.iter().any(says_proven);
    ensure!(is_proven == case.is_proven, "{is_proven}{}", lines());
    Ok(())
}

#[test]
fn a_verdict_is_neither_forged_nor_bought() {
    rows::check(CASES, |case| case.name, check);
}
