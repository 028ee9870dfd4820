//! `recon rules check`: what is wrong with rule files, and what is in those that are right.
//!
//! In: paths. Out: a table of the rules on one writer, all errors on the other.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::canonical::span;
use super::{Loader, Plan, source};
use crate::process::visible;
use crate::rule::unmet;

/// What each column of the table is headed by, and how it is aligned.
const HEADINGS: [(&str, Align); 4] = [
    ("  id", Align::Left),
    ("window", Align::Right),
    ("threshold", Align::Right),
    ("severity", Align::Left),
];

/// Reads `files`, writes what they hold to `out` and what is wrong with them to `errors`. Returns whether all are right.
///
/// # Errors
/// Those of the writers. That a file can't be read is told of like what is wrong in it.
pub fn check(files: &[PathBuf], out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<bool> {
    let mut loader = Loader::default();
    let mut are_right = true;
    let mut all = Vec::new();
    for file in files {
        let name = visible(file.as_os_str().as_bytes());
        let bytes = match source::read(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                writeln!(errors, "{name}: error: {error}")?;
                are_right = false;
                continue;
            }
        };
        let loaded = loader.load(&name, &bytes);
        write!(errors, "{}", loaded.diagnostics.render(&loaded.source))?;
        are_right &= loaded.diagnostics.errors() == 0;
        let count = loaded.plans.len();
        let plural = if count == 1 { "" } else { "s" };
        writeln!(out, "{name}: {count} rule{plural}")?;
        table(&loaded.plans, out)?;
        all.extend(loaded.plans);
    }
    // What a broken rule would be is not known.
    if are_right {
        let all: Vec<_> = all.iter().collect();
        write!(errors, "{}", unmet(&all).concat())?;
    }
    Ok(are_right)
}

fn table(plans: &[Plan], out: &mut dyn Write) -> io::Result<()> {
    if plans.is_empty() {
        return Ok(());
    }
    let row = |plan: &Plan| {
        let threshold = plan.threshold.map(|threshold| threshold.above.to_string());
        [
            format!("  {}", plan.id),
            span(plan.window).to_string(),
            threshold.unwrap_or_else(|| "-".to_owned()),
            plan.severity.name().to_owned(),
        ]
    };
    let rows: Vec<_> = plans.iter().map(row).collect();
    aligned(HEADINGS, &rows, out)
}

/// To which side of its column a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Writes a table whose columns are as wide as they need to be.
pub(crate) fn aligned<const N: usize>(
    headings: [(&str, Align); N],
    rows: &[[String; N]],
    out: &mut dyn Write,
) -> io::Result<()> {
    let first = headings.map(|(heading, _)| heading.to_owned());
    let all = || std::iter::once(&first).chain(rows);
    let length = |row: &[String; N], column: usize| row[column].chars().count();
    let widths: [usize; N] =
        std::array::from_fn(|column| all().map(|row| length(row, column)).max().unwrap_or(0));
    for row in all() {
        let mut line = String::new();
        for ((text, width), (_, align)) in row.iter().zip(widths).zip(headings) {
            line.push_str(&match align {
                Align::Left => format!("{text:<width$}  "),
                Align::Right => format!("{text:>width$}  "),
            });
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
