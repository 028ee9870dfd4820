//! How sure a rule is that what it reports is an attack.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Wrong;

/// How sure an alert is to mean harm.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A busy legitimate client does it too.
    Informational,
    /// Seldom legitimate.
    Low,
    /// A scan or a flood.
    // That of a rule that names none.
    #[default]
    Medium,
    /// A scan without any other explanation.
    High,
}

impl Severity {
    /// The number of `event.severity`: Elastic Security's scale of 0 to 100.
    pub const fn number(self) -> u8 {
        match self {
            Self::Informational => 1,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
        }
    }

    /// Reads a name in any case, or returns what is wrong and a hint.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        Self::from_str(text, true).map_err(|_| {
            let hint = "the severities are informational, low, medium and high";
            (format!("no severity `{text}`"), Some(hint.to_owned()))
        })
    }

    /// The name, as `--min-severity` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
