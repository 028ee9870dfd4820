//! When polls end, by the capture's clock.
//!
//! In: the times of packets. Out: the polls that end before each.
//! The decisions held here: a poll ends every second, as the agent's does. Where nothing happens
//! for long, the polls become longer, each twice as long as the one before: what is due is judged,
//! and an hour without packets, or years, take a few polls.

use jiff::{SignedDuration, Timestamp};

use crate::row::LONGEST_POLL;
use crate::stream::Interval;

/// The agent's interval.
const POLL: SignedDuration = SignedDuration::from_secs(1);
/// Polls without packets before they become longer.
const SHORT: u32 = 15;
/// The longest poll is 2^40 s, which is longer than all times of a capture.
const MOST_DOUBLINGS: u32 = 40;

/// The current poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polls {
    from: Timestamp,
    to: Timestamp,
    /// Polls without packets since the last one with some.
    idle: u32,
}

impl Polls {
    /// The poll that a packet of that time begins.
    pub(super) fn begin(time: Timestamp) -> Self {
        Self {
            from: time,
            to: after(time, POLL),
            idle: 0,
        }
    }

    /// Whether a poll has ended before a packet of that time.
    #[inline]
    pub(super) fn has_ended(&self, time: Timestamp) -> bool {
        time > self.to
    }

    /// The poll that has ended before a packet of that time, if one has. To be called until none
    /// has.
    pub(super) fn end_before(&mut self, time: Timestamp) -> Option<Interval> {
        self.has_ended(time).then(|| {
            let ended = self.current();
            self.from = self.to;
            self.idle += 1;
            let long =
                SignedDuration::from_secs(1 << self.idle.saturating_sub(SHORT).min(MOST_DOUBLINGS));
            // No longer than until the packet, which has a poll of the usual length.
            let rest = time.duration_since(self.to) - POLL;
            self.to = after(self.to, POLL.max(long.min(rest)));
            ended
        })
    }

    /// Notes that the current poll has a packet.
    pub(super) const fn note_packet(&mut self) {
        self.idle = 0;
    }

    /// Ends the current poll at once, since its table is full.
    pub(super) fn cut(&mut self, time: Timestamp) -> Interval {
        let cut = Interval {
            from: self.from,
            to: time.max(self.from),
        };
        self.from = cut.to;
        cut
    }

    /// The current poll.
    pub(super) fn current(&self) -> Interval {
        let earliest = self.to.checked_sub(LONGEST_POLL).unwrap_or(Timestamp::MIN);
        Interval {
            from: self.from.max(earliest),
            to: self.to,
        }
    }
}

fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn polls_have_no_gaps_and_are_few() {
        // (when the second packet comes, the most polls before it)
        for (later, most) in [
            (1, 0),
            (2, 1),
            (16, 15),
            (3600, 15 + 12 + 2),
            (200 * 365 * 86_400, 15 + 33 + 2),
        ] {
            let mut polls = Polls::begin(second(0));
            polls.note_packet();
            let mut last = second(0);
            let mut count = 0;
            while let Some(ended) = polls.end_before(second(later)) {
                assert!(ended.to > last, "{later}: {ended:?}");
                last = ended.to;
                count += 1;
            }
            assert!(count <= most, "{later}: {count} polls");
            let Interval { from, to } = polls.current();
            assert!(second(later) <= to, "{later}: {to}");
            assert!(to.duration_since(from) <= LONGEST_POLL, "{later}");
            assert!(to.duration_since(second(later)) <= POLL, "{later}: {to}");
        }
    }

    #[test]
    fn the_end_of_time_is_no_endless_poll() {
        let mut polls = Polls::begin(Timestamp::MAX);
        assert!(polls.end_before(Timestamp::MAX).is_none());
        let mut polls = Polls::begin(Timestamp::MIN);
        let count = std::iter::from_fn(|| polls.end_before(Timestamp::MAX)).count();
        assert!(count < 100, "{count}");
    }
}
