//! Hooks that are in another place than the last agent left them in: each is pinned under its name
//! again, so that the restart after that one finds it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::detach::detach;
use recon_tests::hooks::program_ids;
use recon_tests::process::run;
use recon_tests::{Agent, PATIENCE, Seen, rows};

use super::pinned::{Pinned, copy_binary, kill, stop};

struct Row {
    name: &'static str,
    /// What happens to the first agent, which ends.
    change: fn(&Pinned, Agent) -> Result<()>,
    /// The cgroup of the other agents, below the host's.
    cgroup: &'static str,
    /// The hooks that somebody has detached.
    tampered: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        name: "nothing",
        change: |_, agent| stop(agent).map(drop),
        cgroup: "",
        tampered: &[],
    },
    Row {
        name: "another cgroup",
        change: |_, agent| stop(agent).map(drop),
        cgroup: "below",
        tampered: &[],
    },
    Row {
        name: "hooks that are detached while no agent runs",
        change: detach_then_kill,
        cgroup: "",
        tampered: &["XDP", "TC egress", "connect4"],
    },
    // Else the next agent would keep the link, which runs the same program.
    Row {
        name: "programs of tracepoints that are others",
        change: |pinned, agent| {
            stop(agent)?;
            for program in ["recon_exec", "recon_fork"] {
                fs::remove_file(pinned.set()?.join("programs").join(program))?;
            }
            Ok(())
        },
        cgroup: "",
        tampered: &[],
    },
];

#[test]
fn every_link_has_its_name_again() {
    rows::check(ROWS, |row| row.name, check);
}

fn check(row: &Row) -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start("--xdp native")?;
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    let links = links(&pinned);
    (row.change)(&pinned, agent)?;
    let cgroup = below_host(&pinned, row.cgroup)?;
    let arguments = format!("--xdp native --cgroup {}", cgroup.display());
    let agent = pinned.start(&arguments)?;
    let now = self::links(&pinned);
    ensure!(now == links, "{links:?}, then {now:?}");
    pinned.send_once()?;
    pinned.ensure_all_counted(&agent)?;
    ensure_tampered(&agent.seen(), row.tampered)?;
    // The next one takes each of them over, and nothing is missed.
    pinned.under_traffic(|pinned| {
        kill(agent)?;
        let agent = pinned.start(&arguments)?;
        ensure_tampered(&agent.seen(), &[])?;
        ensure!(self::links(pinned) == links, "{:?}", self::links(pinned));
        stop(agent)
    })?;
    let agent = pinned.start(&arguments)?;
    pinned.ensure_one_program()?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}

/// Fails unless the log names these hooks, and no others, as detached.
fn ensure_tampered(seen: &Seen, hooks: &[&str]) -> Result<()> {
    let lines = seen.log.iter();
    let lines: Vec<_> = lines
        .filter(|line| line.contains("somebody has detached"))
        .collect();
    let are_said = hooks.iter().all(|hook| {
        let part = format!("recon's hook {hook};");
        lines.iter().any(|line| line.contains(&part))
    });
    ensure!(are_said && lines.len() == hooks.len(), "{lines:?}");
    Ok(())
}

fn detach_then_kill(_: &Pinned, agent: Agent) -> Result<()> {
    // `BPF_TCX_EGRESS` and `BPF_CGROUP_INET4_CONNECT` of enum bpf_attach_type, linux/bpf.h.
    const EGRESS: u32 = 47;
    const CONNECT4: u32 = 10;
    agent.signal(Signal::SIGSTOP)?;
    for (kind, attach_type) in [
        ("xdp", None),
        ("tcx", Some(EGRESS)),
        ("cgroup", Some(CONNECT4)),
    ] {
        detach(agent.pid(), kind, attach_type)?;
    }
    agent.signal(Signal::SIGKILL)?;
    agent.wait().map(drop)
}

