//! A bare Debian that has booted: systemd is its first process.
//!
//! In: the lab's host, a system. Out: commands that run in it, and what systemd says of a service.
//! The decision held here: a container of namespaces and not a virtual machine. It boots in a
//! second without virtualisation, and the hooks are those of the lab, on the kernel of the other
//! tests. systemd dies with the process that made the namespaces, and that with the test's thread.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use recon_tests::namespace::Namespace;
use recon_tests::process::{Finished, run};
use recon_tests::{Lab, PATIENCE, Process};

use crate::root::Root;

/// Mounts what systemd expects of who starts it in a container, and becomes systemd. The system's
/// folder is the argument. Devices are this machine's.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf -o mode=700 bpf sys/fs/bpf
mount -t tracefs tracefs sys/kernel/tracing
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    touch dev/$name
    mount --bind /dev/$name dev/$name
done
ln -s /proc/self/fd dev/fd
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
hostname debian
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=recon PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"#;
/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// apt-get on a loaded machine.
const COMMAND_TIME: Duration = Duration::from_secs(120);

/// The running system. Dropping it kills it.
pub(super) struct Booted<'a> {
    root: &'a Root,
    /// Its first process, by the number that this machine knows.
    init: u32,
    machine: Namespace,
    _namespaces: Process,
}

impl<'a> Booted<'a> {
    /// Boots a system on the lab's host.
    pub(super) fn boot(lab: &Lab, root: &'a Root) -> Result<Self> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--uts", "--ipc", "--cgroup"])
            .args(["--fork", "--kill-child", "sh", "-c", BOOT, "boot"])
            .arg(root.file(""));
        let namespaces = Process::spawn(lab.host(), command)?;
        let unshare = namespaces.pid();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let init = wait_for("the first process of the system", PATIENCE, || {
            let text = fs::read_to_string(&children).with_context(|| children.clone())?;
            let Ok(child) = text.trim().parse() else {
                return Ok(None);
            };
            // Before that it is a shell that still sees this machine.
            let name = fs::read_to_string(format!("/proc/{child}/comm"))?;
            Ok((name.trim() == "systemd").then_some(child))
        })?;
        let booted = Self {
            root,
            init,
            machine: Namespace::current(),
            _namespaces: namespaces,
        };
        wait_for("the end of the system's start", PATIENCE, || {
            let finished = booted.finish("systemctl is-system-running");
            Ok((finished?.output.trim() == "running").then_some(()))
        })
        .with_context(|| {
            let units = booted.finish("systemctl --no-pager list-units --failed");
            units.map_or_else(|error| error.to_string(), |units| units.output)
        })?;
        Ok(booted)
    }

    pub(super) fn root(&self) -> &Root {
        self.root
    }

    /// Runs a line of the shell to its end.
    pub(super) fn finish(&self, line: &str) -> Result<Finished> {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net"])
            .args(["--root", "env", "-i"])
            .args(Root::ENVIRONMENT)
            .args(["sh", "-c", line]);
        run(&self.machine, command, COMMAND_TIME)
    }

    /// Runs a line of the shell, which has to succeed, and returns what it prints.
    pub(super) fn run(&self, line: &str) -> Result<String> {
        self.finish(line)?
            .success()
            .with_context(|| line.to_owned())
    }

    /// A property of a unit, such as `StatusText`.
    pub(super) fn property(&self, unit: &str, name: &str) -> Result<String> {
        let line = format!("systemctl show --property={name} --value {unit}");
        Ok(self.run(&line)?.trim_end().to_owned())
    }
}

/// Waits until `condition` returns a value.
pub(super) fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waiting for: {what}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
