//! When to log that a ring of the kernel programs had no room.
//!
//! In: how many frames are lost so far. Out: how many of them to report now.
//! The decision held here: at most once a minute, and the rest at the end.

use std::time::{Duration, Instant};

/// The least time between two reports.
const PAUSE: Duration = Duration::from_secs(60);

/// What of a ring's losses has been reported.
#[derive(Debug, Default)]
pub(super) struct RingLossLog {
    reported: u64,
    reported_at: Option<Instant>,
}

impl RingLossLog {
    /// How many of the lost frames to report now, if any. The last call reports the rest.
    pub(super) fn take_unreported(&mut self, lost: u64, is_last: bool) -> Option<u64> {
        let unreported = lost.saturating_sub(self.reported);
        let is_due = self.reported_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if unreported == 0 || !(is_due || is_last) {
            return None;
        }
        self.reported = lost;
        self.reported_at = Some(Instant::now());
        Some(unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_reported_once_and_at_most_once_a_minute() {
        let mut log = RingLossLog::default();
        for (lost, is_last, expected) in [
            (0, false, None),
            (3, false, Some(3)),
            (5, false, None),
            (7, true, Some(4)),
            (7, true, None),
        ] {
            assert_eq!(log.take_unreported(lost, is_last), expected, "{lost}");
        }
    }
}
