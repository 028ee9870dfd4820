//! Settings: how the operator changes the rules.
//!
//! In: the file recon.toml, the command line's options, rule files. Out: the rules in force, or all
//! errors in those files.
//!
//! | step | module | takes | gives |
//! |---|---|---|---|
//! | declare | `defs`, `declare`, `value`, `sinks` | - | the settings, each declared once |
//! | read | `read` | recon.toml | [`Settings`] |
//! | lists | `network_files` | files of networks | what `allow_files` and `deny_files` list |
//! | databases | `databases` | files of facts | what is known of remotes |
//! | files | `files`, `duplicates` | rule files and folders of them | plans |
//! | apply | `apply` | plans | [`Configured`] rules |
//! | show | `list`, `check` | rules | a table or JSON |
//! | compare | `changes` | two configurations | what a reload changes |
//!
//! The decisions held here: the command line wins over the file. A file that is named must exist,
//! the default one need not. An error in any file keeps the agent from starting, and one run
//! reports all errors.

mod apply;
mod bytes;
mod changes;
mod check;
mod databases;
mod declare;
mod defs;
mod duplicates;
mod files;
mod list;
mod listing;
mod network_files;
mod options;
mod read;
mod record;
mod sinks;
mod table;
mod value;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use thiserror::Error;

use crate::address::NetworkSet;
use crate::diagnostic::{Diagnostics, SourceText, read_file, visible};
use crate::incident::{LineLimit, unmet_references};
use crate::kql::Plan;
use crate::rule::{Configured, Profile, scanners};

pub use check::check;
pub(crate) use defs::{Override, SinkSettings};
pub use defs::{SettingFlags, Settings};
pub use files::{Rules, rules};
pub use listing::list;
use network_files::Lists;
pub use options::RuleOptions;
use options::doubt_name;
pub(crate) use sinks::{ALERTS_SINK, EVENTS_SINK, LineKind};
use value::Located;

/// The file that is read if none is named.
pub const DEFAULT_FILE: &str = "/etc/recon/recon.toml";

/// Why settings and rules are refused, as lines to be shown as they are.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    /// The errors in a source. None if it has none.
    fn of(diagnostics: &Diagnostics, source: &SourceText) -> Option<Self> {
        (diagnostics.errors() > 0).then(|| Self(diagnostics.render(source)))
    }

    /// A file that can't be read.
    fn unreadable(path: &Path, error: &io::Error) -> Self {
        match path == Path::new("-") {
            true => Self::file(
                path,
                &format_args!("{error}; /dev/stdin is the name of stdin"),
            ),
            false => Self::file(path, error),
        }
    }

    /// A file in which something is wrong.
    fn file(path: &Path, error: &dyn fmt::Display) -> Self {
        let name = visible(path.as_os_str().as_bytes());
        Self(format!("{name}: error: {error}\n"))
    }
}

/// The file that settings come from. Settings are the same wherever they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin(SourceText);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = toml::to_string(self).map_err(|_| fmt::Error)?;
        formatter.write_str(&text)
    }
}

impl Settings {
    /// Reads `file`, else [`DEFAULT_FILE`] if it exists, else returns the defaults.
    ///
    /// # Errors
    /// The errors in the file, or that it can't be read.
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

    /// Applies the flags of the command line, which win over the file.
    pub fn with(mut self, flags: &SettingFlags) -> Self {
        self.include_private = flags.include_private.unwrap_or(self.include_private);
        self.min_severity = flags.min_severity.unwrap_or(self.min_severity);
        self.profile = flags.profile.unwrap_or(self.profile);
        self.netns = flags.netns.unwrap_or(self.netns);
        self.quiet = flags.quiet.unwrap_or(self.quiet);
        // A name that the command line has in one list leaves the file's other list.
        self.scanners
            .retain(|name| !flags.not_scanners.contains(name));
        self.not_scanners
            .retain(|name| !flags.scanners.contains(name));
        self.scanners.extend_from_slice(&flags.scanners);
        self.not_scanners.extend_from_slice(&flags.not_scanners);
        self
    }

    /// Reads the files that the settings name.
    fn read_files(&mut self) -> Result<(), Refused> {
        match (Lists::read(self), self.read_databases()) {
            (Ok(lists), Ok(databases)) => {
                (self.lists, self.databases) = (lists, databases);
                Ok(())
            }
            (Err(Refused(lists)), Err(Refused(databases))) => Err(Refused(lists + &databases)),
            (Err(refused), Ok(_)) | (Ok(_), Err(refused)) => Err(refused),
        }
    }

