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
//! | store | `nursery`, `group`, `groups`, `store`, `budget` | sources and groups, in bounded memory |
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
mod nursery;
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
use nursery::{Nursery, PackedRow, Placed, Promoted, Root, SetId};

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

/// What is known of the queries before a row is.
#[derive(Debug)]
struct Program {
    queries: Vec<Running>,
    /// Which queries can count each signal.
    dispatch: [Dispatch; Signal::ALL.len()],
    /// By query: where small sources are kept, if they can be.
    roots: Vec<Option<Root>>,
}

/// The state of all queries.
#[derive(Debug)]
pub(crate) struct Stream {
    program: Arc<Program>,
    include_private: bool,
    local_networks: Vec<Network>,
    /// By query.
    groups: Vec<Groups>,
    /// By [`Root`].
    nurseries: [Nursery; 2],
    /// The queries that have accepted the row at hand, by root.
    accepted: [Vec<usize>; 2],
    /// By query: a zero, and while a log is looked at what its rows could come to.
    bounds: Vec<u64>,
    /// Of all queries, and of the nurseries behind them.
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
        let (nurseries, roots) = nursery::nurseries(&queries);
        Self {
            include_private: settings.include_private,
            local_networks: settings.local_networks,
            budget: MemoryBudget::new(settings.memory, groups.len() + nurseries.len()),
            groups,
            nurseries,
            accepted: Default::default(),
            bounds: vec![0; queries.len()],
            program: Arc::new(Program {
                queries,
                dispatch,
                roots,
            }),
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
        &self.program.queries
    }

    /// What the queries read of the process behind rows of that signal.
    pub(crate) fn process_needs(&self, signal: Signal) -> ProcessNeeds {
        self.program.dispatch[signal as usize].process_needs()
    }

    /// Counts a row in every query that accepts it, except in those of `skipped`.
    pub(crate) fn push(
        &mut self,
        row: &Row<'_>,
        interval: Interval,
        skipped: &[usize],
        protect: &Protect<'_>,
    ) {
        let program = Arc::clone(&self.program);
        let remote = row.key.remote;
        let is_private = self.is_private(remote);
        let (mut is_hit, mut is_counted_hit) = (false, false);
        self.row_number += 1;
        for &index in program.dispatch[row.key.signal as usize].of_port(row.key.port) {
            let Running { query, role } = &program.queries[index];
            if *role != Role::Direct || !query.accepts(row, is_private) || skipped.contains(&index)
            {
                continue;
            }
            let columns = RowColumns::new(row, query.plan());
            if !query.holds(&columns, row.time) {
                continue;
            }
            match program.roots[index] {
                Some(root) => {
                    is_hit |= query.reports_answers;
                    self.accepted[root as usize].push(index);
                }
                None => {
                    is_counted_hit |= query.reports_answers;
                    let event = self.event(index, &columns, interval, None);
                    self.count(index, query, &event, protect);
                }
            }
        }
        if let Some(remote) = remote {
            self.place(remote, row, interval, is_hit, is_counted_hit, protect);
        }
        self.accepted.iter_mut().for_each(Vec::clear);
    }

    /// Places a row of a remote in the logs of its source and of its network, or counts it where
    /// these are promoted.
    fn place(
        &mut self,
        remote: Address,
        row: &Row<'_>,
        interval: Interval,
        is_hit: bool,
        is_counted_hit: bool,
        protect: &Protect<'_>,
    ) {
        let answer = Answer::of(row.key.signal);
        for root in Root::ALL {
            let is_of_remote = root == Root::Remote;
            let is_wanted = answer.is_some() || is_counted_hit;
            if self.accepted[root as usize].is_empty() && !(is_of_remote && is_wanted) {
                continue;
            }
            let mut packed = PackedRow::new(remote, row, interval, self.poll, self.row_number);
            packed.is_hit = is_hit && is_of_remote;
            let promoted = self.place_in(root, remote, packed, interval, protect);
            let promoted = match promoted {
                Placed::Promoted(lost_before) => lost_before,
                Placed::Full(number) => self.promote(root, number, protect),
                Placed::Kept => continue,
            };
            if is_of_remote {
                if is_hit {
                    self.probes.add_hit(remote, &row.key, interval.to);
                }
                if let Some(answer) = answer {
                    self.probes.add_answer(remote, &row.key, answer);
                }
            }
            let program = Arc::clone(&self.program);
            let accepted = std::mem::take(&mut self.accepted[root as usize]);
            for &index in &accepted {
                let query = &program.queries[index].query;
                let columns = RowColumns::new(row, query.plan());
                let event = self.event(index, &columns, interval, promoted);
                self.count(index, query, &event, protect);
            }
            self.accepted[root as usize] = accepted;
        }
        if is_counted_hit {
            // Its answers are needed before it is promoted by itself.
            self.promote_remote(remote, protect);
            self.probes.add_hit(remote, &row.key, interval.to);
        }
    }

