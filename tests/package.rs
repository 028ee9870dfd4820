//! The Debian package in a bare Debian: install, run, upgrade, remove, purge.
//!
//! In: a Debian system and two versions of the package, which `cargo xtask test --package` makes
//! and names. Out: an alert from the installed service, and a system as it was before.

#[path = "package/root.rs"]
mod root;
#[path = "package/unit.rs"]
mod unit;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::HOST_LINK;
use recon_tests::report::skip;
use recon_tests::scan::{PORTS, has_alert, scan};
use recon_tests::{Agent, Lab};

use root::Root;
use unit::Unit;

/// A Debian system; the package before, and the one to test.
const INPUTS: [&str; 3] = ["RECON_DEBIAN", "RECON_DEB_BEFORE", "RECON_DEB"];
const UNIT: &str = "/usr/lib/systemd/system/recon.service";
const SETTINGS: &str = "/etc/recon/recon.toml";
/// A change of the operator.
const OPERATOR: &str = "\nquiet = \"11m\"\n";

/// What the package installs, as type, mode, owner and path.
const FILES: [&str; 15] = [
    "f 755 root:root /usr/bin/recon",
    "f 644 root:root /usr/lib/systemd/system/recon.service",
    "f 644 root:root /usr/lib/sysusers.d/recon.conf",
    "d 755 root:root /etc/recon",
    "f 644 root:root /etc/recon/recon.toml",
    "f 644 root:root /etc/logrotate.d/recon",
    "f 644 root:root /usr/share/bash-completion/completions/recon",
    "f 644 root:root /usr/share/zsh/vendor-completions/_recon",
    "f 644 root:root /usr/share/fish/vendor_completions.d/recon.fish",
    "f 644 root:root /usr/share/man/man1/recon.1.gz",
    "f 644 root:root /usr/share/man/man1/recon-run.1.gz",
    "f 644 root:root /usr/share/man/man1/recon-rules-check.1.gz",
    "f 644 root:root /usr/share/doc/recon/copyright",
    "f 644 root:root /usr/share/doc/recon/changelog.Debian.gz",
    "l 777 root:root /etc/systemd/system/multi-user.target.wants/recon.service",
];

#[test]
fn a_package_is_installed_runs_is_upgraded_and_leaves_nothing() -> Result<()> {
    let inputs: Vec<PathBuf> = INPUTS
        .iter()
        .filter_map(env::var_os)
        .map(Into::into)
        .collect();
    let [base, before, package] = inputs.as_slice() else {
        skip("package", "cargo xtask test --package makes what it needs");
        return Ok(());
    };
    let lab = Lab::new()?;
    let root = Root::over(base)?;
    let clean = root.listing()?;

    let old = install(&root, before)?;
    let files = root.listing()?;
    for file in FILES {
        ensure!(files.iter().any(|line| line == file), "{file} is missing");
    }
    let user = root.run("getent passwd recon")?;
    ensure!(user.trim().ends_with("/nologin"), "{user}");
    check_unit(&root)?;
    check_run(&root, &lab)?;
    check_rotation(&root)?;

    let settings = root.file(SETTINGS);
    let edited = fs::read_to_string(&settings)? + OPERATOR;
    fs::write(&settings, &edited)?;
    let new = install(&root, package)?;
    ensure!(old != new, "an upgrade from {old} to {new}");
    ensure!(
        fs::read_to_string(&settings)? == edited,
        "the settings have changed"
    );
    ensure!(root.run("recon config")?.contains(OPERATOR.trim()));
    check_run(&root, &lab)?;

    root.run("apt-get --yes remove recon")?;
    ensure!(
        fs::read_to_string(&settings)? == edited,
        "removing keeps settings"
    );
    ensure!(!root.file("/usr/bin/recon").exists());
    root.run("apt-get --yes purge recon")?;
    for folder in ["/var/log/recon", "/var/lib/recon", "/sys/fs/bpf/recon"] {
        ensure!(!root.file(folder).exists(), "purging leaves {folder}");
    }
    let left = root.listing()?;
    let added: Vec<_> = left.iter().filter(|line| !clean.contains(line)).collect();
    let lost: Vec<_> = clean.iter().filter(|line| !left.contains(line)).collect();
    ensure!(
        added.is_empty() && lost.is_empty(),
        "left: {added:#?} lost: {lost:#?}"
    );
    Ok(())
}

/// Installs a package and returns its version.
fn install(root: &Root, package: &Path) -> Result<String> {
    let inside = root.file("/tmp/recon.deb");
    fs::copy(package, &inside).with_context(|| package.display().to_string())?;
    root.run("apt-get --yes --no-install-recommends --allow-downgrades install /tmp/recon.deb")?;
    fs::remove_file(inside)?;
    root.run("dpkg-query --show --showformat='${Version}' recon")
}

/// systemd reads the unit without a complaint.
fn check_unit(root: &Root) -> Result<()> {
    let said = root.run(&format!("systemd-analyze verify --man=no {UNIT} 2>&1"))?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// The command line of the unit, with its user and its capabilities, reports a scan.
fn check_run(root: &Root, lab: &Lab) -> Result<()> {
    let unit = Unit(fs::read_to_string(root.file(UNIT))?);
    let mut command = unit.command(root)?;
    command.args(["-vv", "-i", HOST_LINK, "--profile", "source"]);
    command.args(lab.watched_sockets());
    let agent = Agent::spawn(lab, command, Stdio::piped())?;
    scan(lab, PORTS)?;
    let alerts = root.file("/var/log/recon/alerts.jsonl");
    let is_in_file =
        || fs::read_to_string(&alerts).is_ok_and(|text| text.contains("\"port-scan\""));
    agent.wait_for("the alert about the scan", |seen| {
        (has_alert(seen) || is_in_file()).then_some(())
    })?;
    agent.stop()?;
    // The next run starts from nothing.
    let _ = fs::remove_file(alerts);
    Ok(())
}

/// logrotate accepts its part and rotates what recon writes.
fn check_rotation(root: &Root) -> Result<()> {
    root.run(
        "install --directory --owner=recon --mode=700 /var/log/recon
         echo '{}' >/var/log/recon/events.jsonl
         chown recon:recon /var/log/recon/events.jsonl
         logrotate --force --state /tmp/state /etc/logrotate.d/recon
         rm /tmp/state",
    )?;
    let rotated = root.file("/var/log/recon/events.jsonl.1");
    ensure!(rotated.exists(), "events.jsonl has not been rotated");
    Ok(())
}
