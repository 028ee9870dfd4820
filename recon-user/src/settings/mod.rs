//! Settings: what the operator wants of the rules.
//!
//! In: the file recon.toml, the command line's options, rule files. Out: the rules in force, or all that is wrong with those files.
//!
//! | step | module | takes | gives |
//! |---|---|---|---|
//! | read | `read` | recon.toml | [`Settings`] |
//! | files | `files` | rule files and folders of them | plans |
//! | apply | `apply` | plans | [`Configured`] rules |
//! | show | `write`, `list` | settings, rules | TOML that is read as the same settings; a table or JSON |
//!
//! The decisions held here: what the command line says wins over the file. The file that is named must be there, the one that is looked
//! for need not. A mistake in any file keeps the agent from starting, and all mistakes are told of at once.

mod apply;
mod bytes;
mod check;
mod files;
mod list;
mod read;
mod table;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::alert::Limit;
use crate::cli::RuleOptions;
use crate::diagnostic::{Diagnostics, Source, Span, read_file, visible};
use crate::kql::Plan;
use crate::rule::{self, Configured, Network, Severity, scanners};

pub use check::check;
pub use files::{Rules, rules};
pub use list::list;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "/etc/recon/recon.toml";

/// What is wrong with settings and rules, as lines to be shown as they are.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    /// What is wrong with a source. None where that is nothing.
    fn of(diagnostics: &Diagnostics, source: &Source) -> Option<Self> {
        (diagnostics.errors() > 0).then(|| Self(diagnostics.render(source)))
    }

    /// A file that can't be read.
    fn unreadable(path: &Path, error: &io::Error) -> Self {
        let name = visible(path.as_os_str().as_bytes());
        Self(format!("{name}: error: {error}\n"))
    }
}

/// What the operator wants.
#[derive(Debug, PartialEq)]
pub struct Settings {
    /// Whether private remotes are judged too.
    pub include_private: bool,
    /// Alerts of lesser severity are not written.
    pub min_severity: Severity,
    /// File names of programs that are taken for scanning tools as well.
    pub scanners: Vec<String>,
    /// File names of programs that are not.
    pub not_scanners: Vec<String>,
    /// Networks that are private here, besides those that are so everywhere.
    pub local_networks: Vec<Network>,
    /// Remotes that no rule counts.
    pub allow: Vec<Network>,
    /// Remotes that are counted although they may be in a list of those allowed.
    pub deny: Vec<Network>,
    /// How many lines of a rule are written.
    pub alerts: Limit,
    /// The most memory that the agent takes, in bytes.
    pub memory: u64,
    /// By a rule's id, its name, or its id and measure such as `port-scan/distinct_ports`.
    pub rules: BTreeMap<String, Override>,
    origin: Origin,
}

/// What is different from what a rule says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// Whether the rule is in force.
    pub enabled: Option<bool>,
    /// It fires above this.
    pub threshold: Option<u64>,
    /// How far back it looks.
    pub window: Option<Duration>,
    /// How sure its alerts are.
    pub severity: Option<Severity>,
    /// How long an alert keeps others back.
    pub cooldown: Option<Duration>,
    /// Remotes that it does not count, besides those that no rule counts.
    pub allow: Vec<Network>,
    /// Remotes that it counts nevertheless.
    pub deny: Vec<Network>,
}

/// Where settings come from, to show what is wrong with them once the rules are known.
#[derive(Debug)]
struct Origin {
    source: Source,
    /// By the key in [`Settings::rules`].
    places: BTreeMap<String, Places>,
}

#[derive(Debug, Default)]
struct Places {
    key: Span,
    threshold: Span,
}

/// Settings are the same wherever they were written.
impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(Source::default())
    }
}

impl Settings {
    /// Those of a file that says nothing.
    fn new(source: Source) -> Self {
        Self {
            include_private: false,
            min_severity: Severity::Informational,
            scanners: Vec::new(),
            not_scanners: Vec::new(),
            local_networks: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            alerts: Limit::default(),
            memory: bytes::DEFAULT_MEMORY,
            rules: BTreeMap::new(),
            origin: Origin {
                source,
                places: BTreeMap::new(),
            },
        }
    }

    /// Those of `file`, else those of [`DEFAULT_FILE`], else those of a file that says nothing.
    ///
    /// # Errors
    /// What is wrong with the file, or that it can't be read.
    pub fn load(file: Option<&Path>) -> Result<Self, Refused> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match read_file(path) {
            Ok(bytes) => Self::parse(&visible(path.as_os_str().as_bytes()), &bytes),
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(Refused::unreadable(path, &error)),
        }
    }

    /// With what the command line says instead.
    #[must_use]
    pub fn with(mut self, options: &RuleOptions) -> Self {
        self.include_private = options.include_private.unwrap_or(self.include_private);
        self.min_severity = options.min_severity.unwrap_or(self.min_severity);
        // A name that the command line has in one list is no longer in the file's other one.
        self.scanners
            .retain(|name| !options.not_scanners.contains(name));
        self.not_scanners
            .retain(|name| !options.scanners.contains(name));
        self.scanners.extend_from_slice(&options.scanners);
        self.not_scanners.extend_from_slice(&options.not_scanners);
        self
    }

    /// What of the agent's memory is for the state of rules, in bytes: the rest is for a poll's rows, what is known of processes and what waits to be
    /// written.
    #[must_use]
    pub fn state_memory(&self) -> u64 {
        self.memory / 2
    }

    /// The file names of scanning tools.
    #[must_use]
    pub fn scanner_names(&self) -> BTreeSet<String> {
        scanners(&self.scanners, &self.not_scanners)
    }
}

/// What an agent starts with.
#[derive(Debug)]
pub struct InForce {
    /// What the file and the command line say.
    pub settings: Settings,
    /// The rules as the settings want them.
    pub rules: Vec<Configured>,
    /// What may be wrong with the rule files, as lines to be shown as they are.
    pub warnings: String,
}

/// What the options ask for. `defaults` are the rules where no rule files are named.
///
/// # Errors
/// All that is wrong with the files.
pub fn in_force(
    options: &RuleOptions,
    defaults: impl FnOnce() -> Vec<Plan>,
) -> Result<InForce, Refused> {
    let settings = Settings::load(options.config.as_deref());
    let rules = match options.rules.as_slice() {
        [] => Ok(Rules {
            plans: defaults(),
            warnings: String::new(),
        }),
        paths => files::rules(paths),
    };
    let (
        settings,
        Rules {
            plans,
            mut warnings,
        },
    ) = match (settings, rules) {
        (Ok(settings), Ok(rules)) => (settings.with(options), rules),
        (Err(Refused(settings)), Err(Refused(rules))) => return Err(Refused(settings + &rules)),
        (Err(refused), Ok(_)) | (Ok(_), Err(refused)) => return Err(refused),
    };
    let rules = settings.apply(plans)?;
    let in_force = rules.iter().map(|rule| &rule.plan);
    let in_force = in_force.filter(|plan| plan.severity >= settings.min_severity);
    warnings.push_str(&rule::unmet(&in_force.collect::<Vec<_>>()).concat());
    Ok(InForce {
        settings,
        rules,
        warnings,
    })
}

#[cfg(test)]
mod tests;
