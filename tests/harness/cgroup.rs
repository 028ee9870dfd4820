//! A cgroup for the processes of a namespace. Dropping its guard ends these processes and removes
//! it.
//!
//! The decision held here: a cgroup of their own distinguishes the host's processes from the
//! attacker's on the same machine; the agent watches only its sockets.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::PATIENCE;

/// A folder of cgroup2.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates a cgroup with that name, below the root.
    ///
    /// # Errors
    /// Without root, or if cgroup2 is not mounted.
    pub fn create(name: &str) -> Result<Self> {
        let path = root()?.join(name);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that moves a process into the cgroup when it writes `0`.
    ///
    /// # Errors
    /// When somebody else has removed the folder.
    pub fn entrance(&self) -> Result<File> {
        let path = self.path.join("cgroup.procs");
        File::options()
            .write(true)
            .open(&path)
            .with_context(|| path.display().to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("{}: {error:#}", self.path.display());
        }
    }
}

/// Where cgroup2 is mounted.
///
/// # Errors
/// When it is not.
pub fn root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .find_map(|fields| match fields[..] {
            [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
            _ => None,
        })
        .context("cgroup2 is not mounted")
}

/// Removes the folders of killed runs, which `is_stale` recognises by name. Errors are ignored:
/// another run may remove them too.
pub(crate) fn remove_stale(is_stale: impl Fn(&str) -> bool) {
    let folders = root().and_then(|root| Ok(fs::read_dir(root)?));
    for folder in folders.into_iter().flatten().flatten() {
        if folder.file_name().to_str().is_some_and(&is_stale) {
            let _ = remove(&folder.path());
        }
    }
}

/// Kills its processes and removes it, with all folders below.
fn remove(path: &Path) -> Result<()> {
    end_processes(path)?;
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(path)?)
}

/// Kills the processes of the cgroup and of those below. Before Linux 5.14, one that forks
/// meanwhile leaves its child.
fn kill_processes(path: &Path) -> Result<()> {
    let all = path.join("cgroup.kill");
    if all.exists() {
        return Ok(fs::write(all, "1")?);
    }
    for pid in fs::read_to_string(path.join("cgroup.procs"))?.lines() {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL);
    }
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            kill_processes(&entry.path())?;
        }
    }
    Ok(())
}

/// Kills until no process is left, which the kernel signals by an event.
fn end_processes(path: &Path) -> Result<()> {
    const LOOK_AGAIN_MS: u8 = 100;
    let events = path.join("cgroup.events");
    let file = File::open(&events)?;
    let end = Instant::now() + PATIENCE;
    loop {
        if fs::read_to_string(&events)?.contains("populated 0") {
            return Ok(());
        }
        kill_processes(path)?;
        let left = end.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
        // Read again after a while, in case the event came before the call.
        if left.is_zero() {
            bail!("its processes do not end");
        }
        poll(&mut watched, PollTimeout::from(LOOK_AGAIN_MS))?;
    }
}
