//! `recon rules`: the rules in force.
//!
//! In: rules. Out: a table, or JSON.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::table::{Align, write_table};
use crate::address::Network;
use crate::diagnostic::visible;
use crate::duration::text;
use crate::kql::Severity;
use crate::rule::Configured;
use crate::stream::{measure_name, rule_id};

/// The table's columns and their alignment.
const HEADINGS: [(&str, Align); 8] = [
    ("rule", Align::Left),
    ("severity", Align::Left),
    ("threshold", Align::Right),
    ("window", Align::Right),
    ("cooldown", Align::Right),
    ("technique", Align::Left),
    ("groups", Align::Left),
    ("name", Align::Left),
];
/// Stands for what a rule does not have.
const NONE: &str = "-";

/// A rule, with times as settings write them.
#[derive(Serialize)]
struct Listed<'a> {
    rule: String,
    id: &'a str,
    measure: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    version: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    name: &'a str,
    severity: Severity,
    threshold: Option<u64>,
    window: String,
    cooldown: Option<String>,
    technique: Option<&'a str>,
    groups: Vec<&'a str>,
    allow: &'a [Network],
    deny: &'a [Network],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow_files: &'a [PathBuf],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    deny_files: &'a [PathBuf],
    include_private: bool,
}

/// Writes the rules to `out`: an array of JSON objects, or a table.
///
/// # Errors
/// Those of the writer.
pub fn list(rules: &[Configured], as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let listed: Vec<Listed<'_>> = rules.iter().map(listed).collect();
    if as_json {
        serde_json::to_writer_pretty(&mut *out, &listed)?;
        return writeln!(out);
    }
    let rows: Vec<_> = listed.iter().map(row).collect();
    write_table(HEADINGS, &rows, out)
}

fn listed(rule: &Configured) -> Listed<'_> {
    let plan = &rule.plan;
    Listed {
        rule: rule_id(plan),
        id: &plan.id,
        measure: measure_name(plan),
        variant: plan.variant.as_deref(),
        version: &plan.version,
        tags: &plan.tags,
        name: &plan.name,
        severity: plan.severity,
        threshold: plan.threshold.map(|threshold| threshold.above),
        window: text(plan.window),
        cooldown: plan.cooldown.map(text),
        technique: plan.technique.as_deref(),
        groups: plan.groups.iter().map(|group| &*group.name).collect(),
        allow: rule.allow.listed(),
        deny: rule.deny.listed(),
        allow_files: rule.allow.files(),
        deny_files: rule.deny.files(),
        include_private: rule.include_private,
    }
}

fn row(listed: &Listed<'_>) -> [String; HEADINGS.len()] {
    let or_none = |text: Option<&str>| text.unwrap_or(NONE).to_owned();
    let threshold = listed.threshold.map(|threshold| threshold.to_string());
    let groups = Some(listed.groups.join(", ")).filter(|groups| !groups.is_empty());
    [
        listed.rule.clone(),
        listed.severity.name().to_owned(),
        or_none(threshold.as_deref()),
        listed.window.clone(),
        or_none(listed.cooldown.as_deref()),
        or_none(listed.technique),
        or_none(groups.as_deref()),
        visible(listed.name.as_bytes()),
    ]
}
