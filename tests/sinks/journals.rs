//! Sinks to journald and to syslog: a systemd-journald in a folder of its own, stopped and started
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use recon_tests::process::{run, shell};
use recon_tests::report::skip;
use recon_tests::scan::{PORTS, ensure_alert};
use recon_tests::{Lab, PATIENCE, Process};
use serde_json::Value;

use super::{Watched, lines};

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// A systemd-journald whose /run is a folder.
pub(crate) struct Journald {
    process: Process,
}

impl Journald {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(lab: &Lab, run_folder: &Path) -> Result<Self> {
        let folder = run_folder.display();
        let sockets = [journal_socket(run_folder), log_socket(run_folder)];
        for socket in &sockets {
            // Those of one that was killed.
            let _ = fs::remove_file(socket);
        }
        let line = format!(
            "exec unshare --mount sh -c 'mount --bind {folder} /run && mkdir -p \
             /run/systemd/journal && exec {JOURNALD}'"
        );
        let process = Process::spawn(lab.host(), shell(&line))?;
        let until = Instant::now() + PATIENCE;
        while !sockets.iter().all(|socket| socket.exists()) {
            ensure!(Instant::now() < until, "journald does not listen");
            std::thread::yield_now();
        }
        Ok(Self { process })
    }

    /// Ends it in order: what it has read and not written yet is no loss of recon.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(PATIENCE)?;
        Ok(())
    }
}

pub(crate) fn journal_socket(run_folder: &Path) -> PathBuf {
    run_folder.join("systemd/journal/socket")
}

fn log_socket(run_folder: &Path) -> PathBuf {
    run_folder.join("systemd/journal/dev-log")
}

/// The entries that match, from all its files.
fn entries(lab: &Lab, run_folder: &Path, matches: &str) -> Result<Vec<Value>> {
    let mut command = Command::new("journalctl");
    command.arg("-D").arg(run_folder.join("log/journal"));
    command.args(["--output=json", "--all", "--quiet", matches]);
    let text = run(lab.host(), command, PATIENCE)?.success()?;
    let entries = text.lines().map(serde_json::from_str);
    Ok(entries.collect::<Result<_, _>>()?)
}

/// A field of an entry. journalctl writes one with odd bytes as numbers.
fn text(entry: &Value, field: &str) -> String {
    entry[field].as_str().unwrap_or_default().to_owned()
}

/// The lines that have come, through the journal's own protocol and through syslog.
pub(crate) fn received(lab: &Lab, run_folder: &Path) -> Result<[Vec<String>; 2]> {
    let native = entries(lab, run_folder, "_TRANSPORT=journal")?;
    let native = native.iter().map(|entry| text(entry, "RECON_LINE"));
    let native = native.filter(|line| !line.is_empty()).collect();
    let syslog = entries(lab, run_folder, "_TRANSPORT=syslog")?;
    let from_start = |entry: &Value| {
        let message = text(entry, "MESSAGE");
        let start = message.find('{')?;
        Some(message[start..].to_owned())
    };
    Ok([native, syslog.iter().filter_map(from_start).collect()])
}

/// Waits until all lines so far have come.
fn wait_received(watched: &Watched, run_folder: &Path) -> Result<[Vec<String>; 2]> {
    let sent = watched.wait_empty(super::ALL)?.written;
    let until = Instant::now() + PATIENCE;
    loop {
        let received = received(&watched.lab, run_folder)?;
        if received.iter().all(|lines| lines.len() as u64 >= sent) {
            return Ok(received);
        }
        if Instant::now() >= until {
            let counts = received.map(|lines| lines.len());
            bail!("{counts:?} of {sent}: {}", watched.agent.seen());
        }
        watched.agent.wait_poll()?;
    }
}

/// Whether this machine has one; says so if not.
pub(crate) fn has_journald() -> bool {
    let is_there = Path::new(JOURNALD).exists();
    if !is_there {
        skip("journald", "this machine has no systemd-journald");
    }
    is_there
}

#[test]
fn a_journal_that_is_stopped_and_started_again_gets_all() -> Result<()> {
    if !has_journald() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let run_folder = folder.path().join("run");
    fs::create_dir(&run_folder)?;
    let lab = Lab::new()?;
    let journald = Journald::start(&lab, &run_folder)?;
    let tables = format!(
        "[sinks.journal]\ntype = 'journald'\npath = '{}'\nlines = ['alerts', 'rows']\n\
         [sinks.log]\ntype = 'syslog'\npath = '{}'\nlines = ['alerts', 'rows']\n",
        journal_socket(&run_folder).display(),
        log_socket(&run_folder).display(),
    );
    let watched = Watched::start(lab, folder.path(), &tables)?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    wait_received(&watched, &run_folder)?;

    journald.stop()?;
    watched.scan(PORTS)?;
    watched.wait_logged("recon tries on")?;
    let waiting = watched.state("journal")?;
    ensure!(waiting.waiting > 0 && waiting.dropped == 0, "{waiting:?}");
    let journald = Journald::start(&watched.lab, &run_folder)?;
    watched.wait_empty("journal")?;
    watched.wait_empty("log")?;
    watched.scan(PORTS)?;
    wait_received(&watched, &run_folder)?;

    let lab_entries = entries(&watched.lab, &run_folder, "RECON_RULE_CATEGORY=port-scan")?;
    let scan = lab_entries
        .iter()
        .find(|entry| text(entry, "RECON_SOURCE_IP") == recon_tests::lab::ATTACKER.to_string());
    let Some(scan) = scan else {
        bail!("no entry about the scan: {lab_entries:?}");
    };
    let line: Value = serde_json::from_str(&text(scan, "RECON_LINE"))?;
    for (field, expected) in [
        ("MESSAGE", &line["message"]),
        ("RECON_EVENT_ID", &line["event"]["id"]),
        ("RECON_EVENT_ACTION", &line["event"]["action"]),
        ("SYSLOG_IDENTIFIER", &Value::from("recon")),
    ] {
        ensure!(scan[field] == *expected, "{field}: {scan}");
    }
    ensure!(
        ["3", "4", "5", "6"].contains(&text(scan, "PRIORITY").as_str()),
        "{scan}"
    );
    let logs = entries(&watched.lab, &run_folder, "_TRANSPORT=syslog")?;
    ensure!(
        logs.iter()
            .all(|entry| text(entry, "SYSLOG_FACILITY") == "3"),
        "{logs:?}"
    );

    // The last lines come at the end.
    let ended = watched.stop()?;
    journald.stop()?;
    let lab = Lab::new()?;
    let received = received(&lab, &run_folder)?;
    for (sink, received) in ["journal", "log"].into_iter().zip(&received) {
        lines(&(received.join("\n") + "\n"))?;
        let totals = ended.ensure_agrees(sink, received)?;
        ensure!(totals.dropped == 0, "{sink}: {totals:?}");
    }
    Ok(())
}
