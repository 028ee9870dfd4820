//! `cargo xtask lab vm`: a guest on one side, the attacker on the other, and the same attacks as
//! without a guest.
//!
//! In: the agent, a kernel. Out: on stdout, each attack and the alerts that it caused; or the
//! guest's prompt.
//! The decision held here: the lab's host becomes a bridge, and the guest behind it has the host's
//! addresses, so that the attacks, their addresses and the code that reads the agent stay the same.

use std::{os::unix::process::CommandExt as _, path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CloneFlags, setns},
    sys::{prctl::set_pdeathsig, signal::Signal},
};
use recon_tests::lab::{HOST, HOST_LINK, HOST_MAC};
use recon_tests::machine::Card;
use recon_tests::{Agent, Lab};

use super::{
    Choice,
    fetch::Store,
    guest::{BRIDGE, Guest, bridge},
    initramfs::{self, GUEST_LINK, MODULES},
    module::Modules,
};
use crate::lab::{INTERVAL, print_header, run_attacks};

/// The memory of a small server, in MiB.
const MEMORY: u32 = 512;
/// The hardware address of the bridge's end of the pair: the guest has the host's own, and a bridge
/// does not forward frames for its ports' addresses.
const BRIDGE_MAC: &str = "02:00:00:00:00:03";
/// The agent's exit code, as the guest reports it.
const SUCCESS: &str = "0";

/// Runs the attacks against a guest, one after the other.
pub(crate) fn run_lab(agent: &Path, choice: &Choice, store: &Path) -> Result<()> {
    let work = initramfs::watch(&format!("run -vv -i {GUEST_LINK} --interval {INTERVAL}"));
    with_guest(agent, choice, store, &work, |lab, guest| {
        let agent = Agent::spawn(lab, guest.watching(), Stdio::piped())?;
        println!(
            "guest: Linux {}, {HOST} on a virtio-net card",
            guest.kernel.release
        );
        for line in agent.seen().log.iter().filter(|line| is_start(line)) {
            println!("guest: {line}");
        }
        print_header(&format!("recon run -i {GUEST_LINK} --interval {INTERVAL}"));
        // The guest's own processes cannot be controlled from here.
        run_attacks(lab, &agent, None)?;
        Guest::stop(lab.host())?;
        let stopped = agent.wait()?;
        let totals = stopped
            .seen
            .log
            .iter()
            .find(|line| line.contains("totals: "));
        println!("\n{}", totals.map_or("", String::as_str));
        let ended = format!("{}{SUCCESS}", initramfs::ENDED);
        ensure!(stopped.seen.has_logged(&ended), "{}", stopped.seen);
        Ok(())
    })
}

/// Opens the guest's prompt until its shell ends.
pub(crate) fn open_prompt(agent: &Path, choice: &Choice, store: &Path) -> Result<()> {
    with_guest(agent, choice, store, &initramfs::shell(), |lab, guest| {
        eprintln!(
            "lab: the guest is {HOST}, its card {GUEST_LINK}; type there: recon run\
             \nlab: attack it from another terminal: ip netns exec {} nmap -sS {HOST}\
             \nlab: all of it ends with the guest's shell: exit",
            lab.attacker().name()
        );
        let namespace = lab.host().handle()?;
        let mut command = guest.at_prompt();
        let enter = move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        };
        // SAFETY: system calls on values made before the fork: nothing is allocated, no lock is
        // taken.
        unsafe { command.pre_exec(enter) };
        let status = command.status().context("cannot start qemu")?;
        ensure!(status.success(), "qemu ended with {status}");
        Ok(())
    })
}

/// Downloads what is missing, builds the network and the archive, and calls `work` with a guest
/// that has not been started.
fn with_guest(
    agent: &Path,
    choice: &Choice,
    store: &Path,
    script: &str,
    work: impl FnOnce(&Lab, &Guest<'_>) -> Result<()>,
) -> Result<()> {
    let store = Store::new(store.to_owned())?;
    let arch = choice.arch();
    let (qemu, busybox) = (store.qemu(arch)?, store.busybox(arch)?);
    let kernel = store.kernel(choice)?;
    let modules = Modules::find(&kernel.modules, &busybox)?.closure(&MODULES)?;
    let initramfs = initramfs::write(agent, &busybox, &modules, script)?;
    let lab = Lab::new()?;
    let cards = [Card::plain(HOST_MAC)];
    bridge(lab.host(), &cards)?;
    lab.host().ip(&format!(
        "address flush dev {HOST_LINK}\n\
         link set {HOST_LINK} address {BRIDGE_MAC}\n\
         link set {HOST_LINK} master {BRIDGE}\n"
    ))?;
    work(
        &lab,
        &Guest {
            qemu: &qemu,
            kernel: &kernel,
            initramfs: &initramfs,
            processors: 1,
            memory: MEMORY,
            cards: &cards,
            kernel_options: "",
        },
    )
}

/// Whether the line reports an attached or a missing hook.
fn is_start(line: &str) -> bool {
    line.contains("INFO") || line.contains("WARN")
}
