//! What the watcher of the groups sees of them, and may do to them.
//!
//! In: queries by their index, groups by position or key. Out: groups, what changed, what was
//! evicted.

use jiff::Timestamp;
use recon_common::Address;

use super::groups::Groups;
use super::nursery::Nursery;
use super::{Changed, EvictionStats, Group, GroupKey, GroupStats, Stream, Tag};

impl Stream {
    /// What the groups of all queries take.
    pub(crate) fn group_stats(&self) -> GroupStats {
        let (bytes, limit) = self.budget.taken();
        GroupStats {
            groups: self.groups.iter().map(Groups::len).sum(),
            small_sources: self.nurseries.iter().map(Nursery::small_sources).sum(),
            bytes,
            limit,
        }
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
        let query = &self.table.queries[index].query;
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
        let query = &self.table.queries[index].query;
        self.groups[index].expire(query, position, now);
        self.groups[index].update(position, |_| ());
        self.budget.set(index, self.groups[index].bytes());
    }

    /// Takes a remote's rows out of the group of its network, if the query groups by that alone.
    pub(crate) fn withdraw_from_network(&mut self, index: usize, remote: Address) {
        let query = &self.table.queries[index].query;
        let Some(key) = query.key.network_key(remote) else {
            return;
        };
        if let Some(root) = self.table.roots[index] {
            let nursery = &mut self.nurseries[root as usize];
            let hash = nursery.hash(remote, &self.secrets);
            let go_together = !query.measured.operator.knows_sources();
            nursery.forget(remote, hash, index, go_together);
        }
        if let Some(position) = self.find(index, &key) {
            self.groups[index].withdraw(query, position, remote);
            self.budget.set(index, self.groups[index].bytes());
        }
    }

    /// Takes the tags of groups that were evicted since the last call.
    pub(crate) fn take_released(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.released)
    }

    /// Takes, by query, the rows and the suspicious groups that were not kept since the last call.
    pub(crate) fn take_given_up(&mut self) -> Vec<u64> {
        let none = vec![0; self.given_up.len()];
        std::mem::replace(&mut self.given_up, none)
    }

    /// Takes what was not kept since the last call.
    pub(crate) fn take_stats(&mut self) -> EvictionStats {
        std::mem::take(&mut self.stats)
    }
}
