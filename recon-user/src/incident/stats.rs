//! How many incidents there are and were.
//!
//! In: what becomes of each. Out: [`IncidentStats`].
//! The decision held here: incidents are counted as they open and close. A flood has hundreds of
//! thousands of them, too many to look at in each poll.

use super::Incidents;
use super::state::{Incident, Phase, Report};

/// How many incidents there are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IncidentStats {
    /// Those that are open.
    pub(crate) open: usize,
    /// Those that have begun since the start of the process.
    pub(crate) begun: u64,
    /// Those that have ended since then. What is evicted with its group does not end.
    pub(crate) ended: u64,
}

impl IncidentStats {
    /// Notes what is reported of an incident over its threshold.
    pub(super) fn note_report(&mut self, report: Option<Report>) {
        self.begun += u64::from(report.is_some_and(|report| report.phase == Phase::Began));
    }

    /// Notes that the end of an incident, which was open or not, is decided.
    pub(super) fn note_closed(&mut self, was_open: bool) {
        self.open -= usize::from(was_open);
        self.ended += u64::from(was_open);
    }

    /// Notes that an incident has gone with its group.
    pub(super) fn note_released(&mut self, incident: Option<&Incident>) {
        self.open -= usize::from(incident.is_some_and(Incident::is_open));
    }
}

impl Incidents {
    /// How many there are and were.
    pub(crate) const fn stats(&self) -> IncidentStats {
        self.stats
    }

    /// Goes on with what another one has counted in this process.
    pub(crate) const fn keep_totals(&mut self, before: IncidentStats) {
        (self.stats.begun, self.stats.ended) = (before.begun, before.ended);
    }

    /// The incidents that are open, counted one by one.
    pub(super) fn count_open(&self) -> usize {
        let incidents = self.incidents.iter().flatten();
        incidents.filter(|incident| incident.is_open()).count()
    }
}
