//! `recon rules check`: reports the errors of rule files and lists the rules in those without any.
//!
//! In: paths. Out: a table of the rules on one writer, all errors on the other.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Refused;
use super::duplicates::duplicates;
use super::files::{files as rule_files, load};
use super::table::{Align, write_table};
use crate::diagnostic::{counted, read_file, visible};
use crate::duration::text;
use crate::incident::unmet_references;
use crate::kql::{Loader, Plan};
use crate::stream::rule_id;

/// The table's columns and their alignment.
const HEADINGS: [(&str, Align); 4] = [
    ("  rule", Align::Left),
    ("window", Align::Right),
    ("threshold", Align::Right),
    ("severity", Align::Left),
];

/// Reads rule files, and those in folders, writes their rules to `out` and their errors to
/// `errors`. Returns whether all files are free of errors.
///
/// # Errors
/// Those of the writers. A file that can't be read is reported like an error in it.
pub fn check(paths: &[PathBuf], out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<bool> {
    let mut loader = Loader::default();
    let mut are_right = true;
    let mut all = Vec::new();
    for path in paths {
        let files = match rule_files(path) {
            Ok(files) => files,
            Err(refused) => {
                write!(errors, "{refused}")?;
                are_right = false;
                continue;
            }
        };
        for file in &files {
            let bytes = match read_file(file) {
                Ok(bytes) => bytes,
                Err(error) => {
                    write!(errors, "{}", Refused::unreadable(file, &error))?;
                    are_right = false;
                    continue;
                }
            };
            let name = visible(file.as_os_str().as_bytes());
            let loaded = load(&mut loader, &name, &bytes);
            write!(errors, "{}", loaded.diagnostics.render(&loaded.source))?;
            are_right &= loaded.diagnostics.errors() == 0;
            let count = loaded.plans.len();
            writeln!(out, "{name}: {}", counted(count, "rule"))?;
            write_rules(&loaded.plans, out)?;
            all.extend(loaded.plans);
        }
    }
    // A broken rule has no plan, so whether another refers to it is unknown.
    if are_right {
        let found = duplicates(&all);
        are_right &= found.errors.is_empty();
        write!(errors, "{}{}", found.errors, found.warnings)?;
        let all: Vec<_> = all.iter().collect();
        let unmet = unmet_references(&all);
        are_right &= unmet.errors.is_empty();
        write!(
            errors,
            "{}{}",
            unmet.errors.concat(),
            unmet.warnings.concat()
        )?;
    }
    Ok(are_right)
}

fn write_rules(plans: &[Plan], out: &mut dyn Write) -> io::Result<()> {
    if plans.is_empty() {
        return Ok(());
    }
    let row = |plan: &Plan| {
        let threshold = plan.threshold.map(|threshold| threshold.above.to_string());
        [
            format!("  {}", rule_id(plan)),
            text(plan.window),
            threshold.unwrap_or_else(|| "-".to_owned()),
            plan.severity.name().to_owned(),
        ]
    };
    let rows: Vec<_> = plans.iter().map(row).collect();
    write_table(HEADINGS, &rows, out)
}
