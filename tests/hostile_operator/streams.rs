//! Stdout, stderr and the file of events: closed, blocked, shared, rotated.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write as _, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::shell;
use recon_tests::scan::{PORTS, has_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE, Process, Seen};

use super::{INTERVAL, ensure_nothing_attached};

/// Nothing is written to stdout, so it may be closed.
#[test]
fn without_alerts_stdout_may_be_closed() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows.jsonl");
    let program = recon("")?.get_program().to_owned();
    let line = format!(
        "exec {} run -vv -i {HOST_LINK} {INTERVAL} --no-alerts --events {} >&-",
        program.display(),
        events.display()
    );
    let agent = Agent::spawn(&lab, shell(&line), Stdio::piped())?;
    scan(&lab, PORTS)?;
    agent.wait_drained(2 * PORTS.len() as u64)?;
    ensure!(agent.stop()?.status.success());
    ensure!(count_rows(&events, "SYN")? == PORTS.len());
    Ok(())
}

/// The rows of that ActionType in a file, of which every line must be whole.
fn count_rows(file: &Path, action: &str) -> Result<usize> {
    let text = fs::read_to_string(file)?;
    ensure!(
        text.is_empty() || text.ends_with('\n'),
        "a torn line: {text}"
    );
    let mut count = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        count += usize::from(row["ActionType"] == action);
    }
    Ok(count)
}

#[test]
fn events_of_earlier_runs_stay() -> Result<()> {
    /// What a full disk leaves of a row.
    const TORN: &str = r#"{"Type":"Torn"#;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows.jsonl");
    let arguments = format!("{INTERVAL} --events {}", events.display());
    for round in 1..=3 {
        let lab = Lab::new()?;
        let agent = Agent::start(&lab, &arguments)?;
        scan(&lab, PORTS)?;
        ensure!(agent.stop()?.status.success());
        let rows = count_rows(&events, "SYN")?;
        ensure!(rows == round * PORTS.len(), "round {round}: {rows} rows");
    }
    File::options()
        .append(true)
        .open(&events)?
        .write_all(TORN.as_bytes())?;
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, &arguments)?;
    let seen = agent.seen();
    ensure!(seen.has_logged("its last line is not complete"), "{seen}");
    scan(&lab, PORTS)?;
    ensure!(agent.stop()?.status.success());
    let text = fs::read_to_string(&events)?;
    let torn: Vec<_> = text.lines().filter(|line| line.starts_with(TORN)).collect();
    ensure!(torn == [TORN], "{torn:?}");
    Ok(())
}

/// As logrotate does it: rename the file, then send SIGHUP.
#[test]
fn a_rotated_file_of_events_is_opened_again() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let [events, rotated] = ["rows.jsonl", "rows.jsonl.1"].map(|name| folder.path().join(name));
    let agent = Agent::start(&lab, &format!("{INTERVAL} --events {}", events.display()))?;
    scan(&lab, PORTS)?;
    agent.wait_drained(2 * PORTS.len() as u64)?;
    fs::rename(&events, &rotated)?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the file opened again", |seen| {
        seen.has_logged("opened again").then_some(())
    })?;
    scan(&lab, PORTS)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    for file in [&rotated, &events] {
        let rows = count_rows(file, "SYN")?;
        ensure!(rows == PORTS.len(), "{}: {rows} rows", file.display());
    }
    ensure!(
        stopped.seen.has_logged("events_dropped=0"),
        "{}",
        stopped.seen
    );
    Ok(())
}

/// A reader of the log that stalls stops neither detection nor the end.
#[test]
fn a_blocked_log_stops_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let (log, stderr) = pipe()?;
    // A description of its own: it does not make the agent's descriptor non-blocking.
    let mut filler = File::options()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", stderr.as_raw_fd()))?;
    let mut command = recon(&format!(
        "run -vv -i {HOST_LINK} --interval 10ms --profile source"
    ))?;
    command
        .args(lab.watched_sockets())
        .stdout(Stdio::piped())
        .stderr(stderr);
    let mut agent = Process::spawn(lab.host(), command)?;
    let mut log = BufReader::new(log);
    let mut line = String::new();
    while !line.contains("watching") {
        line.clear();
        ensure!(log.read_line(&mut line)? > 0, "it has ended");
    }
    fill(&mut filler)?;

    scan(&lab, PORTS)?;
    let mut stdout = BufReader::new(agent.take_stdout().context("a pipe")?);
    let mut seen = Seen::default();
    while !has_alert(&seen) {
        let mut ask = [PollFd::new(stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut ask, PollTimeout::try_from(PATIENCE)?)?;
        ensure!(ready > 0, "no alert while the log is blocked");
        line.clear();
        ensure!(stdout.read_line(&mut line)? > 0, "it has ended");
        seen.read_stdout(line.trim_end());
    }
    agent.signal(Signal::SIGTERM)?;
    let status = agent.wait(PATIENCE)?;
    ensure!(status.success(), "{status}");
    ensure_nothing_attached(&lab)
}

/// Writes until the pipe is full.
fn fill(pipe: &mut File) -> Result<()> {
    loop {
        match pipe.write(b"\n") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => bail!("the pipe: {error}"),
        }
    }
}
