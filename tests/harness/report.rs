//! What a test records beyond whether it passed: the state of a hook, of a detection, of a program.
//!
//! In: a kind, a subject and a result. Out: a line among the test's own output, and such lines
//! parsed again, for tables of many kernels. The decision held here: tables are made from what
//! tests have seen, never from a list that somebody maintains.

use anyhow::Result;
use serde_json::json;

/// The prefix of such a line.
const PREFIX: &str = "fact: ";

/// One thing that a test has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The table that it belongs to: [`HOOK`], [`DETECTION`], [`SCENARIO`], [`INTERFACE`] or
    /// [`PROGRAM`].
    pub kind: String,
    /// The table's row, such as `outbound`.
    pub subject: String,
    /// The cell, such as `TCX egress`.
    pub result: String,
}

/// The hook that an agent got, by its own start lines.
pub const HOOK: &str = "hook";
/// How a row of a detection ended.
pub const DETECTION: &str = "detection";
/// The result of a row that passed.
pub const PASSED: &str = "passed";
/// The result of a row that failed.
pub const FAILED: &str = "FAILED";
/// The machine that a scenario needs, listed where this machine is none.
pub const NEEDS: &str = "needs";
/// How a scenario ended.
pub const SCENARIO: &str = "scenario";
/// How a row of a kind of interface ended.
pub const INTERFACE: &str = "interface";
/// What the verifier says of a program: instructions processed, a blank, bytes of stack.
pub const PROGRAM: &str = "program";

/// The prefix of a line by which a test says that it skips a row.
pub const SKIPPED: &str = "skipped: ";

/// Says that a row is skipped, and why.
pub fn skip(row: &str, reason: &str) {
    println!("{SKIPPED}{row}: {reason}");
}

/// Writes a fact. cargo test shows it with `--show-output` only.
pub fn record(kind: &str, subject: &str, result: &str) {
    println!("{PREFIX}{}", json!([kind, subject, result]));
}

/// Records how a row of these detections, each a rule and a measure, has ended, and passes its
/// result on.
///
/// # Errors
/// The row's own.
pub fn detections<'a, T>(
    fired: impl IntoIterator<Item = (&'a str, &'a str)>,
    result: Result<T>,
) -> Result<T> {
    let outcome = if result.is_ok() { PASSED } else { FAILED };
    for (rule, measure) in fired {
        record(DETECTION, &detection(rule, measure), outcome);
    }
    result
}

/// The subject of a detection.
#[must_use]
pub fn detection(rule: &str, measure: &str) -> String {
    format!("`{rule}` {measure}")
}

/// The fact in a line, if it has one.
#[must_use]
pub fn parse_fact(line: &str) -> Option<Fact> {
    let (_, fact) = line.split_once(PREFIX)?;
    let [kind, subject, result] = serde_json::from_str(fact.trim_end()).ok()?;
    Some(Fact {
        kind,
        subject,
        result,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_parsed() {
        let fact = Fact {
            kind: HOOK.to_owned(),
            subject: "a \"b\"".to_owned(),
            result: "c".to_owned(),
        };
        for (line, expected) in [
            (r#"fact: ["hook","a \"b\"","c"]"#, Some(&fact)),
            ("fact: [\"hook\",\"a \\\"b\\\"\",\"c\"]\r", Some(&fact)),
            (r#"fact: ["hook","a"]"#, None),
            (r#"["hook","a","b"]"#, None),
            ("", None),
        ] {
            assert_eq!(parse_fact(line).as_ref(), expected, "{line}");
        }
    }
}
