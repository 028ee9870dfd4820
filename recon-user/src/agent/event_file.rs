//! The file of counted rows.
//!
//! In: the path of `--events`. Out: a file that is only appended to.
//! The decisions held here: rows of an earlier run stay. A file that ends within a line, as a full
//! disk or a power failure leaves it, gets a line break first. The file that stdout or stderr goes
//! to is refused: `--events -` writes rows and alerts to stdout without breaking a line.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::standard_streams::is_same_file;

/// Permissions of a new file: the group of its folder may get it to read, others may not. Rows tell
/// who connects to whom.
const PERMISSIONS: u32 = 0o640;

/// Opens the file, and creates it if it is missing. Waits for the reader of a named pipe.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    open_with(path, 0)
}

/// Opens the file again without waiting for anybody: a log rotation may have renamed it.
pub(super) fn reopen(path: &Path) -> anyhow::Result<File> {
    open_with(path, libc::O_NONBLOCK)
}

fn open_with(path: &Path, flags: libc::c_int) -> anyhow::Result<File> {
    let name = path.display();
    let mut options = File::options();
    options.append(true).create(true);
    options.mode(PERMISSIONS).custom_flags(flags);
    let mut file = options
        .open(path)
        .with_context(|| format!("can't write events to {name}"))?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    for (stream, what) in [(stdout.as_fd(), "stdout"), (stderr.as_fd(), "stderr")] {
        ensure!(
            !is_same_file(file.as_fd(), stream),
            "can't write events to {name}: {what} goes there too, and lines would break each other; use another file, or --events - for rows and alerts on stdout"
        );
    }
    end_torn_line(path, &mut file).with_context(|| format!("can't write events to {name}"))?;
    Ok(file)
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
