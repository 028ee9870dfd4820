//! Whether the hooks see what the interfaces carry.
//!
//! In: once a minute, the interfaces' own counts of packets and the frames that the hooks have
//! counted. Out: how many packets no hook saw.
//! The decisions held here:
//! - Only a whole minute without one frame counts. Offloads, other XDP programs and packets that
//!   never reach a hook make the two numbers differ on any host, but hooks that see nothing of a
//!   busy interface are bypassed. The interfaces' numbers come from drivers, which whoever bypasses
//!   a hook does not write to.
//! - The frames are those of a longer time than the packets: from before the first look at the
//!   interfaces to after the second one. Otherwise packets between a look and its poll would be
//!   silence, however long the interval between two polls is.
//! - Two comparisons in a row have to find silence.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use recon_common::Direction;

use crate::drain::Tally;

/// How often to compare.
const PERIOD: Duration = Duration::from_secs(60);
/// Fewer packets in a period say nothing, such as what was under way when it began.
const FEWEST_PACKETS: u64 = 100;

/// What the previous comparison has seen.
#[derive(Debug)]
pub(super) struct Canary {
    due: Instant,
    before: Look,
    /// A look at the interfaces whose poll is still to come.
    listed: Option<Look>,
    /// The packets of the comparison before, if it found silence, as far as they are not reported:
    /// for each direction.
    silent: [Option<u64>; 2],
}

/// A look at the interfaces, before a poll.
#[derive(Debug, Default)]
struct Look {
    /// What each watched interface had carried in the directions in which it has a hook, by index.
    carried: HashMap<u32, [Option<u64>; 2]>,
    /// The frames that the polls until then had counted.
    seen: [u64; 2],
}

impl Canary {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            before: Look::default(),
            listed: None,
            silent: [None; 2],
        }
    }

    /// Whether a look is due; the next one is a period later.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + PERIOD;
        }
        is_due
    }

    /// Notes what the watched interfaces have carried, before a poll. `frames` are those of the
    /// polls before.
    pub(super) fn look(
        &mut self,
        watched: impl Iterator<Item = (u32, [Option<u64>; 2])>,
        frames: &Tally,
    ) {
        self.listed = Some(Look {
            carried: watched.collect(),
            seen: seen(frames),
        });
    }

    /// Forgets what the interface with that index had carried: its hooks are new.
    pub(super) fn forget(&mut self, index: u32) {
        self.before.carried.remove(&index);
        if let Some(listed) = &mut self.listed {
            listed.carried.remove(&index);
        }
    }

    /// Compares after a poll that has succeeded, if there was a look before it. `frames` are those
    /// of all polls. Returns the directions in which no hook sees a frame, with the packets.
    pub(super) fn compare(&mut self, frames: &Tally) -> Vec<(Direction, u64)> {
        let Some(listed) = self.listed.take() else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut self.before, listed);
        let mut growth = [0_u64; 2];
        for (index, now) in &self.before.carried {
            let Some(before) = before.carried.get(index) else {
                continue;
            };
            for (sum, directions) in growth.iter_mut().zip(now.iter().zip(before)) {
                if let (Some(now), Some(before)) = directions {
                    // A driver that starts anew counts from 0.
                    *sum += now.saturating_sub(*before);
                }
            }
        }
        let directions = [Direction::In, Direction::Out].into_iter().zip(growth);
        let seen = seen(frames).into_iter().zip(before.seen);
        directions
            .zip(seen)
            .zip(&mut self.silent)
            .filter_map(|(((direction, packets), (now, before)), silent)| {
                if now != before {
                    *silent = None;
                } else if packets >= FEWEST_PACKETS {
                    match silent {
                        None => *silent = Some(packets),
                        Some(unreported) => {
                            return Some((direction, std::mem::take(unreported) + packets));
                        }
                    }
                }
                None
            })
            .collect()
    }
}

