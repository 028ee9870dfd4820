//! Which logs are evicted when memory is short.
//!
//! In: the time. Out: how many logs went.
//! The decision held here: a chunk of logs at a time, the longest unseen first. Logs that stay move to
//! the back; if all do, nothing more may be evicted in this poll.

use jiff::Timestamp;

use super::super::Running;
use super::super::window;
use super::Nursery;
use super::log::Stage;

impl Nursery {
    /// Whether this poll has found nothing more to evict.
    pub(in crate::stream) fn is_exhausted(&self, poll: u64) -> bool {
        self.exhausted_in == Some(poll)
    }

    /// Evicts the logs of the oldest chunk that may go. Returns how many of them held something.
    /// `bounds` has a zero for each query, before and after.
    pub(in crate::stream) fn evict_chunk(
        &mut self,
        now: Timestamp,
        poll: u64,
        queries: &[Running],
        bounds: &mut [u64],
    ) -> u64 {
        if !self.ring.has_chunk() {
            self.exhausted_in = Some(poll);
            return 0;
        }
        let oldest = window::begin(now, self.window).as_nanosecond();
        let mut evicted = 0;
        for (number, mut log) in self.ring.take_chunk() {
            let is_live = i128::from(log.changed_at) >= oldest;
            // What this poll has made of it is not known before its end.
            if log.stage == Stage::Small
                && log.events > self.harmless
                && log.changed_in == poll as u32
                && log.bounds(&self.sets, queries, bounds).is_near
            {
                log.stage = Stage::Near;
            }
            if is_live && log.stage != Stage::Small {
                self.stayed += 1;
                let is_changed = log.changed_in == poll as u32;
                let hash = log.hash;
                let moved = self.ring.push(log);
                self.index.renumber(hash, number, moved);
                if is_changed {
                    self.changed.push(moved);
                }
                continue;
            }
            self.stayed = 0;
            self.heap -= log.heap();
            evicted += u64::from(is_live);
            self.stale += 1;
        }
        if self.stayed >= self.index.len() - self.stale {
            self.exhausted_in = Some(poll);
            self.stayed = 0;
        }
        if evicted > 0 {
            self.lost_at = Some(now);
        }
        evicted
    }

    /// Rebuilds the index without entries of logs that are gone.
    pub(super) fn rebuild_index(&mut self) {
        let ring = &self.ring;
        let live = self.index.len() - self.stale;
        self.index.rebuild(live, |number| ring.contains(number));
        self.stale = 0;
    }

    /// Frees what evicted logs took.
    pub(in crate::stream) fn free_spare(&mut self) {
        self.ring.free_spare();
        if self.stale > self.index.len() / 2 {
            self.rebuild_index();
        }
    }
}
