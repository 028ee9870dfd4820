//! The stream: queries over rows as they come, a bounded `GROUP BY`.
//!
//! In: rows, the ends of polls. Out: the groups that a poll has changed.
//!
//! | step | module | holds |
//! |---|---|---|
//! | plan | [`query`], `filter`, `operator`, `exclusion`, `fields` | which rows count, and how |
//! | dispatch | `dispatch` | the queries that a row is tried on |
//! | place | `place`, `nursery` | small sources, kept as their rows |
//! | key | `key`, `columns` | the group of a row |
//! | aggregate | `accumulator`, `panes`, [`window`] | aggregates rows over a sliding window |
//! | evidence | `evidence`, `sample` | what rows showed |
//! | store | `group`, `groups`, `store`, `room`, `budget` | groups, in bounded memory |
//! | evict | `evict`, `fair` | which groups and logs go when it is short |
//! | watch | `watch` | what the watcher of the groups sees |
//! | state | `state`, `identity` | the state as data, and whose it is |
//!
//! The decisions held here:
//! - The work of a poll is linear in the rows that it brings, not in the groups that exist.
//! - It knows nothing of alerts. Whoever watches the groups may keep a [`Tag`] with each, and is
//!   asked which of them are reported, and which sources are proven ([`Watcher`]).

mod accumulator;
mod budget;
mod columns;
mod dispatch;
mod evict;
mod evidence;
mod exclusion;
mod fair;
mod fields;
mod filter;
mod group;
mod groups;
mod identity;
mod key;
mod nursery;
mod operator;
mod panes;
mod place;
pub mod query;
mod review;
mod room;
mod sample;
mod state;
mod store;
mod watch;
pub mod window;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, Signal};
use serde::{Deserialize, Serialize};

use crate::address::{Network, is_private};
use crate::row::{Row, SignalSet};
use budget::MemoryBudget;
use columns::RowColumns;
use dispatch::Dispatch;
use groups::{Event, Groups};
use nursery::{Nursery, Root};

pub use crate::row::Interval;
pub(crate) use crate::seed::Secrets;
pub use dispatch::ProcessNeeds;
pub(crate) use fair::Watcher;
pub use filter::ProcessFilter;
pub(crate) use group::{Group, Tag};
pub(crate) use groups::Changed;
pub(crate) use key::GroupKey;
pub use key::{KeyColumn, KeyPlan};
pub use operator::Measure;
pub(crate) use operator::{Counted, counted, measure_name, rule_id};
pub use query::Query;
pub(crate) use review::{greatest_measure, review};
pub(crate) use state::{Moves, SavedStream, StreamState};

/// The default memory for the state of all queries, in bytes: half of the agent's. Only tests and
/// benchmarks use it; the agent passes half of `limits.memory`.
pub const DEFAULT_MEMORY: u64 = 128 << 20;
/// What a row may take at most, apart from new slots, large tables and sketches: panes and samples,
/// each of a kilobyte or less.
const MARGIN: usize = 1 << 14;

/// Groups and rows that the memory budget excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictionStats {
    /// Groups that were evicted.
    pub evicted: u64,
    /// Rows of new groups that were refused, as no existing one may go.
    pub refused: u64,
}

/// What the groups of all queries take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupStats {
    /// The groups.
    pub(crate) groups: usize,
    /// The sources that are far from any threshold, and are kept as rows.
    pub(crate) small_sources: usize,
    /// The bytes of both.
    pub(crate) bytes: usize,
    /// The bytes that both may take.
    pub(crate) limit: usize,
}

/// A query and its role in the stream.
#[derive(Clone, Debug)]
pub(crate) struct PlacedQuery {
    pub(crate) query: Arc<Query>,
    pub(crate) role: Role,
}

/// When the rows of a query count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// As they come.
    Direct,
    /// When [`Stream::count_in`] says so.
    Deferred,
    /// Never.
    Idle,
}

/// What a stream runs, and how.
#[derive(Debug)]
pub(crate) struct StreamSettings {
    pub(crate) queries: Vec<PlacedQuery>,
    /// Whether private remotes count in every query.
    pub(crate) include_private: bool,
    /// Networks that are private too.
    pub(crate) local_networks: Vec<Network>,
    /// Signals that this host's hooks do not report correctly.
    pub(crate) ignored: SignalSet,
    /// The bound on the state of all queries, in bytes.
    pub(crate) memory: u64,
    /// The bytes that the watcher needs for a group over half of its threshold.
    pub(crate) reserve: usize,
}

/// The queries, and what is derived from them before the first row.
#[derive(Debug)]
struct QueryTable {
    queries: Vec<PlacedQuery>,
    /// Which queries can count each signal.
    dispatch: [Dispatch; Signal::ALL.len()],
    /// By query: where small sources are kept, if they can be.
    roots: Vec<Option<Root>>,
}

/// The state of all queries.
#[derive(Debug)]
pub(crate) struct Stream {
    table: Arc<QueryTable>,
    include_private: bool,
    local_networks: Vec<Network>,
    /// By query.
    groups: Vec<Groups>,
    /// By [`Root`].
    nurseries: [Nursery; Root::ALL.len()],
    /// The queries that accepted the current row, by root.
    accepted: [Vec<usize>; Root::ALL.len()],
    /// Scratch for `Log::bounds`: one upper bound per query, zero between calls.
    bounds: Vec<u64>,
    /// Of all queries and their nurseries.
    budget: MemoryBudget,
    secrets: Secrets,
    stats: EvictionStats,
    /// By query: rows that were refused, and groups over half of the threshold that were evicted.
    given_up: Vec<u64>,
    /// Searches of groups for what may go.
    evictions: u64,
    /// Tags of groups that were evicted.
    released: Vec<Tag>,
    /// The time of this poll.
    now: Timestamp,
    /// The number of the poll. Times can't tell polls apart when the clock is set back.
    poll: u64,
    /// Rows that this poll has brought.
    row_number: u64,
}

