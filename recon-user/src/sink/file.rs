//! A sink that appends to a file.
//!
//! In: whole lines. Out: bytes in a file, and in those that were rotated.
//! The decisions held here: before lines are written, the thread looks whether the file still has
//! its name, and without lines once a second. So log rotation needs no signal, and who removes the
//! file loses no more than what he has removed. recon rotates between lines: no line is in two
//! files. A rotation that fails goes on with the file, which grows.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::destination::{Fsync, Rotation};
use super::line_file::{Followed, LineFile, PERMISSIONS};
use super::queue::LineBatch;
use super::target::{Failure, Target};
use super::whole_lines::{WholeLines, ended_lines, first_line};

/// How often to look after a file that nothing is written to.
const LOOK: Duration = Duration::from_secs(1);
/// What a mode says of who may do what.
const PERMISSION_BITS: u32 = 0o777;
/// A failed rotation is not tried again before that.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// The file, as it was opened last.
pub(crate) struct FileTarget {
    file: LineFile,
    lines: WholeLines,
    rotation: Option<Rotation>,
    rotation_failed: Option<Instant>,
    fsync: Fsync,
    /// Since when there is something that may not be on the disk.
    unsynced: Option<Instant>,
    /// Whether the log says that the disk does not take it.
    is_sync_failing: bool,
    /// Why lines of a file that was left since the last commit may not be on the disk.
    left_unsafe: Option<io::Error>,
}

impl FileTarget {
    /// Writes to a file that was opened.
    pub(crate) fn new(file: LineFile, opened: File) -> Self {
        Self {
            file,
            lines: WholeLines::new(Some(opened)),
            rotation: None,
            rotation_failed: None,
            fsync: Fsync::Never,
            unsynced: None,
            is_sync_failing: false,
            left_unsafe: None,
        }
    }

    /// Rotates it by size, and waits for the disk as `fsync` says.
    pub(crate) fn with(self, rotation: Option<Rotation>, fsync: Fsync) -> Self {
        Self {
            rotation,
            fsync,
            ..self
        }
    }

    /// Opens it again if somebody has removed or replaced it. Returns its size.
    fn follow(&mut self) -> u64 {
        match self.file.follow() {
            Followed::There(size) => return size.unwrap_or(0),
            Followed::Opened(file) => self.replace_file(Some(file)),
            // What comes meanwhile counts as dropped.
            Followed::Lost => self.replace_file(None),
        }
        0
    }

    fn replace_file(&mut self, file: Option<File>) {
        if !matches!(self.fsync, Fsync::Never) {
            let synced = self.sync();
            self.note_synced(&synced);
            self.left_unsafe = synced.err();
        }
        self.lines.replace_file(file);
    }

    /// Looks after the file, and rotates it if not one more line has room. Returns how many of
    /// these bytes, which are whole lines, to write to the file that is open then.
    fn make_room(&mut self, lines: &[u8]) -> usize {
        let size = self.follow();
        let Some(Rotation { limit, keep }) = self.rotation else {
            return lines.len();
        };
        match fitting(lines, limit.saturating_sub(size)) {
            0 if size > 0 && !self.rotate(keep) => lines.len(),
            0 => match fitting(lines, limit) {
                // A line that is larger than a file may be has one of its own.
                0 => first_line(lines),
                fitting => fitting,
            },
            fitting => fitting,
        }
    }

