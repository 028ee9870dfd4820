//! The image of the Containerfile as a tree, and commands that run in it as in a container.
//!
//! The decision held here: mounts are in a mount namespace of the test's thread, capabilities leave
//! the bounding set between fork and exec, as a runtime does it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{chdir, chroot};
use recon_tests::agent::recon;
use recon_tests::{Lab, mounts};
use tempfile::TempDir;

use crate::manifest::{Manifest, Source, Volume};

/// The numbers of capabilities, linux/capability.h.
const CAPABILITIES: [(&str, u32); 6] = [
    ("DAC_READ_SEARCH", 2),
    ("NET_ADMIN", 12),
    ("SYS_PTRACE", 19),
    ("SYS_ADMIN", 21),
    ("PERFMON", 38),
    ("BPF", 39),
];
/// What every runtime mounts.
const DEVICES: [&str; 3] = ["null", "zero", "urandom"];

/// What the Containerfile says.
pub(super) struct Image {
    pub(super) base: String,
    pub(super) entry: Vec<String>,
    /// From, to, permissions.
    files: Vec<(String, String, u32)>,
}

/// The tree with all mounts. Dropping it removes it.
pub(super) struct Container {
    folder: TempDir,
    kept: u64,
}

/// A set of capabilities, a bit for each.
pub(super) fn capability_set<'a>(names: impl Iterator<Item = &'a str>) -> Result<u64> {
    let mut set = 0;
    for name in names {
        let mut known = CAPABILITIES.iter();
        let found = known.find(|(known, _)| *known == name);
        let (_, number) = found.with_context(|| format!("what is {name}?"))?;
        set |= 1 << number;
    }
    Ok(set)
}

impl Image {
    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(package("Containerfile"))?;
        let mut image = Self {
            base: String::new(),
            entry: Vec::new(),
            files: Vec::new(),
        };
        for line in text.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["FROM", base] => base.clone_into(&mut image.base),
                ["ENTRYPOINT", words] => image.entry = serde_json::from_str(words)?,
                ["COPY", mode, from, to] => {
                    let mode = mode.strip_prefix("--chmod=").context("a mode")?;
                    let mode = u32::from_str_radix(mode, 8)?;
                    image.files.push((from.to_owned(), to.to_owned(), mode));
                }
                ["COPY", ..] => bail!("{line}"),
                _ => {}
            }
        }
        Ok(image)
    }

    /// Makes the tree of a container on the lab's host, and moves this thread into a mount
    /// namespace of its own.
    pub(super) fn unpack(&self, lab: &Lab, manifest: &Manifest) -> Result<Container> {
        let granted = manifest.capabilities()?;
        let kept = capability_set(granted.iter().map(String::as_str))?;
        mounts::enter()?;
        let folder = tempfile::tempdir()?;
        mounts::mount_new("tmpfs", folder.path(), "mode=755")?;
        // From here on dropping it unmounts.
        let container = Container { folder, kept };
        for (from, to, mode) in &self.files {
            let source = match from.strip_prefix("${STAGE}/") {
                Some("recon") => recon("")?.get_program().into(),
                Some(other) => bail!("what is {other}?"),
                None => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(from),
            };
            let to = container.file(to);
            fs::create_dir_all(to.parent().context("a folder")?)?;
            fs::copy(&source, &to).with_context(|| source.display().to_string())?;
            fs::set_permissions(&to, Permissions::from_mode(*mode))?;
        }
        container.mount_basics(lab)?;
        for volume in manifest.volumes()? {
            container.mount(lab, &volume)?;
        }
        mounts::forbid_writes(container.folder.path())?;
        Ok(container)
    }
}

impl Container {
    /// Where a file of the container is for this thread.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// What every container has: /proc, /dev, and /sys that can't be written.
    fn mount_basics(&self, lab: &Lab) -> Result<()> {
        for folder in ["/proc", "/dev", "/sys"] {
            fs::create_dir(self.file(folder))?;
        }
        mounts::mount_new("proc", &self.file("/proc"), "")?;
        for device in DEVICES {
            let at = self.file(&format!("/dev/{device}"));
            fs::write(&at, "")?;
            mounts::bind(&Path::new("/dev").join(device), &at)?;
        }
        // It shows the interfaces of the network namespace in which it is mounted.
        let sys = self.file("/sys");
        lab.host().enter(|| mounts::mount_new("sysfs", &sys, ""))?;
        mounts::forbid_writes(&sys)
    }

    fn mount(&self, lab: &Lab, volume: &Volume) -> Result<()> {
        let at = self.file(&volume.at);
        if !at.exists() {
            fs::create_dir_all(&at)?;
        }
        match &volume.source {
            Source::Host(path) => self.mount_of_host(lab, path, &at)?,
            Source::Memory => mounts::mount_new("tmpfs", &at, "")?,
            Source::Files(files) => {
                mounts::mount_new("tmpfs", &at, "")?;
                for (name, text) in files {
                    fs::write(at.join(name), text)?;
                }
            }
        }
        match volume.is_read_only {
            true => mounts::forbid_writes(&at),
            false => Ok(()),
        }
    }

    /// A folder of the node, of which the lab has its own.
    fn mount_of_host(&self, lab: &Lab, path: &str, at: &Path) -> Result<()> {
        match path {
            "/sys/fs/cgroup" => {
                let cgroup = lab.host().cgroup().context("the host has a cgroup")?;
                mounts::bind(cgroup.path(), at)
            }
            "/sys/fs/bpf" => mounts::mount_new("bpf", at, "mode=700"),
            "/sys/kernel/tracing" => mounts::mount_new("tracefs", at, ""),
            "/var/lib/recon" => mounts::mount_new("tmpfs", at, ""),
            other => bail!("what is {other} of the node?"),
        }
    }

    /// A command line in the container, by its root with the granted capabilities.
    pub(super) fn command(&self, line: &[String]) -> Result<Command> {
        let (program, arguments) = line.split_first().context("a program")?;
        let root = self.folder.path().to_owned();
        let kept = self.kept;
        let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?
            .trim()
            .parse()?;
        let enter = move || {
            chroot(root.as_path())?;
            chdir("/")?;
            for capability in (0..=last).filter(|number| kept & 1 << number == 0) {
                // SAFETY: integers only.
                let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
                if done != 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            set_no_new_privs()?;
            Ok(())
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        // SAFETY: system calls on values made before the fork: nothing is allocated, no lock is
        // taken.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The mounts below go with it.
        let _ = umount2(self.folder.path(), MntFlags::MNT_DETACH);
    }
}

fn package(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../recon-user/package")
        .join(name)
}
