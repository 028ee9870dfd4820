//! Debian's archive: the package lists of a suite and an architecture that need not be this
//! machine's.
//!
//! In: the archives that this machine's apt-get uses. Out: names of packages, and their files.
//! The decision held here: apt-get itself reads the lists, with its state in a folder of the lab's
//! own. So a proxy or a mirror of this machine serves the lab too, signatures are checked, and
//! neither `apt-get update` nor a package of another suite touches this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::step::{line, run};

/// Lists younger than this are not fetched again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// The suffix of the suites with security updates.
const SECURITY: &str = "-security";
/// The suite of packages that will be the next release, which has no security updates of its own.
pub(super) const UNSTABLE: &str = "sid";
/// The keys that sign Debian's archives, if this machine has them in Debian's place.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The file whose age is that of the lists.
const UPDATED: &str = "updated";

/// The package lists of a suite.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    architecture: &'static str,
}

impl Archive {
    /// The lists of that suite and architecture, kept below `folder` and fetched if they are
    /// missing or old. Without a network, those of an earlier run serve.
    pub(super) fn open(folder: &Path, suite: &str, architecture: &'static str) -> Result<Self> {
        let archive = Self {
            folder: folder.join(format!("{suite}-{architecture}")),
            architecture,
        };
        if !archive.is_fresh()
            && let Err(error) = archive.update(suite)
        {
            ensure!(archive.folder.join(UPDATED).exists(), "{error:#}");
            eprintln!("lab: {error:#}: the lists of an earlier run serve");
        }
        Ok(archive)
    }

    fn is_fresh(&self) -> bool {
        let updated = fs::metadata(self.folder.join(UPDATED)).and_then(|file| file.modified());
        let age = updated.ok().and_then(|updated| updated.elapsed().ok());
        age.is_some_and(|age| age < FRESH)
    }

    fn update(&self, suite: &str) -> Result<()> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        let sources = sources(suite, &machine_archives()?)?;
        fs::write(self.folder.join("sources.list"), sources)?;
        let mut update = self.apt("apt-get");
        update.args(["--quiet", "--quiet", "update"]);
        eprintln!(
            "lab: the package lists of {suite}: apt-get update, in a folder of the lab's own"
        );
        run(&mut update).map_err(|_| anyhow!("{} failed", line(&update)))?;
        Ok(fs::write(self.folder.join(UPDATED), "")?)
    }

    /// The names of packages that start with `prefix`.
    pub(super) fn packages(&self, prefix: &str) -> Vec<String> {
        let output = self.apt("apt-cache").args(["pkgnames", prefix]).output();
        let output = output.map(|output| output.stdout).unwrap_or_default();
        let names = String::from_utf8_lossy(&output);
        names.lines().map(str::to_owned).collect()
    }

    /// The command that downloads packages into its working directory.
    pub(super) fn download(&self, packages: &[String]) -> Command {
        let mut download = self.apt("apt-get");
        download.args(["--quiet", "download"]).args(packages);
        download
    }

    /// The names of these packages and of all that they depend on, as on a machine that has none.
    pub(super) fn closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        let nothing = self.folder.join("nothing-installed");
        fs::write(&nothing, "")?;
        let mut simulate = self.apt("apt-get");
        simulate
            .args(["-o", &format!("Dir::State::status={}", nothing.display())])
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages);
        let output = simulate.output().context("apt-get")?;
        ensure!(
            output.status.success(),
            "{} failed: {}",
            line(&simulate),
            String::from_utf8_lossy(&output.stderr)
        );
        let steps = String::from_utf8_lossy(&output.stdout);
        Ok(steps.lines().filter_map(to_install).collect())
    }

    /// An apt-get or apt-cache with these lists.
    fn apt(&self, program: &str) -> Command {
        let folder = self.folder.display();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures={}", self.architecture),
            // The user that apt-get would change to may not write there.
            "APT::Sandbox::User=root".to_owned(),
            // An old suite's lists are signed once and for all.
            "Acquire::Check-Valid-Until=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// The package in a line such as `Inst seabios (1.16.2-1 Debian:12.15/oldstable [all])`.
pub(super) fn to_install(line: &str) -> Option<String> {
    let rest = line.strip_prefix("Inst ")?;
    rest.split(' ').next().map(str::to_owned)
}

/// The archives of Debian that this machine uses: each one's place and codename.
fn machine_archives() -> Result<Vec<(String, String)>> {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(CODENAME)",
        "Created-By: Packages",
        "Origin: Debian",
    ]);
    let output = targets
        .output()
        .context("this machine has no apt-get to download a guest's kernel")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let archives = text.lines().filter_map(|line| line.split_once(' '));
    Ok(archives
        .map(|(place, codename)| (place.to_owned(), codename.to_owned()))
        .collect())
}

/// The lines of apt's sources.list(5) for a suite.
fn sources(suite: &str, machine: &[(String, String)]) -> Result<String> {
    let place = |is_security: bool| {
        let mut archives = machine.iter();
        let of_kind = archives.find(|(_, codename)| codename.ends_with(SECURITY) == is_security);
        of_kind.map(|(place, _)| place)
    };
    let keys = match Path::new(KEYRING).exists() {
        true => format!("[signed-by={KEYRING}] "),
        false => String::new(),
    };
    let main = place(false);
    ensure!(
        main.is_some(),
        "apt-get's lists name no archive of Debian; type: apt-get update"
    );
    let security = place(true).filter(|_| suite != UNSTABLE);
    let main = main.map(|place| format!("deb {keys}{place} {suite} main\n"));
    let security = security.map(|place| format!("deb {keys}{place} {suite}{SECURITY} main\n"));
    Ok([main, security].into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_to_install_are_read() {
        for (line, package) in [
            (
                "Inst seabios (1.16.2-1 Debian:12.15 [all])",
                Some("seabios"),
            ),
            ("Inst a [1] (2 Debian:12 [amd64]) []", Some("a")),
            ("Remv qemu-utils [1:10.0.2+ds-2]", None),
            ("Conf seabios (1.16.2-1 Debian:12.15 [all])", None),
            ("Reading package lists...", None),
        ] {
            assert_eq!(to_install(line).as_deref(), package, "{line}");
        }
    }

    #[test]
    fn a_suite_comes_from_this_machines_archives() {
        let machine = [
            ("http://a/debian/", "bookworm"),
            ("http://a/debian/", "bookworm-updates"),
            ("http://b/security/", "bookworm-security"),
        ]
        .map(|(place, codename)| (place.to_owned(), codename.to_owned()));
        for (suite, machine, expected) in [
            (
                "bullseye",
                &machine[..],
                Some("http://a/debian/ bullseye main|http://b/security/ bullseye-security main"),
            ),
            (UNSTABLE, &machine, Some("http://a/debian/ sid main")),
            (
                "bullseye",
                &machine[..1],
                Some("http://a/debian/ bullseye main"),
            ),
            ("bullseye", &machine[2..], None),
            ("bullseye", &[], None),
        ] {
            let found = sources(suite, machine).ok();
            let found = found.map(|lines| {
                let lines = lines.lines().map(|line| {
                    let line = line.strip_prefix("deb ").expect("a source");
                    line.strip_prefix(&format!("[signed-by={KEYRING}] "))
                        .unwrap_or(line)
                        .to_owned()
                });
                lines.collect::<Vec<_>>().join("|")
            });
            assert_eq!(found.as_deref(), expected, "{suite}");
        }
    }
}
