//! The life of an incident: when it is reported, and when again.
//!
//! In: the count of a group at each poll that changed it; later, how long it has been unchanged.
//! Out: a [`Report`], or none.
//! The decision held here: one report when the threshold is crossed, another when the count has
//! grown tenfold since the last report, but not within a minute; one more, with the exact count,
//! when the incident is over and has grown since. It starts again after a quiet hour, or after the
//! rule's window if that is longer. A rule's cooldown withholds the first two; an incident that
//! started again in the meantime is then reported as begun. So one nmap run is two lines and not
//! sixty, and tomorrow's is reported again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::stream::Query;

/// A group must stay at or under its threshold for this long, and for the window of its rule,
/// before its incident starts again.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
const ESCALATION: u64 = 10;
/// The shortest time between two reports of a growing count, if the rule has no cooldown.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// An incident that has been unchanged for this long is over, at first: scanners pause for less to
/// wait for answers.
const OVER: SignedDuration = SignedDuration::from_secs(10);

/// The part of an incident that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has crossed the threshold.
    Began,
    /// It has grown tenfold since the last report.
    Grew,
    /// It is over, and has grown since the last report.
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
    /// Polls over the threshold since the last report.
    pub(super) suppressed: u64,
}

impl Report {
    /// The first report of an incident.
    const BEGAN: Self = Self {
        phase: Phase::Began,
        suppressed: 0,
    };
}

/// When the end of an incident is due, if it is not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due(pub(super) Timestamp);

/// State of an open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It goes on.
    Open,
    /// It has started again, but the cooldown withholds its report.
    Withheld,
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
            *incident = Some(Incident::open(count, now));
            Some(Report::BEGAN)
        }
    }
}

/// One incident.
#[derive(Debug)]
pub(crate) struct Incident {
    state: State,
    /// Whether its end check is scheduled.
    end_is_scheduled: bool,
    /// When the count was last over the threshold.
    over_at: Timestamp,
    /// Time of the last `began` or `grew` report.
    reported_at: Timestamp,
    /// The count of the last report.
    reported: u64,
    /// The count of the next report.
    next: u64,
    /// How long it must be unchanged to be over.
    over_after: SignedDuration,
    /// Polls over the threshold since the last report.
    suppressed: u64,
}

impl Incident {
    /// An incident whose count has just crossed the threshold, and is reported.
    fn open(count: u64, now: Timestamp) -> Self {
        Self {
            state: State::Open,
            end_is_scheduled: false,
            over_at: now,
            reported_at: now,
            reported: count,
            next: count.saturating_mul(ESCALATION),
            over_after: OVER,
            suppressed: 0,
        }
    }

    /// Notes a count over the threshold. Returns what is reported.
    fn note_count(&mut self, count: u64, query: &Query, now: Timestamp) -> Option<Report> {
        let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let quiet = signed(query.window()).max(QUIET);
        let pause = query.plan().cooldown.map_or(PAUSE, signed);
        // A clock that was set back must not make a pause of hours.
        self.reported_at = self.reported_at.min(now);
        self.over_at = self.over_at.min(now);
        let may_report = now.duration_since(self.reported_at) >= pause;
        let is_new = self.state == State::Withheld || now.duration_since(self.over_at) > quiet;
        self.over_at = now;
        let phase = if is_new {
            may_report.then_some(Phase::Began)
        } else {
            (count >= self.next && may_report).then_some(Phase::Grew)
        };
        self.state = if is_new && !may_report {
            State::Withheld
        } else {
            State::Open
        };
        let Some(phase) = phase else {
            self.suppressed += 1;
            return None;
        };
        if phase == Phase::Began {
            self.over_after = OVER;
        }
        self.reported_at = now;
        self.set_reported(count);
        Some(self.report(phase))
    }

    /// Closes the incident of a group that is unchanged since `changed_at`, if it is over. Returns
    /// what is reported.
    ///
    /// # Errors
    /// If it is not over yet: when its end is due.
    pub(super) fn close_if_quiet(
        &mut self,
        count: u64,
        changed_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Report>, Due> {
        let due = changed_at
            .min(now)
            .checked_add(self.over_after)
            .unwrap_or(Timestamp::MAX);
        if now < due {
            return Err(Due(due));
        }
        self.end_is_scheduled = false;
        if count <= self.reported {
            return Ok(None);
        }
        self.set_reported(count);
        self.over_after = (self.over_after * 2).min(QUIET);
        Ok(Some(self.report(Phase::Ended)))
    }

    /// Schedules the end check. Returns false if it was scheduled already.
    pub(super) fn schedule_end(&mut self) -> bool {
        !std::mem::replace(&mut self.end_is_scheduled, true)
    }

    /// Whether the count was over the threshold at `since` or later.
    pub(super) fn was_over(&self, since: Timestamp) -> bool {
        self.over_at >= since
    }

    fn set_reported(&mut self, count: u64) {
        self.reported = count;
        self.next = count.saturating_mul(ESCALATION);
    }

    fn report(&mut self, phase: Phase) -> Report {
        Report {
            phase,
            suppressed: std::mem::take(&mut self.suppressed),
        }
    }
}

#[cfg(test)]
mod tests;
