//! What `recon check` says, for each thing that is missing.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::kernel::Linux;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::{Finished, run};
use recon_tests::program::open_folder;
use recon_tests::{Agent, Lab, PATIENCE, rows};
use serde_json::Value;

use super::{ALL, INTERVAL, as_user, with_only};

struct Row {
    name: &'static str,
    lacks: &'static [&'static str],
    is_root: bool,
    /// `{dir}` is a folder with the file `broken.kql`.
    arguments: &'static str,
    code: i32,
    /// The check that says so, its result, and what it says, costs or mends.
    check: [&'static str; 3],
}

const ROW: Row = Row {
    name: "all is there",
    lacks: &[],
    is_root: true,
    arguments: "",
    code: 0,
    check: ["CAP_BPF", "ok", "is there"],
};

const ROWS: &[Row] = &[
    ROW,
    Row {
        name: "a user of its own",
        is_root: false,
        check: ["CAP_SYS_PTRACE", "ok", "is there"],
        ..ROW
    },
    Row {
        name: "no CAP_BPF",
        lacks: &["bpf", "sys_admin"],
        code: 2,
        check: ["CAP_BPF", "failure", "does not start"],
        ..ROW
    },
    Row {
        name: "no CAP_NET_ADMIN",
        lacks: &["net_admin"],
        code: 2,
        check: ["CAP_NET_ADMIN", "failure", "AmbientCapabilities"],
        ..ROW
    },
    Row {
        name: "no CAP_PERFMON",
        lacks: &["perfmon", "sys_admin"],
        code: 2,
        check: ["CAP_PERFMON", "failure", "does not start"],
        ..ROW
    },
    Row {
        name: "no CAP_SYS_PTRACE",
        lacks: &["sys_ptrace"],
        code: 1,
        check: ["CAP_SYS_PTRACE", "loss", "outbound-scan-tool"],
        ..ROW
    },
    Row {
        name: "no CAP_DAC_READ_SEARCH",
        lacks: &["dac_read_search"],
        code: 1,
        check: ["CAP_DAC_READ_SEARCH", "loss", "scan-then-connect"],
        ..ROW
    },
    Row {
        name: "no CAP_SYS_ADMIN",
        lacks: &["sys_admin"],
        code: 1,
        check: ["CAP_SYS_ADMIN", "loss", "network namespace"],
        ..ROW
    },
    Row {
        name: "TCX and XDP attach",
        check: ["tc", "ok", "attaches"],
        ..ROW
    },
    Row {
        name: "a hook of the cgroup",
        check: ["sock_ops", "ok", "attaches"],
        ..ROW
    },
    Row {
        name: "a veth pair",
        check: [HOST_LINK, "ok", "inbound by TC ingress"],
        ..ROW
    },
    Row {
        name: "a missing interface",
        arguments: "-i nosuch0",
        code: 2,
        check: ["selection", "failure", "no interface is named `nosuch0`"],
        ..ROW
    },
    Row {
        name: "no cgroup",
        arguments: "--cgroup /proc",
        code: 2,
        check: ["cgroup", "failure", "not a cgroup of version 2"],
        ..ROW
    },
    Row {
        name: "a broken rule",
        arguments: "--rules {dir}/broken.kql",
        code: 2,
        check: ["rules and settings", "failure", "no operator `wher`"],
        ..ROW
    },
    Row {
        name: "a missing file of settings",
        arguments: "--config {dir}/nosuch.toml",
        code: 2,
        check: ["rules and settings", "failure", "nosuch.toml"],
        ..ROW
    },
    Row {
        name: "events in a missing folder",
        arguments: "--events {dir}/nosuch/rows",
        code: 2,
        check: ["events", "failure", "can't be written"],
        ..ROW
    },
    Row {
        name: "a folder for the state",
        arguments: "--state {dir}/state",
        check: ["state", "ok", "can be written"],
        ..ROW
    },
    Row {
        name: "a state of another user",
        is_root: false,
        arguments: "--state /root/state",
        code: 2,
        check: ["state", "failure", "give it to the user"],
        ..ROW
    },
    Row {
        name: "alerts in a missing folder",
        arguments: "--alerts {dir}/nosuch/alerts",
        code: 2,
        check: ["alerts", "failure", "can't be written"],
        ..ROW
    },
    Row {
        name: "a socket in a folder",
        arguments: "--control {dir}/socket",
        check: ["control", "ok", "can be created"],
        ..ROW
    },
    Row {
        name: "a socket of another user's",
        is_root: false,
        arguments: "--control /root/socket",
        code: 2,
        check: ["control", "failure", "give it to the user"],
        ..ROW
    },
    Row {
        name: "no socket",
        check: ["control", "note", "--control"],
        ..ROW
    },
    Row {
        name: "metrics on a loopback address",
        arguments: "--metrics 127.0.0.1:9753",
        check: ["metrics", "ok", "127.0.0.1:9753 is free"],
        ..ROW
    },
    Row {
        name: "metrics on a socket of another user's",
        is_root: false,
        arguments: "--metrics unix:/root/socket",
        code: 2,
        check: ["metrics", "failure", "give it to the user"],
        ..ROW
    },
    Row {
        name: "no metrics",
        check: ["metrics", "note", "--metrics"],
        ..ROW
    },
    Row {
        name: "no pins",
        check: ["pins", "note", "--pins"],
        ..ROW
    },
    Row {
        name: "pins on a disk",
        arguments: "--pins {dir}",
        code: 2,
        check: ["pins", "failure", "mount -t bpf"],
        ..ROW
    },
    Row {
        name: "events of another user",
        is_root: false,
        arguments: "--events /proc/version",
        code: 2,
        check: ["events", "failure", "ermission"],
        ..ROW
    },
];

