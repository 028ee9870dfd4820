//! Rows of rules that follow another rule: they count once that rule has reported their remote.
//!
//! In: rows that a rule with `after` accepts. Out: the rows again, once the other rules are judged.
//! The decision held here: rows are kept for one poll, so that a source which is reported and comes
//! back within the same poll is seen, whatever the order of its rows.

use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Address;

use crate::row::{Row, RowKey, Standing};

/// A row that waits for the end of its poll.
#[derive(Clone, Debug)]
pub(super) struct DeferredRow {
    /// The query that accepted it.
    pub(super) query: usize,
    pub(super) remote: Address,
    listener: Option<bool>,
    standing: Standing,
    key: RowKey,
    count: u64,
    device: Arc<str>,
}

impl DeferredRow {
    pub(super) fn new(query: usize, remote: Address, row: &Row<'_>) -> Self {
        Self {
            query,
            remote,
            listener: row.listener,
            standing: row.standing,
            key: row.key,
            count: row.count,
            device: row.device.into(),
        }
    }

    /// The row, at the end of its poll.
    pub(super) fn row(&self, time: Timestamp) -> Row<'_> {
        Row {
            device: &self.device,
            listener: self.listener,
            standing: self.standing,
            ..Row::bare(self.key, self.count, time)
        }
    }
}
