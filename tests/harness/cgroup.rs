//! A cgroup of a namespace's processes, which is gone when its guard is, and they with it.
//!
//! The decision held here: the host's processes are told from the attacker's, on the same machine, by a cgroup of their own, whose
//! sockets the agent is asked to watch.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::PATIENCE;

/// A folder of cgroup2.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// A new one of that name, below the root.
    ///
    /// # Errors
    /// Without root, or where cgroup2 is not mounted.
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

    /// The file through which a process enters, by writing `0` to it.
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

/// Removes the folders of killed runs, by the names that `is_stale` knows. Best effort: another run may be doing the same.
pub(crate) fn remove_stale(is_stale: impl Fn(&str) -> bool) {
    let folders = root().and_then(|root| Ok(fs::read_dir(root)?));
    for folder in folders.into_iter().flatten().flatten() {
        if folder.file_name().to_str().is_some_and(&is_stale) {
            let _ = remove(&folder.path());
        }
    }
}

/// Kills the processes in it and removes it, with the folders that were made below.
fn remove(path: &Path) -> Result<()> {
    fs::write(path.join("cgroup.kill"), "1")?;
    wait_empty(path)?;
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(path)?)
}

/// Waits until no process is left, which the kernel tells of by an event.
fn wait_empty(path: &Path) -> Result<()> {
    const LOOK_AGAIN_MS: u8 = 100;
    let events = path.join("cgroup.events");
    let file = File::open(&events)?;
    let end = Instant::now() + PATIENCE;
    loop {
        if fs::read_to_string(&events)?.contains("populated 0") {
            return Ok(());
        }
        let left = end.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
        // Read anew in between, so that an event before the call is not waited for in vain.
        if left.is_zero() {
            bail!("its processes do not end");
        }
        poll(&mut watched, PollTimeout::from(LOOK_AGAIN_MS))?;
    }
}
