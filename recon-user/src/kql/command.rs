//! `recon rules check`: what is wrong with rule files, and what is in those that are right.
//!
//! In: paths. Out: a table of the rules on one writer, all errors on the other.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::canonical::span;
use super::{Loader, Plan, source};
use crate::process::visible;

/// What each column of the table is headed by.
const HEADINGS: [&str; 4] = ["id", "window", "threshold", "severity"];

/// Reads `files`, writes what they hold to `out` and what is wrong with them to `errors`. Returns whether all are right.
///
/// # Errors
/// Those of the writers. That a file can't be read is told of like what is wrong in it.
pub fn check(files: &[PathBuf], out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<bool> {
    let mut loader = Loader::default();
    let mut are_right = true;
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
            plan.id.clone(),
            span(plan.window).to_string(),
            threshold.unwrap_or_else(|| "-".to_owned()),
            plan.severity.name().to_owned(),
        ]
    };
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(plans.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    for [id, window, threshold, severity] in &rows {
        writeln!(
            out,
            "  {id:0$}  {window:>1$}  {threshold:>2$}  {severity}",
            widths[0], widths[1], widths[2]
        )?;
    }
    Ok(())
}
