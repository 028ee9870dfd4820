//! Rule files.
//!
//! In: paths. Out: the rules in them, or all errors.
//! The decisions held here: of a folder, files whose names end in .kql and .md are read, in the
//! order of their names; those that begin with a dot are not. Links are followed. Whatever can't be
//! read is an error: no rule is missing silently.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Refused;
use super::duplicates::{Duplicates, duplicates};
use crate::alert::is_own_id;
use crate::diagnostic::{read_file, visible};
use crate::kql::{Loaded, Loader, Plan};
use crate::stream::review;

/// The extensions of rule files in a folder.
const EXTENSIONS: [&str; 2] = ["kql", "md"];

/// The content of rule files.
#[derive(Debug)]
pub struct Rules {
    /// Their rules.
    pub plans: Vec<Plan>,
    /// Warnings, as lines to be shown as they are.
    pub warnings: String,
}

/// Reads rule files, and those in folders.
///
/// # Errors
/// All errors in them.
pub fn rules(paths: &[PathBuf]) -> Result<Rules, Refused> {
    let mut loader = Loader::default();
    let mut plans = Vec::new();
    let mut messages = String::new();
    let mut are_right = true;
    let mut seen = HashSet::new();
    for path in paths {
        let files = files(path).unwrap_or_else(|Refused(message)| {
            messages.push_str(&message);
            are_right = false;
            Vec::new()
        });
        for file in files {
            // A file that can't be found is reported when it is read.
            let identity = fs::canonicalize(&file).ok();
            if identity.is_some_and(|identity| !seen.insert(identity)) {
                let error = io::Error::other("this file is named twice; leave out one of the two");
                messages.push_str(&Refused::unreadable(&file, &error).0);
                are_right = false;
                continue;
            }
            let bytes = match file == *path {
                true => read_file(&file),
                false => read_regular(&file),
            };
            match bytes {
                Ok(bytes) => {
                    let loaded = load(&mut loader, &visible(file.as_os_str().as_bytes()), &bytes);
                    messages.push_str(&loaded.diagnostics.render(&loaded.source));
                    are_right &= loaded.diagnostics.errors() == 0;
                    plans.extend(loaded.plans);
                }
                Err(error) => {
                    messages.push_str(&Refused::unreadable(&file, &error).0);
                    are_right = false;
                }
            }
        }
    }
    let Duplicates { errors, warnings } = duplicates(&plans);
    match are_right && errors.is_empty() {
        true => Ok(Rules {
            warnings: messages + &warnings,
            plans,
        }),
        false => Err(Refused(messages + &errors)),
    }
}

/// Loads a file, and reports what none of its rules can mean.
pub(super) fn load(loader: &mut Loader, name: &str, bytes: &[u8]) -> Loaded {
    let mut loaded = loader.load(name, bytes);
    for plan in &loaded.plans {
        if is_own_id(&plan.id) {
            let message = format!(
                "the id `{}` is that of recon's alerts about itself",
                plan.id
            );
            let hint = "choose another id".to_owned();
            loaded
                .diagnostics
                .error(plan.places.table, message, Some(hint));
        }
    }
    review(&mut loaded);
    loaded
}

/// The file, or those of the folder.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, Refused> {
    let unreadable = |error| Refused::unreadable(path, &error);
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        files.push(entry.map_err(unreadable)?.path());
    }
    files.retain(|file| is_rule_file(file));
    files.sort();
    if files.is_empty() {
        let message = "no file in this folder has a name that ends in .kql or .md";
        return Err(unreadable(io::Error::other(message)));
    }
    Ok(files)
}

/// Reads a file of a folder. To read from a pipe that lies there could take forever.
fn read_regular(file: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(file)?.is_file() {
        true => read_file(file),
        false => Err(io::Error::other("this is not a regular file")),
    }
}

fn is_rule_file(file: &Path) -> bool {
    let is_hidden = file
        .file_name()
        .is_some_and(|name| name.as_bytes().starts_with(b"."));
    let is_known = |extension: &OsStr| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    };
    !is_hidden && file.extension().is_some_and(is_known)
}
