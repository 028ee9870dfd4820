//! Sinks: lines to stdout or to a file.
//!
//! In: lines, one or many at a time. Out: bytes, in order.
//! The decision held here: the agent never waits for its reader. Lines go through a bounded queue
//! to a thread. When the reader is slow and the queue is full, or the disk is full, a line is
//! dropped and counted. A closed reader (`| head -1`) ends the agent cleanly. The reader of a named
//! pipe may come back, so that one which has gone is like a full disk.

mod flush;
mod writer;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(crate) use flush::Flush;
use writer::Writer;

/// Alerts that may wait for a slow reader: about 1 KB each.
const ALERTS: usize = 4096;
/// The name of stdout in messages.
pub(crate) const STDOUT: &str = "stdout";
/// The name of stderr in messages.
pub(crate) const STDERR: &str = "stderr";
/// How long the agent's end waits for the reader to take the queued lines.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were dropped: a full queue, a failed write, or a closed reader.
    pub dropped: u64,
}

/// What the thread does next.
#[derive(Debug)]
enum Work {
    /// Write these lines.
    Lines(LineBatch),
    /// Write to another file from now on; without one, drop what comes.
    Replace(Option<File>),
    /// Say that everything before is written.
    Report(SyncSender<()>),
}

/// Whole lines that are written together.
#[derive(Debug)]
struct LineBatch {
    bytes: Vec<u8>,
    lines: u64,
    /// The lines that the thread has written for the queue that this came through.
    written: Arc<AtomicU64>,
}

/// The queue to the thread that writes.
#[derive(Debug)]
pub struct Sink {
    /// Where it writes to and what, for its messages.
    place: String,
    what: &'static str,
    own: LineQueue,
    ended: Receiver<()>,
    closed: Arc<AtomicBool>,
    /// A handle to stdout, to ask whether its reader has closed it. Another file is not held open:
    /// it may be replaced.
    stdout: Option<File>,
}

/// A queue to the same thread, whose lines are counted separately.
#[derive(Debug)]
pub(crate) struct LineQueue {
    work: SyncSender<Work>,
    written: Arc<AtomicU64>,
    /// Lines that were queued or dropped.
    lines: u64,
}

impl LineQueue {
    fn new(work: SyncSender<Work>) -> Self {
        Self {
            work,
            written: Arc::default(),
            lines: 0,
        }
    }

    /// Queues that many lines, or counts them as dropped. Returns whether they are queued.
    pub(crate) fn write_lines(&mut self, bytes: Vec<u8>, lines: u64) -> bool {
        self.lines += lines;
        let batch = LineBatch {
            bytes,
            lines,
            written: Arc::clone(&self.written),
        };
        // A full queue drops them, and so does a reader that has gone.
        self.work.try_send(Work::Lines(batch)).is_ok()
    }

    /// The lines that were queued or dropped so far.
    pub(crate) const fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines that are not written so far: dropped, or still in the queue.
    pub(crate) fn unwritten(&self) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        self.lines.saturating_sub(written)
    }

    /// Makes the lines from now on go to another file, or nowhere. Returns whether that is queued.
    pub(crate) fn replace_file(&self, file: Option<File>) -> bool {
        self.work.try_send(Work::Replace(file)).is_ok()
    }

    /// Asks for a message once everything in the queue is written. `None` if the queue is full.
    fn request_report(&self) -> Option<Receiver<()>> {
        let (written, report) = sync_channel(1);
        let asked = self.work.try_send(Work::Report(written));
        asked.is_ok().then_some(report)
    }

    /// Closes the queue. The returned function says what became of its lines once the sink is
    /// finished.
    pub(crate) fn close(self) -> impl FnOnce() -> Written {
        let Self { written, lines, .. } = self;
        move || {
            let written = written.load(Ordering::Relaxed);
            Written {
                written,
                dropped: lines - written,
            }
        }
    }
}

impl Sink {
    /// A sink that writes alerts to `file`: stdout, except in tests.
    ///
    /// # Errors
    /// What the system says if the descriptor can't be duplicated or the thread can't be started.
    pub fn new(file: impl AsFd) -> io::Result<Self> {
        let stdout = File::from(file.as_fd().try_clone_to_owned()?);
        let sink = Self::named(file, STDOUT, "alerts", ALERTS)?;
        Ok(Self {
            stdout: Some(stdout),
            ..sink
        })
    }

    /// A sink that writes to `file`, and calls it `place` and its lines `what` in messages. Up to
    /// `queue` batches wait.
    ///
    /// # Errors
    /// As for [`Sink::new`].
    pub(crate) fn named(
        file: impl AsFd,
        place: &str,
        what: &'static str,
        queue: usize,
    ) -> io::Result<Self> {
        Self::start(file, place, what, queue, false)
    }

    /// A sink to a file or a named pipe, which goes on when the reader has gone.
    ///
    /// # Errors
    /// As for [`Sink::new`].
    pub(crate) fn lasting(
        file: impl AsFd,
        place: &str,
        what: &'static str,
        queue: usize,
    ) -> io::Result<Self> {
        Self::start(file, place, what, queue, true)
    }

