//! The groups of one rule.
//!
//! In: rows that the rule takes. Out: the group's count, and a [`Finding`] where its alarm is due.
//! The decisions held here:
//! - Groups lie side by side, and an index has their positions: a hash table of the groups themselves would be half empty, and twice as
//!   large whenever it grows.
//! - Where room is needed, an eighth of them goes at once, so that room costs the same however many there are: empty ones, then those that
//!   are not over half their threshold, the longest unchanged and the lowest first. A suspicious one never goes: a flood of one-packet
//!   sources does not push out a scanner.
//! - What comes after something was evicted or refused may have been seen before: its count is a lower bound.

use std::hash::RandomState;
use std::sync::Arc;

use hashbrown::HashTable;
use jiff::Timestamp;

use super::aggregate::Sliding;
use super::columns::RowColumns;
use super::group::Group;
use super::key::{GroupKey, Wanted};
use super::{Finding, Interval};
use crate::rule::Rule;
use crate::window::{self, Slice, allocated};

/// The share of groups that makes room at once.
const EVICTED_SHARE: usize = 8;
/// Slots are added by this share of those that there are, or by the least number; a quarter of that will do at the bound.
const GROWN_SHARE: usize = 8;
const LEAST_GROWTH: usize = 8;
const AT_THE_BOUND: usize = 4;
/// Where a group went that is gone.
const GONE: u32 = u32::MAX;

/// A row of the drain, with the poll that brought it.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) row: &'a RowColumns<'a>,
    pub(super) interval: Interval,
    pub(super) poll: u64,
}

/// A group's hash, and where it is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    position: u32,
}

/// The table takes its bucket from the low bits and its tag from the high ones.
fn widened(hash: u32) -> u64 {
    u64::from(hash) << u32::BITS | u64::from(hash)
}

/// The time of a poll, as the rule's window has it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Timestamp,
    slice: Slice,
    begin: Timestamp,
}

impl Clock {
    fn of(rule: &Rule, now: Timestamp) -> Self {
        Self {
            now,
            slice: Slice::of(now, rule.window()),
            begin: window::begin(now, rule.window()),
        }
    }
}

/// The groups of one rule.
#[derive(Debug)]
pub(super) struct Groups {
    slots: Vec<Group>,
    index: HashTable<Entry>,
    /// The bytes that groups hold on the heap.
    heap: usize,
    /// The groups that this poll has changed, each with when it was in the order of all.
    changed: Vec<(u32, u32)>,
    /// What every group begins with.
    aggregates: Box<[Sliding]>,
    clock: Clock,
    /// When a group was last evicted or refused.
    lost_at: Option<Timestamp>,
    /// The poll that has searched for all that can go.
    searched_in: Option<u64>,
}

