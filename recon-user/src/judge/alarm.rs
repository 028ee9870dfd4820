//! When a group is told of, and when again.
//!
//! In: the count of a group at a poll that changed it; later, how long it has been unchanged. Out: whether to alert.
//! The decision held here: one alert when the threshold is crossed, another when the count has grown tenfold since the last one, but not
//! within a minute; one more when the incident is over and has grown since, which has the exact count; and anew after a quiet hour. A
//! rule's cooldown keeps the first two back for as long as it says; what still goes on then is told of as if it began.
//! So one nmap run prints two lines and not sixty, and tomorrow's is told of again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::counts::WAITING;
use crate::rule::Rule;
use crate::window::allocated;

/// A group has to stay at or under its threshold for this long before it starts anew, and for as long as its rule's window.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
const ESCALATION: u64 = 10;
/// The shortest time between two alerts of a growing count, where the rule says nothing of a cooldown.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// An incident that has been unchanged for this long is over, at first: longer than scanners pause to wait for answers by themselves.
const OVER: SignedDuration = SignedDuration::from_secs(10);

/// Where in an incident an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has crossed the threshold.
    Began,
    /// It has grown tenfold since it was last told of.
    Grew,
    /// It is over, and has grown since it was last told of.
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

/// That a group has to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) phase: Phase,
    /// How many polls were kept quiet before.
    pub(super) suppressed: u64,
}

/// The alarm of one group. Most never sound: it takes heap once it has.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Box<Sounded>>);

#[derive(Debug)]
struct Sounded {
    /// When the group was last seen over its threshold.
    over_at: Timestamp,
    /// Whether it has begun anew since it was told of, and that was kept back.
    is_held_back: bool,
    /// When it was last told of, but for an end.
    told_at: Timestamp,
    /// The count that was told of last.
    told: u64,
    /// The count that is told of next.
    next: u64,
    /// How long it has to be unchanged to be over.
    over_after: SignedDuration,
    /// Whether its end is waited for.
    is_watched: bool,
    /// Polls that were over the threshold since it was told of, and kept quiet.
    suppressed: u64,
}

impl Alarm {
    /// The bytes of heap that it takes once it has sounded, and that waiting for its end does (see [`super::counts`]).
    pub(super) const HEAP: usize = allocated(size_of::<Sounded>()) + WAITING;

    /// Notes the count at `now`. Returns whether it has to be told.
    pub(super) fn note(&mut self, count: u64, rule: &Rule, now: Timestamp) -> Option<Told> {
        if count <= rule.threshold() {
            return None;
        }
        let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let quiet = signed(rule.window()).max(QUIET);
        let pause = rule.plan().cooldown.map_or(PAUSE, signed);
        let Some(sounded) = &mut self.0 else {
            self.0 = Some(Box::new(Sounded {
                over_at: now,
                is_held_back: false,
                told_at: now,
                told: count,
                next: count.saturating_mul(ESCALATION),
                over_after: OVER,
                is_watched: false,
                suppressed: 0,
            }));
            return Some(Told {
                phase: Phase::Began,
                suppressed: 0,
            });
        };
        let may_tell = now.duration_since(sounded.told_at) >= pause;
        let is_new = sounded.is_held_back || now.duration_since(sounded.over_at) > quiet;
        sounded.over_at = now;
        sounded.is_held_back = is_new && !may_tell;
        let phase = match is_new {
            true => may_tell.then_some(Phase::Began),
            false => (count >= sounded.next && may_tell).then_some(Phase::Grew),
        };
        let Some(phase) = phase else {
            sounded.suppressed += 1;
            return None;
        };
        if phase == Phase::Began {
            sounded.over_after = OVER;
        }
        sounded.told_at = now;
        sounded.told = count;
        sounded.next = count.saturating_mul(ESCALATION);
        Some(sounded.tell(phase))
    }

