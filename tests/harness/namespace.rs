//! A named network namespace. Dropping its guard removes it.
//!
//! The decisions held here: names contain the process id, so that parallel runs do not collide and
//! the remains of a killed run can be recognised. A thread enters a namespace, never the whole
//! process. If the namespace has a cgroup, its processes are in that cgroup.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::cgroup::{self, Cgroup};

/// The folder of iproute2's names.
const NAMED: &str = "/run/netns";
const PREFIX: &str = "recon-";

/// A network namespace. Dropping it removes its name, and the kernel frees it with its last
/// process.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    path: PathBuf,
    is_owned: bool,
    cgroup: Option<Cgroup>,
}

impl Namespace {
    /// Creates a namespace whose name ends in `role`.
    ///
    /// # Errors
    /// Without root, or without iproute2.
    pub fn create(role: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        ensure!(
            geteuid().is_root(),
            "network namespaces need root: run the tests as root"
        );
        SWEEP.call_once(remove_stale);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self {
            path: Path::new(NAMED).join(&name),
            name,
            is_owned: true,
            cgroup: None,
        })
    }

    /// The namespace of this process. Dropping the value keeps it.
    #[must_use]
    pub fn current() -> Self {
        Self {
            name: "the current namespace".to_owned(),
            path: PathBuf::from("/proc/self/ns/net"),
            is_owned: false,
            cgroup: None,
        }
    }

    /// Adds a cgroup for the processes that are started in it.
    ///
    /// # Errors
    /// If cgroup2 is not mounted.
    pub fn with_cgroup(mut self) -> Result<Self> {
        self.cgroup = Some(Cgroup::create(&self.name)?);
        Ok(self)
    }

    /// Adds a cgroup below that of `parent`.
    ///
    /// # Errors
    /// If `parent` has none.
    pub fn with_cgroup_below(mut self, parent: &Self) -> Result<Self> {
        parent.cgroup.as_ref().context("no cgroup to be below")?;
        let name = format!("{}/{}", parent.name, self.name);
        self.cgroup = Some(Cgroup::create(&name)?);
        Ok(self)
    }

    /// The cgroup of its processes, if it has one.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// The name under which iproute2 knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An open handle, by which a thread or a child process enters.
    ///
    /// # Errors
    /// When somebody else has removed the name.
    pub fn handle(&self) -> Result<File> {
        File::open(&self.path).with_context(|| self.path.display().to_string())
    }

    /// Runs `work` inside, on a thread of its own. Sockets that it opens stay in the namespace.
    ///
    /// Not for starting processes, which would die with the thread. See [`crate::Process`].
    ///
    /// # Errors
    /// When the namespace can't be entered, and any error of `work`.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let handle = self.handle()?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(&handle, CloneFlags::CLONE_NEWNET)?;
                work()
            });
            inside
                .join()
                .map_err(|_| anyhow!("the work in {} panicked", self.name))?
        })
    }

    /// Runs `ip -batch` inside, with `lines` as its input.
    ///
    /// # Errors
    /// When `ip` refuses one of them.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let net = format!("--net={}", self.path.display());
        let mut child = Command::new("nsenter")
            .args([&net, "ip", "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("nsenter (package util-linux)")?;
        // The pipe closes at the end of the statement, which ends the batch.
        child
            .stdin
            .take()
            .context("a pipe to ip")?
            .write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "ip in {}: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Sets a kernel parameter of the namespace, such as `ipv4/icmp_ratelimit`.
    ///
    /// # Errors
    /// When this kernel has no such parameter in /proc/sys/net.
    pub fn set(&self, parameter: &str, value: u32) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(parameter);
        self.enter(|| {
            fs::write(&path, value.to_string()).with_context(|| path.display().to_string())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.is_owned {
            return;
        }
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}

/// Removes the namespaces of killed runs. Errors are ignored: another run may remove them too.
fn remove_stale() {
    let names = fs::read_dir(NAMED).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| is_stale(name)) {
        let _ = end_processes(&name);
        let _ = ip(&["netns", "delete", &name]);
    }
    cgroup::remove_stale(is_stale);
}

/// Whether the name belongs to a lab whose run has ended.
fn is_stale(name: &str) -> bool {
    let owner = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next());
    owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

/// Kills the processes that a killed run's shells left in a namespace.
fn end_processes(name: &str) -> Result<()> {
    for pid in ip(&["netns", "pids", name])?.lines() {
        kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGKILL)?;
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("ip (package iproute2)")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("ip {}: {message}", arguments.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?)
}
