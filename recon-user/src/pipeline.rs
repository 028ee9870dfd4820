//! From rows to notifications, for live and replayed rows alike.
//!
//! In: rows, the ends of polls. Out: [`Notification`]s, each of which becomes one line.
//!
//! | step | module |
//! |---|---|
//! | what became of an attempt, and what that says of its source | [`crate::contact`] |
//! | groups over rows and attempts | [`crate::stream`] |
//! | which groups are reported | [`crate::incident`] |
//!
//! The decision held here: [`crate::agent`], [`crate::replay`] and [`crate::judge`] drive this and
//! nothing else, so all report the same for the same rows, including the last growth of incidents
//! still open at the end.

mod attempt_log;
mod live;
mod state;
mod stats;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::Signal;

use crate::address::{Labels, Network};
use crate::blind::{Blind, BlindPart};
use crate::contact::{ContactNeeds, Contacts, Settled, concerns};
use crate::incident::{
    Finding, INCIDENT_BYTES, Incidents, Known, LineLimit, LineLimiter, Notification,
};
use crate::kql::{Field, Severity};
use crate::row::{Row, SignalSet, Standing, outcome};
use crate::rule::Configured;
use crate::settings::InForce;
use crate::stream::{EvictionStats, Interval, ProcessNeeds, Query, Stream, StreamSettings};

pub(crate) use attempt_log::{LoggedAttempt, LoggedOutcome, LoggedTarget, RunAttempts};
pub use state::Reconfigured;
pub(crate) use stats::PipelineStats;

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// The rules. A rule with `after` or `unless` comes after the rule it names.
    pub rules: Vec<Configured>,
    /// Findings below this severity are not reported. A lesser rule runs all the same where the
    /// `after` or `unless` of another one names it.
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
    /// Names of networks.
    pub labels: Labels,
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
            labels: settings.labels.clone(),
        }
    }
}