    /// Warnings about settings that nobody is likely to mean, with so many rules in force.
    fn doubts(&self, rules: usize) -> String {
        let mut doubts = String::new();
        if rules == 0 {
            doubts += "warning: no rule is in force: recon writes no alert; enable a rule, or lower `min_severity`\n";
        }
        for (name, sink) in &self.sinks {
            if let Some((key, mend)) = sink.value.unencrypted_secret() {
                doubts += &format!(
                    "warning: what `{key}` of the sink `{name}` holds goes in the clear, to whoever listens at its address: {mend}\n"
                );
            }
        }
        for name in self
            .scanners
            .iter()
            .filter(|name| self.not_scanners.contains(name))
        {
            doubts += &format!(
                "warning: `{}` is in `scanners` and in `not_scanners`: it does not count as a scanning tool; remove it from one of them\n",
                visible(name.as_bytes())
            );
        }
        for (key, names) in [
            ("scanners", &self.scanners),
            ("not_scanners", &self.not_scanners),
        ] {
            for name in names {
                let Some(doubt) = doubt_name(name) else {
                    continue;
                };
                doubts += &format!(
                    "warning: `{}` in `{key}` is unlikely to be a program's name: {doubt}\n",
                    visible(name.as_bytes())
                );
            }
        }
        let known = scanners(&self.scanners, &[]);
        let unknown = self
            .not_scanners
            .iter()
            .filter(|&name| !known.contains(name) && doubt_name(name).is_none());
        for name in unknown {
            doubts += &format!(
                "warning: `{}` in `not_scanners` is not in the list of scanning tools, so it removes nothing; check the spelling: it is the name of the program's file\n",
                visible(name.as_bytes())
            );
        }
        let lists = [
            ("allow", &self.allow),
            ("local_networks", &self.local_networks),
        ];
        let lists = lists.map(|(key, list)| (key.to_owned(), list));
        let of_rules = self.rules.iter().filter_map(|(rule, of)| {
            let allow = of.value.allow.as_ref()?;
            Some((format!("rules.{rule}.allow"), allow))
        });
        let listed = lists.into_iter().chain(of_rules).map(|(key, list)| {
            let networks: NetworkSet = list.iter().copied().collect();
            (key, Arc::new(networks))
        });
        let of_files = self.lists.of(&self.allow_files);
        let of_files =
            of_files.map(|(path, networks)| (path.display().to_string(), Arc::clone(networks)));
        for (key, networks) in listed.chain(of_files) {
            for family in networks.complete_families() {
                doubts += &format!(
                    "warning: `{key}` has all of {family}: nothing that such remotes do counts\n"
                );
            }
        }
        doubts
    }

    /// How many lines of a rule are written.
    pub fn alert_limit(&self) -> LineLimit {
        LineLimit {
            lines: self.alerts.lines.0,
            per: self.alerts.per.0,
            informational_per_hour: self.alerts.informational_per_hour.0,
        }
    }

    /// The memory that recon may take, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.limits.memory.0
    }

    /// The part of the agent's memory that is for the state of rules, in bytes. The rest is for a
    /// poll's rows, for processes, for headers and for alerts that wait to be written.
    pub fn state_memory(&self) -> u64 {
        self.limits.memory.0 / 2
    }

    /// The part for the headers of `[record]`, in bytes.
    pub(crate) fn header_memory(&self) -> usize {
        /// A remote's headers take some 10 KiB: by default there is room for those of 1,600.
        const SHARE: u64 = 16;
        usize::try_from(self.limits.memory.0 / SHARE).unwrap_or(usize::MAX)
    }

    /// The file names of scanning tools.
    pub fn scanner_names(&self) -> BTreeSet<String> {
        scanners(&self.scanners, &self.not_scanners)
    }
}

/// What an agent starts with.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The settings of the file and the command line.
    pub settings: Settings,
    /// The rules with the settings applied.
    pub rules: Vec<Configured>,
    /// Warnings about the rule files, as lines to be shown as they are.
    pub warnings: String,
}

/// Loads what the options ask for. `defaults` are the rules if no rule files are named.
///
/// # Errors
/// All errors in the files.
pub fn in_force(
    options: &RuleOptions,
    defaults: impl FnOnce(Profile) -> Vec<Plan>,
) -> Result<InForce, Refused> {
    let settings = Settings::load(options.config.as_deref());
    let settings = settings.map(|settings| settings.with(&options.settings));
    let settings = settings.and_then(|mut settings| {
        settings.read_files()?;
        Ok(settings)
    });
    let profile = settings
        .as_ref()
        .map_or_else(|_| Profile::default(), |settings| settings.profile);
    let rules = match options.rules.as_slice() {
        [] => Ok(Rules {
            plans: defaults(profile),
            warnings: String::new(),
        }),
        paths => files::rules(paths),
    };
    let (settings, rules) = match (settings, rules) {
        (Ok(settings), Ok(rules)) => (settings, rules),
        (Err(Refused(settings)), Err(Refused(rules))) => return Err(Refused(settings + &rules)),
        (Err(refused), Ok(_)) | (Ok(_), Err(refused)) => return Err(refused),
    };
    let Rules {
        plans,
        mut warnings,
    } = rules;
    let rules = settings.apply(plans)?;
    // A rule below the least severity runs where another one names it.
    let plans: Vec<_> = rules.iter().map(|rule| &rule.plan).collect();
    let reported = plans
        .iter()
        .filter(|plan| plan.severity >= settings.min_severity);
    warnings.push_str(&settings.doubts(reported.count()));
    if !options.rules.is_empty() && options.settings.profile.is_some() {
        warnings += "warning: `--profile` has no effect: it chooses among the built-in rules, and `--rules` replaces those\n";
    }
    let unmet = unmet_references(&plans);
    if !unmet.errors.is_empty() {
        return Err(Refused(unmet.errors.concat()));
    }
    warnings.push_str(&unmet.warnings.concat());
    Ok(InForce {
        settings,
        rules,
        warnings,
    })
}

#[cfg(test)]
mod tests;
