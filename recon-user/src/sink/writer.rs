//! What the thread of a sink does with its file.
//!
//! In: whole lines. Out: bytes in a file, and log lines when that fails and when it is over.
//! The decision held here: what a failure has cut off is ended first, so that the next line is
//! whole. Lines before the cut count as written.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::LineBatch;

/// The file, and what the thread knows of it.
pub(super) struct Writer {
    /// `None` if somebody has removed it, and it can't be opened again.
    pub(super) file: Option<File>,
    place: String,
    what: &'static str,
    /// Whether the file ends within a line.
    pub(super) is_torn: bool,
    /// Lines that could not be written.
    failed: u64,
    /// How many of them the last log line named.
    logged: u64,
    /// Whether the last failure has been logged, and nothing was written since.
    is_reported: bool,
    last_logged: Option<Instant>,
}

/// Failures are not logged more often, nor successes beside those that end a logged failure.
const PAUSE: Duration = Duration::from_secs(60);

impl Writer {
    /// Writes to `file`, and calls it `place` and its lines `what` in messages.
    pub(super) fn new(file: File, place: &str, what: &'static str) -> Self {
        Self {
            file: Some(file),
            place: place.to_owned(),
            what,
            is_torn: false,
            failed: 0,
            logged: 0,
            is_reported: false,
            last_logged: None,
        }
    }

    /// Writes lines, and counts those that are written whole.
    pub(super) fn write(&mut self, batch: &LineBatch) -> io::Result<()> {
        let mut done = 0;
        let result = self.end_torn_line().and_then(|()| {
            let result = write_whole(self.file.as_mut(), &batch.bytes, &mut done);
            let end = batch.bytes[..done].last();
            self.is_torn = end.is_some_and(|&end| end != b'\n');
            result
        });
        let ends = batch.bytes[..done].iter().filter(|&&byte| byte == b'\n');
        let written = match result {
            Ok(()) => batch.lines,
            Err(_) => (ends.count() as u64).min(batch.lines),
        };
        batch.written.fetch_add(written, Ordering::Relaxed);
        self.failed += batch.lines - written;
        result
    }

    /// The rest of a truncated line must not swallow the next one.
    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.is_torn {
            write_whole(self.file.as_mut(), b"\n", &mut 0)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Logs the failure, but not for every line.
    pub(super) fn report_failure(&mut self, error: &io::Error) {
        if self.has_paused() {
            let Self {
                place,
                what,
                failed,
                ..
            } = self;
            tracing::error!("{place}: {error}; {what} dropped so far: {failed}");
            self.note_logged();
            self.is_reported = true;
        }
    }

    /// Logs that a failure is over, and what was lost without a word in the meantime.
    pub(super) fn report_success(&mut self) {
        let is_untold = self.failed > self.logged && self.has_paused();
        if std::mem::take(&mut self.is_reported) || is_untold {
            let Self {
                place,
                what,
                failed,
                ..
            } = self;
            tracing::warn!("{place}: can be written again; {what} dropped: {failed}");
            self.note_logged();
        }
    }

    fn has_paused(&self) -> bool {
        self.last_logged.is_none_or(|last| last.elapsed() >= PAUSE)
    }

    fn note_logged(&mut self) {
        self.logged = self.failed;
        self.last_logged = Some(Instant::now());
    }
}

/// Writes all bytes, and counts in `done` those that were written before a failure.
fn write_whole(file: Option<&mut File>, bytes: &[u8], done: &mut usize) -> io::Result<()> {
    let file = file.ok_or_else(|| io::Error::other("the file is gone"))?;
    while *done < bytes.len() {
        match file.write(&bytes[*done..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has made the descriptor non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_writable(file),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_writable(file: &File) {
    const TURN: u16 = 100;
    let mut ask = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    // The next write finds out whether it can go on.
    let _ = poll(&mut ask, TURN);
}
