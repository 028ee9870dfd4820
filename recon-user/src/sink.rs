//! Sinks: where lines go.
//!
//! In: lines, one or many at a time, which sinks share without copying. Out: bytes, in order, and
//! how many lines were written and dropped.
//!
//! | module | does |
//! |---|---|
//! | `queue` | the bounded queue of a sink, and what became of its lines |
//! | `shared_lines` | lines that all sinks share, and that one of their threads formats |
//! | `gathered` | lines before sinks get them: of a poll, or of a part of it |
//! | `worker` | the thread: takes lines from the queue, counts, tries again |
//! | `target`, `whole_lines` | what it writes to; stdout and stderr |
//! | `destination`, `open` | what a sink of the settings writes to, and its target |
//! | `file`, `line_file` | a file that is appended to, opened again, followed and rotated |
//! | `stream_peer`, `connection`, `datagram` | connections and datagrams, to whoever listens |
//! | `http_target`, `http`, `http_url` | requests to a webhook or a receiver of OTLP |
//! | `otlp` | lines as logs of OpenTelemetry |
//! | `nats`, `nats_lane` | lines in a stream of NATS JetStream, and what is known of each |
//! | `nats_peer`, `nats_stream`, `nats_credentials` | the server, and who recon is to it |
//! | `nats_frame`, `nats_subject` | what it and recon say to each other, and about what |
//! | `tls`, `secret_file` | encrypted connections; keys, and headers that are secret |
//! | `foreign_text` | what a peer says, as a message shows it |
//! | `probe` | whether somebody listens, for `recon check` |
//! | `journal`, `syslog`, `line_fields` | what journald and syslog get for a line |
//! | `report` | what the log says of failures |
//! | `flush` | waits until lines are written, but not for long |
//!
//! The decisions held here: the agent never waits for a reader. Each sink has a thread and bounded
//! queues, so that a slow one delays neither the agent nor another sink. All work with its file or
//! socket happens on that thread, also opening it again: a folder that hangs, as one of NFS may,
//! stops no poll. When the reader is slow and the queue is full, or the disk is full, a line is
//! dropped and counted. A closed reader of stdout (`| head -1`) ends the agent cleanly. The reader
//! of a named pipe may come back, so that one which has gone is like a full disk.

mod connection;
mod datagram;
mod destination;
mod file;
mod flush;
mod foreign_text;
mod gathered;
mod http;
mod http_target;
mod http_url;
mod journal;
mod line_fields;
mod line_file;
mod nats;
mod nats_credentials;
mod nats_frame;
mod nats_lane;
mod nats_peer;
mod nats_stream;
mod nats_subject;
mod open;
mod otlp;
mod probe;
mod queue;
mod report;
mod secret_file;
mod shared_lines;
mod stream_peer;
mod syslog;
mod target;
mod tls;
mod whole_lines;
mod worker;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::gettid;

pub(crate) use destination::{Destination, Fsync, Rotation, TlsSettings};
pub(crate) use flush::Flush;
pub use gathered::GatheredLines;
pub(crate) use http::HttpDestination;
pub(crate) use http_url::HttpUrl;
pub(crate) use line_file::{OpenFiles, is_same};
pub(crate) use nats_peer::NatsDestination;
pub(crate) use nats_subject::NatsSubject;
pub(crate) use otlp::LOGS_PATH;
pub(crate) use probe::{Unreachable, probe};
pub use queue::Written;
use queue::{Counts, Work};
pub(crate) use queue::{LineQueue, WAITING_ALERTS, WAITING_ROWS};
use report::{OverflowWatch, Reporter, Unwritten};
pub(crate) use shared_lines::SharedLines;
use target::{StreamTarget, Target};
pub(crate) use tls::TlsFiles;
use worker::Worker;

/// The name of stdout in messages.
pub(crate) const STDOUT: &str = "stdout";
/// The name of stderr in messages.
pub(crate) const STDERR: &str = "stderr";
/// How long the agent's end waits for all readers together to take the queued lines.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How a sink is called in messages, and how much may wait.
#[derive(Clone, Debug)]
pub(crate) struct SinkName {
    /// Where it writes to.
    pub(crate) place: String,
    /// What its lines are.
    pub(crate) what: &'static str,
}

