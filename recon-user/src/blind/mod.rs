//! When recon sees less than it should: since when, how much, and when that is over.
//!
//! In: what each poll could not see, by [`BlindPart`]. Out: a [`BlindReport`] when a part begins to
//! be blind, and one when it sees again.
//! The decisions held here:
//! - What is lost is never lost silently: whoever fills a table on purpose gets an alert for it.
//! - A part begins to be blind at once if whatever is lost may be the scan. Where a little is lost
//!   on any busy host, it takes more ([`BlindPart::tolerated`]), without a pause of a minute.
//! - It is over when nothing was lost for the quiet time, as an incident is.
//! - What is gone, such as an interface, stays lost until somebody says that it is back.
//! - What only somebody with power over recon's programs can do is reported as tampering
//!   ([`BlindPart::is_tampering`]), under a rule id of its own.

mod part;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::incident::Phase;

pub use part::BlindPart;

/// Losses that are tolerated must not be this far apart to add up.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// One signal of so many may be lost.
const LOST_SHARE: u64 = 100;

/// What is reported about a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindReport {
    /// Who is blind.
    pub part: BlindPart,
    /// [`Phase::Began`] or [`Phase::Ended`].
    pub phase: Phase,
    /// When this is reported.
    pub at: Timestamp,
    /// When it began.
    pub since: Timestamp,
    /// When something was last lost.
    pub until: Timestamp,
    /// How much was lost until then.
    pub lost: u64,
}

impl BlindReport {
    /// The same with all times later by so much: on a clock that was set.
    #[must_use]
    pub fn shifted(&self, by: SignedDuration) -> Self {
        let mut shifted = self.clone();
        let Self {
            at, since, until, ..
        } = &mut shifted;
        for time in [at, since, until] {
            *time = time.checked_add(by).unwrap_or(*time);
        }
        shifted
    }
}

/// How blind a part is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Blindness {
    #[serde(with = "crate::saved::time")]
    since: Timestamp,
    #[serde(with = "crate::saved::time")]
    until: Timestamp,
    lost: u64,
    is_reported: bool,
    /// Whether it stays so until it is said to be over.
    is_gone: bool,
}

/// All parts that are blind, or may be soon.
#[derive(Debug, Serialize, Deserialize)]
pub struct Blind {
    parts: BTreeMap<BlindPart, Blindness>,
    /// What this poll has lost.
    lost: BTreeMap<BlindPart, u64>,
    #[serde(skip)]
    quiet: SignedDuration,
}

impl Blind {
    /// Nothing is blind. A part sees again when it has lost nothing for the time `quiet`.
    #[must_use]
    pub fn new(quiet: Duration) -> Self {
        Self {
            parts: BTreeMap::new(),
            lost: BTreeMap::new(),
            quiet: SignedDuration::try_from(quiet).unwrap_or(SignedDuration::MAX),
        }
    }

    /// The parts whose incidents are open.
    pub(crate) fn open(&self) -> impl Iterator<Item = &BlindPart> {
        let open = self.parts.iter().filter(|(_, of)| of.is_reported);
        open.map(|(part, _)| part)
    }

    /// Goes on in another process, where what was gone is there again or was never.
    pub(crate) fn resume(mut self, quiet: Duration) -> Self {
        self.set_quiet(quiet);
        self.parts.values_mut().for_each(|of| of.is_gone = false);
        self
    }

    /// Sets for how long a part that sees again must have lost nothing.
    pub fn set_quiet(&mut self, quiet: Duration) {
        self.quiet = SignedDuration::try_from(quiet).unwrap_or(SignedDuration::MAX);
    }

    /// Notes that this poll has lost so much.
    pub fn lose(&mut self, part: BlindPart, lost: u64) {
        if lost > 0 {
            *self.lost.entry(part).or_default() += lost;
        }
    }

    /// Notes how many signals this poll has counted, and how many it has lost for reasons that
    /// have no part of their own.
    pub fn lose_signals(&mut self, counted: u64, lost: u64) {
        if lost > counted.saturating_add(lost) / LOST_SHARE {
            self.lose(BlindPart::Signals, lost);
        }
    }