    /// Places a row in one log. There is none for it where there is no room: it is refused.
    fn place_in(
        &mut self,
        root: Root,
        remote: Address,
        mut row: PackedRow,
        interval: Interval,
        protect: &Protect<'_>,
    ) -> Placed {
        let holder = self.holder(root);
        let nursery = &mut self.nurseries[root as usize];
        let hash = nursery.hash(remote, &self.secrets);
        let set = nursery.set_of(&self.accepted[root as usize]);
        row.set = set.unwrap_or(SetId::NONE);
        if let Some(number) = nursery.find(remote, hash) {
            let may_grow = set.is_some() && self.budget.room(holder) >= MARGIN;
            let placed = nursery.append(number, row, set.is_some(), may_grow);
            self.budget.set(holder, nursery.bytes());
            return placed;
        }
        let growth = |stream: &Self| stream.nurseries[root as usize].growth();
        self.make_room(holder, growth, interval.to, self.poll, protect);
        let has_room = self.has_room(holder, growth(self));
        let nursery = &mut self.nurseries[root as usize];
        let placed = if !has_room {
            nursery.mark_lossy(interval.to);
            self.stats.refused += 1;
            Placed::Kept
        } else {
            let number = nursery.insert(row, hash);
            match set {
                Some(_) => Placed::Kept,
                None => Placed::Promoted(nursery.promote(number).lost_before),
            }
        };
        self.budget
            .set(holder, self.nurseries[root as usize].bytes());
        placed
    }

    /// Promotes a source: counts the rows of its log. Returns when rows may have been lost before.
    fn promote(
        &mut self,
        root: Root,
        number: nursery::Number,
        protect: &Protect<'_>,
    ) -> Option<Timestamp> {
        let program = Arc::clone(&self.program);
        let nursery = &mut self.nurseries[root as usize];
        let Promoted { rows, lost_before } = nursery.promote(number);
        self.budget
            .set(self.holder(root), self.nurseries[root as usize].bytes());
        let (mut probed, mut remote) = (Vec::new(), None);
        for packed in rows {
            let (row, interval) = packed.unpack();
            let age = (self.poll as u32).wrapping_sub(packed.poll);
            for &index in &*self.nurseries[root as usize].queries(packed.set) {
                let query = &program.queries[index].query;
                let event = Event {
                    row: &RowColumns::new(&row, query.plan()),
                    interval,
                    poll: self.poll.wrapping_sub(age.into()),
                    order: order(packed.number.into(), index),
                    is_late: true,
                    is_current: age == 0,
                    lost_before,
                };
                self.count(index, query, &event, protect);
            }
            if root == Root::Remote {
                probed.push((packed.poll, row.key, interval.to, packed.is_hit));
            }
            remote = Some(packed.remote());
        }
        if let Some(remote) = remote {
            self.probes.add_late(remote, &probed, self.poll as u32);
        }
        lost_before
    }

    /// Promotes a remote, if it is not yet.
    fn promote_remote(&mut self, remote: Address, protect: &Protect<'_>) {
        let nursery = &self.nurseries[Root::Remote as usize];
        let hash = nursery.hash(remote, &self.secrets);
        if let Some(number) = nursery
            .find(remote, hash)
            .filter(|&log| !nursery.is_promoted(log))
        {
            self.promote(Root::Remote, number, protect);
        }
    }

    /// Promotes the sources whose rows could carry a group over its threshold.
    fn promote_due(&mut self, protect: &Protect<'_>) {
        for root in Root::ALL {
            loop {
                let changed = self.nurseries[root as usize].take_changed();
                if changed.is_empty() {
                    break;
                }
                for number in changed {
                    let nursery = &mut self.nurseries[root as usize];
                    if nursery.is_due(number, &self.program.queries, &mut self.bounds) {
                        self.promote(root, number, protect);
                    }
                }
                // Promoting may have moved logs, which stand in the list again.
            }
        }
    }

    /// The place of a nursery in the budget.
    fn holder(&self, root: Root) -> usize {
        self.groups.len() + root as usize
    }

