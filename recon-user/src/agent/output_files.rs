//! The files that the agent writes, before they are opened.
//!
//! In: the paths of `--events`, `--alerts` and of sinks. Out: an error for one with another use.
//! The decision held here: a file that recon reads its rules or settings from is refused, and so is
//! one where it makes something else.

use std::fs;
use std::path::Path;

use anyhow::ensure;

use crate::cli::RunOptions;
use crate::metrics::MetricsAddress;
use crate::parent_folder::parent_folder;
use crate::settings::{DEFAULT_FILE, RuleOptions};
use crate::sink::is_same;

/// Refuses a file that recon reads itself.
pub(super) fn ensure_not_read(
    path: &Path,
    lines: &str,
    options: &RuleOptions,
) -> anyhow::Result<()> {
    let config = options.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let is_own = is_same(path, config) || options.rules.iter().any(|rules| is_within(path, rules));
    ensure!(
        !is_own,
        "can't write {lines} to {}: recon reads its rules or settings from there, and they would be broken; use another file",
        path.display()
    );
    Ok(())
}

/// Refuses a file that has another use, before it is created.
pub(super) fn ensure_not_used(
    path: &Path,
    lines: &str,
    options: &RunOptions,
) -> anyhow::Result<()> {
    let name = path.display();
    ensure!(
        options.control.as_deref() != Some(path),
        "can't write {lines} to {name}: --control makes its socket there; use another name"
    );
    ensure!(
        !matches!(&options.metrics, Some(MetricsAddress::Unix(socket)) if socket == path),
        "can't write {lines} to {name}: --metrics makes its socket there; use another name"
    );
    let Some(state) = &options.state else {
        return Ok(());
    };
    // Either may still be missing.
    let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    ensure!(
        real(parent_folder(path)) != real(state),
        "can't write {lines} to {name}: the folder of --state is for recon's own files; use another one"
    );
    Ok(())
}

/// Whether it is that file, or one of that folder.
fn is_within(path: &Path, rules: &Path) -> bool {
    let files = fs::read_dir(rules).into_iter().flatten().flatten();
    is_same(path, rules)
        || files
            .map(|file| file.path())
            .any(|file| is_same(path, &file))
}
