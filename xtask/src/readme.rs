//! What commands write into documents, each between markers of its own.
//!
//! In: a document, a command, a text. Out: the document with that text between the command's marker
//! and the next end marker.
//! The decision held here: the marker names the command, so that a reader knows where the text
//! comes from.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Holds the tables of hooks, detections and scenarios on each kernel.
pub(crate) const KERNELS: &str = "recon-user/docs/kernels.md";
/// Holds the tables of the benchmark.
pub(crate) const PERFORMANCE: &str = "recon-user/docs/performance.md";

const END: &str = "<!-- end of what that writes -->\n";

/// Replaces the text that `command` wrote into `document`.
pub(crate) fn write(document: &Path, command: &str, text: &str) -> Result<()> {
    let name = || document.display().to_string();
    let old = fs::read_to_string(document).with_context(name)?;
    let new = between(&old, command, text)
        .with_context(|| format!("{} lacks the line {} or {END}", name(), marker(command)))?;
    fs::write(document, new).with_context(name)
}

/// The text that `command` has written into `document`.
pub(crate) fn read(document: &Path, command: &str) -> Result<String> {
    let name = || document.display().to_string();
    let text = fs::read_to_string(document).with_context(name)?;
    let written = text.split_once(&marker(command));
    let written = written.and_then(|(_, rest)| rest.split_once(END));
    written
        .map(|(written, _)| written.to_owned())
        .with_context(|| format!("{} lacks the line {} or {END}", name(), marker(command)))
}

/// The line after which the text of `command` begins.
fn marker(command: &str) -> String {
    format!("<!-- written by: {command} -->\n")
}

fn between(old: &str, command: &str, text: &str) -> Option<String> {
    let begin = marker(command);
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_write_changes_only_the_text_between_its_markers() {
        let [first, second] = ["first", "second"].map(marker);
        let old = format!("a\n{first}old\n{END}b\n{second}{END}c\n");
        let new = between(&old, "first", "new\n").expect("markers");
        assert_eq!(new, format!("a\n{first}\nnew\n\n{END}b\n{second}{END}c\n"));
        assert_eq!(between(&new, "first", "new\n"), Some(new.clone()));
        let new = between(&old, "second", "new\n").expect("markers");
        assert_eq!(
            new,
            format!("a\n{first}old\n{END}b\n{second}\nnew\n\n{END}c\n")
        );
        for lacking in ["a\n", &first] {
            assert_eq!(between(lacking, "first", "new"), None, "{lacking}");
        }
    }

    #[test]
    fn the_document_of_kernels_has_a_place_for_its_tables() {
        let document = include_str!("../../recon-user/docs/kernels.md");
        let command = "cargo xtask test --vm --readme";
        assert!(between(document, command, "").is_some());
    }

    /// The documents of the project, by their paths.
    fn documents(workspace: &Path) -> Vec<PathBuf> {
        let mut documents: Vec<PathBuf> =
            ["README.md", ".github/CONTRIBUTING.md", "tests/README.md"]
                .map(|path| workspace.join(path))
                .into();
        let docs = workspace.join("recon-user/docs");
        let entries = fs::read_dir(docs).expect("a folder of documents");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        // Pictures are there too.
        documents.extend(paths.filter(|path| path.extension().is_some_and(|it| it == "md")));
        documents
    }

    #[test]
    fn relative_links_resolve() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let workspace = workspace.expect("the folder above the package");
        let mut dead = Vec::new();
        for document in documents(workspace) {
            let text = fs::read_to_string(&document).expect("a document");
            let folder = document.parent().expect("a folder");
            let links = text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            let paths = links.filter_map(|link| link.split('#').next());
            let relative = paths.filter(|path| !path.is_empty() && !path.contains("://"));
            let missing = relative.filter(|path| !folder.join(path).exists());
            dead.extend(missing.map(|path| format!("{}: {path}", document.display())));
        }
        assert!(dead.is_empty(), "{dead:#?}");
    }

    #[test]
    fn the_readme_stays_short() {
        let readme = include_str!("../../README.md");
        assert!(readme.lines().count() <= 200);
        let long: Vec<_> = readme.lines().filter(|line| line.len() > 120).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}