    /// Whether a query accepts a row.
    pub(crate) fn accepts(&self, index: usize, row: &Row<'_>) -> bool {
        let query = &self.program.queries[index].query;
        let candidates = self.program.dispatch[row.key.signal as usize].of_port(row.key.port);
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
        let query = Arc::clone(&self.program.queries[index].query);
        let columns = RowColumns::new(row, query.plan());
        let event = self.event(index, &columns, interval, None);
        self.count(index, &query, &event, protect);
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
            is_late: false,
            is_current: true,
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

    fn count(&mut self, index: usize, query: &Query, event: &Event<'_>, protect: &Protect<'_>) {
        let Some(lookup) = GroupLookup::of_row(query.plan(), &query.key, event.row) else {
            return;
        };
        let hash = lookup.hash(&self.secrets);
        let mut found = self.groups[index].find(&lookup, hash);
        let mut may_grow = self.has_room(index, self.groups[index].growth(found));
        if !may_grow {
            let growth = found.map(|_| self.groups[index].growth(found));
            let growth =
                |stream: &Self| growth.unwrap_or_else(|| stream.groups[index].growth(None));
            self.make_room(index, growth, event.interval.to, event.poll, protect);
            // It may have moved, or been evicted.
            found = self.groups[index].find(&lookup, hash);
            may_grow = self.has_room(index, self.groups[index].growth(found));
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

    /// Whether a query or a nursery may grow by that much, and a row.
    #[inline]
    fn has_room(&self, holder: usize, growth: usize) -> bool {
        self.budget.room(holder) >= MARGIN + growth
    }

    /// Evicts until a query or a nursery may grow, or nothing more may be evicted.
    fn make_room(
        &mut self,
        holder: usize,
        growth: impl Fn(&Self) -> usize,
        now: Timestamp,
        poll: u64,
        protect: &Protect<'_>,
    ) {
        while !self.has_room(holder, growth(self)) {
            let may_give = |other: usize| match self.groups.get(other) {
                Some(groups) => !groups.is_exhausted(poll),
                None => !self.nurseries[other - self.groups.len()].is_exhausted(poll),
            };
            let Some(greatest) = self.budget.greatest(holder, may_give) else {
                return;
            };
            let bytes = match self.groups.get_mut(greatest) {
                Some(groups) => {
                    let query = &self.program.queries[greatest].query;
                    let released = &mut self.released;
                    self.stats.evicted += groups.evict(query, now, poll, protect, released);
                    groups.bytes()
                }
                None => {
                    let nursery = &mut self.nurseries[greatest - self.groups.len()];
                    let queries = &self.program.queries;
                    let bounds = &mut self.bounds;
                    self.stats.evicted += nursery.evict_chunk(now, poll, queries, bounds);
                    if greatest != holder {
                        nursery.free_spare();
                    }
                    nursery.bytes()
                }
            };
            self.budget.set(greatest, bytes);
        }
    }

    /// Ends the rows of a poll. What it has changed stands in [`Stream::take_changed`].
    pub(crate) fn end_rows(&mut self, protect: &Protect<'_>) {
        self.promote_due(protect);
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
        let query = &self.program.queries[index].query;
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
        let query = &self.program.queries[index].query;
        self.groups[index].expire(query, position, now);
        self.groups[index].update(position, |_| ());
        self.budget.set(index, self.groups[index].bytes());
    }

    /// Empties the group that holds the rows of a remote's network, if the query groups by that alone.
    pub(crate) fn clear_network_of(&mut self, index: usize, remote: Address) {
        let query = &self.program.queries[index].query;
        let Some(key) = query.key.network_key(remote) else {
            return;
        };
        let nursery = &mut self.nurseries[Root::Network as usize];
        let hash = nursery.hash(remote, &self.secrets);
        nursery.forget(remote, hash, index);
        if let Some(position) = self.find(index, &key) {
            self.groups[index].clear(position);
            self.budget.set(index, self.groups[index].bytes());
        }
    }

    /// By how much this poll has made the measure of a group grow. `None` where there is no such
    /// group.
    pub(crate) fn growth(&self, index: usize, key: &GroupKey) -> Option<u64> {
        let position = self.find(index, key)?;
        let query = &self.program.queries[index].query;
        Some(self.groups[index].growth_in(query, position, self.poll))
    }

    /// What this host answered to the probes of a group, if its query reports that.
    pub(crate) fn answers(&self, index: usize, key: &GroupKey, now: Timestamp) -> Option<Answers> {
        let query = &self.program.queries[index].query;
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

/// The order of changes in a poll: by row, then by query.
fn order(row_number: u64, index: usize) -> u64 {
    row_number << u16::BITS | index as u64
}

#[cfg(test)]
impl Stream {
    /// Counts every row in groups at once.
    pub(crate) fn disable_nurseries(&mut self) {
        let program = Arc::get_mut(&mut self.program).expect("it is not shared");
        program.roots.fill(None);
    }

    /// The sources that are held in nurseries.
    pub(crate) fn held_sources(&self) -> usize {
        self.nurseries.iter().map(Nursery::held).sum()
    }

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
        for nursery in &self.nurseries {
            assert_eq!(nursery.bytes(), nursery.recounted());
            total += nursery.bytes();
        }
        assert_eq!(self.budget.total(), total);
        let [claimed, recounted] = self.budget.claimed();
        assert_eq!(claimed, recounted);
    }
}
