//! From a rule to a query that the stream runs: the one physical plan.
//!
//! In: a [`Configured`] rule. Out: a [`Query`]: filter, key, one operator for each aggregate.
//! The decision held here: in a query with `summarize`, rows that lack a number it groups by do not
//! count. They would form one group of everything unknown.

use std::time::Duration;

use jiff::Timestamp;
use recon_common::Signal;

use super::fields::fields;
use super::filter::{Condition, Filter, ProcessFilter, conjuncts, port_of};
use super::identity::state_identity;
use super::key::{KeyColumn, KeyPlan};
use super::operator::{AggregatePlan, Measure, measure, name_measure, rule_id};
use crate::kql::eval::Columns;
use crate::kql::{Field, Plan, Severity};
use crate::row::{Row, RowKey, SignalSet, port_column, table};
use crate::rule::Configured;
use crate::stable_hash::StableHash;

/// A rule in force, ready to run.
#[derive(Clone, Debug)]
pub struct Query {
    /// The plan, and what the settings make of it.
    pub rule: Configured,
    /// Which rows count.
    pub filter: Filter,
    /// What its groups are keyed by.
    pub key: KeyPlan,
    /// What its threshold is compared with.
    pub measure: Measure,
    /// How the measure is computed.
    pub(crate) measured: AggregatePlan,
    /// How the plan's other aggregates are computed.
    pub(crate) others: Vec<AggregatePlan>,
    /// Whether its alerts report what became of attempts: rules on what one remote sends to ports.
    pub reports_outcomes: bool,
    /// What tells it from all others.
    rule_id: Box<str>,
    /// What its state depends on.
    pub(super) identity: Option<StableHash>,
}

impl Query {
    /// Plans a rule.
    #[must_use]
    pub fn new(rule: Configured) -> Self {
        let plan = &rule.plan;
        let key = KeyPlan::new(plan);
        let signals = Signal::ALL.into_iter();
        let signals: SignalSet = signals
            .filter(|&signal| table(signal) == plan.table && has_key(plan, &key, signal))
            .collect();
        let mut filter = Filter {
            signals,
            ports: Vec::new(),
            only_public: false,
            needs_remote: key.is_of_remotes(),
            processes: if key.has(KeyColumn::Pid) {
                ProcessFilter::Known
            } else {
                ProcessFilter::Any
            },
            conditions: Vec::new(),
        };
        for condition in conjuncts(plan) {
            filter.add_condition(condition, &rule);
        }
        let (measured, others) = AggregatePlan::all(plan, filter.signals);
        if others.is_empty() {
            filter.signals = measured.signals;
        }
        let mut query = Self {
            reports_outcomes: reports_outcomes(plan, &key, &filter),
            measure: measure(plan),
            rule_id: rule_id(plan).into(),
            identity: None,
            rule,
            filter,
            key,
            measured,
            others,
        };
        query.identity = state_identity(&query.rule, query.measure_name());
        query
    }

    /// Which of the plan's aggregates counts the remotes, if one does.
    #[must_use]
    pub(crate) fn sources_aggregate(&self) -> Option<usize> {
        let all = std::iter::once(&self.measured).chain(&self.others);
        let mut counting = all.filter(|of| of.operator.counts_remotes());
        counting.next()?.position
    }

