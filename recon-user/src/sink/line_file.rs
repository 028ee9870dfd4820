//! Files that lines are appended to.
//!
//! In: the path of `--events`, `--alerts` or a sink. Out: a file that is only appended to.
//! The decisions held here: lines of an earlier run stay. A named pipe without a reader costs
//! lines, as one whose reader has gone, and never the start. A file that can't be written is
//! refused. A file that ends within a line, as a full disk or a power failure leaves it, gets a
//! line break first. The file that stdout or stderr goes to is refused: `--events -` writes rows
//! and alerts to stdout without breaking a line. A file that another sink writes is refused. A file
//! that somebody removes or replaces is noticed, since what is written to it is lost.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};

use super::{STDERR, STDOUT, lock};
use crate::standard_streams::is_same_file;

/// Permissions of a new file: the group of its folder may get it to read, others may not. Rows tell
/// who connects to whom.
pub(super) const PERMISSIONS: u32 = 0o640;
/// The permissions of those who are neither its owner nor in its group.
const OTHERS: u32 = 0o007;

/// The device and inode of a file.
type Identity = (u64, u64);

/// The files and pipes that all sinks of this process write to, so that none writes to that of
/// another.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenFiles {
    next: Arc<AtomicU64>,
    open: Arc<Mutex<BTreeMap<u64, Identity>>>,
}

impl OpenFiles {
    /// Notes what a sink writes to from now on. Returns false if another one writes there.
    fn claim(&self, owner: u64, file: Option<Identity>) -> bool {
        let mut open = lock(&self.open);
        let is_taken =
            |(&other, &of_other): (&u64, &Identity)| other != owner && Some(of_other) == file;
        if open.iter().any(is_taken) {
            return false;
        }
        match file {
            Some(file) => open.insert(owner, file),
            None => open.remove(&owner),
        };
        true
    }
}

/// A file that lines go to, as it was opened last.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    /// What is written, for messages.
    lines: &'static str,
    /// Its device and inode. `None` if it is no regular file: a pipe or a device stays what it is.
    identity: Option<Identity>,
    /// Whether the log says that it is gone and can't be opened again.
    is_lost: bool,
    others: OpenFiles,
    /// This one among them.
    number: u64,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum Followed {
    /// It is where it was, with so many bytes if it is a regular one.
    There(Option<u64>),
    /// Somebody had removed or replaced it, and this is the new one.
    Opened(File),
    /// Somebody has removed or replaced it, and it can't be opened again.
    Lost,
}

impl LineFile {
    /// Opens it, see [`LineFile::reopen`].
    ///
    /// # Errors
    /// It can't be written, or has another use.
    pub(crate) fn open(
        path: &Path,
        lines: &'static str,
        others: &OpenFiles,
    ) -> anyhow::Result<(Self, File)> {
        let mut opened = Self {
            path: path.to_owned(),
            lines,
            identity: None,
            is_lost: false,
            others: others.clone(),
            number: others.next.fetch_add(1, Ordering::Relaxed),
        };
        let file = opened.reopen()?;
        warn_of_others(path, &file.metadata()?);
        Ok((opened, file))
    }

    /// Opens it, and creates it if it is missing. Waits for nobody, so also after a log rotation
    /// has renamed it. Refuses a file where other lines go.
    ///
    /// # Errors
    /// It can't be written, or has another use.
    pub(super) fn reopen(&mut self) -> anyhow::Result<File> {
        let Self { path, lines, .. } = self;
        let name = path.display();
        let mut options = File::options();
        options.append(true).create(true);
        options.mode(PERMISSIONS).custom_flags(libc::O_NONBLOCK);
        let mut file = open_with_reader(&options, path, lines)
            .and_then(ensure_writable)
            .with_context(|| format!("can't write {lines} to {name}"))?;
        let (stdout, stderr) = (io::stdout(), io::stderr());
        for (stream, what) in [(stdout.as_fd(), STDOUT), (stderr.as_fd(), STDERR)] {
            ensure!(
                !is_same_file(file.as_fd(), stream),
                "can't write {lines} to {name}: {what} goes there too, and lines would break each other; use another file, or --events - for rows and alerts on stdout"
            );
        }
        let about = file.metadata()?;
        let identity = identity(&about);
        ensure!(
            self.others.claim(self.number, place(&about)),
            "can't write {lines} to {name}: recon writes other lines there, and nobody could tell them apart; use another file"
        );
        end_torn_line(path, &mut file).with_context(|| format!("can't write {lines} to {name}"))?;
        (self.identity, self.is_lost) = (identity, false);
        Ok(file)
    }

