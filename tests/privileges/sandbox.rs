//! What a running agent has left, and that it still does everything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::lab::{ATTACKER, HOST_LINK};
use recon_tests::process::{run, shell};
use recon_tests::program::{locate, open_folder};
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE, rows};

use super::{ALL, INTERVAL, NOBODY, as_user, with_only};

/// CAP_BPF, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN.
const KEPT: u64 = 1 << 39 | 1 << 12 | 1 << 19 | 1 << 2 | 1 << 21;

/// Each thread of a process, with its status.
fn threads(pid: u32) -> Result<Vec<String>> {
    let folder = fs::read_dir(format!("/proc/{pid}/task"))?;
    let status = |entry: std::io::Result<fs::DirEntry>| -> Result<String> {
        Ok(fs::read_to_string(entry?.path().join("status"))?)
    };
    folder.map(status).collect()
}

fn field<'a>(status: &'a str, name: &str) -> Result<&'a str> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("{name}: {status}"))?.trim())
}

struct Row {
    name: &'static str,
    arguments: &'static str,
    is_root: bool,
    capabilities: Option<u64>,
    new_privileges: &'static str,
    seccomp: &'static str,
    says: &'static str,
}

const REDUCED: Row = Row {
    name: "by default",
    arguments: "",
    is_root: true,
    capabilities: Some(KEPT),
    new_privileges: "1",
    seccomp: "2",
    says: "sandbox: keeps CAP_BPF, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN, no new privileges; ",
};

const ROWS: &[Row] = &[
    REDUCED,
    Row {
        name: "a user of its own",
        is_root: false,
        ..REDUCED
    },
    Row {
        name: "--no-sandbox",
        arguments: "--no-sandbox",
        capabilities: None,
        new_privileges: "0",
        seccomp: "0",
        says: "no sandbox: recon keeps all its capabilities",
        ..REDUCED
    },
];

#[test]
fn every_thread_of_a_running_agent_is_reduced() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| {
            let lab = Lab::new()?;
            let arguments = format!("run -vv -i {HOST_LINK} {INTERVAL} {}", row.arguments);
            let command = match row.is_root {
                true => {
                    let mut command = recon(&arguments)?;
                    command.args(lab.watched_sockets());
                    command
                }
                false => as_user(&lab, &ALL, &arguments)?,
            };
            let agent = Agent::spawn(&lab, command, Stdio::piped())?;
            agent.wait_poll()?;
            let threads = threads(agent.pid())?;
            ensure!(threads.len() >= 4, "{threads:?}");
            for status in &threads {
                let set =
                    |name| -> Result<u64> { Ok(u64::from_str_radix(field(status, name)?, 16)?) };
                if let Some(kept) = row.capabilities {
                    // A user without CAP_SETPCAP keeps what its bounding set was, and it has no
                    // use: no_new_privs.
                    let bound = if row.is_root { 0 } else { set("CapBnd")? };
                    for (name, expected) in [
                        ("CapEff", kept),
                        ("CapPrm", kept),
                        ("CapInh", 0),
                        ("CapAmb", 0),
                        ("CapBnd", bound),
                    ] {
                        ensure!(set(name)? == expected, "{name}: {status}");
                    }
                }
                ensure!(
                    field(status, "NoNewPrivs")? == row.new_privileges,
                    "{status}"
                );
                ensure!(field(status, "Seccomp")? == row.seccomp, "{status}");
            }
            let stopped = agent.stop()?;
            ensure!(stopped.seen.has_logged(row.says), "{}", stopped.seen);
            ensure!(
                !stopped.seen.has_logged("sandbox: without"),
                "{}",
                stopped.seen
            );
            ensure!(stopped.status.success(), "{}", stopped.seen);
            Ok(())
        },
    );
}

/// A reduced agent attaches to an interface that is back, reads a program that starts and whose it
/// is, opens its file after a rotation, reads the names of users again, and drains at its end.
fn check_work(lab: &Lab, folder: &Path, command: Command) -> Result<()> {
    let agent = Agent::spawn(lab, command, Stdio::piped())?;
    scan(lab, PORTS)?;
    ensure_alert(&agent)?;

    // The kernel reports the name as it was given, /proc the file that runs.
    let link = folder.join("nmap");
    std::os::unix::fs::symlink(locate("nmap")?, &link)?;
    let line = format!("{} -n -Pn -sT -p 1-3 {ATTACKER}", link.display());
    run(lab.host(), shell(&line), PATIENCE)?.success()?;
    let expected = fs::canonicalize(&link)?.display().to_string();
    let alert = agent.wait_for("the executable of a program that has started", |seen| {
        let mut alerts = seen.alerts.iter();
        let found =
            alerts.find(|alert| alert.text("process.executable").as_ref() == Some(&expected));
        found.cloned()
    })?;
    ensure!(
        alert.text("user.name").as_deref() == Some("root"),
        "{alert}"
    );

    let rows = folder.join("rows");
    fs::rename(&rows, folder.join("rows.1"))?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the file is open again", |seen| {
        seen.has_logged("opened again").then_some(())
    })?;

    lab.host().ip(&format!("link delete {HOST_LINK}\n"))?;
    agent.wait_for("the interface is gone", |seen| {
        seen.has_logged("is gone, and recon's hooks with it")
            .then_some(())
    })?;
    lab.join()?;
    agent.wait_for("the interface is back", |seen| {
        seen.has_logged("is back: ").then_some(())
    })?;
    scan(lab, 3000..3030)?;
    // Drained at the end, or before.
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    ensure!(
        !stopped.seen.has_logged("names of users can't be read"),
        "{}",
        stopped.seen
    );
    let text = fs::read_to_string(&rows)?;
    ensure!(
        text.contains("\"LocalPort\":3029"),
        "{text}\n{}",
        stopped.seen
    );
    Ok(())
}

#[test]
fn a_reduced_agent_still_does_its_work() -> Result<()> {
    for is_root in [true, false] {
        let lab = Lab::new()?;
        let folder = open_folder()?;
        let events = folder.path().join("log");
        fs::create_dir(&events)?;
        fs::set_permissions(&events, fs::Permissions::from_mode(0o777))?;
        let arguments = format!(
            "run -vv -i {HOST_LINK} {INTERVAL} --profile source --events {}",
            events.join("rows").display()
        );
        let command = match is_root {
            true => with_only(&lab, &ALL, &arguments)?,
            false => as_user(&lab, &ALL, &arguments)?,
        };
        check_work(&lab, &events, command).with_context(|| format!("root: {is_root}"))?;
    }
    Ok(())
}

#[test]
fn another_user_reads_no_rows() -> Result<()> {
    let lab = Lab::new()?;
    let folder = open_folder()?;
    let rows = folder.path().join("rows");
    let arguments = format!("{INTERVAL} --events {}", rows.display());
    let agent = Agent::start(&lab, &arguments)?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    let stopped = agent.stop()?;
    ensure!(fs::metadata(&rows)?.len() > 0, "{}", stopped.seen);
    let mut cat = Command::new("setpriv");
    cat.args([
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "cat",
    ]);
    cat.arg(&rows);
    let finished = run(lab.host(), cat, PATIENCE)?;
    ensure!(
        finished.output.contains("Permission denied"),
        "{finished:?}"
    );
    Ok(())
}
