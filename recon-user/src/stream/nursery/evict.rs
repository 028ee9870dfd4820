//! Which logs are evicted when memory is short.
//!
//! In: the time. Out: how many logs went.
//! The decisions held here:
//! - A chunk of logs at a time, the oldest first. Logs that matter move to the back, and so do,
//!   once, those whose source was seen again. When as many have moved in a poll as make two turns
//!   of all, nothing more is evicted in it: whoever can make logs stay could make them turn.
//! - Logs that matter are most of what there is only if somebody sends that much on purpose. Then a
//!   part of them goes by chance, and the others stay, unless their source has completed a
//!   handshake.
//! - Half of the logs of a network that holds more than its quota go, whatever they hold, and those
//!   beside them stay.

use std::hash::BuildHasher;

use jiff::Timestamp;

use super::super::fair::{KEPT_SHARE, Watcher};
use super::super::{PlacedQuery, Secrets, window};
use super::log::{Log, Stage};
use super::{LogNumber, Nursery, Root};

/// Turns of all logs in a poll.
const TURNS: usize = 2;
/// One of so many logs that matter goes by chance, if they are too many.
const CROWDED_ODDS: u64 = 4;
/// One of so many logs of a network over its quota goes.
const EXCESS_ODDS: u64 = 2;

/// What an eviction depends on.
#[derive(Clone, Copy)]
pub(in crate::stream) struct Squeeze<'a> {
    pub(in crate::stream) now: Timestamp,
    pub(in crate::stream) poll: u64,
    pub(in crate::stream) queries: &'a [PlacedQuery],
    pub(in crate::stream) watcher: &'a dyn Watcher,
    pub(in crate::stream) secrets: &'a Secrets,
}

impl Nursery {
    /// Whether this poll has found nothing more to evict.
    pub(in crate::stream) fn is_exhausted(&self, poll: u64) -> bool {
        self.exhausted_in == Some(poll)
    }

    /// Evicts the logs of the oldest chunk that may go. Returns how many of them held something.
    /// `bounds` has a zero for each query, before and after.
    pub(in crate::stream) fn evict_chunk(
        &mut self,
        squeeze: Squeeze<'_>,
        bounds: &mut [u64],
    ) -> u64 {
        let Squeeze {
            now, poll, queries, ..
        } = squeeze;
        if !self.ring.has_chunk() {
            self.exhausted_in = Some(poll);
            return 0;
        }
        if self.stayed.0 != poll {
            self.stayed = (poll, 0);
        }
        let begin = |window| window::window_start(now, window).as_nanosecond();
        let oldest = begin(self.window);
        let of_queries: Vec<_> = queries
            .iter()
            .map(|placed| begin(placed.query.window()))
            .collect();
        let is_in_window = |(query, at): (usize, i64)| i128::from(at) >= of_queries[query];
        let mut evicted = 0;
        let chunk = self.ring.take_chunk();
        let logs = self.index.len() - self.stale;
        let is_over = |log: &Log| {
            let remote = log.first.remote();
            self.loads.is_over_quota(remote, logs, squeeze.secrets)
        };
        let has_excess = chunk.iter().any(|(_, log)| is_over(log));
        for (number, mut log) in chunk {
            let is_live = i128::from(log.changed_at) >= oldest;
            let is_promoted = log.stage == Stage::Promoted;
            let is_fresh = log.stage == Stage::Near && log.changed_in == poll as u32;
            self.small -= usize::from(log.stage == Stage::Small);
            if !is_promoted && !is_fresh {
                // Rows of this poll have not been looked at, and those of others have aged.
                let is_near = log.events > self.harmless
                    && log
                        .bounds(&self.sets, queries, bounds, is_in_window)
                        .is_near;
                log.stage = if is_near { Stage::Near } else { Stage::Small };
            }
            if is_live && self.stays(&mut log, has_excess, squeeze) {
                self.small += usize::from(log.stage == Stage::Small);
                self.stayed.1 += 1;
                self.move_to_back(number, log, poll);
                continue;
            }
            self.heap -= log.heap();
            self.loads.remove(log.first.remote(), squeeze.secrets);
            evicted += u64::from(is_live);
            self.stale += 1;
        }
        if self.stayed.1 >= TURNS * (self.index.len() - self.stale) {
            self.exhausted_in = Some(poll);
        }
        if evicted > 0 {
            self.lost_at = Some(now);
        }
        evicted
    }

    /// Whether a log in the window stays, if memory is short. `has_excess` says that its chunk has
    /// logs of networks over their quota.
    fn stays(&mut self, log: &mut Log, has_excess: bool, squeeze: Squeeze<'_>) -> bool {
        let Squeeze {
            watcher, secrets, ..
        } = squeeze;
        self.visited += 1;
        let chance = secrets.hash_one(self.visited);
        let logs = self.index.len() - self.stale;
        let remote = log.first.remote();
        // A source that is seen again and again is spared for one turn.
        let is_spared = std::mem::take(&mut log.is_seen_again);
        if self.loads.is_over_quota(remote, logs, secrets) {
            return !chance.is_multiple_of(EXCESS_ODDS);
        }
        let is_crowded = self.small < logs / KEPT_SHARE;
        // What this poll has changed is not judged yet.
        let is_first_turn = self.stayed.1 < logs;
        let is_fresh = is_first_turn && log.changed_in == squeeze.poll as u32;
        match (log.stage, self.root) {
            (Stage::Small, _) => is_crowded || is_spared || has_excess,
            _ if !is_crowded || is_fresh || has_excess => true,
            (_, Root::Remote) if watcher.is_proven(remote) => true,
            (_, Root::Network | Root::Site | Root::Block) if watcher.is_network_proven(remote) => {
                true
            }
            _ => !chance.is_multiple_of(CROWDED_ODDS),
        }
    }

    fn move_to_back(&mut self, number: LogNumber, log: Log, poll: u64) {
        let (hash, is_changed) = (log.hash, log.changed_in == poll as u32);
        let moved = self.ring.push(log);
        self.index.renumber(hash, number, moved);
        if is_changed {
            self.changed.push(moved);
        }
    }

    /// Whether entries of logs that are gone take an eighth of the index.
    pub(super) fn is_worth_purging(&self) -> bool {
        self.stale > self.index.len() / 8
    }

    /// Makes room in the index: drops the entries of logs that are gone, or else grows it.
    pub(super) fn renew_index(&mut self) {
        let ring = &self.ring;
        if self.is_worth_purging() {
            self.index.purge(|number| ring.contains(number));
        } else {
            let live = self.index.len() - self.stale;
            self.index.rebuild(live, |number| ring.contains(number));
        }
        self.stale = 0;
    }

    /// Frees what evicted logs took.
    pub(in crate::stream) fn free_spare(&mut self) {
        self.ring.free_spare();
        if self.stale > self.index.len() / 2 {
            let ring = &self.ring;
            let live = self.index.len() - self.stale;
            self.index.rebuild(live, |number| ring.contains(number));
            self.stale = 0;
        }
    }
}
