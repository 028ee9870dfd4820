//! The folder that holds a file.
//!
//! In: a path. Out: another one.
//! The decision held here: a name without a folder is one of the working directory, which
//! [`Path::parent`] calls by an empty name that no system call takes.

use std::path::Path;

/// The folder that holds a file of that name.
pub(crate) fn parent_folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_folder() {
        for (path, expected) in [
            ("rows.jsonl", "."),
            ("./rows.jsonl", "."),
            ("a/rows.jsonl", "a"),
            ("/rows.jsonl", "/"),
            ("/var/log/rows.jsonl", "/var/log"),
            ("", "."),
        ] {
            assert_eq!(
                parent_folder(Path::new(path)),
                Path::new(expected),
                "{path}"
            );
        }
    }
}
