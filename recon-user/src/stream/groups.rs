//! The groups of one query: how rows are counted, and which groups are evicted.
//!
//! In: rows that the query accepts. Out: groups, and which of them changed.
//! The decisions held here:
//! - Eviction frees an eighth of the groups at once, so that room costs the same however many there
//!   are: empty ones first, then those at or under half of their threshold, the longest unchanged
//!   and the lowest first. A group that is suspicious or protected is never evicted: a flood of
//!   one-packet sources does not evict a scanner.
//! - What comes after an eviction or a refusal may have been seen before: its count is a lower
//!   bound.

use jiff::Timestamp;

use super::columns::RowColumns;
use super::group::{Blank, Group, Tag};
use super::key::{GroupKey, GroupLookup};
use super::query::Query;
use super::store::Store;
use super::window::{self, Pane};
use super::{Interval, Protect, Secrets};

/// The share of groups that is evicted at once.
const EVICTED_SHARE: usize = 8;

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
pub(super) struct Clock {
    now: Timestamp,
    pane: Pane,
    pub(super) begin: Timestamp,
}

impl Clock {
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

/// The groups of one query.
#[derive(Debug)]
pub(super) struct Groups {
    store: Store,
    /// The groups that this poll has changed.
    changed: Vec<Changed>,
    blank: Blank,
    clock: Clock,
    /// When a group was last evicted or refused.
    lost_at: Option<Timestamp>,
    /// The poll that has found nothing more to evict.
    exhausted_in: Option<u64>,
}

impl Groups {
    pub(super) fn new(query: &Query, reserve: usize) -> Self {
        Self {
            store: Store::new(reserve),
            changed: Vec::new(),
            blank: Blank::new(query),
            clock: Clock::of(query, Timestamp::UNIX_EPOCH),
            lost_at: None,
            exhausted_in: None,
        }
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
    pub(super) fn clock(&mut self, query: &Query, now: Timestamp) -> Clock {
        if self.clock.now != now {
            self.clock = Clock::of(query, now);
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

    /// Empties the group at `position`.
    pub(super) fn clear(&mut self, position: u32) {
        self.store.get_mut(position).clear(&self.blank);
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

    /// Whether this poll has found nothing more to evict.
    pub(super) fn is_exhausted(&self, poll: u64) -> bool {
        self.exhausted_in == Some(poll)
    }

    /// Evicts an eighth of the groups, as far as they may go. Returns how many of them held
    /// something. The tags of evicted groups are added to `released`.
    pub(super) fn evict(
        &mut self,
        query: &Query,
        now: Timestamp,
        poll: u64,
        protect: &Protect<'_>,
        released: &mut Vec<Tag>,
    ) -> u64 {
        let Clock { pane, begin, .. } = self.clock(query, now);
        let share = (self.store.len() / EVICTED_SHARE).max(1);
        let mut ranks = Vec::with_capacity(self.store.len());
        for position in 0..self.store.len() as u32 {
            let group = self.store.get_mut(position);
            group.expire(pane);
            ranks.push(rank(group, query, begin, protect));
            // Most hold no heap.
            if group.accounted > 0 {
                self.store.account(position);
            }
        }
        let empty = ranks.iter().filter(|&&rank| rank == EMPTY).count();
        let held = ranks.iter().filter(|&&rank| rank != EMPTY && rank != STAYS);
        let held: Vec<_> = held.copied().collect();
        let evicted = share.saturating_sub(empty).min(held.len());
        let (last, mut of_last) = last_to_go(held, evicted);
        let moved = self.store.keep(
            |position| match ranks[position] {
                EMPTY => false,
                rank if rank == last && of_last > 0 => {
                    of_last -= 1;
                    false
                }
                rank => rank >= last,
            },
            |group| released.extend(group.tag),
        );
        let changed = &mut self.changed;
        changed.retain_mut(|changed| moved.follow(&mut changed.position));
        if empty + evicted < share || self.store.len() == 0 {
            self.exhausted_in = Some(poll);
        }
        if evicted > 0 {
            self.lost_at = Some(now);
        }
        evicted as u64
    }

    #[cfg(test)]
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

/// How soon a group is evicted, the least first: the poll that changed it last, and in the low bits
/// how many events it holds.
type Rank = u64;
const EVENT_BITS: u32 = 24;
/// The rank of a group without events.
const EMPTY: Rank = 0;
/// The rank of a group that is never evicted.
const STAYS: Rank = Rank::MAX;

fn rank(group: &Group, query: &Query, begin: Timestamp, protect: &Protect<'_>) -> Rank {
    let total = group.total(query);
    let is_protected = |tag| protect(tag, begin);
    if total > query.threshold() / 2 || group.tag.is_some_and(is_protected) {
        STAYS
    } else if total == 0 {
        EMPTY
    } else {
        group.changed_in << EVENT_BITS | total.min((1 << EVENT_BITS) - 1)
    }
}

/// Up to which rank groups go if `evicted` of them do, and how many of that rank.
fn last_to_go(mut ranks: Vec<Rank>, evicted: usize) -> (Rank, usize) {
    let Some(last) = evicted.checked_sub(1) else {
        return (EMPTY, 0);
    };
    let (before, &mut rank, _) = ranks.select_nth_unstable(last);
    let lower = before.iter().filter(|&&before| before < rank).count();
    (rank, evicted - lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unchanged_and_the_lowest_go_first() {
        let ranks = vec![31, 19, 25, 12, 25, 25, 21];
        // (evicted, up to which rank, how many of it)
        for (evicted, last, of_last) in [
            (0, EMPTY, 0),
            (1, 12, 1),
            (2, 19, 1),
            (3, 21, 1),
            (4, 25, 1),
            (6, 25, 3),
            (7, 31, 1),
        ] {
            assert_eq!(last_to_go(ranks.clone(), evicted), (last, of_last));
        }
    }
}
