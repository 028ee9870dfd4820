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

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::incident::Phase;
use crate::kql::Severity;

/// Losses that are tolerated must not be this far apart to add up.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// Milliseconds by which polls may be late in sum. A busy host is late by one or two polls.
const TOLERATED_DELAY: u64 = 5_000;
/// Signals that may be lost in sum, if they are more than [`LOST_SHARE`].
const TOLERATED_SIGNALS: u64 = 100;
/// One signal of so many may be lost.
const LOST_SHARE: u64 = 100;
/// Processes that may stay unnamed in sum: one that has just ended is nobody's attack on recon.
const TOLERATED_LOOKUPS: u64 = 10;
/// Polls that may fail in sum.
const TOLERATED_FAILURES: u64 = 1;

/// The name of a hook. serde would borrow it from what it reads.
type HookName = &'static str;

/// What can be blind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BlindPart {
    /// A rule has too little memory for those it suspects, or for new sources. Its id and its name.
    Rule(String, String),
    /// The kernel's table has no room for new keys.
    Table,
    /// The kernel programs can't count so many signals for other reasons.
    Signals,
    /// Polls come late.
    Polls,
    /// Polls fail.
    FailedPolls,
    /// Processes are not looked up in time.
    Processes,
    /// An interface under watch is gone.
    Interface(String),
    /// A hook is gone: the interface or the cgroup, and the name of the hook.
    Hook(String, #[serde(with = "saved_text")] HookName),
    /// Somebody changes the kernel's counts.
    Counts,
    /// Somebody moves the generation that the programs count in.
    Generation,
    /// Interfaces receive packets, and no hook sees one.
    SilenceIn,
    /// Interfaces send packets, and no hook sees one.
    SilenceOut,
}

impl BlindPart {
    /// The name that alerts show as `recon.blind.part`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rule(..) => "rule",
            Self::Table => "table",
            Self::Signals => "signals",
            Self::Polls => "polls",
            Self::FailedPolls => "failed_polls",
            Self::Processes => "processes",
            Self::Interface(_) => "interface",
            Self::Hook(..) => "hook",
            Self::Counts => "counts",
            Self::Generation => "generation",
            Self::SilenceIn => "silence_in",
            Self::SilenceOut => "silence_out",
        }
    }

    /// Whether somebody has changed what recon has attached or counted.
    #[must_use]
    pub const fn is_tampering(&self) -> bool {
        matches!(
            self,
            Self::Hook(..) | Self::Counts | Self::Generation | Self::SilenceIn | Self::SilenceOut
        )
    }

    /// What is counted of it, for the message.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::Rule(..) => "sources or rows given up",
            Self::Table => "signals not counted under their source",
            Self::Signals => "signals not counted",
            Self::Polls => "milliseconds late",
            Self::FailedPolls => "polls failed",
            Self::Processes => "lookups not done",
            Self::Interface(_) | Self::Hook(..) => "polls without it",
            Self::Counts => "keys or counters changed",
            Self::Generation => "polls that found another one",
            Self::SilenceIn | Self::SilenceOut => "packets that no hook saw",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Rule(..) => "raise `limits.memory` in recon.toml",
            Self::Table => "raise --table-entries, or shorten --interval",
            Self::Signals => "the totals in the log name the reasons",
            Self::Polls => "give recon more processor time, or lengthen --interval",
            Self::FailedPolls => "the log names the error",
            Self::Processes => "alerts may lack the process that accepts",
            Self::Interface(_) => "bring it back, or start recon on another interface",
            Self::Hook(..) => "find out who detaches it; recon attaches it again as soon as it can",
            Self::Counts | Self::Generation => {
                "find out who can write to recon's maps; recon goes on with what is left of them"
            }
            Self::SilenceIn | Self::SilenceOut => {
                "find out what takes them first, such as another XDP program; restart recon"
            }
        }
    }

    /// How much of it may be lost before it is reported.
    const fn tolerated(&self) -> u64 {
        match self {
            Self::Rule(..) | Self::Table | Self::Interface(_) => 0,
            Self::Hook(..) | Self::Counts | Self::Generation => 0,
            Self::SilenceIn | Self::SilenceOut => 0,
            Self::Signals => TOLERATED_SIGNALS,
            Self::Polls => TOLERATED_DELAY,
            Self::FailedPolls => TOLERATED_FAILURES,
            Self::Processes => TOLERATED_LOOKUPS,
        }
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Processes => Severity::Low,
            Self::Signals | Self::Polls | Self::FailedPolls => Severity::Medium,
            _ => Severity::High,
        }
    }
}

/// Who is blind, in words.
impl fmt::Display for BlindPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(id, name) => {
                write!(f, "the rule {id} ({name}) has too little memory")
            }
            Self::Table => f.write_str("the kernel's table is full"),
            Self::Signals => f.write_str("the kernel programs lose over 1 % of the signals"),
            Self::Polls => f.write_str("polls come late"),
            Self::FailedPolls => f.write_str("polls fail"),
            Self::Processes => f.write_str("processes are not looked up in time"),
            Self::Interface(name) => write!(f, "the interface {name} is gone"),
            Self::Hook(interface, hook) => write!(f, "the hook {hook} of {interface} is gone"),
            Self::Counts => f.write_str("somebody changes the counts in the kernel"),
            Self::Generation => {
                f.write_str("somebody moves the generation that the kernel programs count in")
            }
            Self::SilenceIn => f.write_str("the interfaces receive packets, and no hook sees one"),
            Self::SilenceOut => f.write_str("the interfaces send packets, and no hook sees one"),
        }
    }
}

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

    /// Notes that something that was gone is back.
    pub fn regain(&mut self, part: &BlindPart) {
        if let Some(blindness) = self.parts.get_mut(part) {
            blindness.is_gone = false;
        }
    }

    /// Notes that the hooks of an interface are no longer missed, since it is gone itself.
    pub fn regain_hooks(&mut self, interface: &str) {
        for (part, blindness) in &mut self.parts {
            if matches!(part, BlindPart::Hook(of, _) if of == interface) {
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

/// The saved form of the name of a hook.
mod saved_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::row::Name;

    pub(super) fn serialize<S: Serializer>(text: &'static str, to: S) -> Result<S::Ok, S::Error> {
        text.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<&'static str, D::Error> {
        Name::deserialize(from).map(Name::text)
    }
}

#[cfg(test)]
mod tests;
