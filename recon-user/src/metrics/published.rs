//! The last snapshot, for the thread that fills it and the one that reads it.
//!
//! In: a snapshot at the end of each poll. Out: the last one, and how old it is.
//! The decision held here: the lock is held to exchange a pointer. The agent does not even wait
//! for that: if the reader was interrupted in between, the next poll hands over its snapshot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Snapshot;

/// What both threads share.
#[derive(Debug)]
pub(crate) struct Published {
    latest: Mutex<Arc<Snapshot>>,
    /// How often the agent polls.
    interval: Duration,
    started_at: Timestamp,
    started: Instant,
    /// When a poll last drained the counts: milliseconds since the start, and 1. 0 for never.
    drained: AtomicU64,
}

impl Published {
    /// Nothing is counted so far.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            latest: Mutex::default(),
            interval,
            started_at: Timestamp::now(),
            started: Instant::now(),
            drained: AtomicU64::new(0),
        }
    }

    /// Notes that a poll has drained the counts.
    pub(crate) fn note_drained(&self) {
        let since_start = self.started.elapsed().as_millis();
        let since_start = u64::try_from(since_start).unwrap_or(u64::MAX);
        self.drained
            .store(since_start.saturating_add(1), Ordering::Relaxed);
    }

    /// Hands over a snapshot.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        let mut latest = match self.latest.try_lock() {
            Ok(latest) => latest,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        // The old one is freed by whoever holds it last, after the lock is released.
        let before = std::mem::replace(&mut *latest, Arc::new(snapshot));
        drop(latest);
        drop(before);
    }

    /// The last snapshot.
    pub(super) fn latest(&self) -> Arc<Snapshot> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&latest)
    }

    /// How long ago a poll last drained the counts. `None` if none has so far.
    pub(super) fn age(&self) -> Option<Duration> {
        let drained = self.drained.load(Ordering::Relaxed).checked_sub(1)?;
        let drained = Duration::from_millis(drained);
        Some(self.started.elapsed().saturating_sub(drained))
    }

    /// How often the agent polls.
    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// When the agent began to serve metrics.
    pub(super) const fn started_at(&self) -> Timestamp {
        self.started_at
    }
}
