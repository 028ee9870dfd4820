//! Rules: what is counted, for whom, and how much is too much.
//!
//! In: nothing; rules are data. Out: [`Rule`]s that the judge applies without code of their own.
//! The decisions held here: the shape of a rule (filter, group, measure, threshold, window, and the rule it comes after), and that the
//! exclusion of private remotes and of unknown processes is a property of the rule, applied here and not in the kernel.

mod catalogue;
mod compile;
mod configured;
mod exclusion;
mod fields;
mod reference;
mod scanner;

use std::time::Duration;

use recon_common::Signal;

use jiff::Timestamp;

pub(crate) use crate::address::is_private;
pub use crate::address::{Network, NetworkError};
pub use crate::kql::Severity;
use crate::kql::eval::{Columns, Predicate};
use crate::kql::{Expr, Field, Plan};
use crate::row::Row;

pub use catalogue::{Technique, defaults};
pub(crate) use compile::measure;
pub use configured::Configured;
pub(crate) use fields::{field, fields};
pub(crate) use reference::unmet;
pub use scanner::{SCANNERS, scanners};

/// What is measured within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How many signals.
    Count,
    /// How many different ports.
    DistinctPorts,
    /// How many different local addresses.
    DistinctAddresses,
    /// How many different remote addresses.
    DistinctRemotes,
    /// What an aggregate of the plan comes to.
    Other,
}

impl Measure {
    /// The name that alerts show as `recon.measure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::DistinctPorts => "distinct_ports",
            Self::DistinctAddresses => "distinct_addresses",
            Self::DistinctRemotes => "distinct_remotes",
            Self::Other => "other",
        }
    }
}

/// What a rule's counts are kept by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupBy {
    /// The remote address.
    pub remote: bool,
    /// The network of the remote's neighbours.
    pub network: bool,
    /// The local address.
    pub local: bool,
    /// The port.
    pub port: bool,
    /// The process of this host.
    pub process: bool,
}

/// Whose traffic counts, the fewer the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Processes {
    /// Anybody's, also where the process is not known.
    Any,
    /// That of processes which are known.
    Known,
    /// That of processes which are known scanning tools.
    Tools,
}

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u32);

impl SignalSet {
    /// The set of these.
    #[must_use]
    pub const fn of(signals: &[Signal]) -> Self {
        let mut bits = 0;
        let mut next = 0;
        while next < signals.len() {
            bits |= 1 << signals[next] as u32;
            next += 1;
        }
        Self(bits)
    }

    /// Whether all members of this set are in `other` too.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether `signal` is in it.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << signal as u32 != 0
    }

    /// Adds `signal`.
    pub fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal as u32;
    }

    /// The members, by number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL
            .into_iter()
            .filter(move |&signal| self.contains(signal))
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Self::default();
        signals.into_iter().for_each(|signal| set.insert(signal));
        set
    }
}

/// Something that a row has to fulfil.
#[derive(Clone, Debug)]
pub struct Condition {
    /// As the query has it.
    pub written: Expr,
    /// Ready to be asked.
    pub ready: Predicate,
}

/// A rule, ready to be run.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The plan, and what the settings make of it.
    pub configured: Configured,
    /// The signals that can count: whose rows fulfil what the query says of the signal.
    pub signals: SignalSet,
    /// The ports that count, ascending; all where it is empty.
    pub ports: Vec<u16>,
    /// Whether only public remotes count.
    pub is_for_public: bool,
    /// Whether rows of sources that are not named do not count: it groups by the remote, or demands what only remotes have.
    pub needs_remote: bool,
    /// Whose traffic counts.
    pub processes: Processes,
    /// What a row has to fulfil beside.
    pub conditions: Vec<Condition>,
    /// What counts are kept by.
    pub by: GroupBy,
    /// And what of the plan's groups they are kept by beside: positions.
    pub others: Vec<usize>,
    /// What is measured in a group.
    pub measure: Measure,
    /// The signals that the measure counts: a row without the port that it counts has no part in it.
    pub measured_signals: SignalSet,
    /// The plan's aggregates that are kept beside the measure: positions.
    pub kept: Vec<usize>,
    /// Whether its alerts tell what this host answered: those on what one remote sends to ports.
    pub tells_answers: bool,
}

