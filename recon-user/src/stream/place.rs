//! Where the rows of a remote go: into the log of its source, or into groups.
//!
//! In: a row with the queries that accept it. Out: logs and groups.
//! The decision held here: a source is promoted when its rows could carry a group over its
//! threshold, which is found out at the end of the poll, or at once when its log is full.

use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Address;

use super::columns::RowColumns;
use super::fair::Demand;
use super::groups::Event;
use super::nursery::{LogNumber, PackedRow, Placed, Promoted, Root, SetId};
use super::{Interval, Stream, Watcher, order};
use crate::row::Row;

impl Stream {
    /// Places a row of a remote in the logs of its source and of its network, or counts it where
    /// these are promoted.
    pub(super) fn place(
        &mut self,
        remote: Address,
        row: &Row<'_>,
        interval: Interval,
        watcher: &dyn Watcher,
    ) {
        if self.accepted.iter().all(Vec::is_empty) {
            return;
        }
        let packed = PackedRow::new(remote, row, interval, self.poll, self.row_number);
        for root in Root::ALL {
            if self.accepted[root as usize].is_empty() {
                continue;
            }
            let promoted = self.place_in(root, remote, packed.clone(), watcher);
            let promoted = match promoted {
                Placed::Promoted(lost_before) => lost_before,
                Placed::Full(number) => self.promote(root, number, watcher),
                Placed::Kept => continue,
            };
            let table = Arc::clone(&self.table);
            let accepted = std::mem::take(&mut self.accepted[root as usize]);
            for &index in &accepted {
                let query = &table.queries[index].query;
                let columns = RowColumns::new(row, query.plan());
                let event = self.event(index, &columns, interval, promoted);
                self.count(index, query, &event, watcher);
            }
            self.accepted[root as usize] = accepted;
        }
    }

    /// Places a row in one log. Where there is no room for a log, the row is to be counted.
    pub(super) fn place_in(
        &mut self,
        root: Root,
        remote: Address,
        (mut row, is_exact): (PackedRow, bool),
        watcher: &dyn Watcher,
    ) -> Placed {
        let holder = self.holder(root);
        let nursery = &mut self.nurseries[root as usize];
        let hash = nursery.hash(remote, &self.secrets);
        let set = nursery.set_of(row.signal, &self.accepted[root as usize]);
        let set = set.filter(|_| is_exact);
        row.set = set.unwrap_or(SetId::NONE);
        let mut found = nursery.find(remote, hash);
        let growth = nursery.growth(found);
        let mut may_grow = growth == 0 || self.has_room(holder, growth);
        if !may_grow {
            let growth = |stream: &Self| stream.nurseries[root as usize].growth(found);
            let growth = found.map(|_| growth(self));
            let growth = |stream: &Self| {
                growth.unwrap_or_else(|| stream.nurseries[root as usize].growth(None))
            };
            self.make_room(holder, growth, Demand::Newcomer, watcher);
            // It may have moved.
            found = self.nurseries[root as usize].find(remote, hash);
            may_grow = self.has_room(holder, self.nurseries[root as usize].growth(found));
        }
        let nursery = &mut self.nurseries[root as usize];
        let placed = match (found, set) {
            (Some(number), _) => nursery.append(number, row, set.is_some(), may_grow),
            (None, _) if !may_grow => {
                // Each query has a reserve of its own, and may still have room for a group.
                nursery.record_loss_at(self.now);
                Placed::Promoted(Some(self.now))
            }
            (None, Some(_)) => {
                nursery.insert(row, hash, &self.secrets);
                Placed::Kept
            }
            (None, None) => {
                let number = nursery.insert(row, hash, &self.secrets);
                Placed::Promoted(nursery.promote(number).lost_before)
            }
        };
        self.budget
            .set(holder, self.nurseries[root as usize].bytes());
        placed
    }

    /// Promotes a source: counts the rows of its log. Returns when rows may have been lost before.
    pub(super) fn promote(
        &mut self,
        root: Root,
        number: LogNumber,
        watcher: &dyn Watcher,
    ) -> Option<Timestamp> {
        let table = Arc::clone(&self.table);
        let nursery = &mut self.nurseries[root as usize];
        let Promoted { rows, lost_before } = nursery.promote(number);
        self.budget
            .set(self.holder(root), self.nurseries[root as usize].bytes());
        for packed in rows {
            let (row, interval) = packed.unpack();
            let age = (self.poll as u32).wrapping_sub(packed.poll);
            for &index in &*self.nurseries[root as usize].queries(packed.set) {
                let query = &table.queries[index].query;
                let event = Event {
                    row: &RowColumns::new(&row, query.plan()),
                    interval,
                    poll: self.poll.wrapping_sub(age.into()),
                    order: order(packed.number.into(), index),
                    is_replayed: true,
                    is_of_this_poll: age == 0,
                    lost_before,
                };
                self.count(index, query, &event, watcher);
            }
        }
        lost_before
    }

    /// Promotes the sources whose rows could carry a group over its threshold.
    pub(super) fn promote_due(&mut self, watcher: &dyn Watcher) {
        for root in Root::ALL {
            loop {
                let changed = self.nurseries[root as usize].take_changed();
                if changed.is_empty() {
                    break;
                }
                for number in changed {
                    let nursery = &mut self.nurseries[root as usize];
                    if nursery.is_due(number, &self.table.queries, &mut self.bounds) {
                        self.promote(root, number, watcher);
                    }
                }
                // Promotion may move logs, which are then listed again.
            }
        }
    }

    /// The place of a nursery in the budget.
    pub(super) fn holder(&self, root: Root) -> usize {
        self.groups.len() + root as usize
    }
}
