//! The groups of one rule, bounded in number.
//!
//! In: rows that the rule takes. Out: the group's count, and a [`Finding`] where its alarm is due.
//! The decision held here: at the bound, empty groups go first, then an eighth of them at once (so that room costs the same
//! however many there are): those not yet at half their threshold before the others, and of these the longest unchanged. A flood
//! of one-packet sources therefore does not push out a scanner. What is evicted is counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;

use super::aggregate::Sliding;
use super::alarm::Alarm;
use super::columns::RowColumns;
use super::group::{Group, GroupKey, Seen, Window};
use super::{Finding, Interval};
use crate::rule::Rule;
use crate::window::{self, Slice};

/// Groups that a rule keeps.
const MAX_GROUPS: usize = 1 << 16;
/// The share of them that makes room at once.
const EVICTED_SHARE: usize = 8;
/// A row of the drain, with the poll that brought it.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) row: &'a RowColumns<'a>,
    pub(super) interval: Interval,
    pub(super) poll: u64,
}

/// What counting a row did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether it is the first change of this group in this poll.
    pub(super) is_first_change: bool,
    /// Groups that had to go.
    pub(super) evicted: u64,
}

/// The groups of one rule.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<GroupKey, Group>);

impl Groups {
    /// Counts a row that the rule takes.
    pub(super) fn count(&mut self, rule: &Rule, group: GroupKey, event: &Event<'_>) -> Outcome {
        let Event {
            row,
            interval,
            poll,
        } = *event;
        let now = Slice::of(interval.to, rule.window());
        let mut outcome = Outcome::default();
        if self.0.len() >= MAX_GROUPS && !self.0.contains_key(&group) {
            outcome.evicted = self.make_room(rule, now);
        }
        let group = match self.0.entry(group) {
            Entry::Occupied(entry) => {
                let group = entry.into_mut();
                outcome.is_first_change = group.changed_in != poll;
                group
            }
            Entry::Vacant(entry) => {
                outcome.is_first_change = true;
                entry.insert(Group {
                    window: Window::new(rule.measure),
                    aggregates: rule
                        .kept
                        .iter()
                        .map(|&position| Sliding::new(rule.plan(), position))
                        .collect(),
                    alarm: Alarm::default(),
                    seen: Seen::nothing(interval.from),
                    changed_in: poll,
                    changed_at: interval.to,
                    total_before: 0,
                })
            }
        };
        // A sum by an aggregate takes time, and is asked for once a poll.
        if outcome.is_first_change {
            group.expire(now);
            group.total_before = group.total(rule);
            if group.total_before == 0 {
                group.seen = Seen::nothing(interval.from);
            }
        }
        group.changed_in = poll;
        group.changed_at = interval.to;
        group.seen.is_lossy |= !group.add(rule, now, row) || outcome.evicted > 0;
        group.seen.note(rule, row.row.signal, row.row.key);
        outcome
    }

    /// Whether a group was told of, and over its threshold within the rule's window, at the last poll that changed it or before.
    pub(super) fn was_over(&self, rule: &Rule, group: &GroupKey, now: Timestamp) -> bool {
        self.0
            .get(group)
            .is_some_and(|group| group.alarm.was_over(window::begin(now, rule.window())))
    }

    /// By how much `poll` has made the group's total grow.
    pub(super) fn grown_in(&self, poll: u64, group: &GroupKey) -> Option<u64> {
        let group = self.0.get(group)?;
        Some(if group.changed_in == poll {
            group.window.total().saturating_sub(group.total_before)
        } else {
            0
        })
    }

    /// The finding for a group that this poll has changed, if its alarm is due. Whether it is to be watched for its end comes with it.
    pub(super) fn judge(
        &mut self,
        rule: &Arc<Rule>,
        key: &GroupKey,
        now: Timestamp,
        lossy: bool,
    ) -> Option<Finding> {
        let group = self.0.get_mut(key)?;
        group.seen.is_lossy |= lossy;
        let count = group.total(rule);
        if !group.is_wanted(rule, key, now) {
            return None;
        }
        let told = group.alarm.note(count, rule, now)?;
        Some(group.finding(rule, key, told, now))
    }

    /// Whether the end of the group's incident has to be looked for from now on.
    pub(super) fn watch(&mut self, key: &GroupKey) -> bool {
        self.0.get_mut(key).is_some_and(|group| group.alarm.watch())
    }

