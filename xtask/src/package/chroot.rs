//! The bare Debian in which packages are tested.
//!
//! In: what apt-get knows of this machine's registry. Out: a folder with the minimal system, made
//! once and kept in the target folder.
//! The decision held here: the system has, beyond the minimum, only what the package depends on and
//! what reads its files, so the test itself downloads nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{step::run, tasks::target_dir, toolchain::output};

/// Makes such a system.
pub(crate) const PROGRAM: &str = "debootstrap";
/// systemd: the package depends on it. logrotate reads a file of the package.
const INCLUDED: &str = "--include=systemd,logrotate";

/// Where Debian comes from.
#[derive(Debug, PartialEq, Eq)]
struct Mirror<'a> {
    release: &'a str,
    site: &'a str,
}

/// The folder with the system.
pub(super) fn prepare() -> Result<PathBuf> {
    // The fields of `Mirror::find`.
    let format = "$(ORIGIN)\t$(LABEL)\t$(COMPONENT)\t$(CODENAME)\t$(SITE)";
    let targets = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        format,
        "Created-By: Packages",
    ]));
    let targets = targets.context("apt-get does not say where its packages come from")?;
    let Mirror { release, site } =
        Mirror::find(&targets).context("apt-get has no package lists of Debian: apt-get update")?;
    let folder = target_dir()?.join("package").join(release);
    if !folder.exists() {
        let partial = folder.with_extension("partial");
        remove(&partial)?;
        fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
        eprintln!("test: a minimal Debian {release} in {}", folder.display());
        run(Command::new(PROGRAM)
            .args(["--variant=minbase", INCLUDED, release])
            .arg(&partial)
            .arg(site))?;
        fs::rename(&partial, &folder).with_context(|| folder.display().to_string())?;
    }
    Ok(folder)
}

/// Removes what a run that was killed has left.
fn remove(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => fs::remove_dir_all(folder).with_context(|| folder.display().to_string()),
        false => Ok(()),
    }
}

impl<'a> Mirror<'a> {
    /// The first plain release among apt's sources.
    fn find(targets: &'a str) -> Option<Self> {
        targets.lines().find_map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            match fields[..] {
                // bookworm-updates is no release that can be installed alone.
                ["Debian", "Debian", "main", release, site] if !release.contains('-') => {
                    Some(Self { release, site })
                }
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_found_among_apts_sources() {
        let security = "Debian\tDebian-Security\tmain\tbookworm-security\thttp://s.example";
        let updates = "Debian\tDebian\tmain\tbookworm-updates\thttp://d.example";
        let plain = "Debian\tDebian\tmain\tbookworm\thttp://d.example";
        let found = Some(Mirror {
            release: "bookworm",
            site: "http://d.example",
        });
        for (lines, expected) in [
            ([security, updates, plain].join("\n"), found),
            ([security, updates].join("\n"), None),
            (String::new(), None),
        ] {
            assert_eq!(Mirror::find(&lines), expected, "{lines}");
        }
    }
}
