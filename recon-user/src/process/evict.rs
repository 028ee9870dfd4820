//! Room for another process.
//!
//! In: a full table. Out: one without its least useful records.
//! The decision held here: an unknown process goes before one that has ended, and that one before
//! one that lives, since /proc tells again what lives.

use std::collections::HashSet;

use super::proc::list_pids;
use super::{ProcessRecord, ProcessTable};

/// The share of the records that is evicted at once.
const EVICTED_SHARE: usize = 8;

impl ProcessTable {
    /// Evicts an eighth of the records: first unknown processes, then those that have ended, then
    /// the others, and of each the longest unused.
    pub(super) fn make_room(&mut self) {
        let alive: HashSet<u32> = list_pids(&self.proc_root).collect();
        let rank = |pid: &u32, record: &ProcessRecord| {
            (record.is_known(), alive.contains(pid), record.used)
        };
        let mut ranks: Vec<_> = self
            .records
            .iter()
            .map(|(pid, record)| rank(pid, record))
            .collect();
        let share = (self.limit / EVICTED_SHARE).max(1);
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(share - 1);
        self.records.retain(|pid, record| {
            let goes = rank(pid, record) <= last_to_go;
            self.evicted += u64::from(goes && record.is_known());
            !goes
        });
    }
}