/// What the thread and the agent both know.
#[derive(Debug, Default)]
struct SinkState {
    /// The reader has gone for good.
    is_closed: AtomicBool,
    /// The agent ends.
    is_ending: AtomicBool,
    /// The file is to be opened again, and that is still in the queue.
    is_reopening: AtomicBool,
    /// Why the last lines could not be written.
    problem: Mutex<Option<String>>,
    /// Those of each queue.
    counts: Mutex<Vec<Arc<Counts>>>,
}

impl SinkState {
    fn note_problem(&self, error: Option<&io::Error>) {
        let mut problem = lock(&self.problem);
        if error.is_some() || problem.is_some() {
            *problem = error.map(ToString::to_string);
        }
    }

    fn unwritten(&self) -> Unwritten {
        let all = lock(&self.counts);
        let sum = |of: fn(&Counts) -> u64| all.iter().map(|it| of(it)).sum();
        Unwritten {
            dropped: sum(Counts::dropped),
            refused: sum(Counts::refused),
            waiting: sum(Counts::waiting),
        }
    }
}

/// A thread that panicked has left a whole value: each is replaced at once.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The agent's end of a sink.
#[derive(Debug)]
pub struct Sink {
    name: SinkName,
    own: LineQueue,
    ended: Receiver<()>,
    state: Arc<SinkState>,
    thread: Thread,
    thread_id: libc::pid_t,
    overflows: OverflowWatch,
    /// A handle to stdout, to ask whether its reader has closed it. Another file is not held open:
    /// it may be replaced.
    stdout: Option<File>,
}

/// A sink whose queues are closed.
pub(crate) struct EndingSink {
    name: SinkName,
    ended: Receiver<()>,
}

/// What a sink has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkReport {
    pub(crate) lines: Written,
    pub(crate) waiting: u64,
    /// Why the last lines could not be written.
    pub(crate) problem: Option<String>,
}

impl Sink {
    /// A sink that writes alerts to `file`: stdout, except in tests.
    ///
    /// # Errors
    /// What the system says if the descriptor can't be duplicated or the thread can't be started.
    pub fn new(file: impl AsFd) -> io::Result<Self> {
        let stdout = File::from(file.as_fd().try_clone_to_owned()?);
        let target = StreamTarget::new(stdout.try_clone()?);
        let name = SinkName {
            place: STDOUT.to_owned(),
            what: "alerts",
        };
        let sink = Self::start_thread(name, Box::new(target), WAITING_ALERTS, true)?;
        Ok(Self {
            stdout: Some(stdout),
            ..sink
        })
    }

    /// A sink that writes the log to `file`: stderr, except in tests. Up to `limit` lines wait.
    /// What finds the queue full is for the log itself to say.
    ///
    /// # Errors
    /// As for [`Sink::new`].
    pub(crate) fn for_log(file: impl AsFd, limit: u64) -> io::Result<Self> {
        let target = StreamTarget::new(File::from(file.as_fd().try_clone_to_owned()?));
        let name = SinkName {
            place: STDERR.to_owned(),
            what: "log lines",
        };
        Self::start_thread(name, Box::new(target), limit, false)
    }

    fn start_thread(
        name: SinkName,
        target: Box<dyn Target>,
        limit: u64,
        has_overflows: bool,
    ) -> io::Result<Self> {
        let (work, queue) = channel();
        let (end, ended) = sync_channel(1);
        let own = LineQueue::new(work, limit);
        let state = Arc::<SinkState>::default();
        lock(&state.counts).push(Arc::clone(own.counts()));
        let worker = Worker {
            target,
            reporter: Reporter::new(name.place.clone(), name.what, has_overflows),
            state: Arc::clone(&state),
            group: Vec::new(),
            has_lost: false,
            reports: Vec::new(),
        };
        let (ready, started) = sync_channel(1);
        let handle = thread::Builder::new()
            .name(format!("{}-writer", name.what))
            .spawn(move || {
                // Whoever starts it waits for this.
                let _ = ready.send(gettid().as_raw());
                worker.run(&queue);
                // If this fails, nobody waits any more.
                let _ = end.send(());
            })?;
        Ok(Self {
            name,
            own,
            ended,
            state,
            thread: handle.thread().clone(),
            thread_id: started.recv().map_err(io::Error::other)?,
            overflows: OverflowWatch::default(),
            stdout: None,
        })
    }

