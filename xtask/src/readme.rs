//! The parts of the README that commands write, each between its own markers.
//!
//! In: a command, a text. Out: the README with that text between the command's marker and the next
//! end.
//! The decision held here: the marker names the command, so that a reader knows where the text
//! comes from.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

const END: &str = "<!-- end of what that writes -->\n";

/// Replaces the text that `command` writes.
pub(crate) fn write(readme: &Path, command: &str, text: &str) -> Result<()> {
    let name = || readme.display().to_string();
    let old = fs::read_to_string(readme).with_context(name)?;
    let new = between(&old, command, text)
        .with_context(|| format!("{} lacks the line {} or {END}", name(), marker(command)))?;
    fs::write(readme, new).with_context(name)
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
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_changes() {
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
}
