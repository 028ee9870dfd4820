//! The stream: queries over rows as they come, a bounded `GROUP BY`.
//!
//! In: rows, the ends of polls. Out: the groups that a poll has changed.
//!
//! | step | module | holds |
//! |---|---|---|
//! | plan | [`query`], `operator`, `exclusion`, `fields` | which rows count, how aggregates are computed |
//! | dispatch | `dispatch` | the queries that a row is tried on |
//! | key | `key`, `columns` | the group of a row |
//! | aggregate | `accumulator`, `panes`, [`window`] | what rows come to over a sliding window |
//! | evidence | `evidence`, `sample`, `answers` | what rows showed, and what this host answered |
//! | store | `group`, `groups`, `store`, `budget` | groups, in bounded memory |
//!
//! The decisions held here:
//! - The work of a poll is linear in the rows that it brings, not in the groups that exist.
//! - Where there is no room, the query that holds the most evicts. Where nothing may be evicted, new
//!   groups are refused, and counted; each query is searched once a poll.
//! - It knows nothing of alerts. Whoever watches the groups may keep a [`Tag`] with each, and is
//!   asked which tagged groups must not be evicted.

mod accumulator;
mod answers;
mod budget;
mod columns;
mod dispatch;
mod evidence;
mod exclusion;
mod fields;
mod group;
mod groups;
mod key;
mod operator;
mod panes;
pub mod query;
mod sample;
mod store;
pub mod window;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, Signal};

use crate::row::{Row, SignalSet};
use crate::rule::{Network, is_private};
use answers::{Answer, Probes};
use budget::MemoryBudget;
use columns::RowColumns;
use dispatch::Dispatch;
use groups::{Event, Groups};
use key::GroupLookup;

pub use answers::Answers;
pub use dispatch::ProcessNeeds;
pub(crate) use group::{Group, Tag};
pub(crate) use groups::Changed;
pub(crate) use key::GroupKey;
pub use key::{KeyColumn, KeyPlan};
pub use operator::Measure;
pub(crate) use operator::measure;
pub use query::{ProcessFilter, Query};

/// The default memory for the state of all queries, in bytes: half of the agent's.
pub const DEFAULT_MEMORY: u64 = 128 << 20;
/// What a row may take at most, apart from new slots, large tables and sketches: panes and samples,
/// each of a kilobyte or less.
const MARGIN: usize = 1 << 14;

/// Keys of the hash tables: of the process, and unknown outside of it.
pub(crate) type Secrets = foldhash::quality::RandomState;

/// Says of a tagged group whether it must stay: the window begins at that time.
pub(crate) type Protect<'a> = dyn Fn(Tag, Timestamp) -> bool + 'a;

/// The time between two polls, in which the events of a poll happened.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// The poll before.
    pub from: Timestamp,
    /// This poll.
    pub to: Timestamp,
}

/// What was not kept for want of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionStats {
    /// Groups that were evicted.
    pub evicted: u64,
    /// Rows of new groups that were refused, as all existing groups are suspicious.
    pub refused: u64,
}

/// A query with its part in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Running {
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
    pub(crate) queries: Vec<Running>,
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

