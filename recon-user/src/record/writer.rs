//! The thread that writes evidence files.
//!
//! In: files that alerts name. Out: the files, and counts of what became of them.
//! The decisions held here: no poll waits for the disk. A few files may wait; one more is refused
//! before an alert names it. A disk that is full costs evidence and never the agent: it is logged
//! once until files are written again, and each missing file is counted, at the end also those that
//! still wait for the disk. While files can't be written, alerts name none: they are still tried.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::folder::EvidenceFolder;
use super::pcapng::EvidenceFile;

/// Files that may wait: those of more lines than a poll writes.
const WAITING: usize = 256;

/// What became of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvidenceCounts {
    /// Those that were written, and their bytes.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Those that were evicted for newer ones.
    pub(crate) evicted: u64,
    /// Those that could not be written, or found the queue full.
    pub(crate) failed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    files: AtomicU64,
    bytes: AtomicU64,
    evicted: AtomicU64,
    failed: AtomicU64,
    /// Those that the thread has not finished.
    waiting: AtomicU64,
    /// Whether the last one could not be written.
    is_failing: AtomicBool,
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct EvidenceWriter {
    folder: PathBuf,
    queue: SyncSender<EvidenceFile>,
    /// Closed when the thread has ended.
    done: Receiver<()>,
    shared: Arc<Shared>,
}

impl EvidenceWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(folder: EvidenceFolder) -> io::Result<Self> {
        let (queue, files) = sync_channel(WAITING);
        let (end, done) = sync_channel(0);
        let shared = Arc::<Shared>::default();
        let counts = Arc::clone(&shared);
        let path = folder.path().to_owned();
        thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || {
                write_files(folder, &files, &counts);
                drop(end);
            })?;
        Ok(Self {
            folder: path,
            queue,
            done,
            shared,
        })
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Hands a file to the thread, or counts it as failed if too many wait. Returns whether an
    /// alert may name it: not while the files before it can't be written.
    pub(crate) fn offer(&self, file: EvidenceFile) -> bool {
        let is_failing = self.shared.is_failing.load(Ordering::Relaxed);
        // Before the thread can have finished it.
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let is_queued = self.queue.try_send(file).is_ok();
        if !is_queued {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        is_queued && !is_failing
    }

    /// What became of the files so far.
    pub(crate) fn counts(&self) -> EvidenceCounts {
        self.shared.counts()
    }

    /// Waits until all files are written, up to a limit. Returns what became of all: those that
    /// still wait then have failed.
    pub(crate) fn finish(self, until: Instant) -> EvidenceCounts {
        let Self {
            queue,
            done,
            shared,
            ..
        } = self;
        drop(queue);
        let left = until.saturating_duration_since(Instant::now());
        let is_late = done.recv_timeout(left) == Err(RecvTimeoutError::Timeout);
        let mut counts = shared.counts();
        if is_late {
            let waiting = shared.waiting.load(Ordering::Relaxed);
            counts.failed += waiting;
            tracing::warn!(
                "record: the disk takes too long: {waiting} evidence files that alerts name are missing; record to a faster disk"
            );
        }
        counts
    }
}

impl Shared {
    fn counts(&self) -> EvidenceCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        EvidenceCounts {
            files: read(&self.files),
            bytes: read(&self.bytes),
            evicted: read(&self.evicted),
            failed: read(&self.failed),
        }
    }
}

/// Writes files until nobody hands over any more.
fn write_files(mut folder: EvidenceFolder, files: &Receiver<EvidenceFile>, counts: &Shared) {
    let mut failed = 0_u64;
    for file in files {
        let bytes = file.encode();
        let add = |count: &AtomicU64, by| count.fetch_add(by, Ordering::Relaxed);
        let written = folder.write(&file.name, &bytes);
        counts.evicted.store(folder.evicted(), Ordering::Relaxed);
        counts.is_failing.store(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => {
                add(&counts.files, 1);
                add(&counts.bytes, bytes.len() as u64);
                if failed > 0 {
                    tracing::info!("record: files are written again; {failed} are missing");
                }
                failed = 0;
            }
            Err(error) => {
                add(&counts.failed, 1);
                if failed == 0 {
                    let remedy = match folder.is_replaced() {
                        true => {
                            "the folder was moved, deleted or replaced: restart recon, which may write only to the folder that it opened"
                        }
                        false => "make room, or let recon write there",
                    };
                    tracing::error!(
                        "record: {}: {error}: the file is missing, and alerts name none until one is written again: {remedy}",
                        folder.path().join(&file.name).display()
                    );
                }
                failed += 1;
            }
        }
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
