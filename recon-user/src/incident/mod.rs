//! Incidents: what is reported about groups over their threshold, and when.
//!
//! In: the groups that a poll has changed. Out: [`Notification`]s, in the order in which they are
//! written.
//!
//! | step | module | holds |
//! |---|---|---|
//! | state | [`state`] | the life of one incident |
//! | follow | `deferred`, `reported` | rules that depend on the remotes of another rule |
//! | finding | [`finding`] | what is reported |
//! | order | `order` | `order by` and `take` of a query |
//! | limit | [`limit`] | how many lines a query may write |
//! | digest | [`digest`] | what an hour adds up to: attempts, and findings without a line |
//! | save | `saved` | the state as data |
//! | show | [`current`] | incidents as they stand, for whoever looks at a running agent |
//!
//! The decisions held here:
//! - Incidents are stored here, indexed by the tag that the stream keeps with each group. Where a
//!   group is evicted, its incident goes too.
//! - End checks are queued by due time, so that a poll looks only at what it has changed and at
//!   what is due.
//! - It does not know how rows are filtered, keyed and aggregated.

mod current;
mod deferred;
pub mod digest;
pub mod finding;
pub mod limit;
mod order;
mod reference;
mod reported;
mod saved;
pub mod state;
mod stats;
mod watcher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use recon_common::Address;

use crate::contact::Contacts;
use crate::row::Row;
use crate::stream::window::{self, allocated};
use crate::stream::{Group, GroupKey, Interval, PlacedQuery, Query, Role, Stream, Tag};
use deferred::DeferredRow;
use reported::ReportedRemotes;
use state::{Due, Incident, Report, observe_count};

pub(crate) use current::{CurrentIncident, IncidentLife, Surroundings};
pub use digest::Digest;
pub use finding::{Finding, PacketEvidence, Source};
pub use limit::{LineLimit, LineLimiter, Notification, Suppressed, SuppressedSource};
pub(crate) use reference::unmet_references;
pub(crate) use saved::{IncidentsState, SavedIncidents};
pub use state::{DEFAULT_QUIET, Phase};
pub(crate) use stats::IncidentStats;
pub(crate) use watcher::Known;

/// End checks, by due time and the order in which their incidents began.
type EndChecks = BTreeMap<(Timestamp, u64), (usize, GroupKey)>;
/// The bytes of an end check: nodes of the tree are two thirds full on average.
const END_CHECK_BYTES: usize = size_of::<((Timestamp, u64), (usize, GroupKey))>() * 3 / 2;
/// The bytes that an incident takes here, which its group reserves.
pub(crate) const INCIDENT_BYTES: usize = allocated(size_of::<Incident>()) + END_CHECK_BYTES;

/// All incidents.
#[derive(Debug)]
pub(crate) struct Incidents {
    /// By tag.
    incidents: Vec<Option<Incident>>,
    /// Tags that are free.
    free: Vec<Tag>,
    end_checks: EndChecks,
    /// How long an incident must be unchanged to be over.
    quiet: SignedDuration,
    /// How many end checks have been scheduled.
    scheduled_total: u64,
    /// The time of the last poll.
    last: Timestamp,
    reported: ReportedRemotes,
    deferred: Vec<DeferredRow>,
    stats: IncidentStats,
}

/// What one poll's judgement depends on.
#[derive(Clone, Copy)]
struct Poll<'a> {
    interval: Interval,
    /// Whether the kernel lost something.
    is_lossy: bool,
    contacts: &'a Contacts,
}

impl Incidents {
    pub(crate) fn new(queries: &[Arc<Query>], quiet: Duration) -> Self {
        Self {
            incidents: Vec::new(),
            free: Vec::new(),
            end_checks: EndChecks::new(),
            quiet: SignedDuration::try_from(quiet).unwrap_or(SignedDuration::MAX),
            scheduled_total: 0,
            last: Timestamp::MIN,
            reported: ReportedRemotes::new(queries),
            deferred: Vec::new(),
            stats: IncidentStats::default(),
        }
    }

    /// The role of each query in the stream. One that follows a query not in force counts nothing.
    pub(crate) fn roles(&self, queries: &[Arc<Query>]) -> Vec<PlacedQuery> {
        let roles = queries.iter().enumerate().map(|(index, query)| {
            let role = match (query.after(), self.reported.follows(index)) {
                ([], _) => Role::Direct,
                (_, true) => Role::Deferred,
                (_, false) => Role::Idle,
            };
            PlacedQuery {
                query: Arc::clone(query),
                role,
            }
        });
        roles.collect()
    }

