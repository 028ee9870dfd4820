//! The groups of one query: how rows are counted, and which groups are evicted.
//!
//! In: rows that the query accepts. Out: groups, and which of them changed.
//! The decision held here: what comes after an eviction or a refusal may have been seen before, so
//! its count is a lower bound.

use jiff::Timestamp;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::columns::RowColumns;
use super::evict::{self, Evicted, Eviction};
use super::fair::Demand;
use super::group::{Blank, Group, Tag};
use super::key::{GroupKey, GroupLookup};
use super::query::Query;
use super::store::Store;
use super::window::{self, Pane};
use super::{Interval, Secrets};

/// A row with the poll that brought it.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) row: &'a RowColumns<'a>,
    pub(super) interval: Interval,
    pub(super) poll: u64,
    /// Its place among the rows of all queries in its poll.
    pub(super) order: u64,
    /// Whether it comes from a log, after its own turn; `lost_before` then says what was lost.
    pub(super) is_replayed: bool,
    /// Whether this poll brought it.
    pub(super) is_of_this_poll: bool,
    /// When rows of its source may last have been lost, before its first known row.
    pub(super) lost_before: Option<Timestamp>,
}

/// The time of a poll, in terms of the query's window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowClock {
    now: Timestamp,
    pane: Pane,
    pub(super) begin: Timestamp,
}

impl WindowClock {
    fn of(query: &Query, now: Timestamp) -> Self {
        Self {
            now,
            pane: Pane::of(now, query.window()),
            begin: window::window_start(now, query.window()),
        }
    }
}

/// A group that a poll has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    /// The place of its first change among the rows of the poll.
    pub(crate) order: u64,
    /// Position in the store.
    pub(crate) position: u32,
}

/// The state of the groups of one query.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GroupsState {
    groups: Vec<Group>,
    lost_at: Option<Timestamp>,
}

impl GroupsState {
    /// The tags of its groups.
    pub(super) fn tags(&self) -> impl Iterator<Item = Tag> {
        self.groups.iter().filter_map(|group| group.tag)
    }
}

/// What a reference to groups is saved as: the same as [`GroupsState`].
#[derive(Serialize)]
pub(super) struct SavedGroups<'a> {
    groups: &'a [Group],
    lost_at: Option<Timestamp>,
}

/// The groups of one query.
#[derive(Debug)]
pub(super) struct Groups {
    store: Store,
    /// The groups that this poll has changed.
    changed: Vec<Changed>,
    blank: Blank,
    clock: WindowClock,
    /// When a group was last evicted or refused.
    lost_at: Option<Timestamp>,
    /// For each demand, the poll that has found nothing more to evict.
    exhausted_in: [Option<u64>; 2],
}

impl Groups {
    pub(super) fn new(query: &Query, reserve: usize) -> Self {
        Self {
            store: Store::new(reserve),
            changed: Vec::new(),
            blank: Blank::new(query),
            clock: WindowClock::of(query, Timestamp::UNIX_EPOCH),
            lost_at: None,
            exhausted_in: [None; 2],
        }
    }

    /// The number of groups.
    pub(super) fn len(&self) -> usize {
        self.store.len()
    }

    /// The bytes that the groups take.
    pub(super) fn bytes(&self) -> usize {
        self.store.bytes()
    }

    /// The position of the group.
    pub(super) fn find(&self, lookup: &GroupLookup<'_>, hash: u32) -> Option<u32> {
        self.store.find(lookup, hash)
    }

    /// The position of the group of that key.
    pub(super) fn find_key(&self, query: &Query, key: &GroupKey, secrets: &Secrets) -> Option<u32> {
        let lookup = GroupLookup::of_key(&query.key, key);
        self.find(&lookup, lookup.hash(secrets))
    }

    pub(super) fn get(&self, position: u32) -> &Group {
        self.store.get(position)
    }

    /// Changes a group, and accounts for that.
    pub(super) fn update<T>(&mut self, position: u32, update: impl FnOnce(&mut Group) -> T) -> T {
        let result = update(self.store.get_mut(position));
        self.store.account(position);
        result
    }

    /// The bytes that a row may add to the group at `position`, or by a new group, beyond what any
    /// row takes.
    #[inline]
    pub(super) fn growth(&self, position: Option<u32>) -> usize {
        match position {
            Some(position) => self.store.get(position).growth(),
            None => self.store.growth() + self.blank.heap(),
        }
    }

    /// Adds an empty group. There must be room for its [`Groups::growth`] and for `spare` bytes.
    pub(super) fn insert(
        &mut self,
        query: &Query,
        lookup: &GroupLookup<'_>,
        hash: u32,
        event: &Event<'_>,
        spare: usize,
    ) -> u32 {
        let Interval { from, to } = event.interval;
        let mut group = Group::new(lookup, &self.blank, event.poll, from);
        let begin = self.clock(query, to).begin;
        let own = self.lost_at.filter(|_| !event.is_replayed);
        group.evidence.is_lossy = own.max(event.lost_before).is_some_and(|at| at >= begin);
        self.store.insert(group, hash, spare)
    }

