//! The files of counted rows and of alerts.
//!
//! In: the path of `--events` or `--alerts`. Out: a file that is only appended to.
//! The decisions held here: lines of an earlier run stay. A named pipe without a reader costs
//! lines, as one whose reader has gone, and never the start. A file that can't be written, or that
//! recon reads its rules or settings from, is refused. A file that ends within a line, as a full
//! disk or a power failure leaves it, gets a line break first. The file that stdout or stderr goes
//! to is refused: `--events -` writes rows and alerts to stdout without breaking a line. A file
//! that somebody removes or replaces is noticed, since what is written to it is lost.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::cli::RunOptions;
use crate::settings::{DEFAULT_FILE, RuleOptions};
use crate::standard_streams::is_same_file;

/// Permissions of a new file: the group of its folder may get it to read, others may not. Rows tell
/// who connects to whom.
const PERMISSIONS: u32 = 0o640;
/// The permissions of those who are neither its owner nor in its group.
const OTHERS: u32 = 0o007;

/// The device and inode of a file.
pub(super) type Identity = (u64, u64);

/// A file that lines go to, as it was opened last.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    /// What is written, for messages.
    lines: &'static str,
    /// Its device and inode. `None` if it is no regular file: a pipe or a device stays what it is.
    identity: Option<Identity>,
    /// Whether the log says that it is gone and can't be opened again.
    is_lost: bool,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum Followed {
    /// It is where it was.
    There,
    /// Somebody had removed or replaced it, and this is the new one.
    Opened(File),
    /// Somebody has removed or replaced it, and it can't be opened again.
    Lost,
}

impl LineFile {
    /// Opens it, see [`open`].
    pub(super) fn open(path: &Path, lines: &'static str) -> anyhow::Result<(Self, File)> {
        let file = open(path, lines, None)?;
        let about = file.metadata()?;
        warn_of_others(path, &about);
        let opened = Self {
            path: path.to_owned(),
            lines,
            identity: identity(&about),
            is_lost: false,
        };
        Ok((opened, file))
    }

    /// Opens it again, unless its name leads to `other`, where other lines go.
    pub(super) fn reopen(&mut self, other: Option<Identity>) -> anyhow::Result<File> {
        let file = open(&self.path, self.lines, other)?;
        self.identity = identity(&file.metadata()?);
        self.is_lost = false;
        Ok(file)
    }