    /// Opens it again if somebody has removed or replaced it. Logs what comes of it, once.
    pub(super) fn follow(&mut self) -> Followed {
        if self.identity.is_none() {
            return Followed::There(None);
        }
        let found = fs::metadata(&self.path);
        // A file that was lost is closed, also if it is back.
        if let Ok(found) = found
            && !self.is_lost
            && identity(&found) == self.identity
        {
            return Followed::There(Some(found.len()));
        }
        let (lines, name) = (self.lines, self.path.display().to_string());
        match self.reopen() {
            Ok(file) => {
                tracing::info!(
                    "{name}: it was renamed, as log rotation does, or removed; {lines} go to a new one from now on"
                );
                Followed::Opened(file)
            }
            Err(error) if !self.is_lost => {
                self.is_lost = true;
                // Nothing is written to it any more, so that another sink may take it.
                self.others.claim(self.number, None);
                tracing::error!(
                    "{name}: somebody has removed or replaced it, and {lines} are lost until it can be opened again: {error:#}"
                );
                Followed::Lost
            }
            Err(_) => Followed::Lost,
        }
    }

    /// Whether the file that was opened last still has its name. So has what is no regular file.
    pub(super) fn is_at_its_name(&self) -> bool {
        let there = || fs::metadata(&self.path).is_ok_and(|it| identity(&it) == self.identity);
        self.identity.is_none() || there()
    }

    /// Whether it is a regular file.
    pub(super) const fn is_regular(&self) -> bool {
        self.identity.is_some()
    }

    /// Its name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is written.
    pub(super) const fn lines(&self) -> &'static str {
        self.lines
    }
}

/// The device and inode of what one sink may write to: lines of two would break each other. A
/// device takes those of any number.
fn place(about: &Metadata) -> Option<Identity> {
    let kind = about.file_type();
    let is_device = kind.is_char_device() || kind.is_block_device();
    (!is_device).then(|| (about.dev(), about.ino()))
}

/// The device and inode of a regular file.
fn identity(about: &Metadata) -> Option<Identity> {
    about.is_file().then(|| (about.dev(), about.ino()))
}

/// Warns of a file that anybody may read or write.
fn warn_of_others(path: &Path, about: &Metadata) {
    if about.is_file() && about.mode() & OTHERS != 0 {
        let name = path.display();
        tracing::warn!(
            "{name}: every user of this host may open it, and its lines say who connects to whom; type: chmod o= {name}"
        );
    }
}

/// Opens the file. A named pipe that nobody reads is opened through a reader of recon's own, which
/// is gone at once.
fn open_with_reader(options: &OpenOptions, path: &Path, lines: &str) -> io::Result<File> {
    match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_pipe(path) => {
            let mut reading = File::options();
            let reading = reading.read(true).custom_flags(libc::O_NONBLOCK);
            let _reader = reading.open(path)?;
            tracing::warn!(
                "{}: nobody reads this pipe: {lines} are dropped until somebody does",
                path.display()
            );
            options.open(path)
        }
        opened => opened,
    }
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo())
}

/// Writes nothing: a file of /proc that can only be read refuses even that.
fn ensure_writable(mut file: File) -> io::Result<File> {
    file.write(&[]).map(|_| file)
}

