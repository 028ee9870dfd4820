//! What the service manager hears: only what is true.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::lab::HOST_LINK;
use recon_tests::{Agent, Lab, PATIENCE};

use super::ensure_nothing_attached;

/// The watchdog's time; half of it is [`HALF`].
const WATCHDOG_USEC: u64 = 1_000_000;
const HALF: Duration = Duration::from_millis(500);

/// The longest message that systemd reads.
const MAX_MESSAGE: usize = 4096;

/// A service manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    /// Waits for a message that begins with that text, and returns it. Others are skipped.
    fn wait_for(&self, start: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(message) = self.next(PATIENCE)?
                && message.starts_with(start)
            {
                return Ok(message);
            }
        }
        bail!("no {start}")
    }

    /// The next message, if one comes in time.
    fn next(&self, within: Duration) -> Result<Option<String>> {
        let mut bytes = [0; MAX_MESSAGE + 1];
        self.0.set_read_timeout(Some(within))?;
        let length = loop {
            match self.0.recv(&mut bytes) {
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // A wait with a limit ends when the machine is frozen for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        ensure!(length <= MAX_MESSAGE, "systemd ignores {length} bytes");
        Ok(Some(String::from_utf8(bytes[..length].to_vec())?))
    }
}

fn start(lab: &Lab, address: &str, interval: &str) -> Result<Agent> {
    let line = format!("run -vv -i {HOST_LINK} --interval {interval}");
    let mut command = recon(&line)?;
    command.args(lab.watched_sockets());
    command.env("NOTIFY_SOCKET", address);
    command.env("WATCHDOG_USEC", WATCHDOG_USEC.to_string());
    Agent::spawn(lab, command, Stdio::piped())
}

#[test]
fn the_service_manager_hears_the_truth() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let name = format!("recon-notify-{}", std::process::id());
    // An abstract socket is one of the network namespace, which the agent does not share.
    for address in [
        path.to_str().context("UTF-8")?.to_owned(),
        format!("@{name}"),
    ] {
        let lab = Lab::new()?;
        let manager = match address.strip_prefix('@') {
            Some(name) => {
                let bind = || {
                    Ok(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(
                        name,
                    )?)?)
                };
                lab.host().enter(bind)?
            }
            None => UnixDatagram::bind(&path)?,
        };
        hear_all(&lab, &Manager(manager), &address).context(address)?;
        ensure_nothing_attached(&lab)?;
    }
    Ok(())
}

fn hear_all(lab: &Lab, manager: &Manager, address: &str) -> Result<()> {
    let agent = start(lab, address, "100ms")?;
    let first = manager.next(PATIENCE)?;
    ensure!(first.as_deref() == Some("READY=1"), "{first:?}");
    agent.wait_for("the first poll", |seen| (seen.polls > 0).then_some(()))?;
    let status = manager.wait_for("STATUS=")?;
    for text in ["watching veth0;", "polls,", "0 lost", "incidents open"] {
        ensure!(status.contains(text), "{status}");
    }
    // Twice, so that it goes on; and not at each poll.
    let begun = Instant::now();
    manager.wait_for("WATCHDOG=1")?;
    manager.wait_for("WATCHDOG=1")?;
    ensure!(begun.elapsed() > HALF / 2, "{:?}", begun.elapsed());

    // A stopped agent polls nothing.
    agent.signal(Signal::SIGSTOP)?;
    while manager.next(HALF)?.is_some() {}
    let stopped = manager.next(4 * HALF)?;
    ensure!(stopped.is_none(), "{stopped:?}");
    agent.signal(Signal::SIGCONT)?;
    manager.wait_for("WATCHDOG=1")?;

    agent.signal(Signal::SIGHUP)?;
    let reloading = manager.wait_for("RELOADING=1\nMONOTONIC_USEC=")?;
    let since = reloading.rsplit('=').next().unwrap_or_default();
    ensure!(since.parse::<u64>()? > 0, "{reloading}");
    let said = manager.wait_for("STATUS=reloaded: ")?;
    ensure!(said.contains("nothing has changed"), "{said}");
    manager.wait_for("READY=1")?;

    agent.signal(Signal::SIGTERM)?;
    manager.wait_for("STOPPING=1")?;
    ensure!(agent.wait()?.status.success());
    Ok(())
}

/// Ready is who has polled, not who has attached, nor who has been reloaded.
#[test]
fn an_agent_is_ready_after_its_first_poll() -> Result<()> {
    /// Longer than a start and a reload take, or nothing is shown.
    const INTERVAL: Duration = Duration::from_secs(8);
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path)?);
    let begun = Instant::now();
    let agent = start(
        &lab,
        path.to_str().context("UTF-8")?,
        &format!("{}s", INTERVAL.as_secs()),
    )?;
    ensure!(
        agent.seen().has_logged("watchdog expects a sign of life"),
        "{}",
        agent.seen()
    );
    agent.signal(Signal::SIGHUP)?;
    manager.wait_for("READY=1")?;
    let taken = begun.elapsed();
    ensure!(taken >= INTERVAL, "ready after {taken:?}");
    agent.wait_for("the first poll", |seen| (seen.polls == 1).then_some(()))?;
    ensure!(agent.stop()?.status.success());
    ensure_nothing_attached(&lab)
}
