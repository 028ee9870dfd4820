//! `recon replay --verify`: whether captures give the alerts that somebody expects.
//!
//! In: a folder with a folder for each case: captures, and `expect.toml`. Out: a line for each
//! case, and why it fails.
//! The decisions held here: as in suricata-verify, an expectation is a filter and numbers. Each
//! number is about the end of incidents, since how many lines lead there depends on polls, and no
//! limit on lines holds. What is not named may come, unless `only` forbids it. `--learn` writes
//! what has come, and never over what somebody has written.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::incidents::{FinalIncident, incidents};
use super::{ReplayRules, judge_files};
use crate::address::Network;
use crate::alert::{LineFormat, is_own_id};
use crate::capture::CaptureError;
use crate::settings::InForce;
use crate::stream::rule_id;

/// The file with what is expected.
const EXPECTED: &str = "expect.toml";

/// What is expected of a case.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The local networks, instead of those of the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    local: Vec<String>,
    /// The captures in their order, instead of all files of the folder by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<PathBuf>>,
    /// Whether alerts that no entry names are forbidden.
    #[serde(default)]
    only: bool,
    #[serde(default, rename = "alert")]
    alerts: Vec<ExpectedAlert>,
}

/// Which incidents, and what they are like.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ExpectedAlert {
    /// `rule.id` or `rule.category` of their lines.
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    /// How many there are. At least one by default; 0 for what must stay quiet.
    #[serde(skip_serializing_if = "Option::is_none")]
    incidents: Option<u64>,
    /// What each has counted at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<u64>,
}

/// Replays the cases in a folder. Returns whether each gives what is expected: one that can't be
/// read fails. With `learns`, writes what is expected of cases that do not say it.
///
/// # Errors
/// The folder can't be read, or `out` can't be written.
pub fn verify(
    folder: &Path,
    learns: bool,
    local: &[Network],
    rules: ReplayRules<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let cases = cases(folder)?;
    let rules = ReplayRules {
        of_hosts: &without_line_limits(rules.of_hosts),
        of_mirror: &without_line_limits(rules.of_mirror),
    };
    let mut failed = 0;
    for case in &cases {
        let name = case
            .strip_prefix(folder)
            .unwrap_or(case)
            .display()
            .to_string();
        let written = match run_case(case, learns, local, rules) {
            Ok(CaseResult::Learned(count)) => writeln!(out, "learned  {name}: {count} incidents"),
            Ok(CaseResult::Checked(reasons)) if reasons.is_empty() => {
                writeln!(out, "ok       {name}")
            }
            Ok(CaseResult::Checked(reasons)) => {
                failed += 1;
                writeln!(out, "FAILED   {name}: {}", reasons.join("; "))
            }
            Err(error) => {
                failed += 1;
                writeln!(out, "FAILED   {name}: {error:#}")
            }
        };
        if is_closed(written)? {
            return Ok(failed == 0);
        }
    }
    is_closed(writeln!(out, "cases: {}, failed: {failed}", cases.len()))?;
    Ok(failed == 0)
}

/// The same without limits on lines: an incident for which no line is written would be missing.
fn without_line_limits(in_force: &InForce) -> InForce {
    let mut in_force = in_force.clone();
    let alerts = &mut in_force.settings.alerts;
    alerts.lines.0 = None;
    alerts.informational_per_hour.0 = None;
    in_force
}

/// Whether nobody reads any more, which is no error.
fn is_closed(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error).context("can't write to stdout"),
    }
}

/// What became of a case.
enum CaseResult {
    /// Why it fails, if it does.
    Checked(Vec<String>),
    /// So many incidents are expected from now on.
    Learned(usize),
}

/// The folders of cases, in the order of their names.
fn cases(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for entry in entries(folder)? {
        if entry.is_dir() {
            cases.push(entry);
        }
    }
    ensure!(
        !cases.is_empty(),
        "{} has no folders: make one for each case, with a capture and {EXPECTED} in it",
        folder.display()
    );
    Ok(cases)
}

/// What is in a folder, sorted.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("can't read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(context)?;
    let entries = entries.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<io::Result<_>>().with_context(context)?;
    entries.sort_unstable();
    Ok(entries)
}

fn run_case(
    case: &Path,
    learns: bool,
    local: &[Network],
    rules: ReplayRules<'_>,
) -> anyhow::Result<CaseResult> {
    let path = case.join(EXPECTED);
    let expected = match fs::read_to_string(&path) {
        Ok(text) => Some(toml::from_str(&text).with_context(|| EXPECTED.to_owned())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).context(EXPECTED),
    };
    if expected.is_none() && !learns {
        bail!("there is no {EXPECTED}; write one, or let `--learn` do so");
    }
    let is_new = expected.is_none();
    let expected: Expected = expected.unwrap_or_default();
    expected.check_rules(rules)?;
    let found = replay_case(case, &expected, local, rules)?;
    if !is_new {
        return Ok(CaseResult::Checked(expected.reasons(&found)));
    }
    let local = local.iter().map(Network::to_string).collect();
    let learned = Expected::learn(&found, local);
    let reasons = learned.reasons(&found);
    ensure!(
        reasons.is_empty(),
        "can't describe what came out, so write {EXPECTED}: {}",
        reasons.join("; ")
    );
    let text = toml::to_string(&learned).context("can't write what was learned")?;
    let mut file = fs::File::create_new(&path).with_context(|| format!("can't make {EXPECTED}"))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("can't write {EXPECTED}"))?;
    Ok(CaseResult::Learned(found.len()))
}

