//! Other hooks and other interfaces than the last agent's: `--xdp` and `-i` change between two
//! agents, under traffic.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use recon_tests::frame::{Path, syn};
use recon_tests::hooks::attached;
use recon_tests::{Seen, Sender};

use super::pinned::{Pinned, TARGET, kill, stop};

/// A mode, and the hooks that it has.
const MODES: [(&str, [&str; 2]); 8] = [
    ("native", ["xdp", "tcx egress"]),
    ("generic", ["xdp", "tcx egress"]),
    ("off", ["tcx ingress", "tcx egress"]),
    ("native", ["xdp", "tcx egress"]),
    ("off", ["tcx ingress", "tcx egress"]),
    ("generic", ["xdp", "tcx egress"]),
    ("native", ["xdp", "tcx egress"]),
    // A veth pair's default.
    ("auto", ["tcx ingress", "tcx egress"]),
];
/// The links of the second pair.
const SECOND: &str = "veth2";
const SECOND_PEER: &str = "veth3";

/// A changed hook costs no more packets than its log line says, and nothing outside of the change.
#[test]
fn another_mode_costs_what_it_says() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let arguments = |mode: &str| format!("--xdp {mode}");
    let mut agent = pinned.start(&arguments(MODES[0].0))?;
    let mut most = 0;
    for (number, (mode, hooks)) in MODES.into_iter().enumerate().skip(1) {
        agent = pinned.under_traffic(|pinned| {
            match number % 2 {
                0 => kill(agent)?,
                _ => stop(agent)?,
            };
            let agent = pinned.start(&arguments(mode))?;
            agent.wait_poll()?;
            Ok(agent)
        })?;
        let found = attached(&pinned.lab)?;
        ensure!(found == hooks, "{mode}: {found:?}");
        pinned.ensure_one_program()?;
        let cost = announced_cost(&agent.seen()).with_context(|| mode.to_owned())?;
        println!("--xdp {mode}: up to {cost}");
        most += cost;
        // Another poll has what the traffic sent last.
        agent.wait_poll()?;
        agent.wait_poll()?;
        let (sent, counted) = (pinned.sent(), pinned.counted()?);
        ensure!(
            sent.abs_diff(counted) <= most,
            "{mode}: {sent} sent, {counted} counted, {most} announced"
        );
    }
    // Without a change nothing is missed.
    let before = pinned.sent() - pinned.counted()?.min(pinned.sent());
    stop(agent)?;
    pinned.send_once()?;
    let agent = pinned.start("--xdp auto")?;
    ensure!(announced_cost(&agent.seen()).is_none(), "{}", agent.seen());
    agent.wait_poll()?;
    agent.wait_poll()?;
    let after = pinned.sent() - pinned.counted()?.min(pinned.sent());
    ensure!(before == after, "{before} missed before, {after} after");
    pinned.finish(agent)
}

/// The packets that the log says a change has cost at most.
fn announced_cost(seen: &Seen) -> Option<u64> {
    let mut lines = seen.log.iter();
    let line = lines.find(|line| line.contains("the inbound hook has changed"))?;
    let (_, rest) = line.split_once("up to ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// An interface that is added or omitted changes nothing on the others.
#[test]
fn other_interfaces_change_nothing_on_those_that_stay() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let host = pinned.lab.host();
    host.ip(&format!(
        "link add {SECOND} type veth peer name {SECOND_PEER} netns {}\nlink set {SECOND} up\n",
        pinned.lab.attacker().name()
    ))?;
    pinned
        .lab
        .attacker()
        .ip(&format!("link set {SECOND_PEER} up\n"))?;
    let second = Sender::open(pinned.lab.attacker(), SECOND_PEER)?;
    let frame = Path::new(Ipv4Addr::new(198, 19, 9, 9), TARGET).tcp(syn(2001), &[])?;
    let mut agent = pinned.start("--xdp native")?;
    let mut on_second = 0;
    for number in 0..6 {
        let has_second = number % 2 == 0;
        let arguments = match has_second {
            true => format!("--xdp native -i {SECOND}"),
            false => "--xdp native".to_owned(),
        };
        agent = pinned.under_traffic(|pinned| {
            match number % 3 {
                0 => kill(agent)?,
                _ => stop(agent)?,
            };
            pinned.start(&arguments)
        })?;
        pinned.ensure_one_program()?;
        second.send(&frame)?;
        on_second += u64::from(has_second);
        pinned.ensure_counted(&agent, on_second)?;
    }
    pinned.finish(agent)
}
