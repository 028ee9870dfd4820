//! What a poll could not see, and the alerts about that.
//!
//! In: the sums of a poll. Out: the parts of recon that are blind ([`crate::blind`]).

use std::time::Duration;

use recon_common::Loss;

use super::Agent;
use super::clock::wall_offset;
use crate::blind::{BlindPart, BlindReport};
use crate::drain::{CountMaps, DrainError, Interference, Tally};

/// Of a table with at most one free key in so many, sources get keys only in their turn.
const FREE_SHARE: u64 = 8;

impl<M: CountMaps> Agent<M> {
    /// Notes that so many polls were missed.
    pub(super) fn note_delay(&mut self, missed: u64, period: Duration) {
        let period = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let delay = missed.saturating_mul(period);
        self.blind.lose(BlindPart::Polls, delay);
    }

    /// Notes that a poll has failed.
    pub(super) fn note_failed_poll(&mut self, error: DrainError) {
        self.totals.failed_polls += 1;
        let polls = self.totals.polls;
        if let DrainError::Frozen { name } = error {
            self.blind.lose(BlindPart::Frozen(name.to_owned()), 1);
            tracing::error!("poll {polls}: {error}; what was counted since the last one is lost");
            self.frozen = Some(error);
            return;
        }
        self.blind.lose(BlindPart::FailedPolls, 1);
        tracing::error!("poll {polls}: {error}; the counts stay in the kernel for the next one");
    }

    /// Notes what the kernel and the rules have lost in a poll.
    pub(super) fn note_losses(&mut self, tally: &Tally) {
        let full = tally.lost_for(Loss::TableFull);
        self.blind.lose(
            BlindPart::Table,
            full + self.sketched_for_lack_of_keys(tally),
        );
        let lost = Loss::ALL.into_iter().filter(|loss| loss.lowers_counts());
        let lost: u64 = lost.map(|loss| tally.lost_for(loss)).sum();
        self.blind.lose_signals(tally.signals, lost - full);
        let Interference {
            keys,
            counters,
            signals,
            moves,
        } = self.drain.take_interference();
        // Signals are missing where keys or counters are.
        let changed = (keys + counters).max(signals);
        self.blind.lose(BlindPart::Counts, changed);
        self.blind.lose(BlindPart::Generation, moves);
        let late = self.actors.take_late();
        self.blind.lose(BlindPart::Processes, late);
        self.pipeline.note_blind(&mut self.blind);
    }

    /// The signals that were counted under no source of their own although that may have had a key
    /// to come. As long as there are keys, the kernel sketches only sources of fewer
    /// than eight packets.
    fn sketched_for_lack_of_keys(&self, tally: &Tally) -> u64 {
        let free = u64::from(self.table_entries).saturating_sub(tally.keys);
        match free <= u64::from(self.table_entries) / FREE_SHARE {
            true => tally.sketched,
            false => 0,
        }
    }

    pub(super) fn write_blind(&mut self, reports: &[BlindReport]) {
        let offset = wall_offset();
        for report in reports {
            let report = &report.shifted(offset);
            match self.lines.blind(report) {
                Ok(line) => {
                    self.output.alert(line);
                    self.totals.count_report(report);
                }
                Err(error) => tracing::error!("{}: can't write the line: {error}", report.part),
            }
        }
        self.output.end_alerts();
    }
}
