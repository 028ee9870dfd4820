//! Users who may not run recon hold sockets at its addresses: no agent takes one for another agent,
//! overlooks an agent, or removes an agent's filter.
//!
//! In: agents that attach under clsact; sockets of nobody, and of root. Out: the filters that tc
//! lists, and what the agents log.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::kernel::without_links;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::{Process, run};
use recon_tests::program::PYTHON;
use recon_tests::{Agent, PATIENCE};

use super::clsact::{filters, start};
use super::pinned::{Pinned, kill, stop};

const NOBODY: &str = "65534";
const ROOT: &str = "0";
/// What an agent says that has removed a filter, and one whose filter is gone.
const REMOVED: &str = "removed a program of an earlier agent";
const DETACHED: &str = "somebody has detached";
const ANOTHER: &str = "veth0: another recon watches it";

/// Holds sockets of that user at these addresses, until it is dropped.
fn hold(pinned: &Pinned, user: &str, addresses: &[String]) -> Result<Process> {
    const SCRIPT: &str = include_str!("hold_sockets.py");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", user, "--clear-groups"])
        .args([PYTHON, "-I", "-S", "-c", SCRIPT])
        .args(addresses)
        .stdout(Stdio::piped());
    let mut process = Process::spawn_fed(pinned.lab.host(), command)?;
    let stdout = process.take_stdout().context("a pipe from stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    ensure!(line == "holds\n", "{line:?}");
    Ok(process)
}

/// The addresses of an older recon for everything that this one claims, each with `suffix`.
fn older(pinned: &Pinned, suffix: &str) -> Result<Vec<String>> {
    let link = pinned.lab.link(pinned.lab.host(), HOST_LINK)?;
    let index = &link["ifindex"];
    let names = ["agent", "recon_ingress", "recon_egress"];
    Ok(names
        .map(|name| format!("recon/{name}/{index}{suffix}"))
        .into())
}

/// The addresses of recon that are bound now.
fn bound(pinned: &Pinned) -> Result<Vec<String>> {
    let mut command = Command::new("cat");
    command.arg("/proc/net/unix");
    let listed = run(pinned.lab.host(), command, PATIENCE)?.success()?;
    let addresses = listed
        .lines()
        .filter_map(|line| line.split_once(" @recon/"));
    Ok(addresses.map(|(_, rest)| format!("recon/{rest}")).collect())
}

/// An agent without pins that attaches under clsact; whether it watches is still to be waited for.
fn launch_alone(pinned: &Pinned) -> Result<Agent> {
    let mut command = recon(&format!(
        "run -vv -i {HOST_LINK} --xdp off --profile source --interval 100ms"
    ))?;
    command.args(pinned.lab.watched_sockets());
    Agent::launch(&pinned.lab, without_links(&command), Stdio::piped())
}

fn start_alone(pinned: &Pinned) -> Result<Agent> {
    let agent = launch_alone(pinned)?;
    agent.wait_ready()?;
    Ok(agent)
}

fn ensure_filters(pinned: &Pinned, expected: usize) -> Result<()> {
    let found = filters(pinned, HOST_LINK)?;
    ensure!(found.len() == expected, "{expected} expected: {found:#?}");
    Ok(())
}

/// Fails if the agent says that one of its filters is gone, also after it has looked.
fn ensure_untouched(agent: &Agent) -> Result<()> {
    agent.wait_poll()?;
    agent.wait_poll()?;
    let seen = agent.seen();
    ensure!(!seen.has_logged(DETACHED), "{seen}");
    Ok(())
}

/// He has the addresses but for the first before recon starts, and takes that one, too, while the
/// service restarts.
#[test]
fn a_stranger_changes_no_restart() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let mut strangers = Vec::new();
    for suffix in ["/1", "/2", "/3"] {
        strangers.push(hold(&pinned, NOBODY, &older(&pinned, suffix)?)?);
    }
    let agent = start(&mut pinned, "--xdp off")?;
    let claims = bound(&pinned)?;
    strangers.push(hold(&pinned, NOBODY, &claims)?);
    stop(agent)?;
    strangers.push(hold(&pinned, NOBODY, &older(&pinned, "")?)?);
    strangers.push(hold(&pinned, NOBODY, &claims)?);
    let places = |pinned: &Pinned| -> Result<Vec<String>> {
        let before_id = |line: &String| line.split(" id ").next().map(str::to_owned);
        let found = filters(pinned, HOST_LINK)?;
        Ok(found.iter().filter_map(before_id).collect())
    };
    let before = places(&pinned)?;
    ensure!(before.len() == 2, "{before:?}");
    pinned.send_once()?;
    let agent = start(&mut pinned, "--xdp off")?;
    ensure_untouched(&agent)?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    let seen = kill(agent)?;
    ensure!(!seen.has_logged(REMOVED), "{seen}");
    pinned.send_once()?;
    let agent = start(&mut pinned, "--xdp off")?;
    ensure_untouched(&agent)?;
    ensure!(!agent.seen().has_logged(REMOVED), "{}", agent.seen());
    ensure!(!agent.seen().has_logged(ANOTHER), "{}", agent.seen());
    pinned.ensure_all_counted(&agent)?;
    let after = places(&pinned)?;
    ensure!(before == after, "{before:?}, then {after:?}");
    drop(strangers);
    pinned.finish(agent)
}

