//! A hundred interfaces appear, vanish and return, while another one has traffic.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{Path, syn};
use recon_tests::kernel::is_emulated;
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::report;
use recon_tests::{Lab, Sender};

use super::{count, descriptors, start, stop, wait_descriptors, wait_logged};

const INTERFACES: usize = 100;
const ROUNDS: usize = 3;
/// SYNs to each interface in a round.
const SYNS: u16 = 3;
/// The ports of the other interface's traffic: few, so that the kernel's table has room.
const PORTS: u16 = 50;

fn create(lab: &Lab) -> Result<()> {
    let mut near = String::new();
    let mut far = String::new();
    for number in 0..INTERFACES {
        let attacker = lab.attacker().name();
        writeln!(
            near,
            "link add g{number} type veth peer name f{number} netns {attacker}"
        )?;
        writeln!(near, "link set g{number} up")?;
        writeln!(far, "link set f{number} up")?;
    }
    lab.host().ip(&near)?;
    lab.attacker().ip(&far)
}

fn delete(lab: &Lab) -> Result<()> {
    let mut lines = String::new();
    for number in 0..INTERFACES {
        writeln!(lines, "link delete g{number}")?;
    }
    lab.host().ip(&lines)
}

#[test]
fn a_hundred_interfaces_come_and_go_under_traffic() -> Result<()> {
    if is_emulated()? {
        report::skip("a hundred interfaces", "emulated processors take too long");
        return Ok(());
    }
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let agent = start(
        &lab,
        &format!("--interval 100ms --events {}", events.display()),
    )?;
    let open = descriptors(agent.pid())?;
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let traffic = lab.sender()?;
    thread::scope(|scope| -> Result<()> {
        let background = scope.spawn(|| -> Result<()> {
            for port in (1..=PORTS).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                traffic.send(&Path::new(ATTACKER, HOST).tcp(syn(port), &[])?)?;
                sent.fetch_add(1, Ordering::Relaxed);
                thread::yield_now();
            }
            Ok(())
        });
        let rounds = (1..=ROUNDS).try_for_each(|round| {
            create(&lab)?;
            wait_logged(&agent, "is new: g", round * INTERFACES)?;
            for number in 0..INTERFACES {
                let sender = Sender::open(lab.attacker(), &format!("f{number}"))?;
                for port in 1..=SYNS {
                    sender.send(&Path::new(ATTACKER, HOST).tcp(syn(port), &[])?)?;
                }
            }
            delete(&lab)?;
            wait_logged(&agent, ": is gone", round * INTERFACES)?;
            wait_descriptors(&agent, open)
        });
        is_over.store(true, Ordering::Relaxed);
        background.join().ok().context("the traffic panicked")??;
        rounds
    })?;
    let stopped = stop(agent)?;
    for number in 0..INTERFACES {
        let counted = count(&events, "SYN", &format!("g{number}"))?;
        let expected = u64::from(SYNS) * ROUNDS as u64;
        ensure!(
            counted == expected,
            "g{number}: {counted}\n{}",
            stopped.seen
        );
    }
    let (counted, sent) = (count(&events, "SYN", "veth0")?, sent.into_inner());
    let totals = stopped.totals()?;
    ensure!(counted == sent, "{counted} of {sent}\n{}", stopped.seen);
    ensure!(totals.lost == 0, "{}", totals.lost);
    // At most the first lines of each minute are for whoever does not ask for all.
    let info = stopped
        .seen
        .log
        .iter()
        .filter(|line| line.starts_with("[INFO ] is new: g"));
    ensure!(info.count() <= 2 * 20, "{}", stopped.seen);
    Ok(())
}
