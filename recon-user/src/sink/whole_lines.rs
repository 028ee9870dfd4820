//! Lines into a file, which stay whole.
//!
//! In: whole lines. Out: bytes in a file.
//! The decision held here: what a failure has cut off is ended first, so that the next line is
//! whole. Lines before the cut count as written.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, poll};

/// A file, and whether it ends within a line.
pub(super) struct WholeLines {
    /// `None` if somebody has removed it, and it can't be opened again.
    file: Option<File>,
    is_torn: bool,
}

impl WholeLines {
    pub(super) const fn new(file: Option<File>) -> Self {
        Self {
            file,
            is_torn: false,
        }
    }

    /// Writes to another file from now on; without one, nothing can be written.
    pub(super) fn replace_file(&mut self, file: Option<File>) {
        *self = Self::new(file);
    }

    pub(super) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Writes the bytes from `done` on. `done` grows by what was written, also before a failure.
    pub(super) fn write(&mut self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        let file = self.file.as_mut();
        let file = file.ok_or_else(|| io::Error::other("the file is gone"))?;
        if self.is_torn {
            write_waiting(file, b"\n", &mut 0)?;
            self.is_torn = false;
        }
        let result = write_waiting(file, bytes, done);
        let end = bytes[..*done].last();
        self.is_torn = end.is_some_and(|&end| end != b'\n');
        result
    }
}

/// Writes the bytes from `done` on, and adds to it those that were written.
pub(super) fn write_whole(out: &mut impl Write, bytes: &[u8], done: &mut usize) -> io::Result<()> {
    while *done < bytes.len() {
        match out.write(&bytes[*done..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The same for a file whose descriptor another process has made non-blocking.
fn write_waiting(file: &mut File, bytes: &[u8], done: &mut usize) -> io::Result<()> {
    loop {
        match write_whole(file, bytes, done) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_writable(file),
            result => return result,
        }
    }
}

fn wait_writable(file: &File) {
    const TURN: u16 = 100;
    let mut ask = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    // The next write finds out whether it can go on.
    let _ = poll(&mut ask, TURN);
}

/// The length of the first line, with its end if it has one.
pub(super) fn first_line(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|&byte| byte == b'\n');
    end.map_or(bytes.len(), |end| end + 1)
}

/// The length of the lines that end within these bytes.
pub(super) fn ended_lines(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|&byte| byte == b'\n');
    last.map_or(0, |last| last + 1)
}

/// How many lines end within these bytes.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}
