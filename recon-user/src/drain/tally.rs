//! The sums of one poll.

use std::fmt;

use recon_common::Loss;

/// The sums of one poll, besides its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that crossed an inbound hook.
    pub frames_in: u64,
    /// Frames that crossed an outbound hook.
    pub frames_out: u64,
    /// Sum of the counts of all rows.
    pub signals: u64,
    /// How many of these are signals of sources without a key of their own.
    pub sketched: u64,
    /// Number of rows.
    pub keys: u64,
    /// What could not be counted, by [`Loss`].
    pub lost: [u64; Loss::ALL.len()],
}

impl Tally {
    /// All losses together.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// The losses for one reason.
    #[must_use]
    pub(crate) fn lost_for(&self, reason: Loss) -> u64 {
        let mut losses = Loss::ALL.into_iter().zip(self.lost);
        let found = losses.find(|(loss, _)| *loss == reason);
        found.map_or(0, |(_, lost)| lost)
    }

    /// Whether the counts are a lower bound.
    #[must_use]
    pub(crate) fn is_lower_bound(&self) -> bool {
        let mut losses = Loss::ALL.into_iter().zip(self.lost);
        self.sketched > 0 || losses.any(|(loss, count)| loss.lowers_counts() && count > 0)
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        self.signals += other.signals;
        self.sketched += other.sketched;
        self.keys += other.keys;
        for (sum, lost) in self.lost.iter_mut().zip(other.lost) {
            *sum += lost;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames_in,
            frames_out,
            signals,
            sketched,
            keys,
            lost: _,
        } = self;
        write!(
            f,
            "frames_in={frames_in} frames_out={frames_out} signals={signals} admitted={} sketched={sketched} keys={keys} lost={}",
            signals.saturating_sub(*sketched),
            self.lost_total()
        )?;
        for (loss, count) in Loss::ALL.into_iter().zip(self.lost) {
            if count > 0 {
                write!(f, " lost_{}={count}", loss.name())?;
            }
        }
        Ok(())
    }
}
