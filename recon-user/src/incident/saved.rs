//! The state of incidents as data: what a snapshot holds, and what outlives a reload.
//!
//! In: incidents between two polls. Out: their [`IncidentsState`]; and new ones that go on with it.
//! The decision held here: which remotes are reported is not saved. The groups that have a tag say
//! it, once more for the rules that follow others now.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::state::Incident;
use super::{EndChecks, Finding, Incidents, Interval, Poll, order};
use crate::contact::Contacts;
use crate::stream::{GroupKey, Moves, Stream, Tag};

/// The state of all incidents, by the positions of their queries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IncidentsState {
    incidents: Vec<Option<Incident>>,
    free: Vec<Tag>,
    end_checks: Vec<((Timestamp, u64), (usize, GroupKey))>,
    scheduled_total: u64,
    #[serde(with = "crate::saved::time")]
    last: Timestamp,
}

/// What a reference to incidents is saved as: the same as [`IncidentsState`].
#[derive(Serialize)]
pub(crate) struct SavedIncidents<'a> {
    incidents: &'a [Option<Incident>],
    free: &'a [Tag],
    #[serde(serialize_with = "in_order")]
    end_checks: &'a EndChecks,
    scheduled_total: u64,
    #[serde(with = "crate::saved::time")]
    last: Timestamp,
}

/// As the list that [`IncidentsState`] has.
fn in_order<S: Serializer>(checks: &EndChecks, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(checks)
}

impl Incidents {
    /// The state, to be saved.
    pub(crate) fn saved(&self) -> SavedIncidents<'_> {
        SavedIncidents {
            incidents: &self.incidents,
            free: &self.free,
            end_checks: &self.end_checks,
            scheduled_total: self.scheduled_total,
            last: self.last,
        }
    }

    /// The state.
    pub(crate) fn into_state(self) -> IncidentsState {
        IncidentsState {
            incidents: self.incidents,
            free: self.free,
            end_checks: self.end_checks.into_iter().collect(),
            scheduled_total: self.scheduled_total,
            last: self.last,
        }
    }

    /// Goes on with a state, of groups that the stream has adopted. `released` are the tags of
    /// those that it has not.
    pub(crate) fn adopt(
        &mut self,
        state: IncidentsState,
        moves: &Moves,
        released: Vec<Tag>,
        stream: &Stream,
    ) {
        self.incidents = state.incidents;
        self.free = state.free;
        self.scheduled_total = state.scheduled_total;
        self.last = state.last;
        // The quiet time may be shorter now. If it is longer, the check puts itself off.
        let latest = self.last.checked_add(self.quiet).unwrap_or(Timestamp::MAX);
        let checks = state.end_checks.into_iter();
        let moved = checks.filter_map(|((due, order), (old, key))| {
            Some(((due.min(latest), order), (moves.of(old)?, key)))
        });
        self.end_checks = moved.collect();
        for index in 0..stream.queries().len() {
            let query = &stream.queries()[index].query;
            for position in stream.tagged(index) {
                let group = stream.group(index, position);
                if let Some(tag) = group.tag {
                    self.reported.add(index, &group.key(query), tag);
                }
            }
        }
        for tag in &released {
            if let Some(incident) = self.incidents.get_mut(tag.0 as usize) {
                *incident = None;
            }
        }
        self.free.extend(released);
        self.stats.open = self.count_open();
    }

    /// Ends the incidents of groups that no longer count: reports those that have grown since
    /// their last report.
    pub(crate) fn end_groups(
        &mut self,
        stream: &Stream,
        contacts: &Contacts,
        now: Timestamp,
        ends: impl Fn(usize, &GroupKey) -> bool,
    ) -> Vec<Finding> {
        let poll = Poll {
            interval: Interval { from: now, to: now },
            is_lossy: false,
            contacts,
        };
        let mut findings = Vec::new();
        for index in 0..stream.queries().len() {
            let query = &stream.queries()[index].query;
            let tagged = stream.tagged(index).into_iter();
            let mut keyed: Vec<_> = tagged
                .map(|position| (stream.group(index, position).key(query), position))
                .filter(|(key, _)| ends(index, key))
                .collect();
            keyed.sort_unstable_by(|(one, _), (other, _)| one.order(other));
            for (key, position) in keyed {
                let at = Timestamp::MAX;
                let ended = self.close_incident(stream, index, position, &key, at, poll);
                findings.extend(ended.unwrap_or(None));
            }
        }
        order::arrange(findings)
    }
}
