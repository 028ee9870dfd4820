//! From rows to notifications, for live and replayed rows alike.
//!
//! In: rows, the ends of polls. Out: [`Notification`]s, each of which becomes one line.
//! The decision held here: [`crate::agent`] and [`crate::replay`] both drive this and nothing else,
//! so both report the same for the same rows, including the last growth of incidents still open at
//! the end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::Signal;

use crate::address::Network;
use crate::incident::{Finding, INCIDENT_BYTES, Incidents, LineLimit, LineLimiter, Notification};
use crate::kql::Severity;
use crate::row::{Row, SignalSet};
use crate::rule::Configured;
use crate::settings::InForce;
use crate::stream::{EvictionStats, Interval, ProcessNeeds, Query, Stream, StreamSettings};

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// The rules. A rule with `after` or `unless` comes after the rule it names.
    pub rules: Vec<Configured>,
    /// Rules below this severity are not applied.
    pub min_severity: Severity,
    /// Whether private remotes count in every rule.
    pub include_private: bool,
    /// Networks that are private too.
    pub local_networks: Vec<Network>,
    /// Signals that this host's hooks do not report correctly.
    pub ignored: SignalSet,
    /// The bound on the state of all rules, in bytes.
    pub memory: u64,
    /// How long an incident must be unchanged to be over.
    pub quiet: Duration,
    /// How many lines a query may write.
    pub lines: LineLimit,
}

impl PipelineSettings {
    /// Settings of this start; `ignored` are signals that this host's hooks misreport.
    #[must_use]
    pub fn new(in_force: &InForce, ignored: SignalSet) -> Self {
        let settings = &in_force.settings;
        Self {
            rules: in_force.rules.clone(),
            min_severity: settings.min_severity,
            include_private: settings.include_private,
            local_networks: settings.local_networks.clone(),
            ignored,
            memory: settings.state_memory(),
            quiet: settings.quiet.0,
            lines: settings.alert_limit(),
        }
    }
}

/// The state between rows and notifications.
#[derive(Debug)]
pub struct Pipeline {
    stream: Stream,
    incidents: Incidents,
    limiter: LineLimiter,
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    #[must_use]
    pub fn new(settings: PipelineSettings) -> Self {
        let PipelineSettings {
            rules,
            min_severity,
            include_private,
            local_networks,
            ignored,
            memory,
            quiet,
            lines,
        } = settings;
        let queries: Vec<_> = rules
            .into_iter()
            .filter(|rule| rule.plan.severity >= min_severity)
            .map(|mut rule| {
                rule.include_private |= include_private;
                Arc::new(Query::new(rule))
            })
            .collect();
        let incidents = Incidents::new(&queries, quiet);
        Self {
            stream: Stream::new(StreamSettings {
                queries: incidents.roles(&queries),
                include_private,
                local_networks,
                ignored,
                memory,
                reserve: INCIDENT_BYTES,
            }),
            incidents,
            limiter: LineLimiter::new(lines),
        }
    }

    /// What the rules read of the process behind rows of that signal.
    #[must_use]
    pub fn process_needs(&self, signal: Signal) -> ProcessNeeds {
        self.stream.process_needs(signal)
    }

    /// Counts a row of a poll.
    pub fn push(&mut self, row: &Row<'_>, interval: Interval) {
        let Self {
            stream, incidents, ..
        } = self;
        incidents.defer(stream, row);
        let skipped = incidents.skipped(row.key.remote, interval.to);
        let protect = |tag, since| incidents.protects(tag, since);
        stream.push(row, interval, &skipped, &protect);
    }

    /// Ends a poll. `is_lossy` says that the kernel lost something. Returns what is written.
    pub fn end_poll(&mut self, interval: Interval, is_lossy: bool) -> Vec<Notification> {
        let findings = self.end_poll_unlimited(interval, is_lossy);
        self.limiter.limit_findings(findings, interval.to)
    }

    /// Ends a poll; returns findings before the line limit.
    pub fn end_poll_unlimited(&mut self, interval: Interval, is_lossy: bool) -> Vec<Finding> {
        let Self {
            stream, incidents, ..
        } = self;
        incidents.end_poll(stream, interval, is_lossy)
    }

    /// Ends all incidents and periods, as there are no more rows. Returns what is written.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Notification> {
        let findings = self.incidents.finish(&self.stream, now);
        let mut notifications = self.limiter.limit_findings(findings, now);
        notifications.extend(self.limiter.finish(now));
        notifications
    }

    /// Takes the counts of evicted groups and refused rows since the last call.
    pub fn take_eviction_stats(&mut self) -> EvictionStats {
        self.stream.take_stats()
    }

    /// The findings for which no line was written.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.limiter.suppressed()
    }
}

#[cfg(test)]
mod tests;
