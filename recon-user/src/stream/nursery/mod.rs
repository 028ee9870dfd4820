//! The nursery keeps small sources as raw rows.
//!
//! In: rows of a remote, with the queries that accept them. Out: the rows of sources that may
//! matter, which are counted in groups from then on.
//! The decisions held here:
//! - Most sources send a packet or two and are never seen again, a flood's above all. A group for
//!   each query takes five times the memory and time of the rows themselves. So a source is a log
//!   of its rows until they could carry a group over its threshold, or there are [`MAX_ROWS`]. Then
//!   it is promoted: its rows are counted in all their groups, each at its own time, as if they had
//!   been from the start. What is reported is exactly the same.
//! - Logs are evicted the longest unseen first. One whose rows could make a group suspicious, and
//!   the mark of a promoted source, go only while they leave the others less than their share, and
//!   then by chance.
//! - Logs are kept by remote, and in a nursery of their own by network, as queries group.

#[cfg(test)]
mod checks;
mod evict;
mod index;
mod log;
mod ring;
mod row;
mod sets;
mod state;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::{Address, Signal};
use serde::{Deserialize, Serialize};

use super::fair::NetworkLoads;
use super::key::KeyColumn;
use super::operator::AggregateOperator;
use super::query::Query;
use super::{PlacedQuery, Role, Secrets};
use crate::address::{NetworkSize, write_address};
use crate::kql::Field;
use crate::row::outcome;
use index::{Index, LogHash};
use log::{Bounds, Log, Stage};
use ring::Ring;
use sets::QuerySets;

pub(super) use evict::Squeeze;
pub(super) use ring::LogNumber;
pub(super) use row::PackedRow;
pub(super) use sets::SetId;
pub(super) use state::{NurseryState, SavedNursery};

/// Rows of a log at most.
pub(super) const MAX_ROWS: usize = 32;
/// Queries with a lower threshold count rows directly: their sources would be promoted almost
/// immediately.
const LEAST_THRESHOLD: u64 = 8;

/// What logs are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Root {
    Remote,
    Network,
    Site,
    Block,
}

impl Root {
    pub(super) const ALL: [Self; 4] = [Self::Remote, Self::Network, Self::Site, Self::Block];

    const fn of_network(size: NetworkSize) -> Self {
        match size {
            NetworkSize::Neighbours => Self::Network,
            NetworkSize::Site => Self::Site,
            NetworkSize::Block => Self::Block,
        }
    }

    /// Where the rows of a query are kept, if they can be: it must group by the remote, its
    /// threshold must be above a few events, its measure must not exceed the events of its rows,
    /// and it must read nothing that a packed row lacks.
    fn of(query: &Query) -> Option<Self> {
        let root = if query.key.has(KeyColumn::Remote) {
            Self::Remote
        } else {
            Self::of_network(query.key.only_network()?)
        };
        let is_packed = |field: Field| {
            !field.is_of_process() && field != Field::DeviceName || field == Field::ProcessId
        };
        let is_kept = query.threshold() >= LEAST_THRESHOLD
            && query.key.computed.is_empty()
            && query.measured.operator != AggregateOperator::Panes
            && !query.aggregates_read(|field| !is_packed(field));
        is_kept.then_some(root)
    }

    /// What the log of a remote is kept by. Only remotes that have such a network come here.
    fn of_remote(self, remote: Address) -> Address {
        let size = match self {
            Self::Remote => return remote,
            Self::Network => NetworkSize::Neighbours,
            Self::Site => NetworkSize::Site,
            Self::Block => NetworkSize::Block,
        };
        size.first(remote).unwrap_or(remote)
    }
}

/// Where a row was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is in the log of its source.
    Kept,
    /// Its source has no room for it: it is to be promoted, and the row counted then.
    Full(LogNumber),
    /// Its source is promoted: the row is to be counted.
    Promoted(Option<Timestamp>),
}

/// The rows of a source that is promoted.
#[derive(Debug)]
pub(super) struct Promoted {
    pub(super) rows: Vec<PackedRow>,
    /// When a log was last evicted, before the source was first seen.
    pub(super) lost_before: Option<Timestamp>,
}

