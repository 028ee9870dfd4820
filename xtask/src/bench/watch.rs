//! The agent under measurement.
//!
//! In: a lab, options. Out: a running agent.
//! The decision held here: its alerts go to /dev/null and its log is short, as if an operator piped
//! them on; it watches only the sockets of the lab's host.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use recon_tests::{Agent, Lab};

/// Starts `recon run` with these options and waits until it watches.
pub(super) fn watch(lab: &Lab, agent: &Path, options: &[&str]) -> Result<Agent> {
    let mut recon = Command::new(agent);
    recon.arg("run").args(options).args(lab.watched_sockets());
    Agent::spawn(lab, recon, Stdio::null())
}