/// The incidents of a case.
fn replay_case(
    case: &Path,
    expected: &Expected,
    local: &[Network],
    rules: ReplayRules<'_>,
) -> anyhow::Result<Vec<FinalIncident>> {
    let own: Vec<Network> = expected
        .local
        .iter()
        .map(|text| text.parse().map_err(anyhow::Error::msg))
        .collect::<Result<_, _>>()
        .with_context(|| format!("{EXPECTED}: local"))?;
    let local = if own.is_empty() { local } else { &own };
    let files: Vec<PathBuf> = match &expected.files {
        None => {
            let all = entries(case)?.into_iter();
            let is_capture = |file: &PathBuf| file.is_file() && !file.ends_with(EXPECTED);
            all.filter(is_capture).collect()
        }
        Some(files) => files.iter().map(|file| case.join(file)).collect(),
    };
    ensure!(!files.is_empty(), "there is no capture");
    let mut lines = Vec::new();
    judge_files(&files, local, rules.of(local), LineFormat::Ecs, &mut lines).map_err(|error| {
        match error.downcast_ref() {
            Some(CaptureError::NotCapture { .. }) if expected.files.is_none() => {
                error.context("name the captures by files = [...], or move what is none elsewhere")
            }
            _ => error,
        }
    })?;
    incidents(&lines)
}

impl Expected {
    /// Checks that each rule exists: one that does not would never have an incident.
    fn check_rules(&self, rules: ReplayRules<'_>) -> anyhow::Result<()> {
        let in_force = [rules.of_hosts, rules.of_mirror].map(|in_force| &in_force.rules);
        let is_rule = |name: &str| {
            let mut plans = in_force.into_iter().flatten().map(|rule| &rule.plan);
            plans.any(|plan| plan.id == name || rule_id(plan) == name)
        };
        for ExpectedAlert { rule, .. } in &self.alerts {
            ensure!(
                is_own_id(rule) || is_rule(rule),
                "{EXPECTED}: no rule {rule} is in force; type `recon rules` to see them"
            );
        }
        Ok(())
    }

    /// Why these incidents are not what is expected.
    fn reasons(&self, found: &[FinalIncident]) -> Vec<String> {
        let named = self.alerts.iter().flat_map(|alert| alert.reasons(found));
        let mut reasons: Vec<String> = named.collect();
        if self.only {
            let is_named =
                |found: &&FinalIncident| self.alerts.iter().any(|alert| alert.is_about(found));
            let others = found.iter().filter(|found| !is_named(found));
            reasons.extend(others.map(|other| format!("unexpected: {other}")));
        }
        reasons
    }

    /// The expectation that these incidents meet, and no others do.
    fn learn(found: &[FinalIncident], local: Vec<String>) -> Self {
        let mut filters = HashSet::new();
        let alerts = found.iter().filter(|found| {
            filters.insert((&found.rule, &found.source, &found.destination, found.port))
        });
        Self {
            local,
            only: true,
            alerts: alerts.map(|one| ExpectedAlert::learn(one, found)).collect(),
            ..Self::default()
        }
    }
}

impl ExpectedAlert {
    /// The filter by what an incident is about, with the numbers of all that it selects: also of
    /// those that have a source, if this one has none.
    fn learn(one: &FinalIncident, found: &[FinalIncident]) -> Self {
        let filter = Self {
            rule: one.rule.clone(),
            source: one.source.clone(),
            destination: one.destination.clone(),
            port: one.port,
            ..Self::default()
        };
        let selected = found.iter().filter(|found| filter.is_about(found));
        let counts: Vec<u64> = selected.map(|found| found.count).collect();
        let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
        let filter = Self {
            incidents: Some(counts.len() as u64),
            ..filter
        };
        match least == most {
            true => Self {
                count: least,
                ..filter
            },
            false => Self {
                at_least: least,
                at_most: most,
                ..filter
            },
        }
    }

    fn is_about(&self, found: &FinalIncident) -> bool {
        let is_rule = self.rule == found.rule || self.rule == found.category;
        let is = |expected: &Option<String>, found: Option<&str>| {
            expected.as_deref().is_none_or(|text| Some(text) == found)
        };
        is_rule
            && is(&self.source, found.source.as_deref())
            && is(&self.destination, found.destination.as_deref())
            && is(&self.severity, Some(&found.severity))
            && self.port.is_none_or(|port| found.port == Some(port))
    }

    fn reasons(&self, found: &[FinalIncident]) -> Vec<String> {
        let mine: Vec<&FinalIncident> = found.iter().filter(|found| self.is_about(found)).collect();
        let Self {
            rule,
            incidents,
            count,
            at_least,
            at_most,
            ..
        } = self;
        let mut reasons = Vec::new();
        match incidents {
            Some(number) if mine.len() as u64 != *number => {
                reasons.push(format!("{rule}: incidents: {}, not {number}", mine.len()));
            }
            None if mine.is_empty() => reasons.push(format!("{rule}: missing")),
            _ => {}
        }
        for found in mine {
            let has = found.count;
            let wrong = [
                count
                    .filter(|&count| has != count)
                    .map(|count| format!("not {count}")),
                at_least
                    .filter(|&least| has < least)
                    .map(|least| format!("under {least}")),
                at_most
                    .filter(|&most| has > most)
                    .map(|most| format!("over {most}")),
            ];
            let wrong = wrong.into_iter().flatten();
            reasons.extend(wrong.map(|wrong| format!("{found}, {wrong}")));
        }
        reasons
    }
}

#[cfg(test)]
mod tests;
