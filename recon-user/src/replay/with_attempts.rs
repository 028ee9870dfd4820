//! A replay that also keeps what remotes tried.
//!
//! In: opened captures. Out: [`ReplayedCaptures`], beside the alerts.

use std::io::Write;

use anyhow::Context as _;

use super::{Replay, read_inputs};
use crate::address::Network;
use crate::alert::LineFormat;
use crate::capture::{CaptureError, Input};
use crate::pipeline::RunAttempts;
use crate::settings::InForce;

/// What rules found in captures, and what the packets say beyond that.
pub(crate) struct ReplayedCaptures {
    pub(crate) attempts: RunAttempts,
    pub(crate) packets: u64,
    /// What was not judged, by its name in the summary, without what is 0.
    pub(crate) losses: Vec<(String, u64)>,
    /// Whether packets were skipped.
    pub(crate) has_gaps: bool,
    /// Captures that end within a packet.
    pub(crate) cut_files: u64,
    /// Why the rest can't be read.
    pub(crate) read: Result<(), CaptureError>,
}

/// Judges the packets of captures, keeps what remotes tried, and logs a summary. What was read is
/// judged, also if the rest can't be read.
///
/// # Errors
/// `out` can't be written.
pub(crate) fn replay_with_attempts(
    inputs: Vec<Input>,
    local: &[Network],
    in_force: &InForce,
    out: &mut dyn Write,
) -> anyhow::Result<ReplayedCaptures> {
    let mut replay = Replay::new(local, in_force, LineFormat::Ecs);
    replay.pipeline.log_attempts();
    let read = read_inputs(&mut replay, inputs, out).context("can't keep what the rules find")?;
    replay.report();
    Ok(ReplayedCaptures {
        attempts: replay.pipeline.take_attempts(),
        packets: replay.summary.packets,
        losses: replay.losses(),
        has_gaps: replay.summary.has_gaps(),
        cut_files: replay.summary.cut_files,
        read,
    })
}