    /// Notes that something under watch is gone, until [`Blind::regain`].
    pub fn lose_for_good(&mut self, part: BlindPart, now: Timestamp) {
        self.parts
            .entry(part)
            .or_insert_with(|| Blindness::begin(now))
            .is_gone = true;
    }

    /// Notes that the interface of that name is gone.
    pub fn lose_interface(&mut self, name: &str, now: Timestamp) {
        let part = BlindPart::Interface(name.to_owned());
        // Also if it is back by the end of the poll.
        self.lose(part.clone(), 1);
        self.lose_for_good(part, now);
    }

    /// Notes that something that was gone is back.
    pub fn regain(&mut self, part: &BlindPart) {
        if let Some(blindness) = self.parts.get_mut(part) {
            blindness.is_gone = false;
        }
    }

    /// Notes that the hooks of an interface are no longer missed, since it is gone itself.
    pub fn regain_hooks(&mut self, interface: &str) {
        for (part, blindness) in &mut self.parts {
            if matches!(part, BlindPart::Hook(of, _) | BlindPart::Overtaken(of, _) if of == interface)
            {
                blindness.is_gone = false;
            }
        }
    }

    /// Whether a part is gone until it is regained.
    #[must_use]
    pub fn is_gone(&self, part: &BlindPart) -> bool {
        self.parts
            .get(part)
            .is_some_and(|blindness| blindness.is_gone)
    }

    /// Ends a poll: what is reported.
    pub fn end_poll(&mut self, now: Timestamp) -> Vec<BlindReport> {
        for (part, lost) in std::mem::take(&mut self.lost) {
            let blindness = self.parts.entry(part);
            let blindness = blindness.or_insert_with(|| Blindness::begin(now));
            if !blindness.is_reported && now.duration_since(blindness.until) > PAUSE {
                *blindness = Blindness::begin(now);
            }
            blindness.lost = blindness.lost.saturating_add(lost);
            blindness.until = now;
        }
        let mut reports = Vec::new();
        let quiet = self.quiet;
        self.parts.retain(|part, blindness| {
            let (phase, is_kept) = blindness.judge(part, now, quiet);
            reports.extend(phase.map(|phase| blindness.report(part, phase, now)));
            is_kept
        });
        reports
    }

    /// Ends the run: what is still blind is reported as ended.
    pub fn finish(&mut self, now: Timestamp) -> Vec<BlindReport> {
        let parts = std::mem::take(&mut self.parts).into_iter();
        let reported = parts.filter(|(_, blindness)| blindness.is_reported);
        reported
            .map(|(part, blindness)| blindness.report(&part, Phase::Ended, now))
            .collect()
    }
}

impl Blindness {
    fn begin(now: Timestamp) -> Self {
        Self {
            since: now,
            until: now,
            lost: 0,
            is_reported: false,
            is_gone: false,
        }
    }

    /// What is reported at the end of a poll, and whether the part may still be blind.
    fn judge(
        &mut self,
        part: &BlindPart,
        now: Timestamp,
        quiet: SignedDuration,
    ) -> (Option<Phase>, bool) {
        if self.is_gone {
            self.lost = self.lost.saturating_add(1);
            self.until = now;
        }
        // A clock that was set back must not keep it blind for hours.
        self.until = self.until.min(now);
        let idle = now.duration_since(self.until);
        if !self.is_reported {
            self.is_reported = self.lost > part.tolerated();
            let began = self.is_reported.then_some(Phase::Began);
            return (began, self.is_reported || idle <= PAUSE);
        }
        let is_over = !self.is_gone && idle >= quiet;
        (is_over.then_some(Phase::Ended), !is_over)
    }

    fn report(&self, part: &BlindPart, phase: Phase, now: Timestamp) -> BlindReport {
        BlindReport {
            part: part.clone(),
            phase,
            at: now,
            since: self.since,
            until: self.until,
            lost: self.lost,
        }
    }
}

#[cfg(test)]
mod tests;