    /// Whether the incident of a tag was over its threshold at `since` or later.
    fn protects(&self, tag: Tag, since: Timestamp) -> bool {
        self.get(tag)
            .is_some_and(|incident| incident.was_over(since))
    }

    fn get(&self, tag: Tag) -> Option<&Incident> {
        self.incidents.get(tag.0 as usize)?.as_ref()
    }

    /// The queries that do not count this remote, as the rule of their `unless` has reported it.
    pub(crate) fn skipped(&self, remote: Option<Address>, now: Timestamp) -> Vec<usize> {
        let is_over = |tag, since| self.protects(tag, since);
        match remote {
            Some(remote) => self.reported.skipped(remote, now, &is_over),
            None => Vec::new(),
        }
    }

    /// Defers a row for the queries that follow other rules: whether these report its remote is
    /// known at the end of the poll.
    pub(crate) fn defer(&mut self, stream: &Stream, row: &Row<'_>) {
        let Some(remote) = row.key.remote else { return };
        for &index in self.reported.followers() {
            if stream.accepts(index, row) {
                self.deferred.push(DeferredRow::new(index, remote, row));
            }
        }
    }

    /// Ends a poll: what is reported about the groups that it has changed, in the order in which
    /// they were first changed, and about incidents that are over.
    pub(crate) fn end_poll(
        &mut self,
        stream: &mut Stream,
        contacts: &Contacts,
        interval: Interval,
        is_lossy: bool,
    ) -> Vec<Finding> {
        let poll = Poll {
            interval,
            is_lossy,
            contacts,
        };
        self.note_clock(interval.to);
        stream.end_rows(&Known {
            incidents: self,
            contacts,
        });
        let mut findings = Vec::new();
        // First what was over before this poll's rows came, which may begin further incidents.
        let before = interval.from.min(interval.to);
        self.end_due(stream, before, poll, &mut findings);
        self.judge_changed(stream, poll, &mut findings);
        self.count_deferred(stream, contacts, interval);
        self.judge_changed(stream, poll, &mut findings);
        self.end_due(stream, interval.to, poll, &mut findings);
        stream.end_poll();
        order::arrange(findings)
    }

    /// Makes all end checks due if the clock was set back: they would come too late.
    fn note_clock(&mut self, now: Timestamp) {
        if now < self.last {
            let end_checks = std::mem::take(&mut self.end_checks).into_iter();
            self.end_checks = end_checks
                .map(|((_, order), of)| ((now, order), of))
                .collect();
        }
        self.last = now;
    }

    /// Judges the groups that the poll has changed. Rules with `unless` are judged after the rule
    /// that they name.
    fn judge_changed(&mut self, stream: &mut Stream, poll: Poll<'_>, findings: &mut Vec<Finding>) {
        self.release(stream);
        let mut found = Vec::new();
        for index in 0..stream.queries().len() {
            let mut began = Vec::new();
            for changed in stream.take_changed(index) {
                if let Some((finding, remote)) = self.judge(stream, index, changed.position, poll) {
                    if finding.phase == Phase::Began {
                        began.extend(remote);
                    }
                    found.push((changed.order, finding));
                }
            }
            for &skipping in self.reported.skipping(index) {
                for &remote in &began {
                    stream.withdraw_from_network(skipping, remote);
                }
            }
        }
        found.sort_unstable_by_key(|&(order, _)| order);
        findings.extend(found.into_iter().map(|(_, finding)| finding));
    }

    /// Judges one group. Returns what is reported about it, and the remote that it is keyed by.
    fn judge(
        &mut self,
        stream: &mut Stream,
        index: usize,
        position: u32,
        poll: Poll<'_>,
    ) -> Option<(Finding, Option<Address>)> {
        let query = Arc::clone(&stream.queries()[index].query);
        if poll.is_lossy {
            stream.mark_lossy(index, position);
        }
        let now = poll.interval.to;
        let group = stream.group(index, position);
        let (total, mut tag) = (group.total(&query), group.tag);
        let mut found = None;
        if total > query.threshold() {
            let key = group.key(&query);
            // The rule of its `unless` may have reported the remote in this very poll.
            let is_skipped = self.skipped(key.remote, now).contains(&index);
            if !is_skipped && group.meets_conditions(&query, &key, now) {
                let known = tag.filter(|&tag| self.get(tag).is_some());
                let own = known.unwrap_or_else(|| self.assign_tag(index, &key));
                tag = Some(own);
                let incident = &mut self.incidents[own.0 as usize];
                let report = observe_count(incident, total, &query, now);
                self.stats.note_report(report);
                if incident.as_mut().is_some_and(Incident::schedule_end) {
                    self.stats.open += 1;
                    let due = now.checked_add(self.quiet).unwrap_or(Timestamp::MAX);
                    let check = (index, key.clone());
                    self.end_checks.insert((due, self.scheduled_total), check);
                    self.scheduled_total += 1;
                }
                found = report.map(|report| (report, key));
            }
        }
        let tag = tag?;
        if stream.group(index, position).tag != Some(tag) {
            stream.set_tag(index, position, tag);
        }
        let (report, key) = found?;
        let group = stream.group(index, position);
        let incident = self.incident_mut(tag)?;
        let finding = report_on(&query, group, &key, report, incident, poll);
        Some((finding, key.remote))
    }