impl Stream {
    pub(crate) fn new(settings: StreamSettings) -> Self {
        let StreamSettings {
            queries, reserve, ..
        } = settings;
        let groups = queries.iter();
        let groups: Vec<_> = groups
            .map(|placed| Groups::new(&placed.query, reserve))
            .collect();
        let dispatch = Signal::ALL.map(|signal| {
            let can_count = |placed: &PlacedQuery| {
                placed.role != Role::Idle
                    && placed.query.filter.signals.contains(signal)
                    && !settings.ignored.contains(signal)
            };
            let counting = queries.iter().enumerate();
            let counting = counting.filter(|(_, placed)| can_count(placed));
            Dispatch::new(counting.map(|(index, placed)| (index, &*placed.query)))
        });
        let roots = nursery::roots(&queries);
        let nurseries = nursery::nurseries(&queries, &roots);
        Self {
            include_private: settings.include_private,
            local_networks: settings.local_networks,
            budget: MemoryBudget::new(settings.memory, groups.len() + nurseries.len()),
            groups,
            nurseries,
            accepted: Default::default(),
            bounds: vec![0; queries.len()],
            given_up: vec![0; queries.len()],
            table: Arc::new(QueryTable {
                queries,
                dispatch,
                roots,
            }),
            secrets: Secrets::default(),
            stats: EvictionStats::default(),
            evictions: 0,
            released: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
            poll: 0,
            row_number: 0,
        }
    }

    /// The queries, by their index.
    pub(crate) fn queries(&self) -> &[PlacedQuery] {
        &self.table.queries
    }

    /// What the queries read of the process behind rows of that signal.
    pub(crate) fn process_needs(&self, signal: Signal) -> ProcessNeeds {
        self.table.dispatch[signal as usize].process_needs()
    }

    /// Prefetches what a row of that remote will be counted in. Without this, each row of a flood
    /// waits for memory.
    pub(crate) fn prefetch(&self, remote: Option<Address>) {
        if let Some(remote) = remote {
            self.nurseries[Root::Remote as usize].prefetch(remote, &self.secrets);
        }
    }

    /// Counts a row in every query that accepts it, except in those of `skipped`.
    pub(crate) fn push(
        &mut self,
        row: &Row<'_>,
        interval: Interval,
        skipped: &[usize],
        watcher: &dyn Watcher,
    ) {
        let table = Arc::clone(&self.table);
        self.now = interval.to;
        let remote = row.key.remote;
        let is_private = self.is_private(remote);
        self.row_number += 1;
        for &index in table.dispatch[row.key.signal as usize].of_port(row.key.port) {
            let PlacedQuery { query, role } = &table.queries[index];
            if *role != Role::Direct
                || !query.matches_row(row, is_private)
                || skipped.contains(&index)
            {
                continue;
            }
            let columns = RowColumns::new(row, query.plan());
            if !query.conditions_hold(&columns, row.time) {
                continue;
            }
            match table.roots[index] {
                Some(root) => self.accepted[root as usize].push(index),
                None => {
                    let event = self.event(index, &columns, interval, None);
                    self.count(index, query, &event, watcher);
                }
            }
        }
        if let Some(remote) = remote {
            self.place(remote, row, interval, watcher);
        }
        self.accepted.iter_mut().for_each(Vec::clear);
    }

    /// Whether a query accepts a row.
    pub(crate) fn accepts(&self, index: usize, row: &Row<'_>) -> bool {
        let query = &self.table.queries[index].query;
        let candidates = self.table.dispatch[row.key.signal as usize].of_port(row.key.port);
        candidates.contains(&index)
            && query.matches_row(row, self.is_private(row.key.remote))
            && query.conditions_hold(&RowColumns::new(row, query.plan()), row.time)
    }

    /// Counts a row that a deferred query has accepted.
    pub(crate) fn count_in(
        &mut self,
        index: usize,
        row: &Row<'_>,
        interval: Interval,
        watcher: &dyn Watcher,
    ) {
        self.now = interval.to;
        self.row_number += 1;
        let query = Arc::clone(&self.table.queries[index].query);
        let columns = RowColumns::new(row, query.plan());
        let event = self.event(index, &columns, interval, None);
        self.count(index, &query, &event, watcher);
    }

    /// A row of this poll.
    fn event<'a>(
        &self,
        index: usize,
        row: &'a RowColumns<'a>,
        interval: Interval,
        lost_before: Option<Timestamp>,
    ) -> Event<'a> {
        Event {
            row,
            interval,
            poll: self.poll,
            order: order(self.row_number, index),
            is_replayed: false,
            is_of_this_poll: true,
            lost_before,
        }
    }

    fn is_private(&self, remote: Option<Address>) -> bool {
        let is_local = |remote: IpAddr| {
            let mut networks = self.local_networks.iter();
            networks.any(|network| network.contains(remote))
        };
        !self.include_private
            && remote.is_some_and(|remote| {
                let remote = remote.to_ip();
                is_private(remote) || is_local(remote)
            })
    }

    /// Ends the rows of a poll. [`Stream::take_changed`] then returns what it has changed.
    pub(crate) fn end_rows(&mut self, watcher: &dyn Watcher) {
        self.promote_due(watcher);
    }

    /// Ends a poll.
    pub(crate) fn end_poll(&mut self) {
        self.poll += 1;
        self.row_number = 0;
    }
}

/// The order of changes in a poll: by row, then by query.
fn order(row_number: u64, index: usize) -> u64 {
    row_number << u16::BITS | index as u64
}

#[cfg(test)]
mod checks;
