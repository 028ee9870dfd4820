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
    /// The queries that count only after another, and those that skip what another reports.
    followers: Vec<usize>,
    skippers: Vec<usize>,
}

/// An incident of a remote, and the query that reports it, by index.
#[derive(Clone, Copy, Debug)]
struct ReportedBy {
    query: usize,
    tag: Tag,
}

/// What a query depends on, by index.
#[derive(Debug)]
struct Dependencies {
    query: Arc<Query>,
    after: Vec<usize>,
    unless: Vec<usize>,
    /// Whether another query depends on it.
    is_followed: bool,
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
        let after = |query: &Query| positions(query.after());
        let unless = |query: &Query| positions(query.unless());
        let follows =
            |query: &Query, index| after(query).contains(&index) || unless(query).contains(&index);
        let dependencies = |(index, query): (usize, &Arc<Query>)| Dependencies {
            after: after(query),
            unless: unless(query),
            is_followed: queries.iter().any(|other| follows(other, index)),
            query: Arc::clone(query),
        };
        let is_follower = |&index: &usize| !after(&queries[index]).is_empty();
        let is_skipper = |&index: &usize| !unless(&queries[index]).is_empty();
        Self {
            followers: (0..queries.len()).filter(is_follower).collect(),
            skippers: (0..queries.len()).filter(is_skipper).collect(),
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
        if self.queries[index].is_followed
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
    pub(super) fn skipping(&self, index: usize) -> Vec<usize> {
        let all = self.queries.iter().enumerate();
        all.filter(|(_, dependencies)| dependencies.unless.contains(&index))
            .map(|(skipping, _)| skipping)
            .collect()
    }

    /// The queries whose `unless` has reported a remote.
    #[inline]
    pub(super) fn skipped(
        &self,
        remote: Address,
        now: Timestamp,
        is_over: &dyn Fn(Tag, Timestamp) -> bool,
    ) -> Vec<usize> {
        self.depending(remote, now, is_over, &self.skippers, |of| &of.unless)
    }

    /// The queries whose `after` has reported a remote.
    #[inline]
    pub(super) fn following(
        &self,
        remote: Address,
        now: Timestamp,
        is_over: &dyn Fn(Tag, Timestamp) -> bool,
    ) -> Vec<usize> {
        self.depending(remote, now, is_over, &self.followers, |of| &of.after)
    }

    fn depending(
        &self,
        remote: Address,
        now: Timestamp,
        is_over: &dyn Fn(Tag, Timestamp) -> bool,
        dependent: &[usize],
        on: fn(&Dependencies) -> &[usize],
    ) -> Vec<usize> {
        let Some(reported) = self.remotes.get(&remote) else {
            return Vec::new();
        };
        let has_reported = |&index: &usize| {
            let by = reported.iter().find(|by| by.query == index);
            by.is_some_and(|by| is_over(by.tag, window_start_of(&self.queries[index].query, now)))
        };
        let depends = |&index: &usize| on(&self.queries[index]).iter().any(has_reported);
        dependent.iter().copied().filter(depends).collect()
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
