//! The Debian package in a bare Debian: install, upgrade, remove, purge, and its service under a
//! running systemd.
//!
//! In: a Debian system and two versions of the package, which `cargo xtask test --package` makes
//! and names. Out: alerts from the installed service, and a system as it was before.

#[path = "package/booted.rs"]
mod booted;
#[path = "package/root.rs"]
mod root;
#[path = "package/service.rs"]
mod service;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use recon_tests::Lab;
use recon_tests::report::skip;

use booted::Booted;
use root::Root;
use service::{EVENTS, Service};

/// A Debian system; the package before, and the one to test.
const INPUTS: [&str; 3] = ["RECON_DEBIAN", "RECON_DEB_BEFORE", "RECON_DEB"];
/// Who makes them.
const MAKES: &str = "cargo xtask test --package makes what it needs";
const UNIT: &str = "/usr/lib/systemd/system/recon.service";
const SETTINGS: &str = "/etc/recon/recon.toml";
/// A change of the operator.
const OPERATOR: &str = "\nquiet = \"11m\"\n";

/// What the package installs, as type, mode, owner and path.
const FILES: [&str; 17] = [
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
    "f 644 root:root /usr/share/recon/metrics/recon-alerts.yml",
    "f 644 root:root /usr/share/recon/metrics/recon-dashboard.json",
    "f 644 root:root /usr/share/doc/recon/copyright",
    "f 644 root:root /usr/share/doc/recon/changelog.Debian.gz",
    "l 777 root:root /etc/systemd/system/multi-user.target.wants/recon.service",
];

/// The exposure that `systemd-analyze security` may find, in tenths.
const MOST_EXPOSURE: u32 = 25;

/// What `cargo xtask test --package` has made: a Debian system, the package before, and the one to
/// test.
struct Inputs {
    base: PathBuf,
    before: PathBuf,
    package: PathBuf,
}

impl Inputs {
    /// `None` where nobody has made them.
    fn of_environment() -> Option<Self> {
        let inputs: Option<Vec<PathBuf>> = INPUTS
            .iter()
            .map(|name| env::var_os(name).map(Into::into))
            .collect();
        let [base, before, package] = inputs.unwrap_or_default().try_into().ok()?;
        Some(Self {
            base,
            before,
            package,
        })
    }
}

#[test]
fn a_package_is_installed_is_upgraded_and_leaves_nothing() -> Result<()> {
    let Some(inputs) = Inputs::of_environment() else {
        skip("package", MAKES);
        return Ok(());
    };
    let root = Root::over(&inputs.base)?;
    root.share_machine()?;
    let clean = root.listing()?;

    let old = install(&root, &inputs.before)?;
    let files = root.listing()?;
    for file in FILES {
        ensure!(files.iter().any(|line| line == file), "{file} is missing");
    }
    let user = root.run("getent passwd recon")?;
    ensure!(user.trim().ends_with("/nologin"), "{user}");
    check_unit(&root)?;
    check_rotation(&root)?;

    let settings = root.file(SETTINGS);
    let edited = fs::read_to_string(&settings)? + OPERATOR;
    fs::write(&settings, &edited)?;
    let new = install(&root, &inputs.package)?;
    ensure!(old != new, "an upgrade from {old} to {new}");
    ensure!(
        fs::read_to_string(&settings)? == edited,
        "the settings have changed"
    );
    ensure!(root.run("recon config")?.contains(OPERATOR.trim()));

    root.run("apt-get --yes remove recon")?;
    ensure!(
        fs::read_to_string(&settings)? == edited,
        "removing keeps settings"
    );
    ensure!(!root.file("/usr/bin/recon").exists());
    root.run("apt-get --yes purge recon")?;
    for folder in ["/var/log/recon", "/var/lib/recon"] {
        ensure!(!root.file(folder).exists(), "purging leaves {folder}");
    }
    ensure_no_user(&root.run("cat /etc/passwd /etc/group")?)?;
    let left = root.listing()?;
    let added: Vec<_> = left.iter().filter(|line| !clean.contains(line)).collect();
    let lost: Vec<_> = clean.iter().filter(|line| !left.contains(line)).collect();
    ensure!(
        added.is_empty() && lost.is_empty(),
        "left: {added:#?} lost: {lost:#?}"
    );
    Ok(())
}

/// Upgrade, reloads, restart, kill -9 and a hang under systemd lose no count; a stop, and a removal
/// of what runs, leave nothing in the kernel.
#[test]
fn a_running_systemd_keeps_the_service_and_its_counts() -> Result<()> {
    let Some(inputs) = Inputs::of_environment() else {
        skip("service", MAKES);
        return Ok(());
    };
    let lab = Lab::new()?;
    let root = Root::over(&inputs.base)?;
    let service = Service::prepare(&lab, Booted::boot(&lab, &root)?, &inputs.package)?;
    live(&service, &inputs.before).with_context(|| service.explain())
}

/// From the installation to the purge.
fn live(service: &Service<'_>, before: &Path) -> Result<()> {
    /// Lists all that has the package's name, pins too.
    const OWN_FILES: &str = "find / /run /sys/fs/bpf -xdev -name '*recon*' | sort";
    let booted = &service.booted;
    let clean = booted.run(OWN_FILES)?;
    service.install(before)?;
    service.check_process()?;
    service.count_all()?;
    for event in EVENTS {
        service.check(event).with_context(|| event.name)?;
    }
    service.check_process()?;
    booted.run("apt-get --yes remove recon")?;
    service.ensure_nothing_attached()?;
    booted.run("apt-get --yes purge recon")?;
    let left = booted.run(OWN_FILES)?;
    ensure!(left == clean, "before: {clean}\nafter: {left}");
    ensure_no_user(&booted.run("cat /etc/passwd /etc/group")?)
}

/// Neither the user nor the group of the service.
fn ensure_no_user(accounts: &str) -> Result<()> {
    ensure!(!accounts.contains("recon"), "{accounts}");
    Ok(())
}

/// Installs a package and returns its version.
fn install(root: &Root, package: &Path) -> Result<String> {
    root.with_package(package, |install| root.run(install))?;
    root.run("dpkg-query --show --showformat='${Version}' recon")
}

/// systemd reads the unit without a complaint and finds little exposed.
fn check_unit(root: &Root) -> Result<()> {
    let said = root.run(&format!("systemd-analyze verify --man=no {UNIT} 2>&1"))?;
    ensure!(said.is_empty(), "{said}");
    let said = root.run(&format!(
        "systemd-analyze security --offline=true --no-pager --threshold={MOST_EXPOSURE} {UNIT}"
    ))?;
    ensure!(said.contains("Overall exposure level"), "{said}");
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
