//! Whether the hooks see what the interfaces carry.
//!
//! In: once a minute, the interfaces' own counts of packets and the frames that the hooks have
//! counted. Out: how many packets no hook saw.
//! The decision held here: only a whole minute without one frame counts. Offloads, other XDP
//! programs and packets that never reach a hook make the two numbers differ on any host, but hooks
//! that see nothing of a busy interface are bypassed. The interfaces' numbers come from drivers,
//! which whoever bypasses a hook does not write to.

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
    /// What each watched interface had carried, by index.
    carried: HashMap<u32, [u64; 2]>,
    /// The frames that the hooks had counted.
    seen: [u64; 2],
}

impl Canary {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            carried: HashMap::new(),
            seen: [0; 2],
        }
    }

    /// Whether a comparison is due; the next one is a period later.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + PERIOD;
        }
        is_due
    }

    /// Compares what the watched interfaces have carried with what the hooks have seen since the
    /// last call. Returns the directions in which no hook saw a frame, with the packets.
    pub(super) fn compare(
        &mut self,
        watched: impl Iterator<Item = (u32, [u64; 2])>,
        frames: &Tally,
    ) -> Vec<(Direction, u64)> {
        let mut growth = [0_u64; 2];
        let mut carried = HashMap::with_capacity(self.carried.len());
        for (index, now) in watched {
            if let Some(before) = self.carried.get(&index) {
                for (sum, (now, before)) in growth.iter_mut().zip(now.iter().zip(before)) {
                    // A driver that starts anew counts from 0.
                    *sum += now.saturating_sub(*before);
                }
            }
            carried.insert(index, now);
        }
        self.carried = carried;
        let seen = [frames.frames_in.total(), frames.frames_out.total()];
        let before = std::mem::replace(&mut self.seen, seen);
        let directions = [Direction::In, Direction::Out].into_iter().zip(growth);
        directions
            .zip(seen.iter().zip(before))
            .filter(|&((_, packets), (&seen, before))| packets >= FEWEST_PACKETS && seen == before)
            .map(|(silent, _)| silent)
            .collect()
    }
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

    #[test]
    fn silence_is_many_packets_and_no_frame() {
        for (what, carried, seen, expected) in [
            ("idle", [0, 0], [0, 0], &[][..]),
            ("seen", [500, 500], [499, 10], &[]),
            ("few", [99, 99], [0, 0], &[]),
            ("inbound", [100, 99], [0, 0], &[(Direction::In, 100)]),
            ("outbound", [500, 100], [1, 0], &[(Direction::Out, 100)]),
            (
                "both",
                [200, 300],
                [0, 0],
                &[(Direction::In, 200), (Direction::Out, 300)],
            ),
        ] {
            let mut canary = Canary::new(Instant::now());
            let before = [(2, [1_000, 1_000])];
            let first = canary.compare(before.into_iter(), &tally(70, 70));
            assert_eq!(
                first,
                [],
                "{what}: the first one has nothing to compare with"
            );
            let [received, sent] = carried;
            let after = [
                (2, [1_000 + received, 1_000 + sent]),
                // It has appeared since.
                (3, [9_000, 9_000]),
            ];
            let [inbound, outbound] = seen;
            let found = canary.compare(after.into_iter(), &tally(70 + inbound, 70 + outbound));
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_driver_that_starts_anew_is_not_silent() {
        let mut canary = Canary::new(Instant::now());
        for packets in [[5_000, 5_000], [10, 10]] {
            let found = canary.compare([(2, packets)].into_iter(), &tally(0, 0));
            assert_eq!(found, []);
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
