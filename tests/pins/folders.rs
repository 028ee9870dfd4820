//! Folders that can't hold pins, or hold something else; interfaces that come and go.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::lab::HOST_LINK;
use recon_tests::process::run;
use recon_tests::{Agent, PATIENCE};

use super::pinned::{Pinned, stop};

#[test]
fn a_folder_that_can_not_hold_pins_is_refused() -> Result<()> {
    let pinned = Pinned::new()?;
    let plain = pinned.file("plain");
    fs::create_dir(&plain)?;
    let open = pinned.bpffs.path().join("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, Permissions::from_mode(0o755))?;
    let deep = pinned.bpffs.path().join("no/such/parent");
    for (folder, error) in [
        (plain.as_path(), "mount -t bpf -o mode=0700 bpf /sys/fs/bpf"),
        (&pinned.file("new"), "it is not on a bpffs"),
        (&pinned.file("no/such/parent"), "No such file"),
        (&deep, "No such file"),
        (&open, "chmod 700"),
    ] {
        let mut command = recon("run -i veth0 --pins")?;
        command.arg(folder).args(pinned.lab.watched_sockets());
        let refused = run(pinned.lab.host(), command, PATIENCE)?;
        ensure!(
            refused.status.code() == Some(1),
            "{folder:?}: {:?}",
            refused.status
        );
        ensure!(
            refused.output.contains(error),
            "{folder:?}: {}",
            refused.output
        );
        let left = [attached(&pinned.lab)?, attached_to_cgroup(&pinned.lab)?].concat();
        ensure!(left.is_empty(), "{folder:?}: {left:?}");
    }
    Ok(())
}

#[test]
fn pins_of_others_stay_and_half_a_set_is_replaced() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    stop(agent)?;
    let folder = pinned.bpffs.pins();
    let set = fs::read_dir(&folder)?.next().context("a set")??.path();
    fs::remove_file(set.join("header"))?;
    let others = folder.join("others");
    fs::create_dir(&others)?;
    let agent = pinned.start("--xdp native")?;
    agent.wait_for("the reason", |seen| {
        seen.has_logged("it was made by half").then_some(())
    })?;
    ensure!(!set.exists(), "{set:?} is there");
    pinned.ensure_one_program()?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    let detached = pinned.detach()?.success()?;
    ensure!(detached.contains("something else is in it"), "{detached}");
    ensure!(others.is_dir(), "what others made is gone");
    fs::remove_dir(&others)?;
    let detached = pinned.detach()?.success()?;
    ensure!(detached.contains("nothing of recon"), "{detached}");
    pinned.ensure_nothing_left()
}

#[test]
fn detach_is_the_same_the_second_time() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    stop(agent)?;
    let first = pinned.detach()?.success()?;
    for part in [
        "detached 10 hooks",
        "xdp_native-",
        "cgroup_sock_ops",
        "and their folder",
    ] {
        ensure!(first.contains(part), "no {part} in {first}");
    }
    let left = [attached(&pinned.lab)?, attached_to_cgroup(&pinned.lab)?].concat();
    ensure!(left.is_empty(), "{left:?}");
    let second = pinned.detach()?.success()?;
    ensure!(second.contains("nothing of recon"), "{second}");
    pinned.ensure_nothing_left()
}

#[test]
fn links_of_an_interface_that_is_gone_are_removed() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    delete_and_join(&pinned)?;
    wait_back(&agent)?;
    stop(agent)?;
    ensure!(links(&pinned) == 2, "{:?}", pinned.bpffs.pinned());
    // While no agent runs.
    delete_and_join(&pinned)?;
    ensure!(attached(&pinned.lab)?.is_empty(), "attached by nobody");
    let agent = pinned.start("--xdp native")?;
    ensure!(links(&pinned) == 2, "{:?}", pinned.bpffs.pinned());
    ensure!(attached(&pinned.lab)?.len() == 2, "not attached");
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}

fn delete_and_join(pinned: &Pinned) -> Result<()> {
    pinned
        .lab
        .host()
        .ip(&format!("link delete {HOST_LINK}\n"))?;
    // The attacker's end gets an IPv6 address.
    pinned.lab.attacker().set("ipv6/conf/all/disable_ipv6", 0)?;
    pinned.lab.join()
}

fn wait_back(agent: &Agent) -> Result<()> {
    agent.wait_for("the interface", |seen| {
        seen.has_logged("is back").then_some(())
    })
}

/// The pinned links of interfaces.
fn links(pinned: &Pinned) -> usize {
    let pinned = pinned.bpffs.pinned();
    let links = pinned
        .iter()
        .filter_map(|name| name.split("/links/").nth(1));
    links.filter(|name| name.contains('-')).count()
}
