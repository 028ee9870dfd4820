//! The life of an incident: one beginning, one end, and when it is reported.
//!
//! In: the count of a group at each poll that changed it; later, how long it has been unchanged.
//! Out: a [`Report`], or none.
//! The decisions held here:
//! - One report when the threshold is crossed, another when the count has grown tenfold since the
//!   last report, but not within a minute; one more, with the greatest count, when the incident has
//!   been unchanged for the quiet time and has grown since its last report.
//! - What flares up later continues the same incident and reports nothing by itself. Only growth to
//!   ten times the last report does, and only then a second end can follow: a client that comes
//!   back every few minutes is two lines a day and not hundreds.
//! - An incident is another one after an hour under the threshold, or after the rule's window if
//!   that is longer. So one nmap run is two lines, and tomorrow's is reported again.
//! - A rule's cooldown withholds the first two reports; an incident that began in the meantime is
//!   then reported as begun.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::current::IncidentLife;
use crate::kql::Severity;
use crate::stream::Query;

/// A group must stay at or under its threshold for longer than this, and than the window of its
/// rule, before it gives another incident.
const APART: SignedDuration = SignedDuration::from_hours(1);
const ESCALATION: u64 = 10;
/// The shortest time between two reports of a growing count, if the rule has no cooldown.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// The quiet time, unless the settings have another: an incident that has been unchanged for this
/// long is over. Scanners pause for less to wait for answers, and clients between two visits.
pub const DEFAULT_QUIET: Duration = Duration::from_secs(600);

/// The part of an incident that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It has crossed the threshold.
    Began,
    /// It has grown tenfold since the last report.
    Grew,
    /// It is over: unchanged for the quiet time. It has grown since the last report.
    Ended,
}

impl Phase {
    /// The name that alerts show as `recon.phase`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Grew => "grew",
            Self::Ended => "ended",
        }
    }
}

/// A decision to report an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(super) phase: Phase,
    /// When the incident began.
    pub(super) began_at: Timestamp,
    /// The count, or at the end the greatest one.
    pub(super) count: u64,
    /// Polls over the threshold since the last report.
    pub(super) suppressed: u64,
}

/// When the end of an incident is due, if it is not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due(pub(super) Timestamp);

/// What is reported of an incident so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Nothing: the cooldown withholds that it has begun.
    Withheld,
    /// That it has begun, or has grown since its end.
    Open,
    /// That it is over.
    Ended,
}

/// Observes a count over the threshold, which opens the incident if there is none. Returns what is
/// reported.
pub(super) fn observe_count(
    incident: &mut Option<Incident>,
    count: u64,
    query: &Query,
    now: Timestamp,
) -> Option<Report> {
    match incident {
        Some(incident) => incident.note_count(count, query, now),
        None => {
            let opened = incident.insert(Incident::new(now));
            opened.greatest = count;
            Some(opened.report(Phase::Began, count))
        }
    }
}

/// One incident.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Incident {
    state: State,
    /// Whether its end check is scheduled.
    end_is_scheduled: bool,
    #[serde(with = "crate::saved::time")]
    began_at: Timestamp,
    /// When the count was last over the threshold.
    #[serde(with = "crate::saved::time")]
    over_at: Timestamp,
    /// Time of the last `began` or `grew` report.
    #[serde(with = "crate::saved::time")]
    reported_at: Timestamp,
    /// The count of the last report.
    reported: u64,
    /// The greatest count: what is counted may have left the window before the end.
    greatest: u64,
    /// Polls over the threshold since the last report.
    suppressed: u64,
    /// The severity of the last report.
    severity: Option<Severity>,
}

impl Incident {
    /// An incident that begins and of which nothing is reported.
    fn new(now: Timestamp) -> Self {
        Self {
            state: State::Withheld,
            end_is_scheduled: false,
            began_at: now,
            over_at: now,
            reported_at: now,
            reported: 0,
            greatest: 0,
            suppressed: 0,
            severity: None,
        }
    }