impl Groups {
    pub(super) fn new(rule: &Rule) -> Self {
        let kept = rule.kept.iter();
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            heap: 0,
            changed: Vec::new(),
            aggregates: kept
                .map(|&position| Sliding::new(rule.plan(), position))
                .collect(),
            clock: Clock::of(rule, Timestamp::UNIX_EPOCH),
            lost_at: None,
            searched_in: None,
        }
    }

    /// The bytes that the groups take.
    pub(super) fn bytes(&self) -> usize {
        allocated(self.slots.capacity() * size_of::<Group>())
            + allocated(self.index.allocation_size())
            + self.heap
    }

    pub(super) fn find(&self, wanted: &Wanted<'_>, hash: u32) -> Option<u32> {
        let is_it =
            |entry: &Entry| entry.hash == hash && self.slots[entry.position as usize].is(wanted);
        let found = self.index.find(widened(hash), is_it);
        found.map(|entry| entry.position)
    }

    fn get(&self, key: &GroupKey, rule: &Rule, hasher: &RandomState) -> Option<u32> {
        let wanted = Wanted::of(rule.by, key);
        self.find(&wanted, wanted.hash(hasher))
    }

    /// The bytes that a row may add to the group there, or for another group, beside what any row takes.
    pub(super) fn growth(&self, position: Option<u32>) -> usize {
        if let Some(position) = position {
            return self.slots[position as usize].growth();
        }
        let held = self.slots.len();
        let mut growth = self.aggregates.len() * size_of::<Sliding>();
        if held == self.slots.capacity() {
            growth += (more_slots(held) / AT_THE_BOUND).max(1) * size_of::<Group>();
        }
        if self.index.len() == self.index.capacity() {
            growth += 2 * self.index.allocation_size();
        }
        growth
    }

    /// Adds a group without any event. There has to be `room` for its [`Groups::growth`].
    pub(super) fn insert(
        &mut self,
        rule: &Rule,
        wanted: &Wanted<'_>,
        hash: u32,
        event: &Event<'_>,
        room: usize,
    ) -> u32 {
        let held = self.slots.len();
        if held == self.slots.capacity() {
            let fit = room.saturating_sub(self.growth(None)) / size_of::<Group>();
            let least = (more_slots(held) / AT_THE_BOUND).max(1);
            self.slots.reserve_exact(more_slots(held).min(least + fit));
        }
        let Interval { from, to } = event.interval;
        let aggregates = self.aggregates.clone();
        let mut group = Group::new(rule, wanted, aggregates, event.poll, from);
        let clock = self.turn(rule, to);
        group.seen.is_lossy = self.lost_at.is_some_and(|at| at >= clock.begin);
        self.slots.push(group);
        let position = held as u32;
        let entry = Entry { hash, position };
        let rehash = |entry: &Entry| widened(entry.hash);
        self.index.insert_unique(widened(hash), entry, rehash);
        position
    }

    /// Notes that a group could not be kept.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        self.lost_at = Some(now);
    }

    /// Counts a row in the group there. `order` is that of all groups' first changes in this poll, `may_grow` whether there is memory.
    pub(super) fn count(
        &mut self,
        rule: &Rule,
        position: u32,
        event: &Event<'_>,
        order: &mut u32,
        may_grow: bool,
    ) {
        let Event {
            row,
            interval,
            poll,
        } = *event;
        let now = self.turn(rule, interval.to).slice;
        let group = &mut self.slots[position as usize];
        let is_new = group.is_new();
        if is_new || group.changed_in != poll {
            self.changed.push((*order, position));
            *order += 1;
            // A sum by an aggregate takes time, and is asked for once a poll.
            if !is_new {
                group.turn(rule, now, row, interval.from);
            }
        }
        group.changed_in = poll;
        group.changed_at = interval.to;
        group.add(rule, now, row, may_grow);
        self.account(position);
    }

    /// The clock of a poll at that time.
    fn turn(&mut self, rule: &Rule, now: Timestamp) -> Clock {
        if self.clock.now != now {
            self.clock = Clock::of(rule, now);
        }
        self.clock
    }

    /// Notes what a group takes now.
    fn account(&mut self, position: u32) {
        let group = &mut self.slots[position as usize];
        let heap = group.heap();
        self.heap = self.heap - group.accounted + heap;
        group.accounted = heap;
    }

    /// Whether a group was told of, and over its threshold within the rule's window, at the last poll that changed it or before.
    pub(super) fn was_over(
        &self,
        rule: &Rule,
        key: &GroupKey,
        hasher: &RandomState,
        now: Timestamp,
    ) -> bool {
        self.get(key, rule, hasher).is_some_and(|position| {
            let alarm = &self.slots[position as usize].alarm;
            alarm.was_over(window::begin(now, rule.window()))
        })
    }

    /// By how much `poll` has made the group's total grow.
    pub(super) fn grown_in(
        &self,
        rule: &Rule,
        key: &GroupKey,
        hasher: &RandomState,
        poll: u64,
    ) -> Option<u64> {
        let group = &self.slots[self.get(key, rule, hasher)? as usize];
        Some(if group.changed_in == poll {
            group.window.total().saturating_sub(group.total_before)
        } else {
            0
        })
    }

    /// The groups that this poll has changed since the last call, each with when it was in the order of all.
    pub(super) fn take_changed(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.changed)
    }

    /// The finding for the group there, which this poll has changed, if its alarm is due; and its key, if its end is to be looked for from
    /// now on.
    pub(super) fn judge(
        &mut self,
        rule: &Arc<Rule>,
        position: u32,
        now: Timestamp,
        lossy: bool,
    ) -> (Option<(GroupKey, Finding)>, Option<GroupKey>) {
        let group = &mut self.slots[position as usize];
        group.seen.is_lossy |= lossy;
        let total = group.total(rule);
        let mut finding = None;
        if total > rule.threshold() {
            let key = group.key(rule.by);
            if group.is_wanted(rule, &key, now)
                && let Some(told) = group.alarm.note(total, rule, now)
            {
                finding = Some((key.clone(), group.finding(rule, &key, told, now)));
            }
        }
        let watched = group.alarm.watch().then(|| group.key(rule.by));
        if finding.is_some() {
            self.account(position);
        }
        (finding, watched)
    }

    /// Looks at a group that was told of. Returns the finding where its incident is over and has grown since, and when to look again
    /// where it goes on.
    pub(super) fn look(
        &mut self,
        rule: &Arc<Rule>,
        key: &GroupKey,
        hasher: &RandomState,
        now: Timestamp,
    ) -> Result<Option<Finding>, Timestamp> {
        let Some(position) = self.get(key, rule, hasher) else {
            return Ok(None);
        };
        let group = &mut self.slots[position as usize];
        group.expire(Slice::of(now, rule.window()));
        let total = group.total(rule);
        let told = group.alarm.end(total, group.changed_at, now);
        let found = told.map(|told| told.map(|told| group.finding(rule, key, told, now)));
        self.account(position);
        found
    }

    /// What has to be told of groups that were told of, if their incidents are over at `now`, whatever else is to come: in an order that
    /// is the same for the same rows.
    pub(super) fn end(&mut self, rule: &Arc<Rule>, now: Timestamp) -> Vec<(GroupKey, Finding)> {
        let sounded = self.slots.iter_mut();
        let sounded = sounded.filter(|group| group.alarm.has_sounded());
        let mut keyed: Vec<_> = sounded.map(|group| (group.key(rule.by), group)).collect();
        keyed.sort_unstable_by(|(one, _), (other, _)| one.order(other));
        keyed
            .into_iter()
            .filter_map(|(key, group)| {
                let (total, changed_at) = (group.total(rule), group.changed_at);
                let told = group.alarm.end(total, changed_at, Timestamp::MAX).ok()??;
                let finding = group.finding(rule, &key, told, now);
                Some((key, finding))
            })
            .collect()
    }

    /// Whether this poll has found out that no more can go.
    pub(super) fn is_searched(&self, poll: u64) -> bool {
        self.searched_in == Some(poll)
    }

    /// Drops an eighth of the groups, as far as they can go. Returns how many of them held something.
    pub(super) fn evict(&mut self, rule: &Rule, now: Timestamp, poll: u64) -> u64 {
        let clock = self.turn(rule, now);
        let share = (self.slots.len() / EVICTED_SHARE).max(1);
        let mut empty = 0;
        let mut ranks = Vec::new();
        for position in 0..self.slots.len() as u32 {
            self.slots[position as usize].expire(clock.slice);
            self.account(position);
            match rank(&self.slots[position as usize], rule, clock.begin) {
                Rank::Empty => empty += 1,
                Rank::Goes(rank) => ranks.push(rank),
                Rank::Stays => {}
            }
        }
        let wanted = share.saturating_sub(empty).min(ranks.len());
        let last_to_go = wanted.checked_sub(1).map(|last| {
            let (_, &mut last_to_go, _) = ranks.select_nth_unstable(last);
            last_to_go
        });
        drop(ranks);
        let mut left = wanted;
        self.keep(|group| match rank(group, rule, clock.begin) {
            Rank::Empty => false,
            Rank::Goes(rank) => {
                let goes = left > 0 && Some(rank) <= last_to_go;
                left -= usize::from(goes);
                !goes
            }
            Rank::Stays => true,
        });
        if empty + wanted < share || self.slots.is_empty() {
            self.searched_in = Some(poll);
        }
        if wanted > 0 {
            self.lost_at = Some(now);
        }
        wanted as u64
    }

    /// Drops all other groups, and gives their memory back.
    fn keep(&mut self, mut is_kept: impl FnMut(&Group) -> bool) {
        let mut kept = 0;
        let mut moved = Vec::with_capacity(self.slots.len());
        let heap = &mut self.heap;
        self.slots.retain(|group| {
            let stays = is_kept(group);
            moved.push(if stays { kept } else { GONE });
            if stays {
                kept += 1;
            } else {
                *heap -= group.accounted;
            }
            stays
        });
        self.slots.shrink_to_fit();
        let new_position = |position: &mut u32| {
            *position = moved[*position as usize];
            *position != GONE
        };
        self.index.retain(|entry| new_position(&mut entry.position));
        self.changed
            .retain_mut(|(_, position)| new_position(position));
        if self.index.len() < self.index.capacity() / AT_THE_BOUND {
            let rehash = |entry: &Entry| widened(entry.hash);
            self.index.shrink_to_fit(rehash);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// By how many slots to grow.
fn more_slots(held: usize) -> usize {
    (held / GROWN_SHARE).max(LEAST_GROWTH)
}

/// How soon a group goes.
enum Rank {
    Empty,
    /// Unchanged since that poll, with so many events: the least first.
    Goes((u64, u64)),
    Stays,
}

fn rank(group: &Group, rule: &Rule, begin: Timestamp) -> Rank {
    let total = group.total(rule);
    if group.is_suspicious(rule, total, begin) {
        Rank::Stays
    } else if total == 0 {
        Rank::Empty
    } else {
        Rank::Goes((group.changed_in, total))
    }
}