impl Rule {
    /// `rule.id`; two measures of one detection share it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.plan().id
    }

    /// What it was made from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.configured.plan
    }

    /// How sure its alerts are.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.plan().severity
    }

    /// Fires above this, not at it.
    #[must_use]
    pub fn threshold(&self) -> u64 {
        self.plan().threshold.map_or(0, |threshold| threshold.above)
    }

    /// How far back a group's counts reach.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.plan().window
    }

    /// Only those remotes count of which the rule with this id has told in an earlier poll, by its distinct ports.
    #[must_use]
    pub fn after(&self) -> Option<&str> {
        self.plan().after.as_deref()
    }

    /// Those remotes do not count of which the rule with this id has told in its window, by its distinct ports.
    #[must_use]
    pub fn unless(&self) -> Option<&str> {
        self.plan().unless.as_deref()
    }

    /// Whether other rules can go by whom it tells of: it counts the ports of one remote.
    #[must_use]
    pub fn tells_of_scanners(&self) -> bool {
        const BY_REMOTE: GroupBy = GroupBy {
            remote: true,
            network: false,
            local: false,
            port: false,
            process: false,
        };
        self.measure == Measure::DistinctPorts
            && self.by == BY_REMOTE
            && self.others.is_empty()
            && self.after().is_none()
    }

    /// Whether a row counts, once its signal is known to: its port, its process, and its remote, which is `excluded` where it is
    /// private and such remotes are not judged. Whether the conditions hold is asked after that.
    #[must_use]
    pub fn takes(&self, row: &Row<'_>, excluded: bool) -> bool {
        let key = row.key;
        let processes = match self.processes {
            Processes::Any => true,
            Processes::Known => key.process != 0,
            Processes::Tools => key.process != 0 && row.is_scanner,
        };
        let has_right_remote = match row.remote() {
            Some(remote) => {
                (!self.is_for_public || !excluded) && !self.configured.allows(remote.to_ip())
            }
            None => !self.needs_remote,
        };
        (self.ports.is_empty() || self.ports.contains(&key.port)) && processes && has_right_remote
    }

    /// Whether the conditions on a row hold.
    #[must_use]
    pub fn holds(&self, columns: &dyn Columns, now: Timestamp) -> bool {
        let mut all = self.conditions.iter();
        all.all(|condition| condition.ready.holds(columns, now))
    }

    /// The aggregate that is the measure, where no window of the judge's own counts it.
    #[must_use]
    pub fn measured(&self) -> Option<usize> {
        let threshold = self.plan().threshold?;
        (self.measure == Measure::Other).then_some(threshold.aggregate)
    }

    /// The name that alerts show as `recon.measure`: that of the column, where it is an aggregate of the query's own.
    #[must_use]
    pub fn measure_name(&self) -> &str {
        match self.measured() {
            Some(position) => &self.plan().aggregates[position].outputs[0].name,
            None => self.measure.name(),
        }
    }

    /// Whether it asks who the process behind a row is.
    #[must_use]
    pub fn asks_process(&self) -> bool {
        // The row itself knows the id.
        let is_known = |field| matches!(field, Field::ProcessId | Field::ProcessIsScanner);
        self.asks(|field| field.is_of_process() && !is_known(field))
    }

    /// Whether it asks whether the process behind a row is a known scanning tool.
    #[must_use]
    pub fn asks_tool(&self) -> bool {
        self.asks(|field| field == Field::ProcessIsScanner)
    }

    fn asks(&self, of: impl Fn(Field) -> bool) -> bool {
        let plan = self.plan();
        let groups = self
            .others
            .iter()
            .map(|&position| &plan.groups[position].expr);
        let kept = self.kept.iter();
        let kept = kept.flat_map(|&position| &plan.aggregates[position].arguments);
        let conditions = self.conditions.iter().map(|condition| &condition.written);
        groups
            .chain(kept)
            .chain(conditions)
            .any(|expr| fields(expr, &plan.extends).any(&of))
    }
}