    /// Notes that a row or a group could not be kept.
    pub(super) fn record_loss_at(&mut self, now: Timestamp) {
        self.lost_at = Some(now);
    }

    /// Counts a row in the group at `position`. `may_grow` says whether there is memory.
    #[inline]
    pub(super) fn count(
        &mut self,
        query: &Query,
        position: u32,
        event: &Event<'_>,
        may_grow: bool,
    ) {
        let now = self.clock(query, event.interval.to).pane;
        let group = self.store.get_mut(position);
        let is_new = group.is_new();
        if is_new || group.changed_in != event.poll {
            if event.is_of_this_poll {
                self.changed.push(Changed {
                    order: event.order,
                    position,
                });
            }
            if !is_new {
                group.begin_poll(query, now, &event.row.row.key, event.interval.from);
            }
        }
        group.changed_in = event.poll;
        group.changed_at = event.interval.to;
        group.add(query, now, event.row, may_grow);
        self.store.account(position);
    }

    /// The clock at that time.
    #[inline]
    pub(super) fn clock(&mut self, query: &Query, now: Timestamp) -> WindowClock {
        if self.clock.now != now {
            self.clock = WindowClock::of(query, now);
        }
        self.clock
    }

    /// Takes the groups that this poll has changed since the last call, in the order in which it
    /// did.
    pub(super) fn take_changed(&mut self) -> Vec<Changed> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable_by_key(|changed| changed.order);
        changed
    }

    /// Takes a source out of the group at `position`.
    pub(super) fn withdraw(&mut self, query: &Query, position: u32, source: Address) {
        let group = self.store.get_mut(position);
        group.withdraw(source, query, &self.blank);
        self.store.account(position);
    }

    /// The positions of all groups that have a tag.
    pub(super) fn tagged(&self) -> Vec<u32> {
        let all = 0..self.store.len() as u32;
        all.filter(|&position| self.store.get(position).tag.is_some())
            .collect()
    }

    /// Drops what has left the window of the group at `position`.
    pub(super) fn expire(&mut self, query: &Query, position: u32, now: Timestamp) {
        let pane = Pane::of(now, query.window());
        self.store.get_mut(position).expire(pane);
    }

    /// Whether this poll has found nothing more to evict for that demand.
    pub(super) fn is_exhausted(&self, poll: u64, demand: Demand) -> bool {
        self.exhausted_in[demand as usize] == Some(poll)
    }

    /// Evicts an eighth of the groups, as far as they may go. The tags of evicted groups are added
    /// to `released`.
    pub(super) fn evict(&mut self, eviction: Eviction<'_>, released: &mut Vec<Tag>) -> Evicted {
        let Eviction { query, now, .. } = eviction;
        let WindowClock { pane, begin, .. } = self.clock(query, now);
        for position in 0..self.store.len() as u32 {
            let group = self.store.get_mut(position);
            group.expire(pane);
            // Most hold no heap.
            if group.accounted > 0 {
                self.store.account(position);
            }
        }
        let goes = evict::choose(&self.store, &eviction, begin);
        let moved = self.store.keep(
            |position| !goes.is_chosen[position],
            |group| released.extend(group.tag),
        );
        let changed = &mut self.changed;
        changed.retain_mut(|changed| moved.follow(&mut changed.position));
        if goes.is_short() || self.store.len() == 0 {
            self.exhausted_in[eviction.demand as usize] = Some(eviction.poll);
        }
        if goes.evicted.all > 0 {
            self.lost_at = Some(now);
        }
        goes.evicted
    }

    /// The state, to be saved.
    pub(super) fn saved(&self) -> SavedGroups<'_> {
        SavedGroups {
            groups: self.store.groups(),
            lost_at: self.lost_at,
        }
    }

    /// The state.
    pub(super) fn into_state(self) -> GroupsState {
        GroupsState {
            groups: self.store.into_groups(),
            lost_at: self.lost_at,
        }
    }

    /// Forgets which processes have sent. To be called if they are no part of the key.
    pub(super) fn forget_processes(&mut self) {
        let groups = self.store.groups_mut().iter_mut();
        groups.for_each(Group::forget_processes);
    }

    /// Goes on with the groups of a query that counts the same. What has left the window at `now`
    /// is dropped. Returns the tags of groups whose remote no longer counts.
    pub(super) fn adopt(
        &mut self,
        query: &Query,
        state: GroupsState,
        now: Pane,
        secrets: &Secrets,
    ) -> Vec<Tag> {
        let mut released = Vec::new();
        self.lost_at = state.lost_at;
        for group in state.groups {
            let remote = query.key.remote_of(group.first_row());
            if query.key.network().is_none()
                && remote.is_some_and(|remote| query.rule.allows(remote.to_ip()))
            {
                released.extend(group.tag);
                continue;
            }
            // The end of an incident is reported with what its group held last.
            let last = Pane::of(group.changed_at, query.window());
            if group.tag.is_none() && last < now.oldest() {
                continue;
            }
            let hash = group.lookup(query).hash(secrets);
            // What was held is held again, whatever the limit is now: the next row evicts.
            self.store.insert(group, hash, usize::MAX);
        }
        released
    }

    #[cfg(test)]
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}
