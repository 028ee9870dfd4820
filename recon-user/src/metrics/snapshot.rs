//! What the agent has counted by the end of a poll.
//!
//! In: nothing. Out: [`Snapshot`], plain data that the agent fills.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{DurationHistogram, LineCounts};
use crate::blind::BlindPart;
use crate::drain::Tally;
use crate::hook::{HookCount, ProgramRuns};
use crate::pipeline::PipelineStats;
use crate::record::EvidenceCounts;
use crate::stream::EvictionStats;

/// What is known at the end of a poll. Sums are those since the start of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The polls, including failed ones.
    pub(crate) polls: u64,
    pub(crate) failed_polls: u64,
    pub(crate) missed_polls: u64,
    pub(crate) durations: DurationHistogram,
    /// When a poll last drained the counts.
    pub(crate) drained_at: Option<Timestamp>,
    pub(crate) tally: Tally,
    pub(crate) evictions: EvictionStats,
    pub(crate) processes_forgotten: u64,
    /// The rules in force.
    pub(crate) rules: usize,
    pub(crate) pipeline: PipelineStats,
    pub(crate) lines: Arc<LineCounts>,
    pub(crate) sinks: Vec<SinkCounts>,
    /// Messages that the ring for `enrich.names` had no room for.
    pub(crate) lost_dns_messages: u64,
    /// What became of evidence files, and the packets whose headers had no room.
    pub(crate) evidence: EvidenceCounts,
    pub(crate) lost_headers: u64,
    pub(crate) log_dropped: u64,
    pub(crate) state_failures: u64,
    /// What is blind now.
    pub(crate) blind: Vec<BlindPart>,
    /// How often each part has begun to be blind, by its name.
    pub(crate) blind_began: BTreeMap<&'static str, u64>,
    pub(crate) hooks: Vec<HookCount>,
    pub(crate) interfaces: usize,
    /// The interfaces that are missed.
    pub(crate) missing_interfaces: usize,
    pub(crate) programs: Vec<ProgramRuns>,
}

/// What became of the lines of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkCounts {
    /// Its name.
    pub(crate) name: String,
    /// The lines that wait.
    pub(crate) queued: u64,
    pub(crate) written: u64,
    pub(crate) dropped: u64,
}
