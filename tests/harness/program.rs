//! The files of real programs: where one is, and copies of it under other names.
//!
//! The decision held here: another process makes a copy. If this process wrote it, a child that
//! another thread starts meanwhile would hold the file open for writing for a moment, and nobody
//! could execute it.

use std::env;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Debian's interpreter, also if the machine has others.
pub const PYTHON: &str = "/usr/bin/python3";

/// OpenBSD's netcat, by the name that only it has.
pub const NETCAT: &str = "nc.openbsd";

/// The file behind a program's name and all links: what the kernel reports for its processes.
///
/// # Errors
/// If it is not installed.
pub fn locate(name: &str) -> Result<PathBuf> {
    /// Where Debian has root's programs, which is not on every user's PATH.
    const SBIN: &str = "/usr/sbin";
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain([PathBuf::from(SBIN)])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    let file = found.with_context(|| format!("{name} is not installed"))?;
    file.canonicalize()
        .with_context(|| file.display().to_string())
}

/// A temporary folder that all users may enter.
///
/// # Errors
/// If it can't be created.
pub fn open_folder() -> Result<TempDir> {
    const FOR_ALL: u32 = 0o755;
    let permissions = Permissions::from_mode(FOR_ALL);
    Ok(tempfile::Builder::new()
        .permissions(permissions)
        .tempdir()?)
}

/// A copy of a program under another name. Dropping it removes it.
#[derive(Debug)]
pub struct Renamed {
    path: PathBuf,
    folder: TempDir,
}

impl Renamed {
    /// A copy of `program`, which [`locate`] finds, in an [`open_folder`].
    ///
    /// # Errors
    /// If it is not installed or can't be copied.
    pub fn copy(program: &str, name: &str) -> Result<Self> {
        let original = locate(program)?;
        let folder = open_folder()?;
        // The path that the kernel reports.
        let path = folder.path().canonicalize()?.join(name);
        let status = Command::new("cp").arg(&original).arg(&path).status()?;
        ensure!(status.success(), "cp {}: {status}", original.display());
        Ok(Self { path, folder })
    }

    /// The copy.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that contains only the copy.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
