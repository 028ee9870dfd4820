//! Mounts that only the calling thread and what it starts can see.
//!
//! The decision held here: they are in a mount namespace of the thread, so the kernel removes them
//! with it, also if the test is killed.

use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

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

/// Makes one mount read-only, not those below it.
///
/// # Errors
/// If nothing is mounted there.
pub fn forbid_writes(at: &Path) -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(NONE, at, NONE, flags, NONE).with_context(|| at.display().to_string())
}
