//! The remotes that a rule has reported, for the rules that follow it: `after` and `unless`.
//!
//! In: incidents of rules that group by the remote. Out: which queries skip or defer the
//! rows of a remote.
//! The decision held here: a remote counts as reported while its incident was over the threshold
//! within the window of the rule that reported it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Address;

use super::window_start_of;
use crate::stream::{GroupKey, Query, Secrets, Tag};

/// The remotes that rules have reported.
#[derive(Debug)]
pub(super) struct ReportedRemotes {
    queries: Vec<Dependencies>,
    /// The incidents of each remote, of queries that others follow. Most remotes have none, and
    /// each row asks.
    remotes: HashMap<Address, Vec<ReportedBy>, Secrets>,
    /// The queries that count only after another.
    followers: Vec<usize>,
}

/// An incident of a remote, and the query that reports it, by index.
#[derive(Clone, Copy, Debug)]
struct ReportedBy {
    query: usize,
    tag: Tag,
}

/// What a query depends on, and what depends on it, by index in ascending order.
#[derive(Debug)]
struct Dependencies {
    query: Arc<Query>,
    after: Vec<usize>,
    /// The queries whose `after` names it, and those whose `unless` does.
    following: Vec<usize>,
    skipping: Vec<usize>,
}

impl Dependencies {
    /// Whether another query depends on it.
    fn is_followed(&self) -> bool {
        !self.following.is_empty() || !self.skipping.is_empty()
    }
}

impl ReportedRemotes {
    pub(super) fn new(queries: &[Arc<Query>]) -> Self {
        let positions = |ids: &[String]| -> Vec<usize> {
            let all = queries.iter().enumerate();
            let named = all.filter(|(_, query)| {
                query.reports_remotes() && ids.iter().any(|id| id == query.id())
            });
            named.map(|(index, _)| index).collect()
        };
        let named = |of: fn(&Query) -> &[String]| -> Vec<Vec<usize>> {
            queries.iter().map(|query| positions(of(query))).collect()
        };
        let (after, unless) = (named(Query::after), named(Query::unless));
        let naming = |named: &[Vec<usize>], index: usize| -> Vec<usize> {
            let all = 0..named.len();
            all.filter(|&other| named[other].contains(&index)).collect()
        };
        let dependencies = |(index, query): (usize, &Arc<Query>)| Dependencies {
            after: after[index].clone(),
            following: naming(&after, index),
            skipping: naming(&unless, index),
            query: Arc::clone(query),
        };
        let is_follower = |&index: &usize| !after[index].is_empty();
        Self {
            followers: (0..queries.len()).filter(is_follower).collect(),
            queries: queries.iter().enumerate().map(dependencies).collect(),
            remotes: HashMap::default(),
        }
    }

    /// Whether a query is `after` one that is in force.
    pub(super) fn follows(&self, index: usize) -> bool {
        !self.queries[index].after.is_empty()
    }

    /// The queries that count only after another.
    pub(super) fn followers(&self) -> &[usize] {
        &self.followers
    }

    /// Notes the incident of a group.
    pub(super) fn add(&mut self, index: usize, key: &GroupKey, tag: Tag) {
        if self.queries[index].is_followed()
            && let Some(remote) = key.remote
        {
            let reported = self.remotes.entry(remote).or_default();
            match reported.iter_mut().find(|by| by.query == index) {
                Some(by) => by.tag = tag,
                None => reported.push(ReportedBy { query: index, tag }),
            }
        }
    }

    /// Removes incidents: all in one call, since each call visits every remote.
    pub(super) fn remove_all(&mut self, tags: &[Tag]) {
        if tags.is_empty() || self.remotes.is_empty() {
            return;
        }
        let tags: HashSet<Tag, Secrets> = tags.iter().copied().collect();
        self.remotes.retain(|_, reported| {
            reported.retain(|by| !tags.contains(&by.tag));
            !reported.is_empty()
        });
    }

    /// Queries whose `unless` names this query.
    pub(super) fn skipping(&self, index: usize) -> &[usize] {
        &self.queries[index].skipping
    }

    /// The queries whose `unless` has reported a remote.
    #[inline]
    pub(super) fn skipped(
        &self,
        remote: Address,
        now: Timestamp,
        is_over: &dyn Fn(Tag, Timestamp) -> bool,
    ) -> Vec<usize> {
        self.depending(remote, now, is_over, |of| &of.skipping)
    }

    /// The queries whose `after` has reported a remote.
    #[inline]
    pub(super) fn following(
        &self,
        remote: Address,
        now: Timestamp,
        is_over: &dyn Fn(Tag, Timestamp) -> bool,
    ) -> Vec<usize> {
        self.depending(remote, now, is_over, |of| &of.following)
    }

    /// The queries that depend on those that have reported a remote. Each row of such a remote
    /// asks, so each of its incidents is looked at once.
    fn depending(
        &self,
        remote: Address,
        now: Timestamp,
        is_over: &dyn Fn(Tag, Timestamp) -> bool,
        depending: fn(&Dependencies) -> &[usize],
    ) -> Vec<usize> {
        let Some(reported) = self.remotes.get(&remote) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for &ReportedBy { query, tag } in reported {
            let of = &self.queries[query];
            let dependent = depending(of);
            if !dependent.is_empty() && is_over(tag, window_start_of(&of.query, now)) {
                all.extend_from_slice(dependent);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Configured, Profile, defaults};

    #[test]
    fn a_remote_is_forgotten_with_its_incident() {
        let queries = defaults(Profile::Source).into_iter().map(Configured::plain);
        let queries: Vec<_> = queries.map(|rule| Arc::new(Query::new(rule))).collect();
        let mut reported = ReportedRemotes::new(&queries);
        let [first, second] = [1, 2].map(|last| Address::v4([198, 51, 100, last]));
        let port_scan = 0;
        reported.add(port_scan, &GroupKey::of_remote(first), Tag(0));
        reported.add(port_scan, &GroupKey::of_remote(second), Tag(1));
        // A tag that is free again may be another incident's, which is open.
        reported.remove_all(&[Tag(0)]);
        let is_over = |_, _| true;
        let skipped = |remote| {
            reported
                .skipped(remote, Timestamp::UNIX_EPOCH, &is_over)
                .len()
        };
        assert_eq!((skipped(first), skipped(second)), (0, 1));
    }
}
