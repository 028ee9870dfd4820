//! The log of `recon run`: lines to stderr, without waiting for its reader.
//!
//! In: lines of the log. Out: stderr, through the bounded queue of a [`Sink`].
//! The decision held here: a reader of stderr that stalls never stops detection, nor keeps a signal
//! from ending recon. A line that finds the queue full is dropped and counted; the next line that
//! finds room is preceded by one that says how many.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LogFormat;
use crate::sink::{LineQueue, Sink};

/// Lines that may wait for a slow reader: some 200 bytes each.
const LINES: u64 = 4096;

/// The lines that found the queue full since the start. There is one logger in a process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The log lines that found the queue full since the start.
pub(crate) fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Writes the log on a thread of its own, until it is finished.
#[derive(Debug)]
pub struct LogWriter {
    sink: Sink,
    queue: SharedQueue,
}

/// The logger lives as long as the process: the queue is taken from it at the end.
type SharedQueue = Arc<Mutex<Option<LogQueue>>>;

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says if the descriptor can't be duplicated or the thread can't be started.
    pub(super) fn start(format: LogFormat) -> io::Result<Self> {
        let sink = Sink::for_log(io::stderr(), LINES)?;
        Ok(Self::start_on(sink, format))
    }

    fn start_on(sink: Sink, format: LogFormat) -> Self {
        let queue = LogQueue {
            lines: sink.another_queue(LINES),
            format,
            unreported: 0,
        };
        Self {
            sink,
            queue: Arc::new(Mutex::new(Some(queue))),
        }
    }

    /// Makes what a line of the log is written to.
    pub(super) fn maker(&self) -> impl Fn() -> LogPipe + use<> {
        let queue = Arc::clone(&self.queue);
        move || LogPipe(Arc::clone(&queue))
    }

    /// Waits until the queue is written, but not forever.
    pub fn finish(self) {
        drop(lock(&self.queue).take());
        let _ = self.sink.finish();
    }
}

/// What a line of the log is written to.
pub(super) struct LogPipe(SharedQueue);

impl Write for LogPipe {
    /// Takes a whole line: it is formatted first.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(queue) = &mut *lock(&self.0) {
            queue.write_line(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that panicked while it logged has left a whole queue.
fn lock(queue: &Mutex<Option<LogQueue>>) -> MutexGuard<'_, Option<LogQueue>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct LogQueue {
    lines: LineQueue,
    format: LogFormat,
    /// Dropped lines of which no line has said so.
    unreported: u64,
}

impl LogQueue {
    fn write_line(&mut self, line: &[u8]) {
        if self.unreported > 0 {
            let notice = self.format.notice(self.unreported);
            if self.lines.write_lines(notice.into_bytes(), 1) {
                self.unreported = 0;
            }
        }
        if !self.lines.write_lines(line.to_vec(), 1) {
            self.unreported += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn has_room(pipe: &impl AsFd) -> bool {
        let mut pipe = [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
        poll(&mut pipe, PollTimeout::ZERO).expect("a pipe") > 0
    }

    #[test]
    fn a_stalled_reader_costs_lines_that_are_counted() {
        /// More than a pipe (64 KiB) and the queue hold.
        const SENT: u64 = LINES + 1000;
        let (reader, pipe) = io::pipe().expect("a pipe");
        let sink = Sink::for_log(&pipe, LINES).expect("a sink");
        let log = LogWriter::start_on(sink, LogFormat::Text);
        let mut to_log = log.maker()();
        let before = dropped_lines();
        let line = [&[b'x'; 199][..], b"\n"].concat();
        // First what fills the pipe: from then on no line finds room.
        let mut send = |lines: u64| {
            for _ in 0..lines {
                to_log.write_all(&line).expect("it never fails");
            }
        };
        const FIRST: u64 = 500;
        send(FIRST);
        while has_room(&pipe) {
            std::thread::yield_now();
        }
        drop(pipe);
        send(SENT - FIRST);
        let dropped = dropped_lines() - before;
        assert!(dropped > 0);

        let mut reader = BufReader::new(reader);
        let mut read = String::new();
        reader.read_line(&mut read).expect("a line");
        // The reader goes on: a line that finds room is preceded by the notice.
        let (mut lines, mut notice) = (1, None);
        while notice.is_none() {
            to_log.write_all(b"next\n").expect("it never fails");
            read.clear();
            reader.read_line(&mut read).expect("a line");
            if let Some((_, count)) = read.split_once("log lines dropped: ") {
                notice = count.trim().parse::<u64>().ok();
            } else if read.starts_with('x') {
                lines += 1;
            }
        }
        log.finish();
        let reported = notice.expect("a notice");
        assert!(reported >= dropped, "{reported} of {dropped}");
        assert_eq!(lines + dropped, SENT);
    }
}
