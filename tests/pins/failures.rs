//! Starts that fail leave what ran counting.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use recon_tests::hooks::program_ids;
use recon_tests::process::run;
use recon_tests::{PATIENCE, rows};

use super::pinned::{Pinned, copy_binary, stop};

struct Row {
    name: &'static str,
    arguments: &'static str,
    /// What the command is started by.
    wrapper: &'static [&'static str],
    /// Whether it is a build whose maps have another layout.
    is_other: bool,
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
        is_other: false,
        error: "quiet",
    },
    Row {
        name: "rules that are not there",
        arguments: "--rules /no/such/rules.kql",
        wrapper: &[],
        is_other: false,
        error: "/no/such/rules.kql",
    },
    Row {
        name: "an interface that is not there",
        arguments: "-i veth9",
        wrapper: &[],
        is_other: false,
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
        is_other: false,
        error: "CAP_BPF",
    },
    // By then its programs are on the other interface and on the cgroup, and are put back.
    Row {
        name: "an interface on which no hook attaches",
        arguments: "-i lo",
        wrapper: &[],
        is_other: false,
        error: "can't watch lo",
    },
    // The same, and by then the links are in other folders and run with other maps.
    Row {
        name: "an interface on which no hook attaches, and maps of another layout",
        arguments: "-i lo",
        wrapper: &[],
        is_other: true,
        error: "can't watch lo",
    },
    Row {
        name: "an interface on which no hook attaches, and a table of another size",
        arguments: "-i lo --table-entries 65536",
        wrapper: &[],
        is_other: false,
        error: "can't watch lo",
    },
    Row {
        name: "alerts that can't be written",
        arguments: "--alerts /proc/no-such-file",
        wrapper: &[],
        is_other: false,
        error: "can't write alerts to /proc/no-such-file",
    },
    Row {
        name: "a folder that can't hold a state",
        arguments: "--state /proc/no-such-folder",
        wrapper: &[],
        is_other: false,
        error: "can't use /proc/no-such-folder for --state",
    },
    Row {
        name: "a control socket whose place is taken",
        arguments: "--control /proc/version",
        wrapper: &[],
        is_other: false,
        error: "/proc/version",
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
    let other = match row.is_other {
        true => Some(copy_binary(&pinned, "recon-other", Some(b"002"))?),
        false => None,
    };
    let arguments = format!("--xdp native {}", row.arguments);
    let failing = pinned.command(other.as_deref(), &arguments)?;
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
    // The maps are the same, too: what is counted now is the third agent's.
    pinned.send_once()?;
    let agent = pinned.start("--xdp native")?;
    ensure!(
        agent.seen().has_logged("went on with the maps"),
        "{}",
        agent.seen()
    );
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
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
    pinned.finish(agent)
}

#[test]
fn a_hook_that_is_gone_at_the_swap_is_attached_anew() -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    stop(agent)?;
    // Somebody removes pins, which detaches their hooks.
    for link in ["cgroup_connect4", "tracepoint_sched_process_exec"] {
        fs::remove_file(pinned.set()?.join("links").join(link))?;
    }
    let agent = pinned.start("--xdp native")?;
    let is_said = agent.seen().has_logged("detached recon's hook connect4");
    ensure!(is_said, "{}", agent.seen());
    pinned.ensure_one_program()?;
    let ids = program_ids(&pinned.lab)?;
    ensure!(
        ids.iter().filter(|(hook, _)| *hook == "connect4").count() == 1,
        "{ids:?}"
    );
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}
