//! The page's file.
//!
//! In: a page. Out: a file that is whole, or not there.
//! The decision held here: the page is written beside its place and moved there. A file that is
//! there is replaced only if that was asked for, and never one that is no plain file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::diagnostic::visible;
use crate::parent_folder::parent_folder;

/// Why a page can't be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// Something has that name.
    #[error("{0} exists; name another file for --out, or replace it with --force")]
    Exists(String),
    /// Something else than a file has that name.
    #[error("{0} is no plain file, and --force replaces nothing else; name another file for --out")]
    NotPlain(String),
    /// The system refuses.
    #[error("can't write {name}")]
    Write { name: String, source: io::Error },
}

fn name_of(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

/// Whether a page may have that name: asked before anything is read.
///
/// # Errors
/// [`OutputError`].
pub(super) fn check(path: &Path, may_replace: bool) -> Result<(), OutputError> {
    match fs::symlink_metadata(path) {
        Ok(_) if !may_replace => Err(OutputError::Exists(name_of(path))),
        Ok(metadata) if !metadata.is_file() => Err(OutputError::NotPlain(name_of(path))),
        _ => Ok(()),
    }
}

/// Writes the page. On an error nothing is there that was not there before.
///
/// # Errors
/// [`OutputError`].
pub(super) fn write(path: &Path, may_replace: bool, page: &str) -> Result<(), OutputError> {
    check(path, may_replace)?;
    let failed = |source| OutputError::Write {
        name: name_of(path),
        source,
    };
    let mut unfinished = path.file_name().unwrap_or_default().to_owned();
    unfinished.push(format!(".{}.unfinished", std::process::id()));
    let unfinished = parent_folder(path).join(unfinished);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&unfinished)
        .map_err(failed)?;
    let written = file
        .write_all(page.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| place(&unfinished, path, may_replace));
    written.map_err(|error| {
        // It may be gone, and nobody else has this name.
        let _ = fs::remove_file(&unfinished);
        match error.kind() {
            io::ErrorKind::AlreadyExists => OutputError::Exists(name_of(path)),
            _ => failed(error),
        }
    })
}

fn place(unfinished: &Path, path: &Path, may_replace: bool) -> io::Result<()> {
    if may_replace {
        return fs::rename(unfinished, path);
    }
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(AT_FDCWD, unfinished, AT_FDCWD, path, flags) {
        // The file system can't: the name was free a moment ago.
        Err(nix::Error::EINVAL) => fs::rename(unfinished, path),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_or_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old"), "old").expect("a file");
        fs::create_dir(at("folder")).expect("a folder");
        std::os::unix::fs::symlink(at("old"), at("link")).expect("a link");
        // (name, whether to replace, part of the error)
        for (name, may_replace, expected) in [
            ("new", false, None),
            ("new", false, Some("exists; name another file")),
            ("new", true, None),
            ("old", false, Some("exists; name another file")),
            ("folder", true, Some("is no plain file")),
            ("link", true, Some("is no plain file")),
            ("missing/new", false, Some("can't write")),
        ] {
            let before = fs::read(at(name)).ok();
            let written = write(&at(name), may_replace, "page");
            match expected {
                None => {
                    written.expect(name);
                    assert_eq!(fs::read(at(name)).expect("written"), b"page");
                }
                Some(part) => {
                    let error = written.expect_err(name).to_string();
                    assert!(error.contains(part), "{name}: {error}");
                    assert_eq!(fs::read(at(name)).ok(), before, "{name}");
                }
            }
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["folder", "link", "new", "old"]);
    }
}