/// The frames of each direction.
fn seen(frames: &Tally) -> [u64; 2] {
    [frames.frames_in.total(), frames.frames_out.total()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use recon_common::FrameClass;

    fn tally(inbound: u64, outbound: u64) -> Tally {
        let mut tally = Tally::default();
        tally.add_frames(Direction::In, FrameClass::Signal, inbound);
        tally.add_frames(Direction::Out, FrameClass::Established, outbound);
        tally
    }

    /// A look before a poll and the comparison after it; the poll drains nothing new.
    fn compare(
        canary: &mut Canary,
        watched: &[(u32, [u64; 2])],
        frames: &Tally,
    ) -> Vec<(Direction, u64)> {
        let watched = watched.iter().map(|&(index, of)| (index, of.map(Some)));
        canary.look(watched, frames);
        canary.compare(frames)
    }

    #[test]
    fn silence_is_many_packets_and_no_frame() {
        for (what, carried, seen, expected) in [
            ("idle", [0, 0], [0, 0], &[][..]),
            ("seen", [500, 500], [499, 10], &[]),
            ("few", [99, 99], [0, 0], &[]),
            ("inbound", [100, 99], [0, 0], &[(Direction::In, 200)]),
            ("outbound", [500, 100], [1, 0], &[(Direction::Out, 200)]),
            (
                "both",
                [200, 300],
                [0, 0],
                &[(Direction::In, 400), (Direction::Out, 600)],
            ),
        ] {
            let mut canary = Canary::new(Instant::now());
            let [received, sent] = carried;
            let [inbound, outbound] = seen;
            for round in 0..4 {
                let mut watched = vec![(2, [1_000 + round * received, 1_000 + round * sent])];
                if round > 0 {
                    // It has appeared since.
                    watched.push((3, [9_000, 9_000]));
                }
                let frames = tally(70 + round * inbound, 70 + round * outbound);
                let found = compare(&mut canary, &watched, &frames);
                match round {
                    // Nothing to compare with, then nothing that confirms it.
                    0 | 1 => assert_eq!(found, [], "{what}, {round}"),
                    2 => assert_eq!(found, expected, "{what}"),
                    _ => assert_eq!(found.len(), expected.len(), "{what}"),
                }
            }
        }
    }

    /// What happens in one second of an agent's life.
    #[derive(Clone, Copy)]
    enum Event {
        /// So many packets come in, and the hooks count them.
        Packets(u64),
        /// So many come in, and no hook counts them.
        Unseen(u64),
        Poll,
        /// A poll that fails: the counts stay in the kernel.
        FailedPoll,
        /// The agent is stopped for so many seconds.
        Stopped(u64),
        /// The interface's own counts begin anew.
        Reset,
        /// The hook is attached anew.
        Attached,
    }

    /// Drives a canary as the agent does. Returns how many comparisons have reported.
    fn reports(events: &[Event]) -> usize {
        let start = Instant::now();
        let mut canary = Canary::new(start);
        let mut second = 0;
        let (mut carried, mut counted, mut totals, mut found) = (50, 0, 0, 0);
        for event in events {
            second += 1;
            match *event {
                Event::Packets(packets) => {
                    carried += packets;
                    counted += packets;
                }
                Event::Unseen(packets) => carried += packets,
                Event::Stopped(seconds) => second += seconds,
                Event::Reset => carried = 0,
                Event::Attached => canary.forget(2),
                Event::Poll | Event::FailedPoll => {
                    if canary.is_due(start + Duration::from_secs(second)) {
                        let watched = [(2, [Some(carried), None])];
                        canary.look(watched.into_iter(), &tally(totals, 0));
                    }
                    if matches!(event, Event::Poll) {
                        totals = counted;
                        found += canary.compare(&tally(totals, 0)).len();
                    }
                }
            }
        }
        found
    }

    #[test]
    fn what_the_hooks_have_counted_is_not_silence() {
        use Event::{Attached, FailedPoll, Packets, Poll, Reset, Stopped, Unseen};
        for (what, round, expected) in [
            (
                "polls each minute, every other one without packets",
                &[Stopped(58), Poll, Packets(100), Stopped(58), Poll][..],
                0,
            ),
            (
                "a scan begins just before the comparison",
                &[Poll, Stopped(58), Packets(100), Poll, Stopped(58), Poll],
                0,
            ),
            (
                "a scan between a look and its poll alone",
                &[Poll, Stopped(58), Poll, Packets(100), Poll, Stopped(58)],
                0,
            ),
            (
                "stopped over the due time",
                &[Poll, Packets(100), Stopped(200), Packets(100), Poll, Poll],
                0,
            ),
            (
                "polls that fail",
                &[Packets(100), Stopped(58), FailedPoll, Stopped(58), Poll],
                0,
            ),
            (
                "only polls that fail",
                &[Packets(100), Stopped(58), FailedPoll],
                0,
            ),
            (
                "counts that begin anew",
                &[Reset, Packets(100), Stopped(58), Poll],
                0,
            ),
            (
                "a hook that is attached anew each minute",
                &[Unseen(100), Stopped(58), Attached, Poll],
                0,
            ),
            ("bypassed", &[Unseen(100), Stopped(58), Poll], 8),
            (
                "bypassed, with minutes of silence that say nothing",
                &[Unseen(100), Stopped(58), Poll, Stopped(58), Poll],
                8,
            ),
            (
                "bypassed every other minute",
                &[
                    Unseen(100),
                    Stopped(58),
                    Poll,
                    Unseen(100),
                    Packets(1),
                    Stopped(58),
                    Poll,
                ],
                0,
            ),
        ] {
            assert_eq!(reports(&round.repeat(10)), expected, "{what}");
        }
    }

    #[test]
    fn a_direction_without_a_hook_is_not_silent() {
        let mut canary = Canary::new(Instant::now());
        for round in 0..4 {
            let watched = [(2, [Some(500 * round), None])];
            canary.look(watched.into_iter(), &tally(round, 0));
            assert_eq!(canary.compare(&tally(round, 0)), []);
        }
    }

    #[test]
    fn a_comparison_is_due_once_a_period() {
        let start = Instant::now();
        let mut canary = Canary::new(start);
        let due = [0, 1, 59, 60, 61, 119, 120].map(|second| {
            let now = start + Duration::from_secs(second);
            canary.is_due(now)
        });
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
