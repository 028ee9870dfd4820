//! The folder of evidence files.
//!
//! In: files with their names. Out: files on the disk that take no more than a limit together, and
//! how many were evicted for that.
//! The decisions held here: the name begins with the time, so that the order of the names is that
//! of age, also over a restart. Only files that have such a name are recon's to count and to
//! delete. A file counts by the blocks that it takes on the disk, which also bounds how many there
//! are. It gets its name when it is complete, so that nobody reads a part of it.
//!
//! On a disk that others have filled, a new file takes the place of the oldest, as it does at the
//! limit: what the alerts of today are about matters more than what an operator has had longest to
//! save. But a file that found no room although its place was freed ends that until one is written:
//! others take what recon frees, and would have all of it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::stable_hash::StableHash;

/// The end of each name.
const ENDING: &str = ".pcapng";
/// The suffix of a file that is not complete yet.
const NOT_WHOLE: &str = ".new";
/// The time in a name: in UTC, to the millisecond.
const TIME: &str = "%Y%m%dT%H%M%S.%3fZ";
/// Bytes of such a time.
const TIME_LENGTH: usize = "20260131T102030.123Z".len();
/// Characters of a rule's id in a name.
const LONGEST_RULE: usize = 64;
/// Only recon's user and group may know whom recon has seen.
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
/// The unit in which file systems allocate space.
const BLOCK: u64 = 4096;

/// The name of the file of an alert.
pub(crate) fn file_name(at: Timestamp, rule: &str, event: StableHash) -> String {
    let safe = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => character,
        _ => '_',
    };
    let rule: String = rule.chars().map(safe).take(LONGEST_RULE).collect();
    format!("{}-{rule}-{event}{ENDING}", at.strftime(TIME))
}

/// Whether a file is one of recon's, by its name.
fn is_own(name: &str) -> bool {
    let is_time =
        |time: &str| time.ends_with('Z') && time.starts_with(|first: char| first.is_ascii_digit());
    name.ends_with(ENDING)
        && name.get(..TIME_LENGTH).is_some_and(is_time)
        && name
            .get(TIME_LENGTH..)
            .is_some_and(|rest| rest.starts_with('-'))
}

/// The files in the folder.
#[derive(Debug)]
pub(crate) struct EvidenceFolder {
    path: PathBuf,
    /// Which folder it was when it was opened: the sandbox allows that one alone.
    identity: (u64, u64),
    /// The oldest first.
    files: VecDeque<(String, u64)>,
    /// What all of them take, and may take.
    bytes: u64,
    limit: u64,
    /// Files evicted since the folder was opened.
    evicted: u64,
    /// Whether the disk was still full when a file's place had been freed.
    is_freed_in_vain: bool,
}

impl EvidenceFolder {
    /// Opens the folder, which it creates. The files of an earlier recon count.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        if !path.is_dir() {
            DirBuilder::new().mode(FOLDER_MODE).create(path)?;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.strip_suffix(NOT_WHOLE).is_some_and(is_own) {
                fs::remove_file(entry.path())?;
            } else if is_own(&name) {
                files.push((name, cost(entry.metadata()?.len())));
            }
        }
        files.sort();
        let path = path.canonicalize()?;
        let mut folder = Self {
            identity: identity(&path)?,
            path,
            bytes: files.iter().map(|(_, cost)| cost).sum(),
            files: files.into(),
            limit,
            evicted: 0,
            is_freed_in_vain: false,
        };
        // The limit may be lower than that of the recon before.
        folder.evict_down_to(limit)?;
        Ok(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another folder, or none, has its path now.
    pub(super) fn is_replaced(&self) -> bool {
        !identity(&self.path).is_ok_and(|now| now == self.identity)
    }

    /// How many files were evicted since it was opened, also for a file whose write then failed.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Writes a file, and evicts the oldest ones if they take its room.
    ///
    /// # Errors
    /// What the system says. Nothing is left of the file then.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let size = cost(bytes.len() as u64);
        if self.path.join(name).try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.evict_down_to(self.limit.saturating_sub(size))?;
        let mut written = self.write_whole(name, bytes);
        let left = self.bytes.saturating_sub(size);
        if written.as_ref().is_err_and(is_full) && !self.is_freed_in_vain && self.bytes >= size {
            self.evict_down_to(left)?;
            written = self.write_whole(name, bytes);
            self.is_freed_in_vain = written.as_ref().is_err_and(is_full);
        }
        written?;
        self.is_freed_in_vain = false;
        self.files.push_back((name.to_owned(), size));
        self.bytes += size;
        Ok(())
    }

    /// Writes a file under another name, which it loses when it is complete.
    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path.join(format!("{name}{NOT_WHOLE}"));
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE);
        let mut file = options.open(&unfinished)?;
        let written = file.write_all(bytes);
        let named = written.and_then(|()| fs::rename(&unfinished, self.path.join(name)));
        if named.is_err() {
            // If that fails too, the next start removes it.
            let _ = fs::remove_file(&unfinished);
        }
        named
    }

    /// Evicts the oldest files until the others take no more than so many bytes.
    fn evict_down_to(&mut self, bytes: u64) -> io::Result<()> {
        while self.bytes > bytes
            && let Some((name, size)) = self.files.front()
        {
            match fs::remove_file(self.path.join(name)) {
                // Somebody has moved it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed?;
                    self.evicted += 1;
                }
            }
            self.bytes -= size;
            self.files.pop_front();
        }
        Ok(())
    }
}

/// Whether the disk, or what recon's user may have of it, is full.
fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded
}

/// Which folder has that path: its device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// What a file of that size takes on the disk.
fn cost(size: u64) -> u64 {
    size.max(1).next_multiple_of(BLOCK)
}