    /// Assigns a tag to a group, for an incident that is yet to open.
    fn assign_tag(&mut self, index: usize, key: &GroupKey) -> Tag {
        let tag = self.free.pop().unwrap_or_else(|| {
            self.incidents.push(None);
            Tag(self.incidents.len() as u32 - 1)
        });
        self.reported.add(index, key, tag);
        tag
    }

    fn incident_mut(&mut self, tag: Tag) -> Option<&mut Incident> {
        self.incidents.get_mut(tag.0 as usize)?.as_mut()
    }

    /// Drops the incidents of groups that were evicted.
    fn release(&mut self, stream: &mut Stream) {
        let released = stream.take_released();
        for tag in &released {
            let incident = self.incidents[tag.0 as usize].take();
            self.stats.note_released(incident.as_ref());
        }
        self.reported.remove_all(&released);
        self.free.extend(released);
    }

    /// Counts the deferred rows of remotes that a rule which their query follows has reported.
    fn count_deferred(&mut self, stream: &mut Stream, contacts: &Contacts, interval: Interval) {
        let deferred = std::mem::take(&mut self.deferred);
        let is_over = |tag, since| self.protects(tag, since);
        let known = Known {
            incidents: self,
            contacts,
        };
        for row in &deferred {
            let following = self.reported.following(row.remote, interval.to, &is_over);
            if following.contains(&row.query) {
                stream.count_in(row.query, &row.row(interval.to), interval, &known);
            }
        }
    }

    /// Reports the incidents that are over at `at`.
    fn end_due(
        &mut self,
        stream: &mut Stream,
        at: Timestamp,
        poll: Poll<'_>,
        findings: &mut Vec<Finding>,
    ) {
        while let Some(first) = self.end_checks.first_entry()
            && first.key().0 <= at
        {
            let ((_, order), (index, key)) = first.remove_entry();
            let Some(position) = stream.find(index, &key) else {
                continue;
            };
            match self.close_incident(stream, index, position, &key, at, poll) {
                Ok(found) => {
                    findings.extend(found);
                    // Its end needs nothing of what has left the window.
                    stream.expire(index, position, poll.interval.to);
                }
                Err(Due(later)) => {
                    self.end_checks.insert((later, order), (index, key));
                }
            }
        }
    }

    /// Closes the incident of a group, if it is over at `at`. Returns what is reported about it.
    fn close_incident(
        &mut self,
        stream: &Stream,
        index: usize,
        position: u32,
        key: &GroupKey,
        at: Timestamp,
        poll: Poll<'_>,
    ) -> Result<Option<Finding>, Due> {
        let query = &stream.queries()[index].query;
        let group: &Group = stream.group(index, position);
        let quiet = self.quiet;
        let incident = group.tag.and_then(|tag| self.incident_mut(tag));
        let Some(incident) = incident else {
            return Ok(None);
        };
        let was_open = incident.is_open();
        let report = incident.close_if_quiet(quiet, at)?;
        let finding = report.map(|report| report_on(query, group, key, report, incident, poll));
        self.stats.note_closed(was_open);
        Ok(finding)
    }

    /// Ends all incidents, as there are no more rows: reports those that have grown since their
    /// last report.
    pub(crate) fn finish(
        &mut self,
        stream: &Stream,
        contacts: &Contacts,
        now: Timestamp,
    ) -> Vec<Finding> {
        self.end_groups(stream, contacts, now, |_, _| true)
    }
}

/// What is reported about the incident of a group.
fn report_on(
    query: &Arc<Query>,
    group: &Group,
    key: &GroupKey,
    report: Report,
    incident: &mut Incident,
    poll: Poll<'_>,
) -> Finding {
    let mut finding = Finding::new(query, group, key, report, poll.interval.to);
    finding.describe_source(poll.contacts);
    finding.severity = incident.settle_severity(finding.phase, finding.severity);
    finding
}

/// When the window of a query begins.
fn window_start_of(query: &Query, now: Timestamp) -> Timestamp {
    window::window_start(now, query.window())
}
