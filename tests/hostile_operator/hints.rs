//! Hints mend what they are about.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::detach::detach_link;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::run;
use recon_tests::{Agent, Lab, PATIENCE};

use super::INTERVAL;

/// `ip link set dev veth0 xdp off` does not detach a program that a link attaches.
#[test]
fn the_hint_about_a_linked_xdp_program_detaches_it() -> Result<()> {
    let lab = Lab::new()?;
    let first = Agent::start(&lab, "--interval 100ms --xdp native")?;
    // Else it would attach its program again.
    first.signal(Signal::SIGSTOP)?;
    let second = || run(lab.host(), recon("run -i veth0 --xdp native")?, PATIENCE);
    let refused = second()?;
    ensure!(!refused.status.success(), "{}", refused.output);
    let hint = "type `bpftool link detach id ";
    let (_, id) = refused
        .output
        .split_once(hint)
        .context(refused.output.clone())?;
    let (id, _) = id.split_once('`').context("the end of the command")?;
    detach_link(id.parse()?)?;
    ensure!(lab.link(lab.host(), HOST_LINK)?.get("xdp").is_none());
    let command = {
        let mut command = recon(&format!("run -i veth0 {INTERVAL} --xdp native"))?;
        command.args(lab.watched_sockets());
        command
    };
    let third = Agent::spawn(&lab, command, Stdio::piped())?;
    third.stop()?;
    first.signal(Signal::SIGCONT)?;
    first.stop().map(drop)
}

/// The same command under limits on open files, the soft and the hard one. Without CAP_SYS_RESOURCE
/// the hard one is the end.
fn with_files(soft: u32, hard: u32, command: &Command) -> Command {
    let mut limited = Command::new("prlimit");
    limited
        .arg(format!("--nofile={soft}:{hard}"))
        .args(["setpriv", "--bounding-set=-sys_resource"])
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

#[test]
fn few_open_files_are_raised_or_refused_with_what_to_type() -> Result<()> {
    const ENOUGH: u32 = 8192;
    let lab = Lab::new()?;
    let mut command = recon(&format!("run -i veth0 {INTERVAL}"))?;
    command.args(lab.watched_sockets());
    for limit in [24, 40] {
        let raised = with_files(limit, ENOUGH, &command);
        let agent = Agent::spawn(&lab, raised, Stdio::piped())?;
        let seen = agent.stop()?.seen;
        ensure!(!seen.has_logged("hook ("), "{seen}");
        let refused = run(lab.host(), with_files(limit, limit, &command), PATIENCE)?;
        ensure!(!refused.status.success(), "{}", refused.output);
        let says = format!(
            "{limit} files may be open, and recon needs 128: as root, type `ulimit -n {ENOUGH}`"
        );
        ensure!(refused.output.contains(&says), "{}", refused.output);
    }
    Ok(())
}
