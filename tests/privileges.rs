//! recon with fewer privileges: what a running agent has left, what it still does with that, and
//! what `recon check` says before.

#[path = "privileges/check.rs"]
mod check;
#[path = "privileges/parts.rs"]
mod parts;
#[path = "privileges/sandbox.rs"]
mod sandbox;
#[path = "privileges/user.rs"]
mod user;

use std::process::Command;

use anyhow::Result;
use recon_tests::Lab;
use recon_tests::agent::recon;

const INTERVAL: &str = "--interval 100ms";
/// Debian's user without files.
const NOBODY: &str = "65534";
/// All capabilities that operation.md lists.
const ALL: [&str; 6] = [
    "bpf",
    "net_admin",
    "perfmon",
    "sys_ptrace",
    "dac_read_search",
    "sys_admin",
];

/// `recon ARGUMENTS` by root, with these capabilities only.
fn with_only(lab: &Lab, held: &[&str], arguments: &str) -> Result<Command> {
    let recon = recon(arguments)?;
    let held: String = held.iter().map(|name| format!(",+{name}")).collect();
    let mut command = Command::new("setpriv");
    command
        .args(["--inh-caps=-all", &format!("--bounding-set=-all{held}")])
        .arg(recon.get_program())
        .args(recon.get_args())
        .args(lab.watched_sockets());
    Ok(command)
}

/// `recon ARGUMENTS` by a user of its own, with these capabilities: what systemd's User= and
/// AmbientCapabilities= do.
fn as_user(lab: &Lab, held: &[&str], arguments: &str) -> Result<Command> {
    let recon = recon(arguments)?;
    let held: String = held.iter().map(|name| format!(",+{name}")).collect();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .args(["inh", "ambient"].map(|set| format!("--{set}-caps=-all{held}")))
        .arg(format!("--bounding-set=-all{held}"))
        .arg(recon.get_program())
        .args(recon.get_args())
        .args(lab.watched_sockets());
    Ok(command)
}