fn below_host(pinned: &Pinned, name: &str) -> Result<PathBuf> {
    let host = pinned.lab.host().cgroup().context("a cgroup")?;
    let path = host.path().join(name);
    if !path.exists() {
        fs::create_dir(&path)?;
    }
    Ok(path)
}

/// The names of pinned links.
fn links(pinned: &Pinned) -> Vec<String> {
    let pinned = pinned.bpffs.pinned();
    let links = pinned.iter().filter_map(|path| path.split_once("/links/"));
    links.map(|(_, name)| name.to_owned()).collect()
}

/// A pair's inbound hook is TC by default, and that of a tap is native XDP.
const LATE: &str = "late0";

/// What a start that fails puts back: it takes native XDP, which the loopback does not have.
struct Failure {
    name: &'static str,
    /// The arguments of the agent before.
    arguments: &'static str,
    /// Whether the one that fails is a build whose maps have another layout.
    is_other: bool,
    /// Whether an interface comes after the start of the agent before.
    is_late: bool,
}

const FAILURES: &[Failure] = &[
    Failure {
        name: "generic XDP",
        arguments: "--xdp generic",
        is_other: false,
        is_late: false,
    },
    Failure {
        name: "generic XDP, and maps of another layout",
        arguments: "--xdp generic",
        is_other: true,
        is_late: false,
    },
    Failure {
        name: "TC",
        arguments: "--xdp off",
        is_other: false,
        is_late: false,
    },
    Failure {
        name: "TC, and maps of another layout",
        arguments: "--xdp off",
        is_other: true,
        is_late: false,
    },
    Failure {
        name: "an interface that came later, with other hooks",
        arguments: "-i late*",
        is_other: true,
        is_late: true,
    },
];

#[test]
fn a_start_that_fails_puts_back_the_hooks_whose_place_it_took() {
    rows::check(FAILURES, |row| row.name, check_failure);
}

fn check_failure(row: &Failure) -> Result<()> {
    let mut pinned = Pinned::new()?;
    let agent = pinned.start(row.arguments)?;
    if row.is_late {
        let add = format!("tuntap add dev {LATE} mode tap\nlink set {LATE} up\n");
        pinned.lab.host().ip(&add)?;
        agent.wait_for("the interface", |seen| {
            seen.has_logged("is new: late0").then_some(())
        })?;
    }
    stop(agent)?;
    let before = hooks(&pinned, row)?;
    let other = match row.is_other {
        true => Some(copy_binary(&pinned, "recon-other", Some(b"002"))?),
        false => None,
    };
    let interfaces = match row.is_late {
        true => "-i lo -i late*",
        false => "-i lo",
    };
    let failing = format!("--xdp native {interfaces}");
    let failing = pinned.command(other.as_deref(), &failing)?;
    let failed = run(pinned.lab.host(), failing, PATIENCE)?;
    ensure!(!failed.status.success(), "it started");
    ensure!(
        failed.output.contains("can't watch lo"),
        "{}",
        failed.output
    );
    ensure!(
        failed.output.contains("goes on as it was"),
        "{}",
        failed.output
    );
    let after = hooks(&pinned, row)?;
    ensure!(
        before == after,
        "{before:?}, then {after:?}\n{}",
        failed.output
    );
    // They count into the maps that the next agent reads.
    pinned.send_once()?;
    let agent = pinned.start(row.arguments)?;
    pinned.ensure_all_counted(&agent)?;
    pinned.finish(agent)
}

/// Programs by their hooks, and pins.
type Hooks = (Vec<(&'static str, u32)>, Vec<String>);

/// What is attached and pinned.
fn hooks(pinned: &Pinned, row: &Failure) -> Result<Hooks> {
    let mut ids = program_ids(&pinned.lab)?;
    if row.is_late {
        let late = pinned.lab.link(pinned.lab.host(), LATE)?;
        let id = late.pointer("/xdp/prog/id").and_then(|id| id.as_u64());
        ids.push(("late xdp", u32::try_from(id.context("late0 has XDP")?)?));
    }
    Ok((ids, pinned.bpffs.pinned()))
}
