//! Rules: what is counted, for whom, and how much is too much.
//!
//! In: nothing; rules are data. Out: [`Rule`]s that the judge applies without code of their own.
//! The decisions held here: the shape of a rule (filter, group, measure, threshold, window), and that the exclusion of private
//! remotes is a property of the rule, applied here and not in the kernel.

mod catalogue;
mod remote;

use std::time::Duration;

use clap::ValueEnum;
use recon_common::{Key, Signal};

pub use catalogue::{CATALOGUE, TECHNIQUE};
pub use remote::is_private;

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
}

impl Measure {
    /// The name that alerts show as `recon.measure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::DistinctPorts => "distinct_ports",
            Self::DistinctAddresses => "distinct_addresses",
        }
    }
}

/// What a rule's counts are kept by, beside the remote address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The local address.
    pub local: bool,
    /// The port.
    pub port: bool,
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
    /// What counts are kept by, beside the remote address.
    pub by: GroupBy,
    /// What is measured in a group.
    pub measure: Measure,
    /// Fires above this, not at it.
    pub threshold: u64,
    /// How far back a group's counts reach.
    pub window: Duration,
}

impl Rule {
    /// Whether a row counts, once its signal is known to: its port, and its remote, which is
    /// `excluded` where it is private and such remotes are not judged.
    #[must_use]
    pub fn takes(&self, key: &Key, excluded: bool) -> bool {
        (self.ports.is_empty() || self.ports.contains(&key.port))
            && (self.private_remotes || !excluded)
    }
}
