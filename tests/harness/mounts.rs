//! Mounts that only the calling thread and what it starts can see.
//!
//! The decision held here: they are in a mount namespace of the thread, so the kernel removes them
//! with it, also if the test is killed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::PATIENCE;

/// No source, type or options.
const NONE: Option<&str> = None;

/// Moves this thread into a mount namespace of its own.
///
/// # Errors
/// Without root.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context("private mounts")
}

/// Mounts a file system of this kind.
///
/// # Errors
/// If the kernel refuses it.
pub fn mount_new(kind: &str, at: &Path, options: &str) -> Result<()> {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("{kind} at {}: {options}", at.display()))
}

/// A file system that is detached when this is dropped: nobody can delete a folder that has one.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a file system of this kind.
    ///
    /// # Errors
    /// As [`mount_new`].
    pub fn new(kind: &str, at: &Path, options: &str) -> Result<Self> {
        mount_new(kind, at, options)?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("{} stays mounted: {error}", self.0.display());
        }
    }
}

/// Shows a folder, with all that is mounted below it, in another place.
///
/// # Errors
/// If one of them does not exist.
pub fn bind(folder: &Path, at: &Path) -> Result<()> {
    mount(
        Some(folder),
        at,
        NONE,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        NONE,
    )
    .with_context(|| format!("{} at {}", folder.display(), at.display()))
}

/// Makes one mount read-only, not those below it. A process that another test has just forked may
/// still have a file there open for writing, until it executes its program.
///
/// # Errors
/// If nothing is mounted there, or somebody goes on writing.
pub fn forbid_writes(at: &Path) -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let end = Instant::now() + PATIENCE;
    loop {
        match mount(NONE, at, NONE, flags, NONE) {
            Err(Errno::EBUSY) if Instant::now() < end => std::thread::yield_now(),
            done => return done.with_context(|| at.display().to_string()),
        }
    }
}