    /// Opens it again if somebody has removed or replaced it, as [`LineFile::reopen`] does. Logs
    /// what comes of it, once.
    pub(super) fn follow(&mut self, other: Option<Identity>) -> Followed {
        let known = match self.identity {
            Some(known) if !self.is_at_its_name() => known,
            _ => return Followed::There,
        };
        let (lines, name) = (self.lines, self.path.display().to_string());
        match self.reopen(other) {
            // It was said before.
            Ok(file) if known == TRY_AGAIN => Followed::Opened(file),
            Ok(file) => {
                tracing::info!(
                    "{name}: it was renamed, as log rotation does, or removed; {lines} go to a new one from now on"
                );
                Followed::Opened(file)
            }
            Err(error) if !self.is_lost => {
                self.is_lost = true;
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

    /// Makes the next look open it again: the queue has no room for another file now.
    pub(super) fn forget(&mut self) {
        self.identity = self.identity.map(|_| TRY_AGAIN);
    }

    /// The file that was opened last, if it is a regular one.
    pub(super) const fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is written.
    pub(super) const fn lines(&self) -> &'static str {
        self.lines
    }
}

/// The identity of no file: the next look opens the name again.
const TRY_AGAIN: Identity = (0, 0);

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

/// Opens the file, and creates it if it is missing. Waits for nobody, so also after a log rotation
/// has renamed it. Refuses the file `other`, where other lines go.
fn open(path: &Path, lines: &str, other: Option<Identity>) -> anyhow::Result<File> {
    let name = path.display();
    let mut options = File::options();
    options.append(true).create(true);
    options.mode(PERMISSIONS).custom_flags(libc::O_NONBLOCK);
    let mut file = open_with_reader(&options, path, lines)
        .and_then(ensure_writable)
        .with_context(|| format!("can't write {lines} to {name}"))?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    for (stream, what) in [(stdout.as_fd(), "stdout"), (stderr.as_fd(), "stderr")] {
        ensure!(
            !is_same_file(file.as_fd(), stream),
            "can't write {lines} to {name}: {what} goes there too, and lines would break each other; use another file, or --events - for rows and alerts on stdout"
        );
    }
    let identity = identity(&file.metadata()?);
    ensure!(
        identity.is_none() || identity != other,
        "can't write {lines} to {name}: recon writes other lines there, and nobody could tell them apart"
    );
    end_torn_line(path, &mut file).with_context(|| format!("can't write {lines} to {name}"))?;
    Ok(file)
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

/// Refuses a file that recon reads itself.
pub(super) fn ensure_not_read(
    path: &Path,
    lines: &str,
    options: &RuleOptions,
) -> anyhow::Result<()> {
    let config = options.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let is_own = is_same(path, config) || options.rules.iter().any(|rules| is_within(path, rules));
    ensure!(
        !is_own,
        "can't write {lines} to {}: recon reads its rules or settings from there, and they would be broken; use another file",
        path.display()
    );
    Ok(())
}

/// Refuses a file that has another use, before it is created.
pub(super) fn ensure_not_used(
    path: &Path,
    lines: &str,
    options: &RunOptions,
) -> anyhow::Result<()> {
    let name = path.display();
    ensure!(
        options.control.as_deref() != Some(path),
        "can't write {lines} to {name}: --control makes its socket there; use another name"
    );
    let Some(state) = &options.state else {
        return Ok(());
    };
    // Either may still be missing.
    let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let folder = path.parent().map(real);
    ensure!(
        folder != Some(real(state)),
        "can't write {lines} to {name}: the folder of --state is for recon's own files; use another one"
    );
    Ok(())
}

/// Whether it is that file, or one of that folder.
fn is_within(path: &Path, rules: &Path) -> bool {
    let files = fs::read_dir(rules).into_iter().flatten().flatten();
    is_same(path, rules)
        || files
            .map(|file| file.path())
            .any(|file| is_same(path, &file))
}

/// Whether two names lead to one file. False if one of them leads nowhere.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| identity(&fs::metadata(path).ok()?);
    identity(one).is_some_and(|of_one| identity(other) == Some(of_one))
}

/// Writes a line break if the file does not end with one.
fn end_torn_line(path: &Path, file: &mut File) -> io::Result<()> {
    let about = file.metadata()?;
    if !about.is_file() || about.len() == 0 {
        return Ok(());
    }
    // A file that recon may write but not read is taken to be whole.
    let Ok(mut reader) = File::open(path) else {
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

    /// As when the queue of a file that was opened again is full: the writer keeps the old one.
    #[test]
    fn a_file_is_opened_again_until_its_queue_takes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alerts.jsonl");
        let (mut file, _) = LineFile::open(&path, "alerts").expect("a file");
        assert!(matches!(file.follow(None), Followed::There));
        for _ in 0..2 {
            file.reopen(None).expect("the same file");
            file.forget();
            assert!(matches!(file.follow(None), Followed::Opened(_)));
        }
        assert!(matches!(file.follow(None), Followed::There));
        // A folder has its name for two looks.
        fs::remove_file(&path).expect("a file");
        fs::create_dir(&path).expect("a folder");
        assert!(!file.is_at_its_name());
        for _ in 0..2 {
            assert!(matches!(file.follow(None), Followed::Lost));
        }
        fs::remove_dir(&path).expect("a folder");
        assert!(matches!(file.follow(None), Followed::Opened(_)));
        assert!(file.is_at_its_name());
    }

    #[test]
    fn a_name_that_leads_to_other_lines_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, other] = ["alerts", "events"].map(|name| folder.path().join(name));
        let (mut file, _) = LineFile::open(&path, "alerts").expect("a file");
        let (of_others, _) = LineFile::open(&other, "events").expect("a file");
        // A line that is being written.
        fs::write(&other, "{").expect("a file");
        let other_file = of_others.identity();
        assert!(matches!(file.follow(other_file), Followed::There));
        fs::remove_file(&path).expect("a file");
        let links: [fn(&Path, &Path) -> io::Result<()>; 2] = [
            |file, link| fs::hard_link(file, link),
            |file, link| std::os::unix::fs::symlink(file, link),
        ];
        for link in links {
            link(&other, &path).expect("a link");
            assert!(matches!(file.follow(other_file), Followed::Lost));
            let refused = file.reopen(other_file).expect_err("the other file");
            assert!(
                refused
                    .to_string()
                    .contains("recon writes other lines there")
            );
            assert_eq!(fs::read_to_string(&other).expect("a file"), "{");
            fs::remove_file(&path).expect("a link");
        }
        assert!(matches!(file.follow(other_file), Followed::Opened(_)));
        // A device takes the lines of both.
        let (mut null, _) = LineFile::open(Path::new("/dev/null"), "alerts").expect("a device");
        null.reopen(null.identity()).expect("the same device");
    }
}
