//! A bpffs of the test's own, and what is pinned there.
//!
//! The decision held here: the kernel drops what is pinned in a bpffs with its mount. So whatever a
//! test does, dropping the guard leaves no program behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;
use tempfile::TempDir;

/// A mounted bpffs. Dropping it unmounts it, and with it goes what is pinned there.
#[derive(Debug)]
pub struct Bpffs {
    folder: TempDir,
}

impl Bpffs {
    /// Mounts one.
    ///
    /// # Errors
    /// Without root, or without CONFIG_BPF_SYSCALL.
    pub fn mount() -> Result<Self> {
        const NOTHING: Option<&str> = None;
        let folder = TempDir::with_prefix("recon-bpffs-")?;
        let flags = MsFlags::empty();
        mount(Some("bpf"), folder.path(), Some("bpf"), flags, NOTHING).context("mount -t bpf")?;
        Ok(Self { folder })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder for recon's pins, which recon creates.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.path().join("recon")
    }

    /// Everything that is pinned, by its path below the folder of pins.
    #[must_use]
    pub fn pinned(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.pins(), "", &mut found);
        found.sort();
        found
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.folder.path(), MntFlags::MNT_DETACH) {
            eprintln!("{}: {error}", self.folder.path().display());
        }
    }
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => list(&entry.path(), &format!("{name}/"), found),
            false => found.push(name),
        }
    }
}

/// Gives a recon's binary another revision of the layout of its maps, as a version with other maps
/// has.
///
/// # Errors
/// When it is no recon.
pub fn set_layout_revision(binary: &mut [u8], digits: &[u8; 3]) -> Result<()> {
    const MARK: &[u8] = b"recon-layout-revision:";
    let mut places = binary.windows(MARK.len());
    let at = places.position(|window| window == MARK);
    let at = at.context("the binary has no revision of its layout")? + MARK.len();
    let revision = binary.get_mut(at..at + digits.len());
    revision
        .context("the binary is cut")?
        .copy_from_slice(digits);
    Ok(())
}

/// What bpftool calls an object, and the field of its id in /proc/PID/fdinfo.
const KINDS: [(&str, &str); 3] = [
    ("prog", "prog_id:"),
    ("map", "map_id:"),
    ("link", "link_id:"),
];

/// The ids of the programs, maps and links that a process has open.
///
/// # Errors
/// When it has ended.
pub fn ids_of_process(pid: u32) -> Result<BTreeSet<(&'static str, u32)>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        for (kind, field) in KINDS {
            let value = text.lines().find_map(|line| line.strip_prefix(field));
            ids.extend(value.and_then(|value| Some((kind, value.trim().parse().ok()?))));
        }
    }
    Ok(ids)
}

/// Which of these programs, maps and links the kernel still has.
///
/// # Errors
/// Without bpftool.
pub fn still_there(ids: &BTreeSet<(&'static str, u32)>) -> Result<Vec<(&'static str, u32)>> {
    let mut left = Vec::new();
    for (kind, _) in KINDS {
        let mut command = Command::new("bpftool");
        let output = command.args(["-j", kind, "show"]).output();
        let output = output.context("bpftool (package bpftool)")?;
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        let listed = listed.as_array().map_or(&[][..], Vec::as_slice);
        let present = listed.iter().filter_map(|object| object["id"].as_u64());
        let present: BTreeSet<u64> = present.collect();
        let is_present = |&&(of, id): &&(&str, u32)| of == kind && present.contains(&id.into());
        left.extend(ids.iter().filter(is_present));
    }
    Ok(left)
}
