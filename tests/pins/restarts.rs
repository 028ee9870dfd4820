//! Each kind of hook over a restart, and maps of another layout or size.

use anyhow::{Result, ensure};
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::rows;

use super::pinned::{Pinned, copy_binary, kill, stop};

const UPGRADES: usize = 10;

struct Mode {
    name: &'static str,
    arguments: &'static str,
    hooks: &'static [&'static str],
}

const MODES: &[Mode] = &[
    Mode {
        name: "native XDP",
        arguments: "--xdp native",
        hooks: &["xdp", "tcx egress"],
    },
    Mode {
        name: "generic XDP",
        arguments: "--xdp generic",
        hooks: &["xdp", "tcx egress"],
    },
    Mode {
        name: "TC",
        arguments: "--xdp off",
        hooks: &["tcx ingress", "tcx egress"],
    },
    Mode {
        name: "the default",
        arguments: "",
        hooks: &["tcx ingress", "tcx egress"],
    },
];

#[test]
fn every_kind_of_hook_goes_on() {
    rows::check(MODES, |mode| mode.name, check_mode);
}

fn check_mode(mode: &Mode) -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start(mode.arguments)?;
    pinned.under_traffic(|pinned| {
        kill(agent)?;
        let before = [attached(&pinned.lab)?, attached_to_cgroup(&pinned.lab)?];
        ensure!(before[0] == mode.hooks, "{before:?}");
        ensure!(before[1].len() == 6, "{before:?}");
        let agent = pinned.start(mode.arguments)?;
        let seen = stop(agent)?;
        ensure!(seen.has_logged("went on with the maps"), "{seen}");
        let after = [attached(&pinned.lab)?, attached_to_cgroup(&pinned.lab)?];
        ensure!(before == after, "{before:?}, then {after:?}");
        pinned.ensure_one_program()
    })?;
    // While no agent runs.
    pinned.send_once()?;
    let agent = pinned.start(mode.arguments)?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}

#[test]
fn maps_of_another_layout_are_replaced_on_the_same_links() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let other = copy_binary(&pinned, "recon-other", Some(b"002"))?;
    for number in 0..UPGRADES {
        let binary = (number % 2 == 1).then_some(other.as_path());
        let agent = pinned.start_binary(binary, "--xdp native")?;
        pinned.ensure_one_program()?;
        if number > 0 {
            agent.wait_for("what it replaces", |seen| {
                seen.has_logged("its maps have another layout")
                    .then_some(())
            })?;
        }
        pinned.send_once()?;
        // Nothing is unread when the next one replaces the maps.
        pinned.ensure_all_counted(&agent)?;
        stop(agent)?;
        let pinned_maps = pinned.bpffs.pinned();
        let tables = pinned_maps
            .iter()
            .filter(|name| name.ends_with("/maps/COUNTS_0"));
        ensure!(tables.count() == 1, "{pinned_maps:?}");
    }
    pinned.detach()?.success()?;
    pinned.ensure_nothing_left()
}

#[test]
fn a_table_of_another_size_replaces_the_maps() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    let agent = pinned.start("--xdp native --table-entries 65536")?;
    agent.wait_for("the reason", |seen| {
        seen.has_logged("--table-entries is now 65536, and was 131072")
            .then_some(())
    })?;
    pinned.ensure_one_program()?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}
