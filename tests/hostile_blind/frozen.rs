//! Somebody freezes a map, which nobody can undo: recon ends with an error, and the next start
//! makes new maps.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use recon_tests::hooks::{attached, attached_to_cgroup, most_programs};
use recon_tests::pins::Bpffs;
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::{Agent, Lab, rows};

use super::{maps, tampered};

/// The maps that the agent writes to by system calls. Those whose memory it shares with the kernel
/// can't be frozen meanwhile.
const WRITTEN: [&str; 4] = ["GENERATION", "COUNTS_0", "COUNTS_1", "KEYS"];
const SHARED: [&str; 2] = ["RECENT", "SKETCHED"];

/// Waits until the agent has ended for its frozen map.
fn ensure_end(agent: Agent, map: &str) -> Result<()> {
    let began = agent.wait_for("the alert", |seen| tampered(seen, "frozen", "began"))?;
    let says = began.text("message").unwrap_or_default();
    let expected = format!("somebody has frozen the map {map}");
    ensure!(says.contains(&expected), "{began}");
    let stopped = agent.wait()?;
    ensure!(stopped.status.code() == Some(1), "{}", stopped.status);
    let last = stopped.seen.log.last().context("an error")?;
    ensure!(last.contains("start it again"), "{last}");
    Ok(())
}

#[test]
fn a_frozen_map_is_an_alert_and_ends_recon() {
    rows::check(
        &WRITTEN,
        |map| map,
        |map| {
            let lab = Lab::new()?;
            let agent = Agent::start(&lab, "--interval 200ms")?;
            maps::freeze(agent.pid(), map)?;
            ensure_end(agent, map)?;
            let left = [attached(&lab)?, attached_to_cgroup(&lab)?].concat();
            ensure!(left.is_empty(), "still attached: {left:?}");
            Ok(()) as Result<()>
        },
    );
}

/// As the service runs: the hooks stay, the service manager starts recon again, and that one
/// replaces the maps on the same hooks.
#[test]
fn the_next_start_replaces_frozen_maps() {
    rows::check(
        &[WRITTEN[0], WRITTEN[3], SHARED[0]],
        |map| map,
        |map| {
            let lab = Lab::new()?;
            let bpffs = Bpffs::mount()?;
            let options = format!("--interval 200ms --pins {}", bpffs.pins().display());
            let agent = Agent::start(&lab, &options)?;
            let before = [attached(&lab)?, attached_to_cgroup(&lab)?];
            if SHARED.contains(map) {
                // Its memory is shared as long as an agent runs.
                ensure!(maps::freeze(agent.pid(), map).is_err(), "frozen in use");
                ensure!(agent.stop()?.status.success());
                freeze_pinned(&bpffs, map)?;
            } else {
                maps::freeze(agent.pid(), map)?;
                ensure_end(agent, map)?;
            }
            ensure!(
                [attached(&lab)?, attached_to_cgroup(&lab)?] == before,
                "hooks are gone"
            );
            let agent = Agent::start(&lab, &options)?;
            let expected = format!("somebody has frozen its map {map}");
            let is_said = agent.seen().log.iter().any(|line| line.contains(&expected));
            ensure!(is_said, "{}", agent.seen());
            ensure!(most_programs(&lab)? == 1, "a second program");
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            ensure!(agent.stop()?.status.success());
            Ok(()) as Result<()>
        },
    );
}

/// As `bpftool map freeze pinned` does.
fn freeze_pinned(bpffs: &Bpffs, map: &str) -> Result<()> {
    let pinned = bpffs.pinned();
    let end = format!("/maps/{map}");
    let path = pinned.iter().find(|path| path.ends_with(&end));
    let path = bpffs.pins().join(path.context("no such map")?);
    let mut command = Command::new("bpftool");
    command.args(["map", "freeze", "pinned"]).arg(path);
    let output = command.output().context("bpftool (package bpftool)")?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// recon freezes what configures its programs: secrets, sizes, what the kernel has.
#[test]
fn nobody_changes_the_constants_of_the_programs() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 200ms")?;
    let error = maps::change_constants(agent.pid())?;
    ensure!(error == Some(libc::EPERM), "{error:?}");
    ensure!(agent.stop()?.status.success());
    Ok(())
}
