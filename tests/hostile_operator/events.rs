//! A file of events that can't be written: a full disk, a read-only file system, a pipe without a
//! reader. Alerts go on, what is lost is counted and said once, and rows go on in whole lines.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::{Stopped, recon};
use recon_tests::lab::HOST_LINK;
use recon_tests::process::{run, shell};
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::Value;

use super::{INTERVAL, ensure_nothing_attached};

const DROPPED: &str = "events dropped so far";
const AGAIN: &str = "can be written again";

/// A shell's line that runs recon in a mount namespace of its own, after `before`. It writes rows
/// to the file `rows` of the folder, which `before` calls `DIR`.
fn line(lab: &Lab, folder: &Path, before: &str) -> Result<String> {
    let program = recon("")?.get_program().to_owned();
    let sockets = lab.watched_sockets().join(" ".as_ref());
    let [folder, program, sockets] = [folder.as_os_str(), &program, &sockets]
        .map(|text| text.to_str().context("a path that is not UTF-8"));
    let folder = folder?;
    Ok(format!(
        "exec unshare --mount sh -c '{} && exec {} run -vv -i {HOST_LINK} {INTERVAL} \
         --profile source --events {folder}/rows {}'",
        before.replace("DIR", folder),
        program?,
        sockets?
    ))
}

/// The file of rows, as the agent sees it.
fn inside(agent: &Agent, folder: &Path, name: &str) -> Result<PathBuf> {
    let root = PathBuf::from(format!("/proc/{}/root", agent.pid()));
    Ok(root.join(folder.strip_prefix("/")?).join(name))
}

fn wait_logged(agent: &Agent, text: &str) -> Result<()> {
    agent.wait_for(text, |seen| seen.has_logged(text).then_some(()))
}

/// How many rows the agent says it has written, and how many it has dropped.
fn totals(stopped: &Stopped) -> Result<[u64; 2]> {
    let mut log = stopped.seen.log.iter();
    let line = log.find(|line| line.contains("totals: "));
    let words: Vec<_> = line.context("no totals")?.split_whitespace().collect();
    let value = |name: &str| -> Result<u64> {
        let mut values = words.iter().filter_map(|word| word.strip_prefix(name));
        Ok(values.next().with_context(|| name.to_owned())?.parse()?)
    };
    Ok([value("events=")?, value("events_dropped=")?])
}

/// Checks that losses were said once, and that the rows in `text` are those that the agent counts
/// as written. A line that a failure has cut off is not one of them.
fn ensure_counted(stopped: &Stopped, text: &str) -> Result<()> {
    ensure!(stopped.status.success(), "{}", stopped.status);
    for said in [DROPPED, AGAIN] {
        let log = stopped.seen.log.iter();
        let lines = log.filter(|line| line.contains(said)).count();
        ensure!(lines == 1, "{lines} times {said:?}: {}", stopped.seen);
    }
    let [written, dropped] = totals(stopped)?;
    ensure!(dropped > 0, "nothing was dropped: {}", stopped.seen);
    let is_row = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
    let whole = text.lines().filter(is_row).count() as u64;
    let torn = text
        .lines()
        .filter(|line| !line.is_empty() && !is_row(line));
    ensure!(torn.count() <= 1, "{text}");
    ensure!(whole == written, "{whole} rows, not {written}: {text}");
    Ok(())
}

#[test]
fn rows_go_on_once_a_full_disk_has_room_again() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    // One page is left.
    let before = "mount -t tmpfs -o size=64k rows DIR && head -c 61440 /dev/zero >DIR/filler";
    let command = shell(&line(&lab, folder.path(), before)?);
    let agent = Agent::spawn(&lab, command, Stdio::piped())?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    wait_logged(&agent, DROPPED)?;
    fs::remove_file(inside(&agent, folder.path(), "filler")?)?;
    scan(&lab, PORTS)?;
    wait_logged(&agent, AGAIN)?;
    // It outlives the agent's mount.
    let mut rows = File::open(inside(&agent, folder.path(), "rows")?)?;
    let stopped = agent.stop()?;
    let mut text = String::new();
    rows.read_to_string(&mut text)?;
    ensure_counted(&stopped, &text)
}

#[test]
fn a_read_only_file_system_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let line = line(&lab, folder.path(), "mount -t tmpfs -o ro rows DIR")?;
    let output = run(lab.host(), shell(&line), PATIENCE)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    for says in ["can't write events to", "Read-only file system"] {
        ensure!(output.output.contains(says), "no {says:?} in: {output:?}");
    }
    ensure_nothing_attached(&lab)
}

/// The file that was opened before can still be written.
#[test]
fn a_file_system_that_becomes_read_only_keeps_the_file() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let command = shell(&line(&lab, folder.path(), "true")?);
    let agent = Agent::spawn(&lab, command, Stdio::piped())?;
    let path = folder.path().display();
    let mount = format!(
        "exec nsenter --mount=/proc/{}/ns/mnt sh -c \
         'mount --bind {path} {path} && mount -o remount,bind,ro {path}'",
        agent.pid()
    );
    run(lab.host(), shell(&mount), PATIENCE)?.success()?;
    agent.signal(Signal::SIGHUP)?;
    wait_logged(&agent, "events go on to the file opened before")?;
    ensure!(agent.seen().has_logged("Read-only file system"));
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let [written, dropped] = totals(&stopped)?;
    let text = fs::read_to_string(folder.path().join("rows"))?;
    ensure!(dropped == 0 && text.lines().count() as u64 == written);
    ensure!(text.contains("\"SYN\""), "{text}");
    Ok(())
}

#[test]
fn rows_go_on_once_a_pipe_has_a_reader_again() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let rows = folder.path().join("rows");
    let make = format!("exec mkfifo {}", rows.display());
    run(lab.host(), shell(&make), PATIENCE)?.success()?;
    let open = || {
        let mut options = File::options();
        let options = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        options.open(&rows)
    };
    let reader = open()?;
    let arguments = format!("{INTERVAL} --events {}", rows.display());
    let agent = Agent::start(&lab, &arguments)?;
    drop(reader);
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    wait_logged(&agent, DROPPED)?;
    let mut reader = open()?;
    scan(&lab, PORTS)?;
    wait_logged(&agent, AGAIN)?;
    let stopped = agent.stop()?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    ensure_counted(&stopped, &text)
}