/// Whether two names lead to one file. False if one of them leads nowhere.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| identity(&fs::metadata(path).ok()?);
    identity(one).is_some_and(|of_one| identity(other) == Some(of_one))
}

/// Writes a line break if the file does not end with one.
fn end_torn_line(path: &Path, file: &mut File) -> io::Result<()> {
    let about = file.metadata()?;
    if !about.is_file() || about.len() == 0 {
        return Ok(());
    }
    // The file that is open, whatever has its name by now. One that recon may write but not read is
    // taken to be whole.
    let Ok(mut reader) = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) else {
        return Ok(());
    };
    let mut last = [0];
    reader.seek(SeekFrom::End(-1))?;
    reader.read_exact(&mut last)?;
    if last != *b"\n" {
        tracing::warn!(
            "{}: its last line is not complete: an earlier run did not end cleanly, or its disk was full",
            path.display()
        );
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that has the name for two looks.
    #[test]
    fn a_file_is_opened_again_once_it_can_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alerts.jsonl");
        let open = OpenFiles::default();
        let (mut file, _) = LineFile::open(&path, "alerts", &open).expect("a file");
        assert!(matches!(file.follow(), Followed::There(Some(0))));
        file.reopen().expect("the same file");
        assert!(matches!(file.follow(), Followed::There(Some(0))));
        fs::remove_file(&path).expect("a file");
        fs::create_dir(&path).expect("a folder");
        assert!(!file.is_at_its_name());
        for _ in 0..2 {
            assert!(matches!(file.follow(), Followed::Lost));
        }
        fs::remove_dir(&path).expect("a folder");
        assert!(matches!(file.follow(), Followed::Opened(_)));
        assert!(file.is_at_its_name());
        // The file itself comes back.
        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).expect("a file");
        fs::create_dir(&path).expect("a folder");
        assert!(matches!(file.follow(), Followed::Lost));
        fs::remove_dir(&path).expect("a folder");
        fs::rename(&aside, &path).expect("a file");
        assert!(matches!(file.follow(), Followed::Opened(_)));
        assert!(matches!(file.follow(), Followed::There(_)));
    }

    #[test]
    fn a_name_that_leads_to_other_lines_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, other] = ["alerts", "events"].map(|name| folder.path().join(name));
        let open = OpenFiles::default();
        let (mut file, _) = LineFile::open(&path, "alerts", &open).expect("a file");
        let (mut of_others, _) = LineFile::open(&other, "events", &open).expect("a file");
        // A line that is being written.
        fs::write(&other, "{").expect("a file");
        assert!(matches!(file.follow(), Followed::There(_)));
        fs::remove_file(&path).expect("a file");
        let links: [fn(&Path, &Path) -> io::Result<()>; 2] = [
            |file, link| fs::hard_link(file, link),
            |file, link| std::os::unix::fs::symlink(file, link),
        ];
        for link in links {
            link(&other, &path).expect("a link");
            assert!(matches!(file.follow(), Followed::Lost));
            let refused = file.reopen().expect_err("the other file");
            assert!(
                refused
                    .to_string()
                    .contains("recon writes other lines there")
            );
            assert_eq!(fs::read_to_string(&other).expect("a file"), "{");
            fs::remove_file(&path).expect("a link");
        }
        assert!(matches!(file.follow(), Followed::Opened(_)));
        // Two names may be exchanged while both are open.
        let third = folder.path().join("third");
        for (from, to) in [(&path, &third), (&other, &path), (&third, &other)] {
            fs::rename(from, to).expect("a file");
        }
        assert!(matches!(file.follow(), Followed::Lost));
        assert!(matches!(of_others.follow(), Followed::Opened(_)));
        assert!(matches!(file.follow(), Followed::Opened(_)));
        // A device takes the lines of both.
        for _ in 0..2 {
            LineFile::open(Path::new("/dev/null"), "alerts", &open).expect("a device");
        }
    }
}
