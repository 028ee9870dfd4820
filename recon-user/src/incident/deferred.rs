//! Rows of rules that follow another rule: they count once that rule has reported their remote.
//!
//! In: rows of remotes that were reported in an earlier poll. Out: those of them that count, once
//! the other rules are judged.
//! The decision held here: a scan's own accepted connections are part of the scan. During a scan, a
//! poll adds more probed ports than accepted ones; a real visit adds at most one port.

use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Address;

use crate::row::{Row, RowKey, Standing};

/// A row that waits for the end of its poll.
#[derive(Clone, Debug)]
pub(super) struct DeferredRow {
    /// The query that accepted it.
    pub(super) query: usize,
    remote: Address,
    key: RowKey,
    count: u64,
    device: Arc<str>,
}

impl DeferredRow {
    pub(super) fn new(query: usize, remote: Address, row: &Row<'_>) -> Self {
        Self {
            query,
            remote,
            key: row.key,
            count: row.count,
            device: row.device.into(),
        }
    }

    /// The row, at the end of its poll.
    pub(super) fn row(&self, time: Timestamp) -> Row<'_> {
        Row {
            key: self.key,
            count: self.count,
            time,
            device: &self.device,
            process: None,
            is_scanner: false,
            standing: Standing::default(),
            sources: None,
        }
    }
}

/// The deferred rows.
#[derive(Debug, Default)]
pub(super) struct Deferred(Vec<DeferredRow>);

impl Deferred {
    pub(super) fn push(&mut self, row: DeferredRow) {
        self.0.push(row);
    }

    /// Takes the rows that the scan of their remote does not explain. `increase` is the number
    /// of ports that this poll added to the scan, as the query's followed rule counts it; `None` if
    /// that is no longer known.
    pub(super) fn take_unexplained(
        &mut self,
        increase: impl Fn(usize, Address) -> Option<u64>,
    ) -> Vec<DeferredRow> {
        let mut rows = std::mem::take(&mut self.0);
        rows.sort_unstable_by_key(|row| (row.query, row.remote, row.key.port));
        rows.chunk_by(|a, b| (a.query, a.remote) == (b.query, b.remote))
            .filter(|rows| {
                let ports = rows.chunk_by(|a, b| a.key.port == b.key.port);
                let accepted = ports.count() as u64;
                increase(rows[0].query, rows[0].remote).is_some_and(|increase| increase <= accepted)
            })
            .flatten()
            .cloned()
            .collect()
    }
}