    /// A queue to the same target, whose lines are counted separately. Up to `limit` lines wait.
    #[must_use]
    pub(crate) fn another_queue(&self, limit: u64) -> LineQueue {
        let queue = self.own.another(limit);
        lock(&self.state.counts).push(Arc::clone(queue.counts()));
        queue
    }

    /// The queue of this sink's own lines.
    pub(crate) const fn queue(&self) -> &LineQueue {
        &self.own
    }

    /// Queues a line.
    #[cfg(test)]
    pub(crate) fn write(&mut self, line: impl Into<bytes::Bytes>) {
        self.write_lines(line.into(), 1);
    }

    /// Queues lines, or counts them as dropped. Other sinks may hold the same bytes.
    pub fn write_lines(&mut self, bytes: bytes::Bytes, lines: u64) {
        self.own.write_lines(bytes, lines);
    }

    /// Opens the file again, after what is queued. Once for all who ask before that.
    pub(crate) fn reopen(&self) {
        if !self.state.is_reopening.swap(true, Ordering::Relaxed) {
            // Without a thread there is no file either.
            self.own.order(Work::Reopen);
        }
    }

    /// Whether the reader has closed its end: a write has failed for that reason, or the pipe says
    /// so.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.state.is_closed.load(Ordering::Relaxed)
            || self.stdout.as_ref().is_some_and(has_no_reader)
    }

    /// Says that lines are dropped since the queue is full, at most once a minute.
    pub(crate) fn report_overflow(&mut self) {
        let SinkName { place, what } = &self.name;
        self.overflows.report(place, what, self.state.unwritten());
    }

    /// The number of its thread.
    pub(crate) const fn thread_id(&self) -> libc::pid_t {
        self.thread_id
    }

    /// What it has done so far.
    pub(crate) fn report(&self) -> SinkReport {
        self.state.report()
    }

    /// Closes the queues, and lets the thread write what is in them. The returned function says
    /// what became of its own lines once it has ended.
    pub(crate) fn begin_end(self) -> (EndingSink, impl FnOnce() -> Written) {
        let written = self.own.close();
        self.state.is_ending.store(true, Ordering::SeqCst);
        self.thread.unpark();
        let ending = EndingSink {
            name: self.name,
            ended: self.ended,
        };
        (ending, written)
    }

    /// Waits until the queue is written, but not forever.
    #[must_use]
    pub fn finish(self) -> Written {
        let (ending, written) = self.begin_end();
        ending.wait_until(last_moment());
        written()
    }
}

/// Until when the agent's end waits, if it begins now.
pub(crate) fn last_moment() -> Instant {
    Instant::now() + LAST_WAIT
}

impl EndingSink {
    /// Waits until the thread has ended, but no longer than that. All queues must be closed.
    pub(crate) fn wait_until(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        if self.ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            let SinkName { place, what } = &self.name;
            tracing::warn!("{place}: the reader does not read; queued {what} are dropped");
        }
    }
}

impl SinkState {
    fn report(&self) -> SinkReport {
        let mut lines = Written::default();
        let mut waiting = 0;
        for counts in lock(&self.counts).iter() {
            lines = lines + counts.so_far();
            waiting += counts.waiting();
        }
        SinkReport {
            lines,
            waiting,
            problem: lock(&self.problem).clone(),
        }
    }
}

fn has_no_reader(file: &File) -> bool {
    let mut ask = [PollFd::new(file.as_fd(), PollFlags::empty())];
    poll(&mut ask, PollTimeout::ZERO).is_ok()
        && ask[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR))
}

#[cfg(test)]
mod tests;
