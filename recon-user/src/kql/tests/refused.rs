//! Broken queries and their errors, to the letter.

use super::{cases, load, messages};

/// Files and their errors.
const FILES: &str = include_str!("refused.txt");

#[test]
fn messages_say_what_is_wrong_and_where() {
    for (file, expected) in cases(FILES) {
        let loaded = load("t.kql", file);
        assert_eq!(messages(&loaded).trim_end(), expected, "{file}");
        assert!(
            loaded.diagnostics.errors() > 0 && loaded.plans.len() < 2,
            "{file}"
        );
    }
}
