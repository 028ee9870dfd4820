//! Rows of rules that come after another: they count once that other rule has told of their remote.
//!
//! In: this poll's rows of remotes that were told of in an earlier poll. Out: those of them that count, after the other rules are judged.
//! The decision held here: what a scan itself connects to is a part of the scan. While it goes on, the ports it has probed grow faster in
//! a poll than those it was accepted on; a connection for its own sake brings at most the one port it is to.

use std::sync::Arc;

use recon_common::{Address, Key, Signal};

/// A row that waits for the end of its poll.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The rule that took it.
    pub(super) rule: usize,
    pub(super) key: Key,
    pub(super) signal: Signal,
    pub(super) count: u64,
    pub(super) device: Arc<str>,
}

/// The rows that wait.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<Waiting>);

impl Later {
    pub(super) fn push(&mut self, row: Waiting) {
        self.0.push(row);
    }

    /// Takes the rows that count. `grown` says by how many ports the scan of that remote has grown in this poll, as the rule knows it
    /// that the row's rule comes after; `None` where it is not known any more.
    pub(super) fn settle(&mut self, grown: impl Fn(usize, Address) -> Option<u64>) -> Vec<Waiting> {
        let mut rows = std::mem::take(&mut self.0);
        rows.sort_unstable_by_key(|row| (row.rule, row.key.remote, row.key.port));
        rows.chunk_by(|a, b| (a.rule, a.key.remote) == (b.rule, b.key.remote))
            .filter(|rows| {
                let accepted = rows.chunk_by(|a, b| a.key.port == b.key.port).count() as u64;
                let Waiting { rule, key, .. } = rows[0];
                grown(rule, key.remote).is_some_and(|grown| grown <= accepted)
            })
            .flatten()
            .cloned()
            .collect()
    }
}
