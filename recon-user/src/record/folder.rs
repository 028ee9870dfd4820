//! The folder of evidence files.
//!
//! In: files with their names. Out: files on the disk that take no more than a limit together.
//! The decisions held here: the name begins with the time, so that the order of the names is that
//! of age, also over a restart. Only files that have such a name are recon's to count and to
//! delete. A file counts by the blocks that it takes on the disk, which also bounds how many there
//! are. It gets its name once it is whole, so that nobody reads a part of it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::stable_hash::StableHash;

/// What all names end with.
const ENDING: &str = ".pcapng";
/// What is behind the name of a file that is not whole.
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
/// What file systems give to a file.
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
    /// The oldest first.
    files: VecDeque<(String, u64)>,
    /// What all of them take, and may take.
    bytes: u64,
    limit: u64,
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
        let mut folder = Self {
            path: path.canonicalize()?,
            bytes: files.iter().map(|(_, cost)| cost).sum(),
            files: files.into(),
            limit,
        };
        // The limit may be lower than that of the recon before.
        folder.make_room(0)?;
        Ok(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file. Returns how many others had to go.
    ///
    /// # Errors
    /// What the system says. Nothing is left of the file then.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<u64> {
        let size = cost(bytes.len() as u64);
        let evicted = self.make_room(size)?;
        let path = self.path.join(name);
        let unfinished = self.path.join(format!("{name}{NOT_WHOLE}"));
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE);
        let mut file = options.open(&unfinished)?;
        let written = file.write_all(bytes);
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
            // If that fails too, the next start removes it.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        self.files.push_back((name.to_owned(), size));
        self.bytes += size;
        Ok(evicted)
    }

    /// Deletes the oldest files until one of that size fits.
    fn make_room(&mut self, size: u64) -> io::Result<u64> {
        let mut evicted = 0;
        while self.bytes + size > self.limit
            && let Some((name, size)) = self.files.front()
        {
            match fs::remove_file(self.path.join(name)) {
                // Somebody has moved it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed?;
                    evicted += 1;
                }
            }
            self.bytes -= size;
            self.files.pop_front();
        }
        Ok(evicted)
    }
}

/// What a file of that size takes on the disk.
fn cost(size: u64) -> u64 {
    size.max(1).next_multiple_of(BLOCK)
}
