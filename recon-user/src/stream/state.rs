//! The state of a stream as data: what a snapshot holds, and what outlives a reload.
//!
//! In: a stream between two polls. Out: its [`StreamState`]; and a new stream that goes on with it.
//! The decisions held here:
//! - Groups and logs are kept in their order. What is derived from them (indexes, sums, memory) is
//!   built again, under secrets of the new process.
//! - The queries of the new stream may be others. A query goes on where its state was kept: in
//!   groups, or as rows in a nursery; a source whose rows are in one must not begin in the other.

use jiff::Timestamp;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::group::Tag;
use super::groups::{Groups, GroupsState};
use super::nursery::{Nursery, NurseryState, Root, roots};
use super::query::Query;
use super::window::Pane;
use super::{EvictionStats, PlacedQuery, Stream};

/// The state of all queries of a stream, by the positions of its queries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StreamState {
    roots: Vec<Option<Root>>,
    groups: Vec<GroupsState>,
    nurseries: Vec<NurseryState>,
    stats: EvictionStats,
    given_up: Vec<u64>,
    evictions: u64,
    released: Vec<Tag>,
    #[serde(with = "crate::saved::time")]
    now: Timestamp,
    poll: u64,
}

/// Where the queries of a state are now.
#[derive(Clone, Debug)]
pub(crate) struct Moves(pub(crate) Vec<Option<usize>>);

impl Moves {
    /// From the old queries to the new ones that count the same, each to one of its own.
    pub(crate) fn between<'a>(
        old: impl Iterator<Item = &'a Query>,
        new: impl Iterator<Item = &'a Query>,
    ) -> Self {
        let mut free: Vec<_> = new.map(Some).collect();
        let find = |query: &Query| {
            let mut all = free.iter();
            let found = all.position(|new| new.is_some_and(|new| new.counts_like(query)))?;
            free[found] = None;
            Some(found)
        };
        Self(old.map(find).collect())
    }

    /// Makes those queries gone that `keeps` does not name. `old` are all that move.
    pub(crate) fn retain<'a>(
        &mut self,
        old: impl Iterator<Item = &'a Query>,
        keeps: impl Fn(&Query) -> bool,
    ) {
        for (query, place) in old.zip(&mut self.0) {
            *place = place.filter(|_| keeps(query));
        }
    }

    /// The new position of a query. `None` if it is gone.
    pub(crate) fn of(&self, old: usize) -> Option<usize> {
        self.0.get(old).copied().flatten()
    }

    /// Whether a query of that new position has a state.
    pub(crate) fn has_state(&self, new: usize) -> bool {
        self.0.contains(&Some(new))
    }
}

/// What a reference to a stream is saved as: the same as [`StreamState`].
#[derive(Serialize)]
pub(crate) struct SavedStream<'a> {
    roots: &'a [Option<Root>],
    groups: Vec<super::groups::SavedGroups<'a>>,
    nurseries: Vec<super::nursery::SavedNursery<'a>>,
    stats: EvictionStats,
    given_up: &'a [u64],
    evictions: u64,
    released: &'a [Tag],
    #[serde(with = "crate::saved::time")]
    now: Timestamp,
    poll: u64,
}

impl Stream {
    /// The state, to be saved.
    pub(crate) fn saved(&self) -> SavedStream<'_> {
        SavedStream {
            roots: &self.table.roots,
            groups: self.groups.iter().map(|groups| groups.saved()).collect(),
            nurseries: self.nurseries.iter().map(|of| of.saved()).collect(),
            stats: self.stats,
            given_up: &self.given_up,
            evictions: self.evictions,
            released: &self.released,
            now: self.now,
            poll: self.poll,
        }
    }

    /// The state.
    pub(crate) fn into_state(self) -> StreamState {
        let groups = self.groups.into_iter();
        let nurseries = self.nurseries.into_iter();
        StreamState {
            roots: self.table.roots.clone(),
            groups: groups.map(|groups| groups.into_state()).collect(),
            nurseries: nurseries.map(|nursery| nursery.into_state()).collect(),
            stats: self.stats,
            given_up: self.given_up,
            evictions: self.evictions,
            released: self.released,
            now: self.now,
            poll: self.poll,
        }
    }

    /// Forgets which processes have sent.
    pub(crate) fn forget_processes(&mut self) {
        self.groups.iter_mut().for_each(Groups::forget_processes);
        let nurseries = self.nurseries.iter_mut();
        nurseries.for_each(Nursery::forget_processes);
    }

    /// Goes on with a state. Returns the tags of groups that are gone: of queries that are, and of
    /// remotes that a query no longer counts. To be called before the first row.
    pub(crate) fn adopt(&mut self, state: StreamState, moves: &Moves, now: Timestamp) -> Vec<Tag> {
        let queries = self.table.queries.clone();
        let kept_roots = state.roots.into_iter().enumerate();
        let kept_roots = kept_roots.filter_map(|(old, root)| Some((moves.of(old)?, root)));
        self.set_roots(&queries, kept_roots.collect());
        let mut released = state.released;
        for (old, groups) in state.groups.into_iter().enumerate() {
            let Some(new) = moves.of(old) else {
                released.extend(groups.tags());
                continue;
            };
            let query = &queries[new].query;
            let pane = Pane::of(now, query.window());
            let gone = self.groups[new].adopt(query, groups, pane, &self.secrets);
            released.extend(gone);
            self.budget.set(new, self.groups[new].bytes());
        }
        for (root, nursery) in Root::ALL.into_iter().zip(state.nurseries) {
            let is_counted = |index: usize, remote: Address| {
                let rule = &queries[index].query.rule;
                rule.allow.is_empty() || !rule.allows(remote.to_ip())
            };
            let adopted = &mut self.nurseries[root as usize];
            adopted.adopt(nursery, moves, &is_counted, &self.secrets);
            let bytes = adopted.bytes();
            self.budget.set(self.holder(root), bytes);
        }
        for (old, given_up) in state.given_up.into_iter().enumerate() {
            if let Some(new) = moves.of(old) {
                self.given_up[new] = given_up;
            }
        }
        self.stats = state.stats;
        self.evictions = state.evictions;
        self.now = state.now;
        self.poll = state.poll;
        released
    }

    /// Sets where the small sources of some queries are kept, whatever suits them now.
    fn set_roots(&mut self, queries: &[PlacedQuery], kept: Vec<(usize, Option<Root>)>) {
        let mut all = roots(queries);
        for (index, root) in kept {
            all[index] = root;
        }
        let nurseries = super::nursery::nurseries(queries, &all);
        self.nurseries = nurseries;
        // It is shared only while a row is counted.
        if let Some(table) = std::sync::Arc::get_mut(&mut self.table) {
            table.roots = all;
        }
    }
}
