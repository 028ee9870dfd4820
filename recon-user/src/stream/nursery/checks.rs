//! What tests check of a nursery.
//!
//! In: a nursery. Out: numbers of logs, and its bytes, recounted.

use super::{Log, Nursery, Stage};

impl Nursery {
    /// The logs that the last poll with evictions could not evict.
    pub(in crate::stream) fn moved(&self) -> usize {
        self.stayed.1
    }

    /// The logs that are not promoted.
    pub(in crate::stream) fn held(&self) -> usize {
        let logs = self.ring.logs();
        logs.filter(|log| log.stage != Stage::Promoted).count()
    }

    /// The bytes that it takes, recounted. Checks that the index has every log once.
    pub(in crate::stream) fn recounted(&self) -> usize {
        let mut live: Vec<_> = self.index.numbers().collect();
        live.retain(|&number| self.ring.contains(number));
        assert_eq!(self.ring.logs().count(), live.len());
        assert_eq!(self.index.len() - self.stale, live.len());
        live.sort_unstable();
        live.dedup();
        assert_eq!(self.index.len() - self.stale, live.len());
        let small = self.ring.logs().filter(|log| log.stage == Stage::Small);
        assert_eq!(self.small, small.count());
        let heap: usize = self.ring.logs().map(Log::heap).sum();
        self.ring.bytes() + self.index.bytes() + heap
    }
}
