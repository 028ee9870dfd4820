//! A port scan of the host by plain connections, and the alert about it.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::ops::Range;

use anyhow::{Result, bail};

use crate::lab::{ATTACKER, HOST, Lab};
use crate::{Agent, Seen};

/// One port more than the threshold of the port scan rule. All of them are closed.
pub const PORTS: Range<u16> = 2000..2021;
/// A refused attempt is counted on its way in, and its reset on its way out.
pub const SIGNALS_PER_PORT: u64 = 2;

/// Connects to every port and returns once all of them have refused: the hooks have seen it all.
///
/// # Errors
/// If a port does anything else.
pub fn scan(lab: &Lab, ports: Range<u16>) -> Result<()> {
    lab.attacker().enter(|| {
        for port in ports {
            match TcpStream::connect((HOST, port)) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                other => bail!("port {port}: {other:?}"),
            }
        }
        Ok(())
    })
}

/// Whether there is the alert about [`scan`].
#[must_use]
pub fn has_alert(seen: &Seen) -> bool {
    let mut scans = seen.fired("port-scan", "distinct_ports");
    scans.any(|alert| alert.text("source.ip") == Some(ATTACKER.to_string()))
}

/// Waits for the alert about [`scan`].
///
/// # Errors
/// As [`Agent::wait_for`].
pub fn ensure_alert(agent: &Agent) -> Result<()> {
    agent.wait_for("the alert about the scan", |seen| {
        has_alert(seen).then_some(())
    })
}
