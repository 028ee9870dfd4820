//! Pins that somebody removes under a running agent: an alert, and made again. What is lost with
//! maps that are replaced is named.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::process::run;
use recon_tests::{Agent, Alert, PATIENCE, Seen, rows};

use super::pinned::{Pinned, stop};

/// What somebody removes.
struct Removal {
    what: &'static str,
    options: &'static str,
    remove: fn(&Pinned) -> Result<()>,
}

const REMOVALS: &[Removal] = &[
    Removal {
        what: "the set, as rm -rf PINS/recon-* does",
        options: "",
        remove: |pinned| Ok(fs::remove_dir_all(pinned.set()?)?),
    },
    Removal {
        what: "the header",
        options: "",
        remove: |pinned| Ok(fs::remove_file(pinned.set()?.join("header"))?),
    },
    Removal {
        what: "the folder itself, and with it the lock",
        options: "--no-sandbox",
        remove: |pinned| Ok(fs::remove_dir_all(pinned.bpffs.pins())?),
    },
];

fn own_alert(seen: &Seen, rule: &str, part: &str, phase: &str) -> Option<Alert> {
    let mut alerts = seen.alerts.iter();
    let is_it = |alert: &&Alert| {
        alert.text("rule.category").as_deref() == Some(rule)
            && alert.text("recon.blind.part").as_deref() == Some(part)
            && alert.text("recon.phase").as_deref() == Some(phase)
    };
    alerts.find(is_it).cloned()
}

fn wait_tampered(agent: &Agent, phase: &str) -> Result<Alert> {
    agent.wait_for(phase, |seen| {
        own_alert(seen, "recon-tampered", "pins", phase)
    })
}

/// recon pins again, so that a kill loses no packet, and no second agent comes in.
#[test]
fn removed_pins_are_an_alert_and_made_again() {
    rows::check(
        REMOVALS,
        |row| row.what,
        |row| {
            let mut pinned = Pinned::new()?;
            let options = format!("--xdp native --quiet 1s {}", row.options);
            let agent = pinned.start(&options)?;
            agent.wait_poll()?;
            let before = pinned.bpffs.pinned();
            (row.remove)(&pinned)?;
            wait_tampered(&agent, "began")?;
            wait_tampered(&agent, "ended")?;
            let after = pinned.bpffs.pinned();
            ensure!(after == before, "{after:?}");
            let second = run(pinned.lab.host(), pinned.command(None, "")?, PATIENCE)?;
            ensure!(
                second.output.contains("another recon uses it"),
                "{}",
                second.output
            );
            agent.signal(Signal::SIGKILL)?;
            agent.wait()?;
            pinned.send_once()?;
            let agent = pinned.start(&options)?;
            pinned.ensure_all_counted(&agent)?;
            pinned.ensure_one_program()?;
            pinned.finish(agent)
        },
    );
}

/// In the sandbox recon can't make a folder beside its own. It says so, and what to type; then
/// nothing is left of it but what the next start makes.
#[test]
fn a_folder_that_can_not_be_made_again_is_said() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native --quiet 1s")?;
    if !agent.seen().has_logged("writes only below") {
        // Without Landlock recon makes the folder again: a row above.
        return pinned.finish(agent);
    }
    fs::remove_dir_all(pinned.bpffs.pins())?;
    let began = wait_tampered(&agent, "began")?;
    agent.wait_poll()?;
    agent.wait_poll()?;
    let seen = agent.seen();
    ensure!(
        own_alert(&seen, "recon-tampered", "pins", "ended").is_none(),
        "{began}: it is still gone"
    );
    let lines = seen.log.iter();
    let lines = lines.filter(|line| line.contains("can't be made again"));
    ensure!(lines.clone().count() == 1, "{seen}");
    ensure!(lines.clone().all(|line| line.contains("restart")), "{seen}");
    stop(agent)?;
    let left = [attached(&pinned.lab)?, attached_to_cgroup(&pinned.lab)?].concat();
    ensure!(left.is_empty(), "still attached: {left:?}");
    let agent = pinned.start("--xdp native")?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}

/// Another --table-entries: what the old maps have and no poll has given is named to the last
/// signal, wherever it is, and is an alert.
#[test]
fn what_is_lost_with_maps_that_are_replaced_is_named() -> Result<()> {
    const ROUNDS: u64 = 3;
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native --table-entries 2048")?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    let before = pinned.sent();
    for _ in 0..ROUNDS {
        pinned.send_once()?;
    }
    let missed = pinned.sent() - before;
    let agent = pinned.start("--xdp native --table-entries 4096")?;
    pinned.send_once()?;
    let expected = pinned.sent() - missed;
    let end = Instant::now() + PATIENCE;
    while pinned.counted()? < expected && Instant::now() < end {
        agent.wait_poll()?;
    }
    agent.wait_poll()?;
    let (seen, counted) = (agent.seen(), pinned.counted()?);
    ensure!(counted == expected, "{counted} of {expected}\n{seen}");
    let mut words = seen
        .log
        .iter()
        .filter_map(|line| line.split("since its last poll is lost: ").nth(1))
        .filter_map(|rest| rest.split(' ').next());
    let lost: u64 = words.next().context("what is lost")?.parse()?;
    ensure!(lost == missed, "{lost} named, {missed} lost\n{seen}");
    let began = own_alert(&seen, "recon-blind", "signals", "began");
    let began = began.with_context(|| format!("no alert\n{seen}"))?;
    let alerted = began.field("recon.blind.lost");
    ensure!(
        alerted.and_then(|lost| lost.as_u64()) == Some(missed),
        "{began}"
    );
    pinned.finish(agent)
}