/// Runs `recon check --json`, and returns its exit code and its report.
pub(super) fn report(lab: &Lab, command: Command) -> Result<(Option<i32>, Value)> {
    let Finished { status, output, .. } = run(lab.host(), command, PATIENCE)?;
    // The log is in the same file.
    let json: String = output
        .lines()
        .skip_while(|line| *line != "{")
        .collect::<Vec<_>>()
        .join("\n");
    let end = json.rfind('}').with_context(|| output.clone())? + 1;
    let report = serde_json::from_str(&json[..end]).with_context(|| output.clone())?;
    Ok((status.code(), report))
}

/// The line of a check with that result.
pub(super) fn find<'a>(report: &'a Value, check: &str, result: &str) -> Result<&'a Value> {
    let checks = report["checks"].as_array().context("a list of checks")?;
    let mut found = checks.iter().filter(|line| line["check"] == check);
    found
        .find(|line| line["result"] == result)
        .with_context(|| format!("no {check} with {result}: {report:#}"))
}

fn ensure_nothing_left(lab: &Lab) -> Result<()> {
    let left = [attached(lab)?, attached_to_cgroup(lab)?].concat();
    ensure!(left.is_empty(), "still attached: {left:?}");
    Ok(())
}

#[test]
fn each_thing_that_is_missing_is_named_with_what_it_costs() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| {
            let lab = Lab::new()?;
            let folder = open_folder()?;
            let broken = folder.path().join("broken.kql");
            fs::write(broken, "DeviceNetworkEvents\n| wher LocalPort == 22\n")?;
            let named = match row.arguments.contains("-i ") {
                true => String::new(),
                false => format!("-i {HOST_LINK}"),
            };
            let arguments = row
                .arguments
                .replace("{dir}", &folder.path().display().to_string());
            let arguments = format!("check --json {named} {arguments}");
            let held: Vec<_> = ALL
                .into_iter()
                .filter(|name| !row.lacks.contains(name))
                .collect();
            let mut command = match row.is_root {
                true => with_only(&lab, &held, &arguments)?,
                false => as_user(&lab, &held, &arguments)?,
            };
            if row.arguments.contains("--cgroup") {
                let recon = recon(&arguments)?;
                command = Command::new(recon.get_program());
                command.args(recon.get_args());
            }
            let (code, report) = report(&lab, command)?;
            let [check, result, text] = row.check;
            let line = find(&report, check, result)?;
            ensure!(line.to_string().contains(text), "no {text:?}: {line}");
            // What an older kernel lacks is a loss, whatever else is there.
            let expected = match Linux::running()?.lacks().is_empty() {
                true => row.code,
                false => row.code.max(1),
            };
            ensure!(code == Some(expected), "{code:?}: {report:#}");
            ensure!(report["exit_code"] == expected, "{report:#}");
            ensure_nothing_left(&lab)
        },
    );
}

#[test]
fn the_text_fits_a_terminal_and_says_the_same() -> Result<()> {
    let lab = Lab::new()?;
    let held: Vec<_> = ALL
        .into_iter()
        .filter(|&name| name != "sys_ptrace")
        .collect();
    let arguments = format!("check -i {HOST_LINK}");
    let finished = run(lab.host(), with_only(&lab, &held, &arguments)?, PATIENCE)?;
    let text = &finished.output;
    ensure!(finished.status.code() == Some(1), "{text}");
    for part in [
        "privileges\n",
        "  loss     CAP_SYS_PTRACE: is missing\n",
        "costs: ",
        "mend: ",
    ] {
        ensure!(text.contains(part), "no {part:?}: {text}");
    }
    ensure!(
        text.ends_with("recon can run here, with 1 loss\n"),
        "{text}"
    );
    // What the kernel says is not broken within a word.
    let wide = text.lines().find(|line| line.chars().count() > 80);
    ensure!(wide.is_none(), "{wide:?}");
    ensure_nothing_left(&lab)
}

#[test]
fn another_agent_is_seen() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, INTERVAL)?;
    let arguments = format!("check --json -i {HOST_LINK}");
    let (code, report) = report(&lab, with_only(&lab, &ALL, &arguments)?)?;
    let line = find(&report, HOST_LINK, "loss")?;
    ensure!(
        report.to_string().contains("another recon watches it"),
        "{line}"
    );
    let text = report.to_string();
    ensure!(
        text.contains("recon's own XDP program is attached"),
        "{line}"
    );
    ensure!(!text.contains("another XDP program"), "{line}");
    ensure!(code == Some(1), "{report:#}");
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    Ok(())
}