    /// The detection, `rule.category`; its measures share it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.plan().id
    }

    /// `rule.id`: its detection, its measure, and its variant if it has one. No two have the same.
    #[must_use]
    pub fn rule_id(&self) -> &str {
        &self.rule_id
    }

    /// What it was planned from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.rule.plan
    }

    /// How sure its alerts are.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.plan().severity
    }

    /// It fires above this, not at it.
    #[must_use]
    pub fn threshold(&self) -> u64 {
        self.plan().threshold.map_or(0, |threshold| threshold.above)
    }

    /// How far back a group's rows reach.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.plan().window
    }

    /// The ids of the rules of which one must have reported a remote before its rows count.
    #[must_use]
    pub fn after(&self) -> &[String] {
        &self.plan().after
    }

    /// The ids of the rules whose reported remotes do not count.
    #[must_use]
    pub fn unless(&self) -> &[String] {
        &self.plan().unless
    }

    /// Whether other rules can follow it: it groups by the remote alone.
    #[must_use]
    pub fn reports_remotes(&self) -> bool {
        self.key.is_only(KeyColumn::Remote) && self.after().is_empty()
    }

    /// Whether sources share a group, of which another rule may report one.
    pub(super) fn shares_groups(&self) -> bool {
        self.key.network().is_some() && !self.unless().is_empty()
    }

    /// The name that alerts show as `recon.measure`.
    #[must_use]
    pub fn measure_name(&self) -> &str {
        name_measure(self.plan(), self.measure)
    }

    /// Whether it reads more of the process behind a row than its id.
    #[must_use]
    pub fn needs_process(&self) -> bool {
        let is_known = |field| matches!(field, Field::ProcessId | Field::ProcessIsScanner);
        self.reads(|field| field.is_of_process() && !is_known(field))
    }

    /// Whether it asks if the process behind a row is a known scanning tool.
    #[must_use]
    pub fn needs_tool(&self) -> bool {
        self.filter.processes == ProcessFilter::Tools
            || self.reads(|field| field == Field::ProcessIsScanner)
    }

    /// Whether something that is evaluated on rows reads such a column.
    pub(crate) fn reads(&self, is_one: impl Fn(Field) -> bool) -> bool {
        let plan = self.plan();
        let groups = self.key.computed.iter();
        let groups = groups.map(|&position| &plan.groups[position].expr);
        let conditions = self.filter.conditions.iter();
        let conditions = conditions.map(|condition| &condition.written);
        let mut read = groups.chain(conditions);
        read.any(|expr| fields(expr, &plan.extends).any(&is_one)) || self.aggregates_read(is_one)
    }

    /// Whether an aggregate that is evaluated on rows reads such a column.
    pub(crate) fn aggregates_read(&self, is_one: impl Fn(Field) -> bool) -> bool {
        let plan = self.plan();
        let evaluated = [&self.measured].into_iter().chain(&self.others);
        let evaluated = evaluated.filter(|aggregate| aggregate.is_evaluated());
        let arguments = evaluated.filter_map(|aggregate| aggregate.of(plan));
        let mut arguments = arguments.flat_map(|aggregate| &aggregate.arguments);
        arguments.any(|expr| fields(expr, &plan.extends).any(&is_one))
    }

    /// Whether a row counts, its conditions apart. `is_private` says that the remote is private and
    /// such remotes are not judged.
    #[must_use]
    pub fn matches_row(&self, row: &Row<'_>, is_private: bool) -> bool {
        let filter = &self.filter;
        let RowKey {
            remote, port, pid, ..
        } = row.key;
        let has_process = match filter.processes {
            ProcessFilter::Any => true,
            ProcessFilter::Known => pid.is_some(),
            ProcessFilter::Tools => pid.is_some() && row.is_scanner,
        };
        let has_remote = match remote {
            Some(remote) => {
                !(filter.only_public && is_private)
                    // IPv4 has no networks of some sizes.
                    && (!self.key.is_of_remotes() || self.key.remote_of(&row.key).is_some())
                    && (self.rule.allow.is_empty() || !self.rule.allows(remote.to_ip()))
            }
            None => !filter.needs_remote,
        };
        let has_port =
            filter.ports.is_empty() || port.is_some_and(|port| filter.ports.contains(&port));
        has_process && has_remote && has_port
    }

    /// Whether the conditions on a row hold.
    #[must_use]
    pub fn conditions_hold(&self, columns: &dyn Columns, now: Timestamp) -> bool {
        let mut all = self.filter.conditions.iter();
        all.all(|condition| condition.prepared.holds(columns, now))
    }
}

/// Rows about what a remote tries, and what became of it.
const ABOUT_ATTEMPTS: &[Signal] = &[
    Signal::Syn,
    Signal::NullProbe,
    Signal::FinProbe,
    Signal::XmasProbe,
    Signal::MaimonProbe,
    Signal::OddProbe,
    Signal::FragmentProbe,
    Signal::Datagram,
    Signal::DnsQueryUdp,
    Signal::RefusedTcp,
    Signal::RefusedIcmp,
    Signal::Accepted,
    Signal::AttemptAccepted,
    Signal::AttemptRefused,
    Signal::AttemptHalfOpen,
    Signal::AttemptIgnored,
    Signal::DatagramAnswered,
    Signal::DatagramRefused,
    Signal::DatagramIgnored,
    Signal::Ended,
    Signal::Used,
    Signal::Login,
];

/// Whether rows of that signal have the port and the process that the query groups by.
pub(super) fn has_key(plan: &Plan, key: &KeyPlan, signal: Signal) -> bool {
    let mut groups = plan.groups.iter();
    !plan.is_summary
        || groups.all(|group| match port_of(&group.expr) {
            Some(column) => port_column(signal) == Some(column),
            None => true,
        }) && (!key.has(KeyColumn::Pid) || signal.is_outbound())
}

/// Whether the remote alone says which ports of which addresses its groups probed.
fn reports_outcomes(plan: &Plan, key: &KeyPlan, filter: &Filter) -> bool {
    let reads_more = |condition: &Condition| {
        fields(&condition.written, &plan.extends).any(|field| {
            !matches!(
                field,
                Field::RemoteIp
                    | Field::RemoteIpType
                    | Field::RemoteVerdict
                    | Field::NetworkVerdict
                    | Field::RemoteProven
                    | Field::ActionType
                    | Field::Protocol
                    | Field::Outcome
                    | Field::LocalListener
            )
        })
    };
    key.has(KeyColumn::Remote)
        && filter.signals.is_subset(SignalSet::of(ABOUT_ATTEMPTS))
        && !filter.conditions.iter().any(reads_more)
}

#[cfg(test)]
mod tests;
