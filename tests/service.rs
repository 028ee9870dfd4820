//! recon as a service: it reloads without forgetting, answers its operator and nobody else, and
//! tells the service manager the truth.

#[path = "service/control.rs"]
mod control;
#[path = "service/notify.rs"]
mod notify;
#[path = "service/reload.rs"]
mod reload;
#[path = "service/unit.rs"]
mod unit;

use std::path::Path;

use anyhow::{Result, ensure};
use recon_tests::agent::recon;
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::process::{Finished, run};
use recon_tests::{Lab, PATIENCE};
use serde_json::Value;

const INTERVAL: &str = "--interval 100ms";

fn ensure_nothing_attached(lab: &Lab) -> Result<()> {
    let left = [attached(lab)?, attached_to_cgroup(lab)?].concat();
    ensure!(left.is_empty(), "still attached: {left:?}");
    Ok(())
}

/// `recon COMMAND` at a control socket, run to its end.
fn ask(lab: &Lab, command: &str, socket: &Path) -> Result<Finished> {
    let line = format!("{command} --control {}", socket.display());
    run(lab.host(), recon(&line)?, PATIENCE)
}

/// What the agent knows of itself.
fn status(lab: &Lab, socket: &Path) -> Result<Value> {
    let answer = ask(lab, "status --json", socket)?.success()?;
    Ok(serde_json::from_str(&answer)?)
}

/// `recon -V` is one line, and `--version` names the build; neither has a path.
#[test]
fn versions_name_the_build() -> Result<()> {
    let lab = Lab::new()?;
    for (flag, lines) in [("-V", 1), ("--version", 6)] {
        let said = run(lab.host(), recon(flag)?, PATIENCE)?.success()?;
        ensure!(said.starts_with("recon "), "{said}");
        ensure!(
            said.lines().count() == lines && !said.contains('/'),
            "{said}"
        );
    }
    Ok(())
}
