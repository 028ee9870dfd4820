//! What a poll has counted, as the kernel's table.
//!
//! In: keys. Out: keys with their counts, in the order of their first packets.
//! The decision held here: it has as many keys as the kernel's table. A replay ends the poll when
//! it is full.

use std::collections::HashMap;

use recon_common::Key;
use recon_common::table::TABLE_ENTRIES;

use crate::seed::Secrets;

/// What a poll has counted.
#[derive(Default)]
pub(super) struct PollCounts {
    places: HashMap<Key, usize, Secrets>,
    /// Keys with their counts, in the order of their first packets.
    pub(super) rows: Vec<(Key, u64)>,
    /// Frames that could not be read.
    pub(super) lost: u64,
    /// Signals.
    pub(super) signals: u64,
}

impl PollCounts {
    /// Counts a packet under that key.
    pub(super) fn count(&mut self, key: Key) {
        self.signals += 1;
        let Self { places, rows, .. } = self;
        let place = *places.entry(key).or_insert_with(|| {
            rows.push((key, 0));
            rows.len() - 1
        });
        rows[place].1 += 1;
    }

    /// Whether it has as many keys as the kernel's table can hold.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= TABLE_ENTRIES as usize
    }

    /// Empties it, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.rows.clear();
        self.lost = 0;
        self.signals = 0;
    }
}