    /// Looks at a group that was told of and unchanged since `changed_at`. Returns what has to be told where its incident is over.
    ///
    /// # Errors
    /// When to look again, where it is not over yet.
    pub(super) fn end(
        &mut self,
        count: u64,
        changed_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Told>, Timestamp> {
        let Some(sounded) = &mut self.0 else {
            return Ok(None);
        };
        let over_at = changed_at
            .checked_add(sounded.over_after)
            .unwrap_or(Timestamp::MAX);
        if now < over_at {
            return Err(over_at);
        }
        sounded.is_watched = false;
        if count <= sounded.told {
            return Ok(None);
        }
        sounded.told = count;
        sounded.next = count.saturating_mul(ESCALATION);
        sounded.over_after = (sounded.over_after * 2).min(QUIET);
        Ok(Some(sounded.tell(Phase::Ended)))
    }

    /// Whether its end has to be waited for from now on: it was told of, and nobody waits yet.
    pub(super) fn watch(&mut self) -> bool {
        let sounded = self.0.as_mut();
        sounded.is_some_and(|sounded| !std::mem::replace(&mut sounded.is_watched, true))
    }

    /// Whether it has ever sounded.
    pub(super) fn has_sounded(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it has sounded, and the count was over the threshold at `since` or later.
    pub(super) fn was_over(&self, since: Timestamp) -> bool {
        let sounded = self.0.as_ref();
        sounded.is_some_and(|sounded| sounded.over_at >= since)
    }
}

impl Sounded {
    fn tell(&mut self, phase: Phase) -> Told {
        Told {
            phase,
            suppressed: std::mem::take(&mut self.suppressed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over 20 in an hour.
    fn rule() -> Rule {
        let plan = crate::rule::defaults().swap_remove(0);
        assert_eq!(plan.threshold.map(|threshold| threshold.above), Some(20));
        Rule::new(crate::rule::Configured::plain(plan))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn crossing_tenfold_and_anew() {
        let mut alarm = Alarm::default();
        // (minute, count, told as, with that many kept quiet)
        for (minute, count, told) in [
            (0, 20, None),
            (1, 21, Some((Phase::Began, 0))),
            (2, 22, None),
            (3, 209, None),
            (4, 210, Some((Phase::Grew, 2))),
            (5, 211, None),
            (6, 5, None),
            (60, 100, None),
            (120, 100, None),
            (181, 21, Some((Phase::Began, 3))),
            (182, 2_000, Some((Phase::Grew, 0))),
        ] {
            let found = alarm.note(count, &rule(), at(minute * 60));
            let found = found.map(|told| (told.phase, told.suppressed));
            assert_eq!(found, told, "at minute {minute}");
        }
    }

    #[test]
    fn a_cooldown_keeps_alerts_back() {
        let mut rule = rule();
        rule.configured.plan.cooldown = Some(Duration::from_secs(3 * 3600));
        let mut alarm = Alarm::default();
        // (minute, count, told as, with that many kept quiet)
        for (minute, count, told) in [
            (0, 21, Some((Phase::Began, 0))),
            (2, 2_000, None),
            (100, 21, None),
            (179, 21, None),
            (180, 22, Some((Phase::Began, 3))),
            (239, 2_000, None),
            (298, 2_000, None),
            (357, 2_000, None),
            (361, 2_000, Some((Phase::Grew, 3))),
        ] {
            let found = alarm.note(count, &rule, at(minute * 60));
            let found = found.map(|told| (told.phase, told.suppressed));
            assert_eq!(found, told, "at minute {minute}");
        }
    }

    #[test]
    fn a_long_window_is_as_long_quiet() {
        const DAY: i64 = 86_400;
        let mut rule = rule();
        rule.configured.plan.window = Duration::from_secs(DAY as u64);
        let mut alarm = Alarm::default();
        for (time, told) in [
            (0, Some(Phase::Began)),
            (DAY, None),
            (2 * DAY + 1, Some(Phase::Began)),
        ] {
            let found = alarm.note(21, &rule, at(time)).map(|told| told.phase);
            assert_eq!(found, told, "at {time} s");
        }
    }

    /// What is told, by second, of an incident that is watched as the judge does.
    #[test]
    fn an_incident_that_goes_on_is_told_of_again_when_it_is_over() {
        let mut alarm = Alarm::default();
        let rule = rule();
        let (mut count, mut changed_at, mut told) = (0, at(0), Vec::new());
        let mut is_watched = false;
        for second in 0..400 {
            // It goes on after 11 s, after 15 s more, and after 19 s more.
            if let 0 | 11 | 26 | 45 = second {
                count += 30;
                changed_at = at(second);
                let noted = alarm.note(count, &rule, at(second));
                told.extend(noted.map(|told| (second, told.phase, count)));
                is_watched |= alarm.watch();
            }
            if is_watched && let Ok(found) = alarm.end(count, changed_at, at(second)) {
                told.extend(found.map(|told| (second, told.phase, count)));
                is_watched = false;
            }
        }
        let (began, ended) = (Phase::Began, Phase::Ended);
        assert_eq!(
            told,
            [(0, began, 30), (21, ended, 60), (65, ended, 120)],
            "the second end takes 20 s"
        );
    }

    #[test]
    fn a_growing_count_waits_a_minute_and_its_end_is_told_once() {
        let mut alarm = Alarm::default();
        let phase = |told: Option<Told>| told.map(|told| told.phase);
        for (second, count, told) in [
            (0, 30, Some(Phase::Began)),
            (1, 3_000, None),
            (3, 65_535, None),
        ] {
            assert_eq!(phase(alarm.note(count, &rule(), at(second))), told);
        }
        assert_eq!(alarm.end(65_535, at(3), at(12)), Err(at(13)));
        let told = alarm.end(65_535, at(3), at(13)).expect("it is over");
        assert_eq!(phase(told), Some(Phase::Ended));
        assert_eq!(alarm.end(65_535, at(3), at(23)), Ok(None), "nothing new");
        // It goes on, and is told of at ten times what was told last.
        for (second, count, told) in [
            (61, 65_536, None),
            (62, 655_349, None),
            (63, 655_350, Some(Phase::Grew)),
        ] {
            assert_eq!(phase(alarm.note(count, &rule(), at(second))), told);
        }
        assert_eq!(
            alarm.end(655_350, at(63), at(99)),
            Ok(None),
            "as it was told"
        );
    }
}