/// The logs by remote, or by network.
#[derive(Debug)]
pub(super) struct Nursery {
    root: Root,
    /// A log with no more events can make no group suspicious.
    harmless: u64,
    /// The longest window of its queries.
    window: Duration,
    ring: Ring,
    /// With entries of logs that are gone, which are purged all at once: to look for each would
    /// cost a cache miss.
    index: Index,
    /// Entries of logs that are gone.
    stale: usize,
    sets: QuerySets,
    /// Logs that this poll has changed and that are not harmless.
    changed: Vec<LogNumber>,
    /// The bytes of heap that logs take.
    heap: usize,
    /// Logs whose rows are far from any threshold.
    small: usize,
    loads: NetworkLoads,
    /// Logs that were looked at for eviction, in all.
    visited: u64,
    lost_at: Option<Timestamp>,
    /// Logs that this poll could not evict, and its number.
    stayed: (u64, usize),
    /// The poll that has found nothing more to evict.
    exhausted_in: Option<u64>,
}

/// Which nursery has the rows of each query.
pub(super) fn roots(queries: &[PlacedQuery]) -> Vec<Option<Root>> {
    let root = |placed: &PlacedQuery| match placed.role {
        Role::Direct => Root::of(&placed.query),
        Role::Deferred | Role::Idle => None,
    };
    queries.iter().map(root).collect()
}

/// The nurseries, of queries that have these roots.
pub(super) fn nurseries(
    queries: &[PlacedQuery],
    roots: &[Option<Root>],
) -> [Nursery; Root::ALL.len()] {
    Root::ALL.map(|root| {
        let of = queries.iter().zip(roots);
        let of = of.filter(|(_, of)| **of == Some(root));
        Nursery::new(root, of.map(|(placed, _)| &*placed.query))
    })
}

