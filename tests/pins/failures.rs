//! Starts that fail leave what ran counting.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use recon_tests::hooks::program_ids;
use recon_tests::process::run;
use recon_tests::{PATIENCE, rows};

use super::pinned::{Pinned, stop};

struct Row {
    name: &'static str,
    arguments: &'static str,
    /// What the command is started by.
    wrapper: &'static [&'static str],
    error: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "settings with an error",
        arguments: "--config /dev/fd/3",
        wrapper: &[
            "sh",
            "-c",
            "echo 'quiet = 7x' >bad.toml; exec \"$@\" 3<bad.toml",
            "sh",
        ],
        error: "quiet",
    },
    Row {
        name: "rules that are not there",
        arguments: "--rules /no/such/rules.kql",
        wrapper: &[],
        error: "/no/such/rules.kql",
    },
    Row {
        name: "an interface that is not there",
        arguments: "-i veth9",
        wrapper: &[],
        error: "no interface is named `veth9`",
    },
    Row {
        name: "no capability",
        arguments: "",
        wrapper: &[
            "setpriv",
            "--bounding-set",
            "-bpf,-sys_admin",
            "--inh-caps",
            "-all",
        ],
        error: "CAP_BPF",
    },
    // By then its programs are on the other interface and on the cgroup, and are put back.
    Row {
        name: "an interface on which no hook attaches",
        arguments: "-i lo",
        wrapper: &[],
        error: "can't watch lo",
    },
];

#[test]
fn a_start_that_fails_leaves_what_ran() {
    rows::check(ROWS, |row| row.name, check);
}

fn check(row: &Row) -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    let before = (program_ids(&pinned.lab)?, pinned.bpffs.pinned());
    let failing = pinned.command(None, &format!("--xdp native {}", row.arguments))?;
    let mut command = failing;
    if let [program, arguments @ ..] = row.wrapper {
        let mut wrapped = Command::new(program);
        wrapped
            .args(arguments)
            .arg(command.get_program())
            .args(command.get_args());
        wrapped.current_dir(pinned.file(""));
        command = wrapped;
    }
    let failed = run(pinned.lab.host(), command, PATIENCE)?;
    ensure!(!failed.status.success(), "it started");
    ensure!(failed.output.contains(row.error), "{}", failed.output);
    let after = (program_ids(&pinned.lab)?, pinned.bpffs.pinned());
    ensure!(before == after, "{before:?}, then {after:?}");
    pinned.send_once()?;
    let agent = pinned.start("--xdp native")?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    pinned.detach()?.success()?;
    pinned.ensure_nothing_left()
}

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    let before = program_ids(&pinned.lab)?;
    let second = pinned.command(None, "--xdp native")?;
    let second = run(pinned.lab.host(), second, PATIENCE)?;
    ensure!(second.status.code() == Some(1), "{:?}", second.status);
    ensure!(
        second.output.contains("another recon uses it"),
        "{}",
        second.output
    );
    let detach = pinned.detach()?;
    ensure!(detach.status.code() == Some(1), "{:?}", detach.status);
    ensure!(
        detach.output.contains("another recon uses it"),
        "{}",
        detach.output
    );
    ensure!(before == program_ids(&pinned.lab)?, "programs changed");
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    pinned.detach()?.success()?;
    pinned.ensure_nothing_left()
}

#[test]
fn a_hook_that_is_gone_at_the_swap_is_attached_anew() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    stop(agent)?;
    // Somebody removes pins, which detaches their hooks.
    for set in fs::read_dir(pinned.bpffs.pins())? {
        for link in [
            "links/cgroup_connect4",
            "links/tracepoint_sched_process_exec",
        ] {
            fs::remove_file(
                set.as_ref()
                    .map_err(|error| anyhow::anyhow!("{error}"))?
                    .path()
                    .join(link),
            )?;
        }
    }
    let agent = pinned.start("--xdp native")?;
    pinned.ensure_one_program()?;
    let ids = program_ids(&pinned.lab)?;
    ensure!(
        ids.iter().filter(|(hook, _)| *hook == "connect4").count() == 1,
        "{ids:?}"
    );
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    stop(agent)?;
    pinned.detach()?.success()?;
    pinned.ensure_nothing_left()
}