/// A stranger who has the addresses before, and others of the same names after, hides no agent.
#[test]
fn no_stranger_hides_an_agent() -> Result<()> {
    let pinned = Pinned::new()?;
    let first = hold(&pinned, NOBODY, &older(&pinned, "")?)?;
    let agent = start_alone(&pinned)?;
    let _behind = hold(&pinned, NOBODY, &bound(&pinned)?)?;
    drop(first);
    let detached = pinned.detach()?.success()?;
    ensure!(
        detached.contains("a running recon keeps clsact_ingress of veth0, clsact_egress of veth0"),
        "{detached}"
    );
    ensure_filters(&pinned, 2)?;
    let second = start_alone(&pinned)?;
    ensure!(second.seen().has_logged(ANOTHER), "{}", second.seen());
    ensure_filters(&pinned, 4)?;
    ensure_untouched(&agent)?;
    ensure_untouched(&second)?;
    stop(second)?;
    ensure_untouched(&agent)?;
    ensure_filters(&pinned, 2)?;
    stop(agent)?;
    ensure_filters(&pinned, 0)
}

/// What a killed agent has left goes, and nothing of the two.
#[test]
fn two_agents_that_begin_at_once_leave_each_other_alone() -> Result<()> {
    let pinned = Pinned::new()?;
    let killed = start_alone(&pinned)?;
    killed.signal(Signal::SIGKILL)?;
    drop(killed.wait()?);
    ensure_filters(&pinned, 2)?;
    let agents = [launch_alone(&pinned)?, launch_alone(&pinned)?];
    agents.iter().try_for_each(Agent::wait_ready)?;
    ensure_filters(&pinned, 4)?;
    agents.iter().try_for_each(ensure_untouched)?;
    let warned = agents
        .iter()
        .filter(|agent| agent.seen().has_logged(ANOTHER));
    ensure!(warned.count() > 0, "neither has seen the other");
    let [one, other] = agents;
    stop(one)?;
    ensure_untouched(&other)?;
    ensure_filters(&pinned, 2)?;
    stop(other)?;
    ensure_filters(&pinned, 0)
}

/// One that runs while this one starts claims by its addresses all filters of a name.
#[test]
fn filters_of_an_older_recon_stay() -> Result<()> {
    let pinned = Pinned::new()?;
    let killed = start_alone(&pinned)?;
    killed.signal(Signal::SIGKILL)?;
    drop(killed.wait()?);
    let runs = hold(&pinned, ROOT, &older(&pinned, "")?[..2])?;
    let agent = start_alone(&pinned)?;
    ensure!(agent.seen().has_logged(ANOTHER), "{}", agent.seen());
    // The inbound one of the older recon, which has claimed no outbound one, and two of its own.
    ensure_filters(&pinned, 3)?;
    stop(agent)?;
    ensure_filters(&pinned, 1)?;
    let detached = pinned.detach()?.success()?;
    ensure!(
        detached.contains("a running recon keeps clsact_ingress of veth0"),
        "{detached}"
    );
    ensure_filters(&pinned, 1)?;
    drop(runs);
    pinned.detach()?.success()?;
    ensure_filters(&pinned, 0)
}