impl Nursery {
    fn new<'a>(root: Root, queries: impl Iterator<Item = &'a Query> + Clone) -> Self {
        let harmless = queries.clone().map(|query| query.threshold() / 2).min();
        Self {
            root,
            harmless: harmless.unwrap_or(0),
            window: queries.map(Query::window).max().unwrap_or_default(),
            ring: Ring::default(),
            index: Index::default(),
            stale: 0,
            sets: QuerySets::default(),
            changed: Vec::new(),
            heap: 0,
            small: 0,
            loads: NetworkLoads::default(),
            visited: 0,
            lost_at: None,
            stayed: (0, 0),
            exhausted_in: None,
        }
    }

    /// The sources whose rows are far from any threshold.
    pub(super) const fn small_sources(&self) -> usize {
        self.small
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.ring.bytes() + self.index.bytes() + self.heap
    }

    /// The bytes that a row may take: in a log, or as a new one.
    #[inline]
    pub(super) fn growth(&self, log: Option<LogNumber>) -> usize {
        if let Some(number) = log {
            return self.ring.get(number).growth();
        }
        let index = match self.index.is_full() && !self.is_worth_purging() {
            true => self.index.growth(),
            false => 0,
        };
        self.ring.growth() + index
    }

    /// The set of queries that have accepted a row of that signal. `None` once there are too many
    /// sets.
    pub(super) fn set_of(&mut self, signal: Signal, queries: &[usize]) -> Option<SetId> {
        self.sets.id_of(signal, queries)
    }

    /// The queries of a set.
    pub(super) fn queries(&self, set: SetId) -> Arc<[usize]> {
        self.sets.shared(set)
    }

    #[inline]
    pub(super) fn hash(&self, remote: Address, secrets: &Secrets) -> LogHash {
        let mut hasher = secrets.build_hasher();
        write_address(self.root.of_remote(remote), &mut hasher);
        LogHash::MIN | hasher.finish() as u32
    }

    /// Prefetches the log of a remote, which is looked up a little later.
    #[inline]
    pub(super) fn prefetch(&self, remote: Address, secrets: &Secrets) {
        self.index.prefetch(self.hash(remote, secrets));
    }

    /// The log of a remote.
    #[inline]
    pub(super) fn find(&self, remote: Address, hash: LogHash) -> Option<LogNumber> {
        let root = self.root.of_remote(remote);
        self.index.find(hash, |number| {
            self.ring.contains(number)
                && self.root.of_remote(self.ring.get(number).first.remote()) == root
        })
    }

    /// Adds a row to a log, if it has a set. `may_grow` says whether there is memory.
    #[inline]
    pub(super) fn append(
        &mut self,
        number: LogNumber,
        row: PackedRow,
        has_set: bool,
        may_grow: bool,
    ) -> Placed {
        let log = self.ring.get_mut(number);
        let is_new_in_poll = log.changed_in != row.poll;
        log.changed_in = row.poll;
        // A clock that was set back does not make it look idle.
        log.changed_at = log.changed_at.max(row.at());
        if log.stage == Stage::Promoted {
            return Placed::Promoted(log.lost_before);
        }
        let is_full = log.more.len() == log.more.capacity();
        if !has_set || log.more.len() + 1 >= MAX_ROWS || is_full && !may_grow {
            return Placed::Full(number);
        }
        // What became of an attempt says nothing new of its source.
        log.is_seen_again |= outcome(row.signal).is_empty();
        let was_harmless = log.events <= self.harmless;
        // A row may stand for no event, and still has a port.
        log.events = log.events.saturating_add(row.count.max(1).into());
        if log.events > self.harmless && (is_new_in_poll || was_harmless) {
            self.changed.push(number);
        }
        if is_full {
            let heap = log.heap();
            log.more.reserve_exact(log.more_rows());
            self.heap = self.heap - heap + log.heap();
        }
        log.more.push(row);
        Placed::Kept
    }

    /// Begins the log of a remote. There must be room for [`Nursery::growth`].
    pub(super) fn insert(&mut self, row: PackedRow, hash: LogHash, secrets: &Secrets) -> LogNumber {
        self.small += 1;
        self.loads.add(row.remote(), secrets);
        let (events, changed_in, changed_at) = (u64::from(row.count.max(1)), row.poll, row.at());
        let number = self.ring.push(Log {
            first: row,
            more: Vec::new(),
            events,
            hash,
            changed_in,
            stage: Stage::Small,
            is_seen_again: false,
            changed_at,
            lost_before: self.lost_at,
        });
        if self.index.is_full() {
            self.renew_index();
        }
        self.index.insert(hash, number);
        if events > self.harmless {
            self.changed.push(number);
        }
        number
    }

    /// Notes that a row could not be kept.
    pub(super) fn record_loss_at(&mut self, now: Timestamp) {
        self.lost_at = Some(now);
    }

    /// Takes the logs that this poll has changed and that are not harmless.
    pub(super) fn take_changed(&mut self) -> Vec<LogNumber> {
        std::mem::take(&mut self.changed)
    }

    /// Whether the rows of a log could carry a group over its threshold. `bounds` has a zero for
    /// each query, before and after.
    pub(super) fn is_due(
        &mut self,
        number: LogNumber,
        queries: &[PlacedQuery],
        bounds: &mut [u64],
    ) -> bool {
        if !self.ring.contains(number) {
            // It was evicted, or has moved and has another number.
            return false;
        }
        let log = self.ring.get_mut(number);
        let Bounds { is_near, is_due } = log.bounds(&self.sets, queries, bounds, |_| true);
        if is_near {
            self.small -= usize::from(log.stage == Stage::Small);
            log.stage = Stage::Near;
        }
        is_due
    }

    /// Promotes a source: takes its rows. From now on its rows are counted.
    pub(super) fn promote(&mut self, number: LogNumber) -> Promoted {
        let log = self.ring.get_mut(number);
        self.heap -= log.heap();
        let mut rows = vec![log.first.clone()];
        rows.append(&mut log.more);
        log.more = Vec::new();
        self.small -= usize::from(log.stage == Stage::Small);
        log.stage = Stage::Promoted;
        Promoted {
            rows,
            lost_before: log.lost_before,
        }
    }

    /// Takes a query out of the rows of a remote in its log, or of all rows if they go together.
    pub(super) fn forget(
        &mut self,
        remote: Address,
        hash: LogHash,
        query: usize,
        go_together: bool,
    ) {
        let Some(number) = self.find(remote, hash) else {
            return;
        };
        let log = self.ring.get_mut(number);
        let rows = std::iter::once(&mut log.first).chain(&mut log.more);
        for row in rows.filter(|row| go_together || row.remote() == remote) {
            let kept = self.sets.queries(row.set).iter();
            let kept: Vec<_> = kept.copied().filter(|&index| index != query).collect();
            row.set = self.sets.id_of(row.signal, &kept).unwrap_or(row.set);
        }
    }
}