/// The state between rows and notifications.
#[derive(Debug)]
pub struct Pipeline {
    contacts: Contacts,
    /// Signals of rows for which a rule reads what is known of their remote.
    judged: SignalSet,
    /// Signals that this host's hooks do not report correctly.
    ignored: SignalSet,
    /// What rules read of the process behind an attempt of this host.
    attempt_needs: ProcessNeeds,
    stream: Stream,
    incidents: Incidents,
    limiter: LineLimiter,
    /// Findings below are not reported.
    min_severity: Severity,
    /// Whether an hour's attempts are written.
    writes_totals: bool,
    labels: Labels,
    /// The users of the processes behind this poll's rows, by pid.
    users: HashMap<u32, u32>,
    /// What remotes tried, if somebody asks for it.
    attempt_log: Option<attempt_log::AttemptLog>,
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
            labels,
        } = settings;
        let queries: Vec<_> = needed(rules, min_severity)
            .into_iter()
            .map(|mut rule| {
                rule.include_private |= include_private;
                Arc::new(Query::new(rule))
            })
            .collect();
        let incidents = Incidents::new(&queries, quiet);
        let stream = Stream::new(StreamSettings {
            queries: incidents.roles(&queries),
            include_private,
            local_networks,
            ignored,
            memory,
            reserve: INCIDENT_BYTES,
        });
        let attempt_needs = attempt_needs(&stream);
        Self {
            contacts: Contacts::new(contact_needs(queries.iter().map(|query| &**query), &stream)),
            judged: judged(&queries),
            ignored,
            attempt_needs,
            stream,
            incidents,
            limiter: LineLimiter::new(lines),
            min_severity,
            writes_totals: min_severity == Severity::Informational
                && lines.informational_per_hour.is_some(),
            labels,
            users: HashMap::new(),
            attempt_log: None,
        }
    }

    /// What the rules read of the process behind rows of that signal.
    #[must_use]
    pub fn process_needs(&self, signal: Signal) -> ProcessNeeds {
        let needs = self.stream.process_needs(signal);
        if signal.is_outbound() && concerns(signal) {
            needs.or(self.attempt_needs)
        } else {
            needs
        }
    }

    /// Counts a row of a poll.
    pub fn push(&mut self, row: &Row<'_>, interval: Interval) {
        self.stream.prefetch(row.key.remote);
        if !self.ignored.contains(row.key.signal) {
            self.contacts.observe(row, interval);
        }
        match row.key.remote {
            Some(remote) if self.judged.contains(row.key.signal) => {
                let standing = self.contacts.standing(remote);
                self.count(&Row { standing, ..*row }, interval);
            }
            _ => self.count(row, interval),
        }
    }

    /// Counts a row in the queries.
    fn count(&mut self, row: &Row<'_>, interval: Interval) {
        let Self {
            contacts,
            stream,
            incidents,
            users,
            ..
        } = self;
        if let Some((pid, user)) = row.process.and_then(|of| Some((of.pid, of.user?))) {
            users.insert(pid, user);
        }
        incidents.defer(stream, row);
        let skipped = incidents.skipped(row.key.remote, interval.to);
        let known = Known {
            incidents,
            contacts,
        };
        stream.push(row, interval, &skipped, &known);
    }

    /// Ends a poll. `is_lossy` says that the kernel lost something. Returns what is written.
    pub fn end_poll(&mut self, interval: Interval, is_lossy: bool) -> Vec<Notification> {
        if self.limiter.ends_hour(interval.to) {
            self.end_hour(interval.to);
        }
        let findings = self.end_poll_unlimited(interval, is_lossy);
        self.limiter.limit_findings(findings, interval.to)
    }

    /// Ends a poll; returns findings before the line limit.
    pub fn end_poll_unlimited(&mut self, interval: Interval, is_lossy: bool) -> Vec<Finding> {
        self.judge(interval, is_lossy, false)
    }

    /// Ends all attempts, incidents and periods, as there are no more rows. Returns what is
    /// written.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Notification> {
        let interval = Interval { from: now, to: now };
        let mut findings = self.judge(interval, false, true);
        let mut ended = self.incidents.finish(&self.stream, &self.contacts, now);
        self.describe(&mut ended);
        self.drop_lesser(&mut ended);
        findings.append(&mut ended);
        self.end_hour(now);
        let mut notifications = self.limiter.limit_findings(findings, now);
        notifications.extend(self.limiter.finish(now));
        notifications
    }

    /// Passes on what the attempts of the hour add up to.
    fn end_hour(&mut self, now: Timestamp) {
        let totals = self.contacts.take_totals(now);
        if let Some(totals) = totals.filter(|_| self.writes_totals) {
            self.limiter.set_contacts(totals, now);
        }
    }

    /// Counts the attempts whose outcome is known, and judges what the poll has changed.
    fn judge(&mut self, interval: Interval, is_lossy: bool, is_last: bool) -> Vec<Finding> {
        let device = self.contacts.device();
        let attempts = self.contacts.settle(interval.to, is_last);
        if let Some(log) = &mut self.attempt_log {
            log.add(&attempts, interval.to);
        }
        for (position, settled) in attempts.iter().enumerate() {
            let next = attempts.get(position + 1);
            self.stream.prefetch(next.and_then(|next| next.key.remote));
            let from = settled.since.min(interval.to);
            // The verdict after the whole poll: a fast scan's first attempts are a scanner's too.
            let standing = match settled.key.remote {
                Some(remote) if self.judged.contains(settled.key.signal) => settled
                    .standing
                    .unwrap_or_else(|| self.contacts.standing(remote)),
                _ => Standing::default(),
            };
            let row = settled_row(settled, &device, standing, interval.to);
            self.count(&row, Interval { from, ..interval });
        }
        let Self {
            contacts,
            stream,
            incidents,
            ..
        } = self;
        let mut findings = incidents.end_poll(stream, contacts, interval, is_lossy);
        self.describe(&mut findings);
        self.drop_lesser(&mut findings);
        self.users.clear();
        findings
    }

    /// Drops what is less severe than asked for, which only what is known of the source decides.
    fn drop_lesser(&self, findings: &mut Vec<Finding>) {
        findings.retain(|finding| finding.severity >= self.min_severity);
    }

    /// Adds to findings the user and the operator's name of their source.
    fn describe(&self, findings: &mut [Finding]) {
        for finding in findings {
            finding.user = finding.pid.and_then(|pid| self.users.get(&pid).copied());
            let named = finding.remote.or(finding.network);
            finding.label = named.and_then(|remote| self.labels.find(remote.to_ip()));
        }
    }

    /// Takes the counts of evicted groups and refused rows since the last call.
    pub fn take_eviction_stats(&mut self) -> EvictionStats {
        self.stream.take_stats()
    }

    /// Notes what the rules had no memory for since the last call.
    pub fn note_blind(&mut self, blind: &mut Blind) {
        let given_up = self.stream.take_given_up().into_iter();
        for (of, given_up) in self.stream.queries().iter().zip(given_up) {
            if given_up > 0 {
                let (id, name) = (of.query.rule_id(), &of.query.plan().name);
                blind.lose(BlindPart::Rule(id.to_owned(), name.clone()), given_up);
            }
        }
    }

    /// The incidents that are open.
    #[must_use]
    pub fn open_incidents(&self) -> usize {
        self.incidents.stats().open
    }

    /// The findings for which no line was written.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.limiter.suppressed()
    }
}

