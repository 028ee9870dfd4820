//! What the agent has counted since its start.
//!
//! In: what each poll has drained and written. Out: a log line for each poll, and one at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Agent;
use super::output::Finished;
use crate::drain::{CountMaps, Tally};
use crate::logging::dropped_lines;
use crate::metrics::{DurationHistogram, LineCounts};
use crate::sink::Written;
use crate::stream::EvictionStats;

/// The sums of all polls.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) polls: u64,
    pub(super) failed_polls: u64,
    /// Polls that were due while another poll was running.
    pub(super) missed_polls: u64,
    pub(super) tally: Tally,
    pub(super) evictions: EvictionStats,
    pub(super) forgotten: u64,
    pub(super) durations: DurationHistogram,
    /// When a poll last drained the counts.
    pub(super) drained_at: Option<Timestamp>,
    pub(super) lines: Arc<LineCounts>,
    /// How often each part has begun to be blind, by its name.
    pub(super) blind_began: BTreeMap<&'static str, u64>,
}

impl<M: CountMaps> Agent<M> {
    /// Adds a poll to the totals, and logs it.
    pub(super) fn report(&mut self, tally: &Tally, findings: usize) {
        let EvictionStats { evicted, refused } = self.pipeline.take_eviction_stats();
        let forgotten = self.actors.processes.take_evicted();
        let line = format_args!(
            "poll {}: {tally} evicted={evicted} refused={refused} processes_forgotten={forgotten} findings={findings}",
            self.totals.polls
        );
        match tally.frames() {
            0 => tracing::trace!("{line}"),
            _ => tracing::debug!("{line}"),
        }
        self.totals.tally.add(tally);
        self.totals.evictions.evicted += evicted;
        self.totals.evictions.refused += refused;
        self.totals.forgotten += forgotten;
    }

    /// Waits until all lines are written, and logs the totals.
    pub(super) fn log_totals(self) {
        let suppressed_lines = self.pipeline.suppressed();
        if let Some(recorder) = self.recorder {
            recorder.finish();
        }
        let Totals {
            polls,
            failed_polls,
            missed_polls,
            tally,
            evictions: EvictionStats { evicted, refused },
            forgotten,
            ..
        } = self.totals;
        let Finished {
            alerts,
            rows,
            named,
        } = self.output.finish();
        for (name, lines) in named {
            let Written {
                written,
                dropped,
                repeated,
            } = lines;
            tracing::info!(
                "totals of sink {name}: written={written} dropped={dropped} repeated={repeated}"
            );
        }
        let rows = rows.map_or_else(String::new, |rows| {
            let Written {
                written, dropped, ..
            } = rows;
            format!(" events={written} events_dropped={dropped}")
        });
        tracing::info!(
            "totals: polls={polls} failed_polls={failed_polls} missed_polls={missed_polls} {tally} evicted={evicted} refused={refused} processes_forgotten={forgotten} alerts={} alerts_dropped={} suppressed_lines={suppressed_lines}{rows} log_dropped={}",
            alerts.written,
            alerts.dropped,
            dropped_lines()
        );
    }
}
