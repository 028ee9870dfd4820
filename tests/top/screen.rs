//! `recon top` under tmux: its screen is what the scan did, and the terminal is put back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use recon_tests::PATIENCE;
use recon_tests::agent::recon;
use recon_tests::lab::ATTACKER;

use super::terminal::{Terminal, has_line, has_tmux};
use super::{OPEN, PORTS, Watched};

const SMALL: [u16; 2] = [80, 24];
const LARGE: [u16; 2] = [200, 60];
/// The last line of the screen.
const KEYS: &str = "q end s sort";

/// The line of the shell that runs `recon top` at the agent's socket.
fn line(watched: &Watched, arguments: &str) -> Result<String> {
    let recon = recon("")?;
    Ok(format!(
        "{} top --interval 200ms --control {} {arguments}",
        recon.get_program().display(),
        watched.socket.display()
    ))
}

/// What the screen says of the source of the scan.
fn row() -> String {
    let count = PORTS.count();
    let (first, last) = PORTS.into_inner();
    format!(
        "{ATTACKER} scanner {count} {first}-{last} 0 {} 1 0 {OPEN} nmap",
        count - 1
    )
}

#[test]
fn the_screen_is_what_the_scan_did() -> Result<()> {
    if !has_tmux() {
        return Ok(());
    }
    let watched = Watched::start("")?;
    let line = line(&watched, "")?;
    let small = Terminal::start(&watched.lab, SMALL, &line)?;
    let large = Terminal::start(&watched.lab, LARGE, &line)?;
    small.wait_line("SOURCES by recent: 0 known")?;
    watched.scanned()?;
    let alert = watched.alert("port-scan", "distinct_ports")?;
    let id = alert.text("event.id").context("event.id")?;
    let incident = format!("port-scan/distinct_ports {ATTACKER} ");
    for (terminal, [width, height]) in [(&small, SMALL), (&large, LARGE)] {
        let screen = terminal.wait_line(&row())?;
        let lines: Vec<_> = screen.lines().collect();
        ensure!(lines.len() == usize::from(height), "{screen}");
        ensure!(
            lines
                .iter()
                .all(|line| line.chars().count() <= width.into()),
            "{screen}"
        );
        ensure!(lines[0].starts_with("recon 0.1.0  pid "), "{screen}");
        ensure!(lines[0].contains("  veth0  "), "{screen}");
        ensure!(lines[1] == "nothing is lost", "{screen}");
        ensure!(
            lines[2].starts_with("SOURCES by recent: 1 known, 1 scanner"),
            "{screen}"
        );
        ensure!(has_line(lines[lines.len() - 1], KEYS), "{screen}");
        let with_id = lines.iter().find(|line| line.contains(&id));
        let with_id = with_id.with_context(|| format!("{id}:\n{screen}"))?;
        ensure!(has_line(with_id, &incident), "{with_id}\n{screen}");
        println!("{screen}");
    }
    small.resize(LARGE)?;
    small.wait("200x60", |screen| {
        screen.lines().count() == 60 && screen.lines().any(|line| line.contains("FIRST"))
    })?;
    small.resize([40, 8])?;
    small.wait("40x8", |screen| {
        screen.lines().count() == 8
            && has_line(screen, &format!("{ATTACKER} scanner"))
            && !screen.contains("INCIDENTS")
    })?;
    drop((small, large));
    watched.stop()
}

#[test]
fn keys_sort_filter_and_follow() -> Result<()> {
    if !has_tmux() {
        return Ok(());
    }
    let watched = Watched::start("")?;
    watched.scanned()?;
    let terminal = Terminal::start(&watched.lab, SMALL, &line(&watched, "--sort new")?)?;
    let count = PORTS.count();
    // (keys, the line that they bring)
    for (keys, expected) in [
        (&[][..], "SOURCES by new: 1 known"),
        (&["s"], "SOURCES by recent: 1 known"),
        (&["S", "S"], "SOURCES by failed: 1 known"),
        (
            &["/", "203.0.113", "Enter"],
            "SOURCES by failed, 0 of 203.0.113: 1 known",
        ),
        (
            &["/", "x", "Enter"],
            "filter: 203.0.113x_ `203.0.113x` selects no sources",
        ),
        (&["Escape"], KEYS),
        (&["Escape"], &row()),
        (
            &["/", "scanner", "Enter"],
            "SOURCES by failed, 1 of scanner: 1 known",
        ),
        (&["Enter"], &format!("FOLLOWING {ATTACKER}")),
        (
            &[],
            &format!("verdict scanner: {count} failures against 0 successes"),
        ),
        (
            &[],
            &format!(
                "outcomes 0 accepted, {} refused, 1 half-open, 0 silent",
                count - 1
            ),
        ),
        (&[], "port-scan/distinct_ports"),
        (&["Escape"], &row()),
        (&["p"], "PAUSED"),
        (&["p"], "nothing is lost"),
        (&["?"], "q, Ctrl-C end"),
        (&["x"], &row()),
    ] {
        if !keys.is_empty() {
            terminal.press(keys)?;
        }
        terminal.wait_line(expected)?;
    }
    drop(terminal);
    watched.stop()
}

