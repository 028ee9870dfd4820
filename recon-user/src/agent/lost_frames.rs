//! When to say that a ring had no room for frames.
//!
//! In: how many are lost so far. Out: how many have not been said yet, at most once in a while.

use std::time::{Duration, Instant};

/// How often it is said.
const PAUSE: Duration = Duration::from_secs(60);

/// What has been said.
#[derive(Debug, Default)]
pub(super) struct LostFrames {
    said: u64,
    said_at: Option<Instant>,
}

impl LostFrames {
    /// How many of the lost frames are to be said now, if any. The last call says the rest.
    pub(super) fn take_unsaid(&mut self, lost: u64, is_last: bool) -> Option<u64> {
        let unsaid = lost.saturating_sub(self.said);
        let is_due = self.said_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if unsaid == 0 || !(is_due || is_last) {
            return None;
        }
        self.said = lost;
        self.said_at = Some(Instant::now());
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_once_and_not_all_the_time() {
        let mut frames = LostFrames::default();
        for (lost, is_last, expected) in [
            (0, false, None),
            (3, false, Some(3)),
            (5, false, None),
            (7, true, Some(4)),
            (7, true, None),
        ] {
            assert_eq!(frames.take_unsaid(lost, is_last), expected, "{lost}");
        }
    }
}
