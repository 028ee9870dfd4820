//! The name that was probably meant.
//!
//! In: a name that is not known, and those that are. Out: the nearest, where one is near enough to be a slip of the finger.

/// Names longer than this are no slip: the work is the product of two lengths.
const MAX_LENGTH: usize = 40;

/// The candidate with the fewest edits to `name`, upper and lower case being the same. None where all of them take more than a third of
/// the name's letters.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = name.chars().count();
    if length > MAX_LENGTH {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|&(edits, _)| edits <= allowed)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace, or swap with their neighbour: the optimal string alignment distance.
fn edits(left: &str, right: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.to_lowercase().chars().collect() };
    let (left, right) = (letters(left), letters(right));
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut least = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && letter == right[column - 1] && left[row - 1] == other {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_others_are_not() {
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
