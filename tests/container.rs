//! The container: its manifest grants what recon needs and no more, and with that recon reports a
//! scan, answers its probes and goes on after a kill.
//!
//! In: Containerfile, daemonset.yaml, the built agent. Out: an alert from an agent in a tree like
//! the image, with the arguments, the mounts and the capabilities of the manifest.
//! The decision held here: no runtime and no registry. A test makes the system calls that a runtime
//! makes, so that it runs wherever the others do.

#[path = "container/image.rs"]
mod image;
#[path = "container/manifest.rs"]
mod manifest;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::hooks::attached;
use recon_tests::process::run;
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::Value;

use image::{Image, capability_set};
use manifest::{Manifest, PROBES};

/// Adds the names of network namespaces only, and is not worth it in a container.
const LEFT_OUT: &str = "SYS_ADMIN";
/// The pins on the node.
const PINS: &str = "/sys/fs/bpf/recon";
/// Only for the start.
const DROPPED: &str = "PERFMON";

/// Capabilities are those of the systemd unit, and with the one that is omitted all that recon
/// knows a use for.
#[test]
fn the_manifest_grants_what_recon_needs() -> Result<()> {
    let manifest = Manifest::read()?;
    let granted: BTreeSet<_> = manifest.capabilities()?.into_iter().collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recon-user/package");
    let unit = fs::read_to_string(format!("{folder}/recon.service"))?;
    let mut lines = unit.lines();
    let ambient = lines.find_map(|line| line.strip_prefix("AmbientCapabilities="));
    let ambient = ambient.context("the unit has no capabilities")?;
    let names = |text: &str| text.trim_start_matches("CAP_").to_owned();
    let of_unit: BTreeSet<_> = ambient.split(' ').map(names).collect();
    ensure!(granted == of_unit, "{granted:?} and not {of_unit:?}");

    let lab = Lab::new()?;
    let check = run(lab.host(), recon("check --json")?, PATIENCE)?;
    let report = check.output.find('{').map(|start| &check.output[start..]);
    let report: Value = serde_json::from_str(report.context("a report")?)?;
    let checks = report["checks"].as_array().context("checks")?;
    let privileges = checks.iter().filter(|one| one["part"] == "privileges");
    let mut useful: BTreeSet<_> = privileges
        .filter_map(|one| one["check"].as_str().map(names))
        .collect();
    ensure!(useful.remove(LEFT_OUT), "{useful:?}");
    ensure!(granted == useful, "{granted:?} and not {useful:?}");
    manifest.ensure_confined()
}

/// recon's own parser takes the arguments of the pod and of its probes.
#[test]
fn recon_takes_the_arguments_of_the_manifest() -> Result<()> {
    let manifest = Manifest::read()?;
    let image = Image::read()?;
    let mut lines = vec![[image.entry.clone(), manifest.arguments()?].concat()];
    for probe in PROBES {
        lines.push(manifest.probe(probe)?);
    }
    for line in lines {
        let (program, arguments) = line.split_first().context("a program")?;
        ensure!(*program == image.entry[0], "the image has no {program}");
        let parsed = recon("")?.args(arguments).arg("--help").output()?;
        ensure!(parsed.status.success(), "{line:?}: {parsed:?}");
    }
    // So that the test can fail.
    let refused = recon("run --no-such-option --help")?.output()?;
    ensure!(!refused.status.success(), "{refused:?}");
    Ok(())
}

#[test]
fn recon_reports_a_scan_in_a_container_of_the_manifest() -> Result<()> {
    let lab = Lab::new()?;
    let manifest = Manifest::read()?;
    let image = Image::read()?;
    let container = image.unpack(&lab, &manifest)?;
    let line = [image.entry.clone(), manifest.arguments()?].concat();
    let probe = |which: &str| -> Result<bool> {
        let command = container.command(&manifest.probe(which)?)?;
        Ok(run(lab.host(), command, PATIENCE)?.status.success())
    };
    for which in PROBES {
        ensure!(!probe(which)?, "{which} succeeds without an agent");
    }
    let agent = Agent::spawn(&lab, container.command(&line)?, Stdio::piped())?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    for which in PROBES {
        ensure!(probe(which)?, "{which} fails\n{}", agent.seen());
    }
    let granted = manifest.capabilities()?;
    let kept = granted.iter().filter(|name| *name != DROPPED);
    let kept = capability_set(kept.map(String::as_str))?;
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let expected = format!("CapEff:\t{kept:016x}");
    ensure!(status.contains(&expected), "not {expected}: {status}");

    agent.signal(Signal::SIGKILL)?;
    agent.wait()?;
    let agent = Agent::spawn(&lab, container.command(&line)?, Stdio::piped())?;
    for text in ["went on with the maps and hooks", "goes on: "] {
        ensure!(
            agent.seen().has_logged(text),
            "no {text:?}\n{}",
            agent.seen()
        );
    }
    ensure!(agent.stop()?.status.success());
    ensure!(!attached(&lab)?.is_empty(), "its hooks stay");
    fs::remove_dir_all(container.file(PINS))?;
    let left = attached(&lab)?;
    ensure!(left.is_empty(), "without pins, these stay: {left:?}");
    Ok(())
}

/// `podman build` needs nothing but what `cargo xtask package` has made: no base from a registry.
#[test]
fn the_image_has_no_base() -> Result<()> {
    let image = Image::read()?;
    ensure!(image.base == "scratch", "{}", image.base);
    let ldd = Command::new("ldd").arg(recon("")?.get_program()).output()?;
    // ldd fails, and says so, where a program loads no library.
    let said = String::from_utf8_lossy(&[ldd.stdout, ldd.stderr].concat()).into_owned();
    let is_static = ["statically linked", "not a dynamic executable"];
    ensure!(is_static.iter().any(|text| said.contains(text)), "{said}");
    Ok(())
}
