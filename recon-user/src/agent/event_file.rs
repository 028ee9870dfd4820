//! The files of counted rows and of alerts.
//!
//! In: the path of `--events` or `--alerts`. Out: a file that is only appended to.
//! The decisions held here: lines of an earlier run stay. A named pipe without a reader costs
//! lines, as one whose reader has gone, and never the start. A file that can't be written, or that
//! recon reads its rules or settings from, is refused. A file that ends within a line, as a full
//! disk or a power failure leaves it, gets a line break first. The file that stdout or stderr goes
//! to is refused: `--events -` writes rows and alerts to stdout without breaking a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::settings::{DEFAULT_FILE, RuleOptions};
use crate::standard_streams::is_same_file;

/// Permissions of a new file: the group of its folder may get it to read, others may not. Rows tell
/// who connects to whom.
const PERMISSIONS: u32 = 0o640;

/// Opens the file, and creates it if it is missing. Waits for nobody, so also after a log rotation
/// has renamed it.
pub(super) fn open(path: &Path, lines: &str) -> anyhow::Result<File> {
    let name = path.display();
    let mut options = File::options();
    options.append(true).create(true);
    options.mode(PERMISSIONS).custom_flags(libc::O_NONBLOCK);
    let mut file = open_with_reader(&options, path)
        .and_then(ensure_writable)
        .with_context(|| format!("can't write {lines} to {name}"))?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    for (stream, what) in [(stdout.as_fd(), "stdout"), (stderr.as_fd(), "stderr")] {
        ensure!(
            !is_same_file(file.as_fd(), stream),
            "can't write {lines} to {name}: {what} goes there too, and lines would break each other; use another file, or --events - for rows and alerts on stdout"
        );
    }
    end_torn_line(path, &mut file).with_context(|| format!("can't write {lines} to {name}"))?;
    Ok(file)
}

/// Opens the file. A named pipe that nobody reads is opened through a reader of recon's own, which
/// is gone at once.
fn open_with_reader(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_pipe(path) => {
            let mut reading = File::options();
            let reading = reading.read(true).custom_flags(libc::O_NONBLOCK);
            let _reader = reading.open(path)?;
            log::warn!(
                "{}: nobody reads this pipe: events are dropped until somebody does",
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
pub(super) fn ensure_not_read(path: &Path, options: &RuleOptions) -> anyhow::Result<()> {
    let config = options.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let is_own = is_same(path, config) || options.rules.iter().any(|rules| is_within(path, rules));
    ensure!(
        !is_own,
        "can't write events to {}: recon reads its rules or settings from there, and rows would break them; use another file",
        path.display()
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
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| {
        let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((about.dev(), about.ino()))
    };
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
        log::warn!(
            "{}: its last line is not complete: an earlier run did not end cleanly, or its disk was full",
            path.display()
        );
        file.write_all(b"\n")?;
    }
    Ok(())
}