/// The state of all queries.
#[derive(Debug)]
pub(crate) struct Stream {
    queries: Vec<Running>,
    include_private: bool,
    local_networks: Vec<Network>,
    /// Which queries can count each signal.
    dispatch: [Dispatch; Signal::ALL.len()],
    /// By query.
    groups: Vec<Groups>,
    budget: MemoryBudget,
    secrets: Secrets,
    probes: Probes,
    stats: EvictionStats,
    /// Tags of groups that were evicted.
    released: Vec<Tag>,
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
            .map(|running| Groups::new(&running.query, reserve))
            .collect();
        let dispatch = Signal::ALL.map(|signal| {
            let can_count = |running: &Running| {
                running.role != Role::Idle
                    && running.query.filter.signals.contains(signal)
                    && !settings.ignored.contains(signal)
            };
            let counting = queries.iter().enumerate();
            let counting = counting.filter(|(_, running)| can_count(running));
            Dispatch::new(counting.map(|(index, running)| (index, &*running.query)))
        });
        Self {
            include_private: settings.include_private,
            local_networks: settings.local_networks,
            dispatch,
            budget: MemoryBudget::new(settings.memory, queries.len()),
            groups,
            queries,
            secrets: Secrets::default(),
            probes: Probes::default(),
            stats: EvictionStats::default(),
            released: Vec::new(),
            poll: 0,
            row_number: 0,
        }
    }

    /// The queries, by their index.
    pub(crate) fn queries(&self) -> &[Running] {
        &self.queries
    }

    /// What the queries read of the process behind rows of that signal.
    pub(crate) fn process_needs(&self, signal: Signal) -> ProcessNeeds {
        self.dispatch[signal as usize].process_needs()
    }

    /// Counts a row in every query that accepts it, except in those of `skipped`. Returns the
    /// deferred queries that accept it, if `defers`.
    pub(crate) fn push(
        &mut self,
        row: &Row<'_>,
        interval: Interval,
        skipped: &[usize],
        protect: &Protect<'_>,
    ) {
        let remote = row.key.remote;
        if let Some(answer) = Answer::of(row.key.signal)
            && let Some(remote) = remote
        {
            self.probes.add_answer(remote, &row.key, answer);
        }
        let is_private = self.is_private(remote);
        let mut is_probe = false;
        let signal = row.key.signal as usize;
        let candidates = self.dispatch[signal].of_port(row.key.port).len();
        self.row_number += 1;
        for candidate in 0..candidates {
            let index = self.dispatch[signal].of_port(row.key.port)[candidate];
            let Running { query, role } = &self.queries[index];
            if *role != Role::Direct || !query.accepts(row, is_private) || skipped.contains(&index)
            {
                continue;
            }
            let query = Arc::clone(query);
            let columns = RowColumns::new(row, query.plan());
            if !query.holds(&columns, row.time) {
                continue;
            }
            is_probe |= query.reports_answers;
            let event = Event {
                row: &columns,
                interval,
                poll: self.poll,
                order: self.order(index),
            };
            self.count(index, &query, &event, protect);
        }
        if is_probe && let Some(remote) = remote {
            self.probes.add_hit(remote, &row.key, interval.to);
        }
    }

    /// Whether a query accepts a row.
    pub(crate) fn accepts(&self, index: usize, row: &Row<'_>) -> bool {
        let query = &self.queries[index].query;
        let candidates = self.dispatch[row.key.signal as usize].of_port(row.key.port);
        candidates.contains(&index)
            && query.accepts(row, self.is_private(row.key.remote))
            && query.holds(&RowColumns::new(row, query.plan()), row.time)
    }

    /// Counts a row that a deferred query has accepted.
    pub(crate) fn count_in(
        &mut self,
        index: usize,
        row: &Row<'_>,
        interval: Interval,
        protect: &Protect<'_>,
    ) {
        self.row_number += 1;
        let query = Arc::clone(&self.queries[index].query);
        let event = Event {
            row: &RowColumns::new(row, query.plan()),
            interval,
            poll: self.poll,
            order: self.order(index),
        };
        self.count(index, &query, &event, protect);
    }

    /// The order of changes in a poll: by row, then by query.
    fn order(&self, index: usize) -> u64 {
        self.row_number << u16::BITS | index as u64
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

    fn count(&mut self, index: usize, query: &Query, event: &Event<'_>, protect: &Protect<'_>) {
        let Some(lookup) = GroupLookup::of_row(query.plan(), &query.key, event.row) else {
            return;
        };
        let hash = lookup.hash(&self.secrets);
        let mut found = self.groups[index].find(&lookup, hash);
        let mut may_grow = self.has_room(index, found);
        if !may_grow {
            self.make_room(index, found, event, protect);
            // It may have moved, or been evicted.
            found = self.groups[index].find(&lookup, hash);
            may_grow = self.has_room(index, found);
        }
        let room = self.budget.room(index);
        let groups = &mut self.groups[index];
        let position = match found {
            Some(position) => position,
            None if may_grow => {
                let spare = room - (MARGIN + groups.growth(None));
                groups.insert(query, &lookup, hash, event, spare)
            }
            None => {
                groups.mark_lossy(event.interval.to);
                self.stats.refused += 1;
                return;
            }
        };
        groups.count(query, position, event, may_grow);
        self.budget.set(index, groups.bytes());
    }

    /// Whether there is room for a row of the group that was found, or of a new one.
    fn has_room(&self, index: usize, found: Option<u32>) -> bool {
        self.budget.room(index) >= MARGIN + self.groups[index].growth(found)
    }

    /// Evicts groups until there is room for a new one, or for the one that was found to grow, or
    /// nothing more may be evicted.
    fn make_room(
        &mut self,
        index: usize,
        found: Option<u32>,
        event: &Event<'_>,
        protect: &Protect<'_>,
    ) {
        let (now, poll) = (event.interval.to, event.poll);
        let growth = found.map(|_| self.groups[index].growth(found));
        loop {
            let growth = growth.unwrap_or_else(|| self.groups[index].growth(None));
            if self.budget.room(index) >= MARGIN + growth {
                return;
            }
            let may_give = |query: usize| !self.groups[query].is_exhausted(poll);
            let Some(greatest) = self.budget.greatest(index, may_give) else {
                return;
            };
            let query = &self.queries[greatest].query;
            let groups = &mut self.groups[greatest];
            self.stats.evicted += groups.evict(query, now, poll, protect, &mut self.released);
            self.budget.set(greatest, groups.bytes());
        }
    }

    /// Ends the rows of a poll. What it has changed stands in [`Stream::take_changed`].
    pub(crate) fn end_rows(&mut self) {
        self.probes.resolve_answers();
    }

    /// Ends a poll.
    pub(crate) fn end_poll(&mut self) {
        self.poll += 1;
        self.row_number = 0;
    }

    /// Takes the groups of a query that this poll has changed since the last call.
    pub(crate) fn take_changed(&mut self, index: usize) -> Vec<Changed> {
        self.groups[index].take_changed()
    }

    /// A group of a query.
    pub(crate) fn group(&self, index: usize, position: u32) -> &Group {
        self.groups[index].get(position)
    }

    /// The position of a group of a query.
    pub(crate) fn find(&self, index: usize, key: &GroupKey) -> Option<u32> {
        let query = &self.queries[index].query;
        self.groups[index].find_key(query, key, &self.secrets)
    }

    /// Sets the tag of a group.
    pub(crate) fn set_tag(&mut self, index: usize, position: u32, tag: Tag) {
        self.groups[index].update(position, |group| group.tag = Some(tag));
        self.budget.set(index, self.groups[index].bytes());
    }

    /// Notes that the kernel lost rows, so that the group's count is a lower bound.
    pub(crate) fn mark_lossy(&mut self, index: usize, position: u32) {
        self.groups[index].update(position, |group| group.evidence.is_lossy = true);
    }

    /// The positions of a query's groups that have a tag.
    pub(crate) fn tagged(&self, index: usize) -> Vec<u32> {
        self.groups[index].tagged()
    }

    /// Drops what has left the window of a group.
    pub(crate) fn expire(&mut self, index: usize, position: u32, now: Timestamp) {
        let query = &self.queries[index].query;
        self.groups[index].expire(query, position, now);
        self.groups[index].update(position, |_| ());
        self.budget.set(index, self.groups[index].bytes());
    }

    /// Empties the group that holds the rows of a remote's network, if the query groups by that alone.
    pub(crate) fn clear_network_of(&mut self, index: usize, remote: Address) {
        let query = &self.queries[index].query;
        if let Some(key) = query.key.network_key(remote)
            && let Some(position) = self.find(index, &key)
        {
            self.groups[index].clear(position);
            self.budget.set(index, self.groups[index].bytes());
        }
    }

    /// By how much this poll has made the measure of a group grow. `None` where there is no such
    /// group.
    pub(crate) fn growth(&self, index: usize, key: &GroupKey) -> Option<u64> {
        let position = self.find(index, key)?;
        let query = &self.queries[index].query;
        Some(self.groups[index].growth_in(query, position, self.poll))
    }

    /// What this host answered to the probes of a group, if its query reports that.
    pub(crate) fn answers(&self, index: usize, key: &GroupKey, now: Timestamp) -> Option<Answers> {
        let query = &self.queries[index].query;
        let answers = || self.probes.answers_to(query, key, now);
        query.reports_answers.then(answers).flatten()
    }

    /// Takes the tags of groups that were evicted since the last call.
    pub(crate) fn take_released(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.released)
    }

    /// Takes what was not kept since the last call.
    pub(crate) fn take_stats(&mut self) -> EvictionStats {
        std::mem::take(&mut self.stats)
    }
}

#[cfg(test)]
impl Stream {
    /// The groups that are held: of one query, or of all.
    pub(crate) fn held(&self, index: Option<usize>) -> usize {
        let groups = self.groups.iter().enumerate();
        let groups = groups.filter(|(of, _)| index.is_none_or(|index| *of == index));
        groups.map(|(_, groups)| groups.store().len()).sum()
    }

    /// The bytes that all queries take.
    pub(crate) fn bytes(&self) -> usize {
        self.budget.total()
    }

    /// Checks that what is accounted for is what is there.
    pub(crate) fn check_accounting(&self) {
        let mut total = 0;
        for groups in &self.groups {
            assert_eq!(groups.bytes(), groups.store().recounted());
            total += groups.bytes();
        }
        assert_eq!(self.budget.total(), total);
        let [claimed, recounted] = self.budget.claimed();
        assert_eq!(claimed, recounted);
    }
}
