//! The log of `recon run`: lines to stderr, without waiting for its reader.
//!
//! In: lines of the logger. Out: stderr, through the bounded queue of a [`Sink`].
//! The decision held here: a reader of stderr that stalls never stops detection, nor keeps a signal
//! from ending recon. A line that finds the queue full is dropped and counted; the next line that
//! finds room is preceded by one that says how many.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use env_logger::{Builder, Target, WriteStyle};

use crate::sink::{LineQueue, STDERR, Sink};

/// Lines that may wait for a slow reader: some 200 bytes each.
const LINES: usize = 4096;

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
    pub fn start() -> io::Result<Self> {
        Self::start_on(Sink::named(io::stderr(), STDERR, "log lines", LINES)?)
    }

    fn start_on(sink: Sink) -> io::Result<Self> {
        let queue = LogQueue {
            lines: sink.another_queue(),
            unreported: 0,
        };
        Ok(Self {
            sink,
            queue: Arc::new(Mutex::new(Some(queue))),
        })
    }

    /// Makes a logger write here, in colour where stderr is a terminal that has it.
    pub fn direct(&self, logger: &mut Builder) {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let has_colour = io::stderr().is_terminal()
            && !is_set("NO_COLOR")
            && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        let style = match has_colour {
            true => WriteStyle::Always,
            false => WriteStyle::Never,
        };
        let pipe = LogPipe(Arc::clone(&self.queue));
        logger
            .target(Target::Pipe(Box::new(pipe)))
            .write_style(style);
    }

    /// Waits until the queue is written, but not forever.
    pub fn finish(self) {
        drop(lock(&self.queue).take());
        let _ = self.sink.finish();
    }
}

/// What the logger writes to.
struct LogPipe(SharedQueue);

impl Write for LogPipe {
    /// Takes a whole record: the logger formats it first.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        if let Some(queue) = &mut *lock(&self.0) {
            queue.write_record(record);
        }
        Ok(record.len())
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
    /// Dropped lines of which no line has said so.
    unreported: u64,
}

impl LogQueue {
    fn write_record(&mut self, record: &[u8]) {
        if self.unreported > 0 {
            let notice = format!(
                "[WARN ] stderr: its reader is slow; log lines dropped: {}\n",
                self.unreported
            );
            if self.lines.write_lines(notice.into_bytes(), 1) {
                self.unreported = 0;
            }
        }
        if !self.lines.write_lines(record.to_vec(), 1) {
            self.unreported += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn a_stalled_reader_costs_lines_that_are_counted() {
        /// More than a pipe (64 KiB) and the queue hold.
        const SENT: usize = LINES + 1000;
        let (reader, pipe) = io::pipe().expect("a pipe");
        let sink = Sink::named(&pipe, STDERR, "log lines", LINES).expect("a sink");
        drop(pipe);
        let log = LogWriter::start_on(sink).expect("a log");
        let mut pipe = LogPipe(Arc::clone(&log.queue));
        let before = dropped_lines();
        let line = [&[b'x'; 199][..], b"\n"].concat();
        for _ in 0..SENT {
            pipe.write_all(&line).expect("it never fails");
        }
        let dropped = dropped_lines() - before;
        assert!(dropped > 0);

        let mut reader = BufReader::new(reader);
        let mut read = String::new();
        reader.read_line(&mut read).expect("a line");
        // The reader goes on: a line that finds room is preceded by the notice.
        let (mut lines, mut notice) = (1, None);
        while notice.is_none() {
            pipe.write_all(b"next\n").expect("it never fails");
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
        assert_eq!(lines + dropped, SENT as u64);
    }
}