    /// Rotates the file. Returns false if that fails, or has failed a moment ago.
    fn rotate(&mut self, keep: u64) -> bool {
        let is_early = |failed: Instant| failed.elapsed() < ROTATE_AGAIN;
        if self.rotation_failed.is_some_and(is_early) {
            return false;
        }
        let path = self.file.path().to_owned();
        let moved = make_next(&path).and_then(|next| {
            shift(&path, keep)?;
            fs::rename(next, &path)
        });
        let rotated = moved.map_err(anyhow::Error::new);
        let rotated = rotated.and_then(|()| self.file.reopen());
        match rotated {
            Ok(file) => {
                self.rotation_failed = None;
                self.replace_file(Some(file));
                true
            }
            Err(error) => {
                self.rotation_failed = Some(Instant::now());
                tracing::error!(
                    "{}: it can't be rotated, and grows beyond its limit: {error:#}",
                    path.display()
                );
                false
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.lines.file() {
            Some(file) if self.file.is_regular() && self.unsynced.is_some() => file.sync_data(),
            _ => Ok(()),
        }
    }

    fn note_synced(&mut self, synced: &io::Result<()>) {
        self.unsynced = None;
        let name = self.file.path().display();
        match synced {
            Ok(()) => self.is_sync_failing = false,
            Err(error) if !self.is_sync_failing => {
                tracing::error!("{name}: its lines may not be on the disk: {error}");
                self.is_sync_failing = true;
            }
            Err(_) => {}
        }
    }

    /// Waits for the disk if that is due.
    fn sync_if_due(&mut self) {
        if let (Fsync::Every(time), Some(since)) = (self.fsync, self.unsynced)
            && since.elapsed() >= time
        {
            self.note_synced(&self.sync());
        }
    }
}

/// The bytes of the lines that fit into this room.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).map_or(lines.len(), |room| room.min(lines.len()));
    ended_lines(&lines[..room])
}

/// The name of a file that was rotated that many times.
fn rotated_name(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Makes the file that comes next, under a name of its own. Where no file can be made, those that
/// were rotated earlier stay as they are.
fn make_next(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    let next = PathBuf::from(name);
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    options.mode(PERMISSIONS);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let opened = options.open(&next)?;
    keep_readers(path, &opened);
    Ok(next)
}

/// Gives a file the group and the permissions of another one: whoever reads the log may read on.
/// recon may only give it to a group that it is in; a file keeps its own group otherwise.
fn keep_readers(path: &Path, file: &File) {
    let kept = fs::metadata(path).and_then(|of| {
        let own = file.metadata()?;
        if of.gid() != own.gid() {
            fchown(file, None, Some(of.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(of.mode() & PERMISSION_BITS))
    });
    if let Err(error) = kept {
        tracing::warn!(
            "{}: the next file can't have its group and permissions: {error}; who reads it by its group can't read on: add recon to that group, or set the folder's setgid bit",
            path.display()
        );
    }
}

/// Renames the file, and before that those that were rotated earlier: the oldest one is replaced.
fn shift(path: &Path, keep: u64) -> io::Result<()> {
    for number in (1..keep).rev() {
        let (from, to) = (rotated_name(path, number), rotated_name(path, number + 1));
        match fs::rename(from, to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, rotated_name(path, 1))
}

impl Target for FileTarget {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        let bytes = &batch.bytes;
        while *done < bytes.len() {
            let end = *done + self.make_room(&bytes[*done..]);
            let written = self.lines.write(&bytes[..end], done);
            self.unsynced.get_or_insert_with(Instant::now);
            written.map_err(Failure::Lost)?;
        }
        self.sync_if_due();
        Ok(())
    }

    fn is_grouped(&self) -> bool {
        matches!(self.fsync, Fsync::Line)
    }

    fn commit(&mut self) -> (usize, Result<(), Failure>) {
        let synced = self.sync();
        self.unsynced = None;
        let committed = synced.and(self.left_unsafe.take().map_or(Ok(()), Err));
        (usize::MAX, committed.map_err(Failure::Lost))
    }

    fn longest_pause(&self) -> Option<Duration> {
        let until_sync = match (self.fsync, self.unsynced) {
            (Fsync::Every(time), Some(since)) => time.saturating_sub(since.elapsed()),
            _ => LOOK,
        };
        // A pipe or a device stays what it is.
        self.file.is_regular().then(|| until_sync.min(LOOK))
    }

    fn look(&mut self) -> Option<io::Result<()>> {
        self.follow();
        self.sync_if_due();
        None
    }

    fn reopen(&mut self) {
        let (what, name) = (self.file.lines(), self.file.path().display().to_string());
        match self.file.reopen() {
            Ok(file) => {
                self.replace_file(Some(file));
                tracing::info!("SIGHUP: {what} go to {name}, opened again");
            }
            Err(error) if self.file.is_at_its_name() => {
                tracing::error!("SIGHUP: {what} go on to the file opened before: {error:#}");
            }
            Err(error) => tracing::error!("SIGHUP: {what} can't go to {name}: {error:#}"),
        }
    }

    fn end(&mut self) {
        if !matches!(self.fsync, Fsync::Never) {
            self.note_synced(&self.sync());
        }
    }
}
