//! What a scraper reads: a snapshot at the end of each poll.
//!
//! In: the sums of all polls, and what the agent holds. Out: a [`Snapshot`] for the thread that
//! answers scrapes.
//! The decision held here: without `--metrics` there is neither a thread nor a snapshot. What it is
//! made from is counted in any case, since the control socket shows some of it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;

use super::Agent;
use super::interfaces::WatchedInterfaces;
use super::record::Recorder;
use super::totals::Totals;
use crate::alert::{OWN_RULE_IDS, own_rule_id};
use crate::blind::BlindReport;
use crate::cli::RunOptions;
use crate::drain::CountMaps;
use crate::hook::SocketHooks;
use crate::incident::{Notification, Phase};
use crate::logging::dropped_lines;
use crate::metrics::{LineKind, MetricsListener, MetricsServer, Published, Snapshot};
use crate::rule::Configured;
use crate::stream::rule_id;

/// The way from the agent to the thread that answers scrapes.
pub(super) struct Meter {
    published: Arc<Published>,
    server: MetricsServer,
    /// The socket hooks of this start.
    sockets: SocketHooks,
}

impl Meter {
    /// Listens, if the options say where, and starts the thread.
    ///
    /// # Errors
    /// The address can't be listened on, or the system has no more threads.
    pub(super) fn start(options: &RunOptions) -> anyhow::Result<Option<Self>> {
        let Some(address) = &options.metrics else {
            return Ok(None);
        };
        let listener = MetricsListener::bind(address, options.control.as_deref())?;
        let published = Arc::new(Published::new(options.interval));
        let server = MetricsServer::start(listener, Arc::clone(&published))
            .context("can't start the thread that answers scrapes")?;
        tracing::info!("metrics: GET /metrics and /healthz on {address}");
        Ok(Some(Self {
            published,
            server,
            sockets: SocketHooks::default(),
        }))
    }

    /// Keeps the socket hooks, to count them in each snapshot.
    pub(super) fn set_socket_hooks(&mut self, sockets: &SocketHooks) {
        self.sockets = sockets.clone();
    }

    /// The thread that answers.
    pub(super) const fn thread(&self) -> libc::pid_t {
        self.server.thread()
    }
}

impl Totals {
    /// Begins the counts of lines for rules that come into force, and for those about recon itself.
    pub(super) fn add_rules(&mut self, rules: &[Configured]) {
        let lines = Arc::make_mut(&mut self.lines);
        let own = OWN_RULE_IDS.map(str::to_owned).into_iter();
        let ids = rules.iter().map(|rule| rule_id(&rule.plan)).chain(own);
        ids.for_each(|id| lines.add_rule(id));
    }

    /// Counts the line of a notification.
    pub(super) fn count_line(&mut self, notification: &Notification) {
        let lines = Arc::make_mut(&mut self.lines);
        match notification {
            Notification::Found(finding) => {
                lines.add_line(finding.query.rule_id(), LineKind::Phase(finding.phase));
            }
            Notification::Suppressed { first, .. } => {
                lines.add_line(first.query.rule_id(), LineKind::LeftOut);
            }
            Notification::Digest(_) => lines.add_digest(),
        }
    }

    /// Counts the line of a report on what recon does not see.
    pub(super) fn count_report(&mut self, report: &BlindReport) {
        let lines = Arc::make_mut(&mut self.lines);
        lines.add_line(own_rule_id(&report.part), LineKind::Phase(report.phase));
        if report.phase == Phase::Began {
            *self.blind_began.entry(report.part.name()).or_default() += 1;
        }
    }

    /// Counts a poll that began then, and whether it has drained the counts.
    pub(super) fn count_poll(&mut self, began: Instant, has_drained: bool) {
        self.durations.add(began.elapsed());
        if has_drained {
            self.drained_at = Some(Timestamp::now());
        }
    }
}

impl<M: CountMaps> Agent<M> {
    /// Hands a snapshot to the thread that answers scrapes, if there is one.
    pub(super) fn publish(&self, interfaces: &WatchedInterfaces, rules: usize, has_drained: bool) {
        let Some(meter) = &self.meter else { return };
        if has_drained {
            meter.published.note_drained();
        }
        let there = interfaces.indexes().count();
        let hooks = &interfaces.hooks;
        let totals = &self.totals;
        let recorded = self.recorder.as_ref().map(Recorder::counts);
        let (evidence, lost_headers) = recorded.unwrap_or_default();
        meter.published.publish(Snapshot {
            polls: totals.polls,
            failed_polls: totals.failed_polls,
            missed_polls: totals.missed_polls,
            durations: totals.durations,
            drained_at: totals.drained_at,
            tally: totals.tally,
            evictions: totals.evictions,
            processes_forgotten: totals.forgotten,
            rules,
            pipeline: self.pipeline.stats(),
            lines: Arc::clone(&totals.lines),
            sinks: self.output.sink_counts(),
            lost_dns_messages: self.lost_dns_messages(),
            evidence,
            lost_headers,
            log_dropped: dropped_lines(),
            state_failures: self.state_failures(),
            blind: self.blind.open().cloned().collect(),
            blind_began: totals.blind_began.clone(),
            hooks: hooks.count_hooks(&meter.sockets),
            interfaces: there,
            missing_interfaces: interfaces.watched.len() - there,
            programs: hooks.program_runs(),
        });
    }
}