    /// Notes a count over the threshold. Returns what is reported.
    fn note_count(&mut self, count: u64, query: &Query, now: Timestamp) -> Option<Report> {
        // A clock that was set back must not make a pause of hours.
        self.reported_at = self.reported_at.min(now);
        self.over_at = self.over_at.min(now);
        if self.is_left_behind(query, now) {
            self.state = State::Withheld;
            self.began_at = now;
            self.greatest = 0;
        }
        self.over_at = now;
        self.greatest = self.greatest.max(count);
        let may_report = now.duration_since(self.reported_at) >= Self::pause(query);
        let phase = match self.state {
            State::Withheld => Phase::Began,
            State::Open | State::Ended => Phase::Grew,
        };
        let is_due = phase == Phase::Began || count >= self.grows_at();
        if !(is_due && may_report) {
            self.suppressed += 1;
            return None;
        }
        self.reported_at = now;
        Some(self.report(phase, count))
    }

    /// Whether it has begun and is not over.
    pub(super) fn is_open(&self) -> bool {
        self.end_is_scheduled
    }

    /// Whether what is over the threshold now is another incident. One whose end is not decided
    /// goes on.
    fn is_left_behind(&self, query: &Query, now: Timestamp) -> bool {
        let apart = signed(query.window()).max(APART);
        !self.end_is_scheduled && now.duration_since(self.over_at) > apart
    }

    /// Closes the incident if its count has not been over the threshold again for the time `quiet`.
    /// Returns what is reported.
    ///
    /// # Errors
    /// If it is not over yet: when its end is due.
    pub(super) fn close_if_quiet(
        &mut self,
        quiet: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<Report>, Due> {
        self.over_at = self.over_at.min(now);
        let due = self.over_at.checked_add(quiet).unwrap_or(Timestamp::MAX);
        if now < due {
            return Err(Due(due));
        }
        self.end_is_scheduled = false;
        let has_grown = self.state != State::Ended && self.greatest > self.reported;
        Ok(has_grown.then(|| self.report(Phase::Ended, self.greatest)))
    }

    /// Schedules the end check, if an end can be reported. Returns false if it was scheduled
    /// already.
    pub(super) fn schedule_end(&mut self) -> bool {
        self.state != State::Ended && !std::mem::replace(&mut self.end_is_scheduled, true)
    }

    /// Whether the count was over the threshold at `since` or later.
    pub(super) fn was_over(&self, since: Timestamp) -> bool {
        self.over_at >= since
    }

    /// The severity of a report; what is known of the source now makes it `severity`. While an
    /// incident lasts it may rise but not fall, and the end has that of the report before. So
    /// whoever filters by severity reads no end of what he has not seen begin.
    pub(super) fn settle_severity(&mut self, phase: Phase, severity: Severity) -> Severity {
        let before = self.severity.unwrap_or(severity);
        let settled = match phase {
            Phase::Began => severity,
            Phase::Grew => before.max(severity),
            Phase::Ended => before,
        };
        self.severity = Some(settled);
        settled
    }

    /// The shortest time between two reports of a growing count.
    pub(super) fn pause(query: &Query) -> SignedDuration {
        query.plan().cooldown.map_or(PAUSE, signed)
    }

    /// Where it is in its life. `quiet` is how long it must be unchanged to be over.
    pub(super) fn life(&self, query: &Query, quiet: SignedDuration) -> IncidentLife {
        let later = |from: Timestamp, by| from.checked_add(by).unwrap_or(Timestamp::MAX);
        IncidentLife {
            is_open: self.end_is_scheduled,
            is_withheld: self.state == State::Withheld,
            began_at: self.began_at,
            over_at: self.over_at,
            reported: self.reported,
            greatest: self.greatest,
            suppressed: self.suppressed,
            severity: self.severity,
            ends_at: later(self.over_at, quiet),
            grows_at: self.grows_at(),
            may_report_at: later(self.reported_at, Self::pause(query)),
        }
    }

    /// The count that is reported as growth.
    fn grows_at(&self) -> u64 {
        self.reported.saturating_mul(ESCALATION)
    }

    fn report(&mut self, phase: Phase, count: u64) -> Report {
        self.state = match phase {
            Phase::Began | Phase::Grew => State::Open,
            Phase::Ended => State::Ended,
        };
        self.reported = count;
        Report {
            phase,
            began_at: self.began_at,
            count,
            suppressed: std::mem::take(&mut self.suppressed),
        }
    }
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
