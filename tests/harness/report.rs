//! What a test tells beyond whether it passed: what became of a hook, of a detection, of a program.
//!
//! In: a kind, a subject and a result. Out: a line among the test's own output, and such lines read again, for tables of many kernels.
//! The decision held here: tables are made from what tests have seen, never from a list that somebody keeps.

use anyhow::Result;
use serde_json::json;

/// How such a line starts.
const START: &str = "fact: ";

/// One thing that a test has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which table it belongs to: [`HOOK`], [`DETECTION`] or [`PROGRAM`].
    pub kind: String,
    /// Its row there, such as `outbound`.
    pub subject: String,
    /// What is there, such as `TCX egress`.
    pub result: String,
}

/// What an agent got, by its own start lines.
pub const HOOK: &str = "hook";
/// How a row of a detection ended.
pub const DETECTION: &str = "detection";
/// The results of a detection's row, beside that it is not to be had before some kernel.
pub const PASSED: &str = "passed";
/// The other.
pub const FAILED: &str = "FAILED";
/// The machine that a scenario needs, listed where this machine is none.
pub const NEEDS: &str = "needs";
/// How a scenario ended.
pub const SCENARIO: &str = "scenario";
/// What the verifier says of a program: instructions processed, and bytes of stack, with a blank in between.
pub const PROGRAM: &str = "program";

/// How the line starts by which a test says that it leaves a row out.
pub const LEFT_OUT: &str = "left out: ";

/// Tells that a row is left out, and why.
pub fn leave_out(row: &str, reason: &str) {
    println!("{LEFT_OUT}{row}: {reason}");
}

/// Tells something. cargo test shows it with `--show-output` only.
pub fn tell(kind: &str, subject: &str, result: &str) {
    println!("{START}{}", json!([kind, subject, result]));
}

/// Tells how a row of these detections, each a rule and a measure, has ended, and passes its result on.
///
/// # Errors
/// The row's own.
pub fn detections<'a, T>(
    fired: impl IntoIterator<Item = (&'a str, &'a str)>,
    result: Result<T>,
) -> Result<T> {
    let outcome = if result.is_ok() { PASSED } else { FAILED };
    for (rule, measure) in fired {
        tell(DETECTION, &detection(rule, measure), outcome);
    }
    result
}

/// The subject of a detection.
#[must_use]
pub fn detection(rule: &str, measure: &str) -> String {
    format!("`{rule}` {measure}")
}

/// What a line tells.
#[must_use]
pub fn read(line: &str) -> Option<Fact> {
    let (_, fact) = line.split_once(START)?;
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
    fn lines_are_read() {
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
            assert_eq!(read(line).as_ref(), expected, "{line}");
        }
    }
}
