//! Shared by the benchmarks of rules and alerts: a pipeline, and how a flood is pushed into it.
//!
//! In: rules, keys. Out: findings.
//! The decision held here: polls are a second apart, by a clock of their own.

use jiff::{SignedDuration, Timestamp};
use recon_common::Key;
use recon_user::incident::{DEFAULT_QUIET, LineLimit};
use recon_user::kql::{Plan, Severity};
use recon_user::pipeline::{Pipeline, PipelineSettings};
use recon_user::row::{Row, RowKey, SignalSet};
use recon_user::rule::{Configured, Profile, defaults};
use recon_user::stream::{DEFAULT_MEMORY, Interval};

const POLLING: SignedDuration = SignedDuration::from_secs(1);
/// The name of the host.
pub(crate) const HOST: &str = "host";

/// A new pipeline with the built-in rules.
#[allow(dead_code, reason = "shared by benchmarks")]
pub(crate) fn pipeline() -> Pipeline {
    pipeline_of(defaults(Profile::Outcomes))
}

/// A new pipeline with the rules `plans`.
pub(crate) fn pipeline_of(plans: Vec<Plan>) -> Pipeline {
    Pipeline::new(PipelineSettings {
        rules: plans.into_iter().map(Configured::plain).collect(),
        min_severity: Severity::Informational,
        include_private: false,
        local_networks: Vec::new(),
        ignored: SignalSet::default(),
        memory: DEFAULT_MEMORY,
        quiet: DEFAULT_QUIET,
        lines: LineLimit::default(),
        labels: Default::default(),
    })
}

/// The interval of a poll. The first poll has the number 0.
pub(crate) fn interval(poll: u32) -> Interval {
    let at = |poll: i32| Timestamp::UNIX_EPOCH + POLLING * poll;
    let poll = poll.cast_signed();
    Interval {
        from: at(poll),
        to: at(poll + 1),
    }
}

/// Pushes a row with the given key.
pub(crate) fn push(pipeline: &mut Pipeline, key: &Key, count: u64, interval: Interval) {
    let Some(key) = RowKey::unpack(key) else {
        return;
    };
    let row = Row {
        device: HOST,
        standing: recon_user::row::Standing::default(),
        ..Row::bare(key, count, interval.to)
    };
    pipeline.push(&row, interval);
}
