//! A bare Debian that a test may change: a layer in memory over a prepared one.
//!
//! In: a folder with a Debian system. Out: commands that run in it as root.
//! The decision held here: the mounts are in a mount namespace of the test's thread, so they end
//! with it, also if the test is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, umount2};
use recon_tests::mounts;
use tempfile::TempDir;

/// Folders of this machine that the system sees.
const SHARED: [&str; 2] = ["dev", "sys"];

/// The system. Dropping it removes it.
pub(super) struct Root {
    layers: TempDir,
    path: PathBuf,
}

impl Root {
    /// All that its programs know of the machine, as `env` takes it.
    pub(super) const ENVIRONMENT: [&str; 3] = [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL=C.UTF-8",
        "DEBIAN_FRONTEND=noninteractive",
    ];

    /// Lays an empty layer over `base`, and moves this thread into a mount namespace of its own.
    pub(super) fn over(base: &Path) -> Result<Self> {
        mounts::enter()?;
        let layers = tempfile::tempdir()?;
        mounts::mount_new("tmpfs", layers.path(), "")?;
        // From here on dropping it unmounts.
        let root = Self {
            path: layers.path().join("root"),
            layers,
        };
        let inner = |name: &str| root.layers.path().join(name);
        for folder in ["upper", "work", "root"] {
            fs::create_dir(inner(folder))?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            base.display(),
            inner("upper").display(),
            inner("work").display()
        );
        mounts::mount_new("overlay", &root.path, &options)?;
        Ok(root)
    }

    /// Shows the system what programs of a chroot need of this machine.
    pub(super) fn share_machine(&self) -> Result<()> {
        for folder in SHARED {
            mounts::bind(&Path::new("/").join(folder), &self.path.join(folder))?;
        }
        mounts::mount_new("proc", &self.path.join("proc"), "")?;
        mounts::mount_new("bpf", &self.path.join("sys/fs/bpf"), "")
    }

    /// Where a file of the system is for this thread.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// Calls `run` with a line that installs a package.
    pub(super) fn with_package(
        &self,
        package: &Path,
        run: impl FnOnce(&str) -> Result<String>,
    ) -> Result<()> {
        const INSIDE: &str = "/tmp/recon.deb";
        let inside = self.file(INSIDE);
        fs::copy(package, &inside).with_context(|| package.display().to_string())?;
        run(&format!(
            "apt-get --yes --no-install-recommends install {INSIDE}"
        ))?;
        Ok(fs::remove_file(inside)?)
    }

    /// A program in the system.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command
            .arg(&self.path)
            .args(["env", "-i"])
            .args(Self::ENVIRONMENT)
            .arg(program);
        command
    }

    /// Runs a line of the shell and returns what it prints.
    pub(super) fn run(&self, line: &str) -> Result<String> {
        let output = self.command("sh").args(["-c", line]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{line}: {}\n{text}{errors}",
            output.status
        );
        Ok(text)
    }

    /// All files with type, mode and owner, but those that every installation changes.
    pub(super) fn listing(&self) -> Result<Vec<String>> {
        const CHANGING: [&str; 5] = [
            // In memory on a real system.
            " /run/",
            " /var/lib/dpkg/",
            " /var/cache/",
            " /var/log/",
            " /var/lib/apt/",
        ];
        let all = self.run("find / -xdev -printf '%y %m %u:%g %p\\n' | sort")?;
        let lines = all.lines().filter(|line| {
            // Copies of passwd and its kin from before the last change.
            let is_backup = line.contains(" /etc/") && line.ends_with('-');
            !is_backup && !CHANGING.iter().any(|folder| line.contains(folder))
        });
        Ok(lines.map(str::to_owned).collect())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // The mounts below go with it.
        let _ = umount2(self.layers.path(), MntFlags::MNT_DETACH);
    }
}
