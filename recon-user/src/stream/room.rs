//! Counting a row in its group, and the room for that.
//!
//! In: a row that a query has accepted. Out: the group's count, or a refusal.
//! The decision held here: the query or the nursery that holds the most evicts. Where nothing may
//! be evicted, a new group is refused, and counted; each holder is searched once a poll.

use super::evict::{Evicted, Eviction};
use super::fair::Demand;
use super::groups::Event;
use super::key::GroupLookup;
use super::nursery::Squeeze;
use super::query::Query;
use super::{MARGIN, Stream, Watcher};

impl Stream {
    pub(super) fn count(
        &mut self,
        index: usize,
        query: &Query,
        event: &Event<'_>,
        watcher: &dyn Watcher,
    ) {
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
            let demand = match found {
                Some(_) => Demand::Growth,
                None => Demand::Newcomer,
            };
            self.make_room(index, growth, demand, watcher);
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
                groups.record_loss_at(self.now);
                self.stats.refused += 1;
                self.given_up[index] += 1;
                return;
            }
        };
        groups.count(query, position, event, may_grow);
        self.budget.set(index, groups.bytes());
    }

    /// Whether a query or a nursery may grow by that much, and a row.
    #[inline]
    pub(super) fn has_room(&self, holder: usize, growth: usize) -> bool {
        self.budget.room(holder) >= MARGIN + growth
    }

    /// Evicts until a query or a nursery may grow, or nothing more may be evicted.
    pub(super) fn make_room(
        &mut self,
        holder: usize,
        growth: impl Fn(&Self) -> usize,
        demand: Demand,
        watcher: &dyn Watcher,
    ) {
        // Rows that are counted late must not take what this poll has changed for old.
        let (now, poll) = (self.now, self.poll);
        while !self.has_room(holder, growth(self)) {
            let may_give = |other: usize| match self.groups.get(other) {
                Some(groups) => !groups.is_exhausted(poll, demand),
                None => !self.nurseries[other - self.groups.len()].is_exhausted(poll),
            };
            let Some(greatest) = self.budget.greatest(holder, may_give) else {
                return;
            };
            let bytes = match self.groups.get_mut(greatest) {
                Some(groups) => {
                    self.evictions += 1;
                    let eviction = Eviction {
                        query: &self.table.queries[greatest].query,
                        now,
                        poll,
                        demand,
                        number: self.evictions,
                        watcher,
                        secrets: &self.secrets,
                    };
                    let Evicted { all, suspicious } = groups.evict(eviction, &mut self.released);
                    self.stats.evicted += all;
                    self.given_up[greatest] += suspicious;
                    groups.bytes()
                }
                None => {
                    let nursery = &mut self.nurseries[greatest - self.groups.len()];
                    let squeeze = Squeeze {
                        now,
                        poll,
                        queries: &self.table.queries,
                        watcher,
                        secrets: &self.secrets,
                    };
                    self.stats.evicted += nursery.evict_chunk(squeeze, &mut self.bounds);
                    if greatest != holder {
                        nursery.free_spare();
                    }
                    nursery.bytes()
                }
            };
            self.budget.set(greatest, bytes);
        }
    }
}
