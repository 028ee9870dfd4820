//! The control socket under friends, strangers and garbage.

use std::fs;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, RandomState};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::run;
use recon_tests::scan::{PORTS, SIGNALS_PER_PORT, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE};

use super::{INTERVAL, ask, ensure_nothing_attached, status};

fn start(lab: &Lab, socket: &Path) -> Result<Agent> {
    Agent::start(lab, &format!("{INTERVAL} --control {}", socket.display()))
}

#[test]
fn an_agent_says_what_it_knows_of_itself() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("control.sock");
    let agent = start(&lab, &socket)?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    let signals = SIGNALS_PER_PORT * PORTS.len() as u64;
    agent.wait_drained(signals)?;
    let status = status(&lab, &socket)?;
    ensure!(status["pid"] == agent.pid(), "{status}");
    ensure!(
        status["signals"] == signals && status["lost"] == 0,
        "{status}"
    );
    ensure!(status["interfaces"][0] == HOST_LINK, "{status}");
    ensure!(status["alerts"].as_u64() >= Some(1), "{status}");
    ensure!(status["incidents_open"].as_u64() >= Some(1), "{status}");
    ensure!(
        status["sandbox"]
            .as_str()
            .is_some_and(|it| it.contains("CapEff=")),
        "{status}"
    );
    ensure!(status.get("last_reload").is_none(), "{status}");
    let shown = ask(&lab, "status", &socket)?.success()?;
    for text in [
        "watching     veth0",
        "hooks        sockets of ",
        "incidents open",
    ] {
        ensure!(shown.contains(text), "no {text:?} in {shown}");
    }
    ensure!(agent.stop()?.status.success());
    ensure!(!socket.exists(), "the socket is left");
    let refused = ask(&lab, "status", &socket)?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(
        refused.output.contains("no recon listens on"),
        "{refused:?}"
    );
    ensure_nothing_attached(&lab)
}

/// Neither by the mode of the socket, nor if somebody opens that.
#[test]
fn another_user_gets_no_answer() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    // Where it was built, others may not be able to read it.
    let program = folder.path().join("recon");
    fs::copy(recon("")?.get_program(), &program)?;
    let socket = folder.path().join("control.sock");
    let agent = start(&lab, &socket)?;
    for (mode, command, says) in [
        (0o600, "status", "Permission denied"),
        (
            0o600,
            "reload",
            "run this as root, or as the user that recon runs as",
        ),
        (
            0o666,
            "status",
            "only root and the user that recon runs as may ask",
        ),
        (
            0o666,
            "reload",
            "only root and the user that recon runs as may ask",
        ),
    ] {
        if mode != 0o600 {
            fs::set_permissions(&socket, fs::Permissions::from_mode(mode))?;
        }
        let found = fs::metadata(&socket)?.permissions().mode();
        ensure!(found & 0o777 == mode, "{found:o}");
        let mut stranger = Command::new("setpriv");
        stranger
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args([command, "--control"])
            .arg(&socket);
        let refused = run(lab.host(), stranger, PATIENCE)?;
        ensure!(refused.status.code() == Some(1), "{mode:o} {refused:?}");
        ensure!(refused.output.contains(says), "{mode:o} {refused:?}");
    }
    ensure!(!agent.seen().has_logged("reload:"), "{}", agent.seen());
    ensure!(agent.stop()?.status.success());
    ensure_nothing_attached(&lab)
}

/// A thousand clients with random bytes, halves of requests, or nothing, and a scan meanwhile: no
/// poll is lost, nobody hangs, and the next request is answered.
#[test]
fn garbage_costs_no_poll() -> Result<()> {
    const CLIENTS: u64 = 1000;
    /// Longer than the longest request.
    const MOST_BYTES: u64 = 10_000;
    /// These stay connected and say nothing.
    const SILENT: u64 = 100;
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("control.sock");
    let agent = start(&lab, &socket)?;
    // Printed if the test fails.
    let seed = RandomState::new().hash_one(0);
    println!("seed of the bytes: {seed}");
    let random = BuildHasherDefault::<DefaultHasher>::default();
    let mut silent = Vec::new();
    for client in 0..CLIENTS {
        let word = |number: u64| random.hash_one((seed, client, number));
        let length = usize::try_from(word(0) % MOST_BYTES)?;
        let bytes: Vec<u8> = (1..)
            .map(word)
            .flat_map(u64::to_le_bytes)
            .take(length)
            .collect();
        let request = b"{\"command\":\"status\"}\n";
        let bytes = match client % 4 {
            0 => &bytes[..],
            1 => &request[..length % request.len()],
            2 => &request[..],
            _ => &[],
        };
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        // The agent may have hung up: it reads no more than a request may have.
        let _ = stream.write_all(bytes);
        // Most do not wait for the answer.
        let _ = stream.read(&mut [0; 8]);
        if client < SILENT {
            silent.push(stream);
        }
    }
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    let status = status(&lab, &socket)?;
    ensure!(status["failed_polls"] == 0, "{status}");
    agent.wait_poll()?;
    drop(silent);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.pid()))?.count();
    ensure!(descriptors < 200, "{descriptors} descriptors are left open");
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let signals = SIGNALS_PER_PORT * PORTS.len() as u64;
    ensure!(stopped.totals()?.signals == signals, "{}", stopped.seen);
    ensure_nothing_attached(&lab)
}

/// The socket of a killed agent is taken over, that of a living one is not.
#[test]
fn a_socket_belongs_to_one_agent() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("control.sock");
    let killed = start(&lab, &socket)?;
    killed.signal(Signal::SIGKILL)?;
    killed.wait()?;
    ensure!(socket.exists(), "a killed agent can't remove it");
    let agent = start(&lab, &socket)?;
    let line = format!("run -i {HOST_LINK} --control {}", socket.display());
    let refused = run(lab.host(), recon(&line)?, PATIENCE)?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(
        refused.output.contains("another recon listens there"),
        "{refused:?}"
    );
    ensure!(status(&lab, &socket)?["pid"] == agent.pid());
    ensure!(agent.stop()?.status.success());
    let left = fs::read_dir(folder.path())?.count();
    ensure!(left == 0, "{left} files are left");
    ensure_nothing_attached(&lab)
}
