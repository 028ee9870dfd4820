//! Watched interfaces that vanish, come back, change their name or go down.

use anyhow::{Result, ensure};
use recon_tests::lab::{ATTACKER, HOST_LINK};
use recon_tests::scan::{PORTS, ensure_alert, has_alert, scan};
use recon_tests::{Agent, Alert, Lab, rows};

use super::{INTERVAL, ensure_nothing_attached};

const MODES: &[&str] = &["--xdp auto", "--xdp native", "--xdp generic", "--xdp off"];

fn wait_logged(agent: &Agent, text: &str) -> Result<()> {
    agent.wait_for(text, |seen| seen.has_logged(text).then_some(()))
}

#[test]
fn an_interface_that_is_created_again_is_watched_again() {
    rows::check(
        MODES,
        |mode| mode,
        |mode| {
            let lab = Lab::new()?;
            // Long intervals do not delay the hooks.
            let agent = Agent::start(&lab, &format!("{mode} --interval 5s"))?;
            for round in 1..=2 {
                lab.host().ip(&format!("link delete {HOST_LINK}\n"))?;
                agent.wait_for("its end", |seen| {
                    let log = seen.log.iter();
                    (log.filter(|line| line.contains("no watched interface is left"))
                        .count()
                        == round)
                        .then_some(())
                })?;
                ensure!(agent.seen().has_logged("veth0: is gone"));
                lab.join()?;
                agent.wait_for("its hooks", |seen| {
                    let log = seen.log.iter();
                    (log.filter(|line| line.contains("is back: veth0: inbound by "))
                        .count()
                        == round)
                        .then_some(())
                })?;
            }
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            agent.wait_for("an alert that it was gone", |seen| {
                let is_it = |alert: &&Alert| {
                    let text = alert.text("message");
                    alert.text("rule.category").as_deref() == Some("recon-blind")
                        && text.is_some_and(|text| text.contains("the interface veth0 is gone"))
                };
                seen.alerts.iter().find(is_it).map(drop)
            })?;
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            ensure_nothing_attached(&lab)
        },
    );
}

/// Without any interface, recon goes on until it is asked to end.
#[test]
fn an_agent_without_interfaces_ends_in_order() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 60s")?;
    scan(&lab, PORTS)?;
    lab.host().ip(&format!("link delete {HOST_LINK}\n"))?;
    wait_logged(&agent, "no watched interface is left")?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    // What was counted before is not lost.
    ensure!(has_alert(&stopped.seen), "{}", stopped.seen);
    Ok(())
}

#[test]
fn an_interface_that_is_renamed_keeps_its_hooks() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, INTERVAL)?;
    let host = lab.host();
    host.ip(&format!("link set {HOST_LINK} down\n"))?;
    wait_logged(&agent, "veth0: is down")?;
    host.ip(&format!("link set {HOST_LINK} name lan0\n"))?;
    wait_logged(&agent, "veth0: is now named lan0")?;
    host.ip(&format!(
        "link set lan0 up\nroute replace default via {ATTACKER}\n"
    ))?;
    wait_logged(&agent, "lan0: is up")?;
    host.ip(&format!("link set lan0 name {HOST_LINK}\n"))?;
    wait_logged(&agent, "lan0: is now named veth0")?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)
}

#[test]
fn a_second_agent_is_told_of_the_first() -> Result<()> {
    let says = "veth0: another recon watches it";
    let lab = Lab::new()?;
    let first = Agent::start(&lab, INTERVAL)?;
    ensure!(!first.seen().has_logged(says), "{}", first.seen());
    let second = Agent::start(&lab, &format!("{INTERVAL} --xdp auto"))?;
    ensure!(second.seen().has_logged(says), "{}", second.seen());
    // The claim ends with its agent.
    for agent in [first, second] {
        ensure!(agent.stop()?.status.success());
    }
    let third = Agent::start(&lab, INTERVAL)?;
    ensure!(!third.seen().has_logged(says), "{}", third.seen());
    Ok(())
}

/// A poll makes no list while it waits: it is a later one that says so, from inside of the sandbox.
#[test]
fn two_agents_are_told_of_each_other_on_a_new_interface() -> Result<()> {
    let says = "t0: another recon watches it";
    let lab = Lab::new()?;
    let start = || Agent::start(&lab, &format!("{INTERVAL} --xdp off -i t*"));
    let [one, other] = [start()?, start()?];
    let attacker = lab.attacker().name();
    lab.host().ip(&format!(
        "link add t0 type veth peer name far0 netns {attacker}\nlink set t0 up\n"
    ))?;
    one.wait_for(says, |seen| {
        let has_logged = seen.has_logged(says) || other.seen().has_logged(says);
        has_logged.then_some(())
    })?;
    for agent in [one, other] {
        let stopped = agent.stop()?;
        ensure!(stopped.status.success(), "{}", stopped.status);
        ensure!(
            !stopped.seen.has_logged("can't look for"),
            "{}",
            stopped.seen
        );
    }
    ensure_nothing_attached(&lab)
}
