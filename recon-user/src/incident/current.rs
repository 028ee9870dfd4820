//! Incidents as they stand, for whoever looks at a running agent.
//!
//! In: the incidents between two polls. Out: some of the open ones, or the one of an id: a
//! [`CurrentIncident`] each.
//! The decisions held here:
//! - Nothing is kept for it. What is over its threshold is described as it would be in an alert.
//! - A flood has hundreds of thousands of incidents. Those with lines are looked up by their keys;
//!   of the others, only as many are looked at as [`LOOKED_AT`], those whose ends come last.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::finding::identify;
use super::state::{Phase, Report};
use super::{Finding, Incidents};
use crate::contact::Contacts;
use crate::kql::Severity;
use crate::stable_hash::StableHash;
use crate::stream::{GroupKey, Query, Stream, Tag};

/// Open incidents that are looked at for a list, or for an id.
const LOOKED_AT: usize = 1 << 12;

/// An incident as it stands.
#[derive(Clone, Debug)]
pub(crate) struct CurrentIncident {
    /// What an alert would say of it now. Its count may be below the threshold.
    pub(crate) finding: Finding,
    pub(crate) life: IncidentLife,
}

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncidentLife {
    /// Whether it has begun and is not over.
    pub(crate) is_open: bool,
    /// Whether the rule's cooldown withholds that it has begun.
    pub(crate) is_withheld: bool,
    pub(crate) began_at: Timestamp,
    /// When the count was last over the threshold.
    pub(crate) over_at: Timestamp,
    /// The count of the last report.
    pub(crate) reported: u64,
    pub(crate) greatest: u64,
    /// Polls over the threshold since the last report.
    pub(crate) suppressed: u64,
    /// The severity of the last report.
    pub(crate) severity: Option<Severity>,
    /// When it is over unless its count is over the threshold again.
    pub(crate) ends_at: Timestamp,
    /// The count that is reported as growth.
    pub(crate) grows_at: u64,
    /// When the next `began` or `grew` may come.
    pub(crate) may_report_at: Timestamp,
}

/// What has to be known of the pipeline.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) contacts: &'a Contacts,
    pub(crate) now: Timestamp,
}

impl Incidents {
    /// The open incidents, the most severe first, then those that were over their thresholds last.
    /// `known` are those that have lines, by the ids of their rules and their keys.
    pub(crate) fn list_open<'a>(
        &self,
        around: Surroundings<'_>,
        known: impl Iterator<Item = (&'a Query, &'a GroupKey)>,
        limit: usize,
    ) -> Vec<CurrentIncident> {
        let stream = around.stream;
        let indexes = stream.queries().iter().enumerate();
        let indexes: BTreeMap<_, _> = indexes
            .map(|(index, placed)| (placed.query.rule_id(), index))
            .collect();
        let known = known.filter_map(|(query, key)| Some((*indexes.get(query.rule_id())?, key)));
        let scheduled = self.end_checks.values().rev().take(LOOKED_AT);
        let scheduled = scheduled.map(|(index, key)| (*index, key));
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (index, key) in known.chain(scheduled) {
            let Some((position, tag)) = find_tagged(stream, index, key) else {
                continue;
            };
            let incident = self.get(tag).filter(|incident| incident.is_open());
            if let Some(incident) = incident.filter(|_| seen.insert(tag)) {
                let query = &stream.queries()[index].query;
                let life = incident.life(query, self.quiet);
                let severity = life.severity.unwrap_or(query.severity());
                found.push((Reverse((severity, life.over_at)), index, position, tag));
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        let found = found.into_iter();
        found
            .filter_map(|(_, index, position, tag)| {
                let key = stream.group(index, position);
                let key = key.key(&stream.queries()[index].query);
                self.describe(around, index, position, &key, tag)
            })
            .collect()
    }

    /// The incident of a group, if that has one.
    pub(crate) fn of_key(
        &self,
        around: Surroundings<'_>,
        query: &Query,
        key: &GroupKey,
    ) -> Option<CurrentIncident> {
        let mut all = around.stream.queries().iter();
        let index = all.position(|placed| placed.query.rule_id() == query.rule_id())?;
        let (position, tag) = find_tagged(around.stream, index, key)?;
        self.describe(around, index, position, key, tag)
    }

    /// The open incident that `is_it` accepts, among those that are looked at.
    pub(crate) fn find_open(
        &self,
        around: Surroundings<'_>,
        is_it: impl Fn(StableHash) -> bool,
    ) -> Option<CurrentIncident> {
        let scheduled = self.end_checks.values().rev().take(LOOKED_AT);
        scheduled.into_iter().find_map(|(index, key)| {
            let (position, tag) = find_tagged(around.stream, *index, key)?;
            let query = &around.stream.queries()[*index].query;
            let began_at = self.get(tag)?.life(query, self.quiet).began_at;
            let id = identify(query, key, began_at);
            is_it(id).then(|| self.describe(around, *index, position, key, tag))?
        })
    }

    fn describe(
        &self,
        around: Surroundings<'_>,
        index: usize,
        position: u32,
        key: &GroupKey,
        tag: Tag,
    ) -> Option<CurrentIncident> {
        let Surroundings {
            stream,
            contacts,
            now,
        } = around;
        let query = &stream.queries()[index].query;
        let group = stream.group(index, position);
        let life = self.get(tag)?.life(query, self.quiet);
        let report = Report {
            phase: life.phase(),
            began_at: life.began_at,
            count: group.total(query),
            suppressed: life.suppressed,
        };
        let mut finding = Finding::new(query, group, key, report, now);
        finding.describe_standing(contacts);
        finding.severity = life.severity.unwrap_or(finding.severity);
        Some(CurrentIncident { finding, life })
    }
}

impl IncidentLife {
    /// The phase that a line would have.
    const fn phase(&self) -> Phase {
        match (self.is_open, self.is_withheld) {
            (false, false) => Phase::Ended,
            _ => Phase::Began,
        }
    }
}

/// The position of a group that has an incident, and its tag.
fn find_tagged(stream: &Stream, index: usize, key: &GroupKey) -> Option<(u32, Tag)> {
    let position = stream.find(index, key)?;
    Some((position, stream.group(index, position).tag?))
}