#[test]
fn a_lost_agent_is_said_and_found_again() -> Result<()> {
    if !has_tmux() {
        return Ok(());
    }
    let watched = Watched::start("")?;
    watched.scanned()?;
    let terminal = Terminal::start(&watched.lab, LARGE, &line(&watched, "")?)?;
    terminal.wait_line(&row())?;
    watched.agent.signal(Signal::SIGSTOP)?;
    let screen = terminal.wait_line("NO ANSWER for")?;
    ensure!(screen.contains("is stopped by a signal"), "{screen}");
    ensure!(has_line(&screen, &row()), "{screen}");
    watched.agent.signal(Signal::SIGCONT)?;
    terminal.wait("its answer", |screen| !screen.contains("NO ANSWER"))?;
    let Watched {
        agent, lab, socket, ..
    } = &watched;
    let line = format!("--interval 250ms --control {}", socket.display());
    agent.signal(Signal::SIGTERM)?;
    terminal.wait("its end", |screen| screen.contains("no recon listens on"))?;
    let next = recon_tests::Agent::start(lab, &line)?;
    let screen = terminal.wait("another agent", |screen| !screen.contains("NO ANSWER"))?;
    ensure!(screen.contains(&format!("pid {}", next.pid())), "{screen}");
    ensure!(next.stop()?.status.success());
    drop(terminal);
    Ok(())
}

/// However it ends, the terminal is as before: its modes, its first screen, its cursor.
#[test]
fn the_terminal_is_put_back() -> Result<()> {
    if !has_tmux() {
        return Ok(());
    }
    let watched = Watched::start("")?;
    let top = line(&watched, "")?;
    for (how, code) in [("q", "0"), ("C-c", "0"), ("TERM", "0"), ("HUP", "0")] {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let script = format!(
            "cd {}; stty -g >before; echo first; sh -c 'echo $$ >pid; exec {top}'; echo $? >code; stty -g >after; exec cat",
            folder.path().display()
        );
        let terminal = Terminal::start(&watched.lab, SMALL, &script)?;
        terminal.wait_line(KEYS)?;
        let state = |terminal: &Terminal| {
            terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"])
        };
        ensure!(state(&terminal)?.trim() == "1 0", "{}", state(&terminal)?);
        match how {
            "TERM" => end(&path("pid"), Signal::SIGTERM)?,
            "HUP" => end(&path("pid"), Signal::SIGHUP)?,
            key => terminal.press(&[key])?,
        }
        let begun = Instant::now();
        terminal.wait_line("first")?;
        wait_file(&path("after"))?;
        ensure!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        let read = |name: &str| fs::read_to_string(path(name));
        ensure!(read("before")? == read("after")?, "{how}");
        ensure!(read("code")?.trim() == code, "{how}: {}", read("code")?);
        ensure!(
            state(&terminal)?.trim() == "0 1",
            "{how}: {}",
            state(&terminal)?
        );
    }
    watched.stop()
}

fn end(pid: &Path, signal: Signal) -> Result<()> {
    let pid = fs::read_to_string(pid)?.trim().parse()?;
    Ok(kill(Pid::from_raw(pid), signal)?)
}

/// Waits until the file has a line.
fn wait_file(path: &Path) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')) {
        ensure!(Instant::now() < until, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A scanner is red, unless colours are off.
#[test]
fn colours_can_be_turned_off() -> Result<()> {
    const RED: &str = "38;5;1m";
    if !has_tmux() {
        return Ok(());
    }
    let watched = Watched::start("")?;
    watched.scanned()?;
    for (variable, arguments, is_red) in [
        ("", "", true),
        ("", "--no-color", false),
        ("NO_COLOR=1", "", false),
        ("NO_COLOR=", "", true),
    ] {
        let top = format!("{variable} {}", line(&watched, arguments)?);
        let terminal = Terminal::start(&watched.lab, SMALL, &top)?;
        terminal.wait_line(&row())?;
        let screen = terminal.colored()?;
        ensure!(
            screen.contains(RED) == is_red,
            "{variable} {arguments}: {screen:?}"
        );
    }
    watched.stop()
}