/// The rules of at least that severity, and those that they name, whatever their severity.
fn needed(rules: Vec<Configured>, min_severity: Severity) -> Vec<Configured> {
    let mut is_needed: Vec<bool> = rules
        .iter()
        .map(|rule| rule.plan.severity >= min_severity)
        .collect();
    // A rule comes after those that it names.
    for later in (0..rules.len()).rev() {
        if !is_needed[later] {
            continue;
        }
        let plan = &rules[later].plan;
        for (earlier, rule) in rules.iter().enumerate() {
            let id = &rule.plan.id;
            is_needed[earlier] |= plan.after.contains(id) || plan.unless.contains(id);
        }
    }
    let rules = rules.into_iter().zip(is_needed);
    rules
        .filter_map(|(rule, is_needed)| is_needed.then_some(rule))
        .collect()
}

/// The row of a settled attempt.
fn settled_row<'a>(
    settled: &'a Settled,
    device: &'a str,
    standing: Standing,
    time: Timestamp,
) -> Row<'a> {
    Row {
        key: settled.key,
        count: settled.count,
        time,
        device,
        process: settled.process.as_deref(),
        is_scanner: settled.is_scanner,
        listener: settled.listener,
        standing,
        sources: None,
    }
}

/// What the queries of a stream read of contacts.
fn contact_needs<'a>(queries: impl Iterator<Item = &'a Query>, stream: &Stream) -> ContactNeeds {
    let mut queries = queries;
    ContactNeeds {
        networks: queries.any(|query| query.reads(|field| field == Field::NetworkVerdict)),
        processes: attempt_needs(stream).process,
    }
}

/// What rules read of the process behind an attempt of this host.
fn attempt_needs(stream: &Stream) -> ProcessNeeds {
    let attempts = Signal::ALL.into_iter();
    let attempts = attempts.filter(|&signal| signal.is_outbound() && !outcome(signal).is_empty());
    let needs = attempts.map(|signal| stream.process_needs(signal));
    needs.fold(ProcessNeeds::default(), ProcessNeeds::or)
}

/// The signals of rows for which a query reads what is known of their remote.
fn judged(queries: &[Arc<Query>]) -> SignalSet {
    let is_known = |field| {
        matches!(
            field,
            Field::RemoteVerdict | Field::NetworkVerdict | Field::RemoteProven
        )
    };
    let reading = queries.iter().filter(|query| query.reads(is_known));
    reading
        .flat_map(|query| query.filter.signals.iter())
        .collect()
}

#[cfg(test)]
mod tests;
