//! The groups of one rule: what their rows count, when they are told of, and which go.
//!
//! In: rows that the rule takes. Out: the group's count, and a [`Finding`] where its alarm is due.
//! The decisions held here:
//! - Where room is needed, an eighth of them goes at once, so that room costs the same however many there are: empty ones, then those that
//!   are not over half their threshold, the longest unchanged and the lowest first. A suspicious one never goes: a flood of one-packet
//!   sources does not push out a scanner.
//! - What comes after something was evicted or refused may have been seen before: its count is a lower bound.

use std::hash::RandomState;
use std::sync::Arc;

use jiff::Timestamp;

use super::aggregate::Sliding;
use super::columns::RowColumns;
use super::group::Group;
use super::key::{GroupKey, Wanted};
use super::store::Store;
use super::{Finding, Interval};
use crate::rule::Rule;
use crate::window::{self, Slice};

/// The share of groups that makes room at once.
const EVICTED_SHARE: usize = 8;
/// A row of the drain, with the poll that brought it.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) row: &'a RowColumns<'a>,
    pub(super) interval: Interval,
    pub(super) poll: u64,
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
    store: Store,
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
            store: Store::default(),
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
        self.store.bytes()
    }

    /// Where the group is.
    pub(super) fn find(&self, wanted: &Wanted<'_>, hash: u32) -> Option<u32> {
        self.store.find(wanted, hash)
    }

    fn get(&self, key: &GroupKey, rule: &Rule, hasher: &RandomState) -> Option<u32> {
        let wanted = Wanted::of(rule.by, key);
        self.find(&wanted, wanted.hash(hasher))
    }

    /// The bytes that a row may add to the group there, or for another group, beside what any row takes.
    pub(super) fn growth(&self, position: Option<u32>) -> usize {
        match position {
            Some(position) => self.store.get(position).growth(),
            None => self.store.growth() + size_of_val(&*self.aggregates),
        }
    }

    /// Adds a group without any event. There have to be as many bytes as its [`Groups::growth`], and as `spare`.
    pub(super) fn insert(
        &mut self,
        rule: &Rule,
        wanted: &Wanted<'_>,
        hash: u32,
        event: &Event<'_>,
        spare: usize,
    ) -> u32 {
        let Interval { from, to } = event.interval;
        let aggregates = self.aggregates.clone();
        let mut group = Group::new(rule, wanted, aggregates, event.poll, from);
        let begin = self.turn(rule, to).begin;
        group.seen.is_lossy = self.lost_at.is_some_and(|at| at >= begin);
        self.store.insert(group, hash, spare)
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
        let group = self.store.get_mut(position);
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
        self.store.account(position);
    }

    /// The clock of a poll at that time.
    fn turn(&mut self, rule: &Rule, now: Timestamp) -> Clock {
        if self.clock.now != now {
            self.clock = Clock::of(rule, now);
        }
        self.clock
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
            let alarm = &self.store.get(position).alarm;
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
        let group = self.store.get(self.get(key, rule, hasher)?);
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
        let group = self.store.get_mut(position);
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
            self.store.account(position);
        }
        (finding, watched)
    }

    /// Has the group begin anew, if there is one.
    pub(super) fn forget(&mut self, rule: &Rule, key: &GroupKey, hasher: &RandomState) {
        if let Some(position) = self.get(key, rule, hasher) {
            self.store.get_mut(position).forget(rule);
            self.store.account(position);
        }
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
        let group = self.store.get_mut(position);
        group.expire(Slice::of(now, rule.window()));
        let total = group.total(rule);
        let told = group.alarm.end(total, group.changed_at, now);
        let found = told.map(|told| told.map(|told| group.finding(rule, key, told, now)));
        self.store.account(position);
        found
    }

    /// What has to be told of groups that were told of, if their incidents are over at `now`, whatever else is to come: in an order that
    /// is the same for the same rows.
    pub(super) fn end(&mut self, rule: &Arc<Rule>, now: Timestamp) -> Vec<(GroupKey, Finding)> {
        let sounded = self.store.iter_mut();
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
        let Clock { slice, begin, .. } = self.turn(rule, now);
        let share = (self.store.len() / EVICTED_SHARE).max(1);
        let mut ranks = Vec::with_capacity(self.store.len());
        for position in 0..self.store.len() as u32 {
            let group = self.store.get_mut(position);
            group.expire(slice);
            ranks.push(rank(group, rule, begin));
            // Most hold no heap.
            if group.accounted > 0 {
                self.store.account(position);
            }
        }
        let empty = ranks.iter().filter(|&&rank| rank == EMPTY).count();
        let held = ranks.iter().filter(|&&rank| rank != EMPTY && rank != STAYS);
        let held: Vec<_> = held.copied().collect();
        let wanted = share.saturating_sub(empty).min(held.len());
        let (last, mut of_last) = last_to_go(held, wanted);
        let moved = self.store.keep(|position| match ranks[position] {
            EMPTY => false,
            rank if rank == last && of_last > 0 => {
                of_last -= 1;
                false
            }
            rank => rank >= last,
        });
        let changed = &mut self.changed;
        changed.retain_mut(|(_, position)| moved.follow(position));
        if empty + wanted < share || self.store.len() == 0 {
            self.searched_in = Some(poll);
        }
        if wanted > 0 {
            self.lost_at = Some(now);
        }
        wanted as u64
    }

    #[cfg(test)]
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

/// How soon a group goes, the least first: the poll that changed it last, and in its low bits how many events it holds.
type Rank = u64;
const EVENT_BITS: u32 = 24;
/// That of one without events.
const EMPTY: Rank = 0;
/// That of one that never goes.
const STAYS: Rank = Rank::MAX;

fn rank(group: &Group, rule: &Rule, begin: Timestamp) -> Rank {
    let total = group.total(rule);
    if group.is_suspicious(rule, total, begin) {
        STAYS
    } else if total == 0 {
        EMPTY
    } else {
        group.changed_in << EVENT_BITS | total.min((1 << EVENT_BITS) - 1)
    }
}

/// Up to which rank groups go where so many are `wanted`, and how many of that rank.
fn last_to_go(mut ranks: Vec<Rank>, wanted: usize) -> (Rank, usize) {
    let Some(last) = wanted.checked_sub(1) else {
        return (EMPTY, 0);
    };
    let (before, &mut rank, _) = ranks.select_nth_unstable(last);
    let lower = before.iter().filter(|&&before| before < rank).count();
    (rank, wanted - lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unchanged_and_the_lowest_go_first() {
        let ranks = vec![31, 19, 25, 12, 25, 25, 21];
        // (wanted, up to which rank, how many of it)
        for (wanted, last, of_last) in [
            (0, EMPTY, 0),
            (1, 12, 1),
            (2, 19, 1),
            (3, 21, 1),
            (4, 25, 1),
            (6, 25, 3),
            (7, 31, 1),
        ] {
            assert_eq!(last_to_go(ranks.clone(), wanted), (last, of_last));
        }
    }
}