    /// Looks at a group that was told of. Returns the finding where its incident is over and has grown since, and when to look again
    /// where it goes on.
    pub(super) fn look(
        &mut self,
        rule: &Arc<Rule>,
        key: &GroupKey,
        now: Timestamp,
    ) -> Result<Option<Finding>, Timestamp> {
        let Some(group) = self.0.get_mut(key) else {
            return Ok(None);
        };
        group.expire(Slice::of(now, rule.window()));
        let total = group.total(rule);
        let told = group.alarm.end(total, group.changed_at, now)?;
        Ok(told.map(|told| group.finding(rule, key, told, now)))
    }

    /// What has to be told of groups that were told of, if their incidents are over at `now`, whatever else is to come: in an order that
    /// is the same for the same rows.
    pub(super) fn end(&mut self, rule: &Arc<Rule>, now: Timestamp) -> Vec<(GroupKey, Finding)> {
        let mut keys: Vec<GroupKey> = self.0.keys().cloned().collect();
        keys.sort_unstable_by(GroupKey::order);
        keys.into_iter()
            .filter_map(|key| {
                let group = self.0.get_mut(&key)?;
                let (total, changed_at) = (group.total(rule), group.changed_at);
                let told = group.alarm.end(total, changed_at, Timestamp::MAX).ok()??;
                let finding = group.finding(rule, &key, told, now);
                Some((key, finding))
            })
            .collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops groups until there is room again. Returns how many of them held something.
    fn make_room(&mut self, rule: &Rule, now: Slice) -> u64 {
        self.0.retain(|_, group| {
            group.expire(now);
            group.total(rule) > 0
        });
        let share = MAX_GROUPS / EVICTED_SHARE;
        if self.0.len() + share <= MAX_GROUPS {
            return 0;
        }
        let rank = |group: &Group| (group.total(rule) > rule.threshold() / 2, group.changed_in);
        let mut ranks: Vec<_> = self.0.values().map(rank).collect();
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(share - 1);
        let before = self.0.len();
        let mut left = share;
        self.0.retain(|_, group| {
            let goes = left > 0 && rank(group) <= last_to_go;
            left -= usize::from(goes);
            !goes
        });
        (before - self.0.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use recon_common::{Address, Key, Signal};

    use super::*;
    use crate::row::Row;
    use crate::rule::{Configured, defaults};

    #[test]
    fn a_flood_of_sources_does_not_push_out_a_scanner() {
        let plan = defaults()
            .into_iter()
            .find(|plan| plan.id == "port-scan")
            .expect("one of the rules");
        let rule = Rule::new(Configured::plain(plan));
        let mut groups = Groups::default();
        let mut evicted = 0;
        let mut hit = |groups: &mut Groups, remote: u32, port: u16, second: i64| {
            let time = Timestamp::from_second(second).expect("in range");
            let key = Key {
                remote: Address::v4(remote.to_be_bytes()),
                local: Address::v4([203, 0, 113, 1]),
                port,
                process: 0,
                signal: Signal::Syn as u8,
                reserved: 0,
            };
            let row = Row {
                key: &key,
                signal: Signal::Syn,
                count: 1,
                time,
                device: "",
                process: None,
                is_scanner: false,
                sources: None,
            };
            let row = RowColumns::new(&row, rule.plan());
            let interval = Interval {
                from: time,
                to: time,
            };
            let event = Event {
                row: &row,
                interval,
                poll: second as u64,
            };
            let group = GroupKey::new(&rule, &row).expect("a remote is known");
            evicted += groups.count(&rule, group, &event).evicted;
        };
        let scanner = u32::from_be_bytes([198, 51, 100, 1]);
        for port in 1..=15 {
            hit(&mut groups, scanner, port, 0);
        }
        let sources = 3 * MAX_GROUPS as u32;
        for source in 0..sources {
            hit(&mut groups, source, 80, 1 + i64::from(source / 1000));
        }
        assert!(groups.0.len() <= MAX_GROUPS, "{} groups", groups.0.len());
        assert!(
            groups.0.values().any(|group| group.total(&rule) == 15),
            "the scanner is gone"
        );
        assert_eq!(evicted + groups.0.len() as u64, u64::from(sources) + 1);
    }
}
