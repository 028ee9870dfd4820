//! Filters of clsact, which have no pin and stay without an agent: who takes them over, who removes
//! them, and what an agent holds of them.
//!
//! In: agents that can't make links, as before Linux 6.6. Out: the filters that tc lists.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use recon_tests::kernel::without_links;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::run;
use recon_tests::{Agent, PATIENCE};

use super::pinned::{Pinned, stop};

/// A pair beside that of the lab.
const SECOND: &str = "t0";
/// How often it goes and comes back.
const ROUNDS: usize = 4;

/// Starts an agent that attaches under clsact.
pub(crate) fn start(pinned: &mut Pinned, arguments: &str) -> Result<Agent> {
    let command = without_links(&pinned.command(None, arguments)?);
    let agent = Agent::spawn(&pinned.lab, command, Stdio::piped())?;
    pinned.note_ids(&agent)?;
    Ok(agent)
}

/// The lines of tc about BPF filters of an interface.
pub(crate) fn filters(pinned: &Pinned, interface: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for direction in ["ingress", "egress"] {
        let mut command = Command::new("tc");
        command.args(["filter", "show", "dev", interface, direction]);
        let output = run(pinned.lab.host(), command, PATIENCE)?.success()?;
        let lines = output.lines().filter(|line| line.contains("recon_"));
        found.extend(lines.map(|line| format!("{direction}: {}", line.trim())));
    }
    Ok(found)
}

fn add_second(pinned: &Pinned) -> Result<()> {
    let attacker = pinned.lab.attacker().name();
    pinned.lab.host().ip(&format!(
        "link add {SECOND} type veth peer name far0 netns {attacker}\nlink set {SECOND} up\n"
    ))
}

fn descriptors(agent: &Agent) -> Result<usize> {
    let folder = format!("/proc/{}/fd", agent.pid());
    Ok(fs::read_dir(&folder).context(folder)?.count())
}

#[test]
fn an_interface_that_vanishes_leaves_no_descriptor() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = start(&mut pinned, "--xdp off -i t*")?;
    let before = descriptors(&agent)?;
    for round in 1..=ROUNDS {
        let logged = |what: &'static str| {
            agent.wait_for(what, |seen| {
                let lines = seen.log.iter().filter(|line| line.contains(what));
                (lines.count() >= round).then_some(())
            })
        };
        add_second(&pinned)?;
        logged("is new: t0: inbound by clsact ingress")?;
        pinned.lab.host().ip(&format!("link delete {SECOND}\n"))?;
        logged("t0: is gone")?;
        // The agent holds some for a moment, for a question, at either look.
        agent.wait_for("no more descriptors than before", |_| {
            (descriptors(&agent).ok()? <= before).then_some(())
        })?;
    }
    pinned.finish(agent)
}

/// The filters run the new programs by the time at which none attaches to the second pair, whose
/// inbound filters belong to a block.
#[test]
fn a_start_that_fails_puts_the_filters_back() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = start(&mut pinned, "--xdp off")?;
    stop(agent)?;
    let before = filters(&pinned, HOST_LINK)?;
    ensure!(before.len() == 2, "{before:?}");
    add_second(&pinned)?;
    let mut command = Command::new("tc");
    command.args([
        "qdisc",
        "add",
        "dev",
        SECOND,
        "ingress_block",
        "7",
        "clsact",
    ]);
    run(pinned.lab.host(), command, PATIENCE)?.success()?;
    let failing = without_links(&pinned.command(None, "--xdp off -i t0")?);
    let failed = run(pinned.lab.host(), failing, PATIENCE)?;
    ensure!(failed.status.code() == Some(1), "{:?}", failed.status);
    ensure!(
        failed.output.contains("can't watch t0"),
        "{}",
        failed.output
    );
    let after = filters(&pinned, HOST_LINK)?;
    ensure!(before == after, "{before:?}, then {after:?}");
    // What they count meanwhile is the third agent's.
    pinned.send_once()?;
    let agent = start(&mut pinned, "--xdp off")?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}

#[test]
fn filters_that_no_hook_needs_are_removed() -> Result<()> {
    let mut pinned = Pinned::new()?;
    add_second(&pinned)?;
    let agent = start(&mut pinned, "--xdp off -i t0")?;
    let both = filters(&pinned, SECOND)?;
    ensure!(both.len() == 2, "{both:?}");
    stop(agent)?;
    let agent = start(&mut pinned, "--xdp off")?;
    let left = filters(&pinned, SECOND)?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(filters(&pinned, HOST_LINK)?.len() == 2, "its own are gone");
    stop(agent)?;
    // With XDP inbound, only the outbound filter is taken over.
    let agent = pinned.start("--xdp generic")?;
    let left = filters(&pinned, HOST_LINK)?;
    ensure!(left.len() == 1 && left[0].starts_with("egress"), "{left:?}");
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}
