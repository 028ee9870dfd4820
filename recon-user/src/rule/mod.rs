//! Rules: what is counted, for whom, and how much is too much.
//!
//! In: nothing; rules are data. Out: [`Rule`]s that the judge applies without code of their own.
//! The decisions held here: the shape of a rule (filter, group, measure, threshold, window, and the rule it comes after), and that the
//! exclusion of private remotes and of unknown processes is a property of the rule, applied here and not in the kernel.

mod catalogue;
mod remote;
mod scanner;

use std::time::Duration;

use clap::ValueEnum;
use recon_common::{Key, Signal};

pub use catalogue::{CATALOGUE, TECHNIQUE};
pub use remote::is_private;
pub use scanner::{SCANNERS, scanners};

/// How sure an alert is to mean harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Severity {
    /// A busy legitimate client does it too.
    Informational,
    /// Seldom legitimate.
    Low,
    /// A scan or a flood.
    Medium,
    /// A scan without any other explanation.
    High,
}

impl Severity {
    /// The number of `event.severity`: Elastic Security's scale of 0 to 100.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Informational => 1,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
        }
    }

    /// The name, as `--min-severity` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

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
        }
    }
}

/// What a rule's counts are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The remote address.
    pub remote: bool,
    /// The local address.
    pub local: bool,
    /// The port.
    pub port: bool,
    /// The process of this host.
    pub process: bool,
}

/// Whose traffic counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A detection.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `rule.id`; two measures of one detection share it.
    pub id: &'static str,
    /// `rule.name`.
    pub name: &'static str,
    /// How sure its alerts are.
    pub severity: Severity,
    /// The signals that count.
    pub signals: SignalSet,
    /// The ports that count; all where it is empty.
    pub ports: &'static [u16],
    /// Whether private remotes count too.
    pub private_remotes: bool,
    /// Whose traffic counts.
    pub processes: Processes,
    /// What counts are kept by.
    pub by: GroupBy,
    /// What is measured in a group.
    pub measure: Measure,
    /// Fires above this, not at it.
    pub threshold: u64,
    /// How far back a group's counts reach.
    pub window: Duration,
    /// Only those remotes count of which the rule with this id has told in an earlier poll, by its distinct ports.
    pub after: Option<&'static str>,
}

impl Rule {
    /// Whether a row counts, once its signal is known to: its port, its process, and its remote, which is `excluded` where it is
    /// private and such remotes are not judged. Whether the process is a tool is the caller's to find out.
    #[must_use]
    pub fn takes(&self, key: &Key, excluded: bool) -> bool {
        (self.ports.is_empty() || self.ports.contains(&key.port))
            && (self.private_remotes || !excluded)
            && (self.processes == Processes::Any || key.process != 0)
    }

    /// Whether this host is the sender of what it counts.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.signals.iter().any(Signal::is_outbound)
    }

    /// Whether its alerts tell what this host answered: those on what one remote sends to ports.
    #[must_use]
    pub fn tells_answers(&self) -> bool {
        self.by.remote && self.signals.is_subset(SignalSet::of(Signal::HITS))
    }
}
