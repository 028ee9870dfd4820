//! How much a pipeline holds, and what has come of it.
//!
//! In: a pipeline between two polls. Out: [`PipelineStats`].

use super::Pipeline;
use crate::incident::IncidentStats;
use crate::row::Verdict;
use crate::stream::GroupStats;

/// How much a pipeline holds, and what has come of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PipelineStats {
    /// The groups of all rules.
    pub(crate) groups: GroupStats,
    pub(crate) incidents: IncidentStats,
    /// The remotes that there is evidence about.
    pub(crate) remotes: usize,
    /// How often a remote got each verdict, in the order of [`Verdict::ALL`].
    pub(crate) verdicts: [u64; Verdict::ALL.len()],
    /// Findings without a line.
    pub(crate) suppressed: u64,
}

impl Pipeline {
    /// What it holds, and what has come of it.
    #[must_use]
    pub(crate) fn stats(&self) -> PipelineStats {
        let (remotes, verdicts) = self.contacts.verdict_stats();
        PipelineStats {
            groups: self.stream.group_stats(),
            incidents: self.incidents.stats(),
            remotes,
            verdicts,
            suppressed: self.suppressed(),
        }
    }
}
