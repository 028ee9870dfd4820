//! Rules in force: the built-in files, and what settings make of rules.
//!
//! In: plans of queries, settings. Out: [`Configured`] rules, which the stream runs.
//! The decision held here: rules are data. No rule has code of its own.

mod catalogue;
mod configured;
mod network;
mod reference;
mod remote;
mod scanner;

use clap::ValueEnum;

pub use catalogue::{Technique, defaults};
pub use configured::Configured;
pub use network::{Network, NetworkError};
pub(crate) use reference::unmet;
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
