//! The name that was probably meant.
//!
//! In: an unknown name and the known ones. Out: the nearest, if it is near enough to be a typo.

use strsim::osa_distance;

/// Longer names are not compared: the work is the product of two lengths.
const MAX_LENGTH: usize = 40;

/// The candidate with the fewest edits to `name`, ignoring case. None if every candidate is more
/// edits away than a third of the name's letters.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = name.chars().count();
    if length > MAX_LENGTH {
        return None;
    }
    let allowed = (length / 3).max(1);
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|&(edits, _)| edits <= allowed)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_found_and_other_names_are_not() {
        let names = ["where", "summarize", "take", "top"];
        for (name, expected) in [
            ("wher", Some("where")),
            ("WHERE", Some("where")),
            ("hwere", Some("where")),
            ("sumarise", Some("summarize")),
            ("tkae", Some("take")),
            ("tip", Some("top")),
            ("render", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names), expected, "{name:?}");
        }
        assert_eq!(nearest(&"x".repeat(1000), names), None);
    }
}
