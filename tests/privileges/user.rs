//! A user of its own with ambient capabilities, as under systemd: what root's processes do is seen
//! in full.

use std::process::Stdio;

use anyhow::{Result, ensure};
use recon_tests::lab::HOST_LINK;
use recon_tests::namespace::Namespace;
use recon_tests::process::shell;
use recon_tests::program::PYTHON;
use recon_tests::{Agent, Lab, Process};
use serde_json::json;

use super::{ALL, INTERVAL, as_user};

const FORGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile_netns/forger.py");

#[test]
fn a_user_of_its_own_names_processes_and_namespaces() -> Result<()> {
    const FORGED: &str = "203.0.113.66";
    let lab = Lab::new()?;
    let other = Namespace::create("other")?.with_cgroup_below(lab.host())?;
    let arguments = format!("run -vv -i {HOST_LINK} {INTERVAL} --profile source --netns all");
    let agent = Agent::spawn(&lab, as_user(&lab, &ALL, &arguments)?, Stdio::piped())?;
    let line = format!(
        "ip link set lo up && ip address add {FORGED} dev lo && \
         {PYTHON} {FORGER} connect {FORGED} 2000 60 && exec cat"
    );
    let process = Process::spawn_fed(&other, shell(&line))?;
    let alert = agent.wait_for("the alert", |seen| {
        let mut alerts = seen.fired("outbound-port-scan", "distinct_ports");
        alerts
            .find(|alert| alert.signals().contains(&"syn-sent"))
            .cloned()
    })?;
    ensure!(
        alert.field("recon.netns") == Some(&json!([other.name()])),
        "{alert}"
    );
    let executable = alert.text("process.executable").unwrap_or_default();
    ensure!(executable.contains("python"), "{alert}");
    drop(process);
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    ensure!(!stopped.seen.has_logged("is missing"), "{}", stopped.seen);
    Ok(())
}
