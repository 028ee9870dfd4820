//! A thread that writes, so that no disk stops the agent.
//!
//! In: what to write. Out: what came of it, in time or later.
//! The decision held here: a write that does not end in time is not repeated, and nothing else is
//! written until it ends.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How long a poll waits for the disk. Tests on a busy machine wait for what comes of it.
const IN_TIME: Duration = match cfg!(test) {
    true => Duration::from_secs(10),
    false => Duration::from_millis(100),
};

/// How long the end of recon waits for the disk.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(10);

type DiskWork = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// The thread.
#[derive(Debug)]
pub(super) struct DiskWriter {
    work: SyncSender<DiskWork>,
    results: Receiver<io::Result<()>>,
    /// Whether a result is still to come.
    is_busy: bool,
    /// How long a poll waits.
    in_time: Duration,
}

impl DiskWriter {
    /// Starts the thread of that name.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (work, queue) = sync_channel::<DiskWork>(1);
        let (report, results) = sync_channel(1);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for work in queue {
                    // If this fails, nobody waits any more.
                    let _ = report.send(work());
                }
            })?;
        Ok(Self {
            work,
            results,
            is_busy: false,
            in_time: IN_TIME,
        })
    }

    /// Whether it writes.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Begins a write. The thread must not be busy.
    pub(super) fn write(&mut self, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
        self.is_busy = self.work.try_send(Box::new(work)).is_ok();
    }

    /// What came of the write, if there was one and it has ended.
    pub(super) fn take_result(&mut self) -> Option<io::Result<()>> {
        self.wait(Duration::ZERO)
    }

    /// The same after a wait of that time at most.
    pub(super) fn wait(&mut self, limit: Duration) -> Option<io::Result<()>> {
        if !self.is_busy {
            return None;
        }
        let result = self.results.recv_timeout(limit).ok()?;
        self.is_busy = false;
        Some(result)
    }

    /// Makes polls wait that long.
    #[cfg(test)]
    pub(super) fn set_patience(&mut self, in_time: Duration) {
        self.in_time = in_time;
    }

    /// Waits no more for what is being written.
    pub(super) fn abandon(&mut self) {
        self.is_busy = false;
    }

    /// Writes, and waits for a moment.
    ///
    /// # Errors
    /// What the system says. [`io::ErrorKind::TimedOut`] if it does not end in time,
    /// [`io::ErrorKind::ResourceBusy`] if one before has not ended yet and this one is not begun.
    pub(super) fn write_in_time(
        &mut self,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        // Of a write that came late, which was counted as failed.
        let _ = self.take_result();
        if self.is_busy {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        self.write(work);
        self.wait(self.in_time)
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// What was begun is ended, so that the next process finds it.
impl Drop for DiskWriter {
    fn drop(&mut self) {
        let _ = self.wait(LAST_WAIT);
    }
}

/// Whether the state is being saved, as the log says it.
#[derive(Debug)]
pub(super) struct Trouble {
    folder: String,
    failures: u64,
    /// Failures since the log last said that all is well.
    unsaid: u64,
}

impl Trouble {
    pub(super) fn new(folder: String) -> Self {
        Self {
            folder,
            failures: 0,
            unsaid: 0,
        }
    }

    /// Notes a write that has failed, and says so if the one before has not.
    pub(super) fn note_failure(&mut self, error: &io::Error) {
        self.failures += 1;
        self.unsaid += 1;
        if self.unsaid == 1 {
            tracing::error!(
                "the state can't be saved in {}: {error}; detection goes on, and a restart forgets what was counted from now on; recon tries again every minute",
                self.folder
            );
        }
    }

    /// Notes that a snapshot, which holds all that was lost, is written.
    pub(super) fn note_success(&mut self) {
        if self.unsaid > 0 {
            tracing::info!(
                "the state is saved in {} again, after {} failed writes",
                self.folder,
                self.unsaid
            );
            self.unsaid = 0;
        }
    }

    /// All writes that have failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }
}