    fn start(
        file: impl AsFd,
        place: &str,
        what: &'static str,
        queue: usize,
        is_lasting: bool,
    ) -> io::Result<Self> {
        let file = File::from(file.as_fd().try_clone_to_owned()?);
        let writer = Writer::new(file, place, what);
        let (work, queue) = sync_channel(queue);
        let (end, ended) = sync_channel(1);
        let closed = Arc::new(AtomicBool::new(false));
        let their_closed = Arc::clone(&closed);
        thread::Builder::new()
            .name(format!("{what}-writer"))
            .spawn(move || {
                write_all(&queue, writer, &their_closed, is_lasting);
                // If this fails, nobody waits any more.
                let _ = end.send(());
            })?;
        Ok(Self {
            place: place.to_owned(),
            what,
            own: LineQueue::new(work),
            ended,
            closed,
            stdout: None,
        })
    }

    /// A queue to the same file, whose lines are counted separately.
    #[must_use]
    pub(crate) fn another_queue(&self) -> LineQueue {
        LineQueue::new(self.own.work.clone())
    }

    /// The queue of this sink's own lines.
    pub(crate) const fn queue(&self) -> &LineQueue {
        &self.own
    }

    /// Queues a line, or counts it as dropped.
    pub fn write(&mut self, line: Vec<u8>) {
        self.own.write_lines(line, 1);
    }

    /// Whether the reader has closed its end: a write has failed for that reason, or the pipe says
    /// so.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || self.stdout.as_ref().is_some_and(has_no_reader)
    }

    /// Waits until the queue is written, but not forever.
    #[must_use]
    pub fn finish(self) -> Written {
        let (place, what) = (self.place, self.what);
        let written = self.own.close();
        if self.ended.recv_timeout(LAST_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("{place}: the reader does not read; queued {what} are dropped");
        }
        written()
    }
}

fn has_no_reader(file: &File) -> bool {
    let mut ask = [PollFd::new(file.as_fd(), PollFlags::empty())];
    poll(&mut ask, PollTimeout::ZERO).is_ok()
        && ask[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// The thread: writes lines until the agent ends, or until the reader has closed its end for good.
fn write_all(queue: &Receiver<Work>, mut writer: Writer, closed: &AtomicBool, is_lasting: bool) {
    for work in queue {
        let batch = match work {
            Work::Lines(batch) => batch,
            Work::Replace(other) => {
                (writer.file, writer.is_torn) = (other, false);
                continue;
            }
            Work::Report(written) => {
                // Nobody may wait for it any more.
                let _ = written.try_send(());
                continue;
            }
        };
        match writer.write(&batch) {
            Ok(()) => writer.report_success(),
            Err(error) if error.kind() == ErrorKind::BrokenPipe && !is_lasting => {
                closed.store(true, Ordering::Relaxed);
                return;
            }
            Err(error) => writer.report_failure(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn line(number: u64) -> Vec<u8> {
        format!("{number}\n").into_bytes()
    }

    #[test]
    fn lines_arrive_in_order() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut sink = Sink::new(&writer).expect("a sink");
        drop(writer);
        (0..100).for_each(|number| sink.write(line(number)));
        assert!(!sink.is_closed());
        assert_eq!(
            sink.finish(),
            Written {
                written: 100,
                dropped: 0
            }
        );
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert!(text.lines().eq((0..100).map(|number| number.to_string())));
    }

    #[test]
    fn a_closed_reader_closes_the_sink() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut sink = Sink::new(&writer).expect("a sink");
        drop(reader);
        assert!(sink.is_closed());
        sink.write(line(1));
        assert_eq!(
            sink.finish(),
            Written {
                written: 0,
                dropped: 1
            }
        );
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let mut sink = Sink::new(&full).expect("a sink");
        (0..3).for_each(|number| sink.write(line(number)));
        assert_eq!(
            sink.finish(),
            Written {
                written: 0,
                dropped: 3
            }
        );
    }

    #[test]
    fn a_flush_waits_for_a_reader_once() {
        let limit = Duration::from_millis(50);
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut sink = Sink::new(&writer).expect("a sink");
        let mut flush = Flush::default();
        sink.write(line(1));
        assert!(flush.wait(sink.queue(), Duration::from_secs(10)));
        let mut text = [0; 2];
        reader.read_exact(&mut text).expect("a line");
        assert_eq!(&text, b"1\n");
        // More than a pipe holds.
        (0..100).for_each(|_| sink.write(vec![b'x'; 1024]));
        let before = std::time::Instant::now();
        assert!((0..100).all(|_| !flush.wait(sink.queue(), limit)));
        assert!(before.elapsed() < 10 * limit, "{:?}", before.elapsed());
    }

    #[test]
    fn a_slow_reader_is_not_waited_for() {
        let (_reader, writer) = io::pipe().expect("a pipe");
        let mut sink = Sink::new(&writer).expect("a sink");
        // More than a pipe (64 KiB) and the queue hold.
        let long = vec![b'x'; 1024];
        let sent = ALERTS as u64 + 1000;
        (0..sent).for_each(|_| sink.write(long.clone()));
        let Written { written, dropped } = sink.finish();
        assert_eq!(written + dropped, sent);
        assert!(
            dropped >= sent - ALERTS as u64 && written > 0,
            "{written} written, {dropped} dropped"
        );
    }
}
