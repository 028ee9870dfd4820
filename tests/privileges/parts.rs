//! What `recon check` says of the kernel's features, and of recon's own pins and hooks.

use anyhow::{Result, ensure};
use recon_tests::kernel::Linux;
use recon_tests::lab::HOST_LINK;
use recon_tests::pins::Bpffs;
use recon_tests::{Agent, Lab};

use super::check::{find, report};
use super::{ALL, INTERVAL, with_only};

/// Each feature that a kernel may lack has a line, and so have the programs for tunnels.
#[test]
fn features_of_the_kernel_are_tried() -> Result<()> {
    const NAMES: [&str; 5] = [
        "network namespaces of sockets",
        "current process in TC",
        "XDP on frames in several buffers",
        "TCX",
        "coarse clock",
    ];
    let lab = Lab::new()?;
    let linux = Linux::running()?;
    let arguments = format!("check --json -i {HOST_LINK}");
    let (_, report) = report(&lab, with_only(&lab, &ALL, &arguments)?)?;
    for name in NAMES {
        let is_missing = linux.lacks().iter().any(|line| line.contains(name));
        let result = match (is_missing, name) {
            (false, _) => "ok",
            (true, "coarse clock") => "note",
            (true, _) => "loss",
        };
        let line = find(&report, name, result)?;
        ensure!(line.get("costs").is_some() == is_missing, "{line}");
    }
    find(&report, "tunnels", "ok").map(drop)
}

/// The service's own hooks and pins are none of somebody else's, while it runs and afterwards.
#[test]
fn pins_of_recon_are_its_own() -> Result<()> {
    let lab = Lab::new()?;
    let bpffs = Bpffs::mount()?;
    let pins = format!("--pins {}", bpffs.pins().display());
    let check = |arguments: &str, checked: &str, result: &str, texts: &[&str]| -> Result<()> {
        let arguments = format!("check --json -i {HOST_LINK} {arguments}");
        let (_, report) = report(&lab, with_only(&lab, &ALL, &arguments)?)?;
        let line = find(&report, checked, result)?.to_string();
        for text in texts {
            ensure!(line.contains(text), "no {text:?}: {line}");
        }
        ensure!(
            !report.to_string().contains("another XDP program"),
            "{report:#}"
        );
        Ok(())
    };
    check(&pins, "pins", "ok", &["can be created"])?;
    let agent = Agent::start(&lab, &format!("{INTERVAL} --xdp native {pins}"))?;
    check(&pins, "pins", "note", &["a recon that runs uses"])?;
    check(&pins, HOST_LINK, "ok", &["recon's own XDP program"])?;
    check(&pins, HOST_LINK, "note", &["takes its hooks over"])?;
    ensure!(agent.stop()?.status.success());
    check(
        &pins,
        "pinned",
        "ok",
        &["10 hooks", "user id 0", "goes on with it"],
    )?;
    check(&pins, HOST_LINK, "ok", &["inbound by"])?;
    let other = format!("{pins} --table-entries 4096");
    check(
        &other,
        "pinned",
        "note",
        &["--table-entries is now 4096", "replaces its maps"],
    )?;
    check(
        "",
        HOST_LINK,
        "loss",
        &["recon's own XDP program", "recon detach"],
    )
}
