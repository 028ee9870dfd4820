//! The tests' results on several kernels, as Markdown tables.
//!
//! In: the results of each kernel. Out: tables with a column for each kernel, to print and for the
//! README.
//! The decision held here: a cell holds what the tests have seen, and how often; this module has no
//! list of what to expect.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use recon_tests::{
    kernel::{MOST_INSTRUCTIONS, MOST_STACK},
    report::{DETECTION, FAILED, HOOK, INTERFACE, PASSED, PROGRAM, SCENARIO},
};

use super::{
    columns::{self, NOT_OF_KERNEL},
    suite::Tested,
};
use crate::readme;

/// The command that writes the tables into the README.
const COMMAND: &str = "cargo xtask test --vm --readme";

/// How each scenario ended, in the order in which they run.
pub(crate) fn scenarios(tested: &[Tested]) -> String {
    let facts = tested.iter().flat_map(|kernel| &kernel.facts);
    let facts = facts.filter(|fact| fact.kind == SCENARIO);
    let names = distinct(facts.map(|fact| fact.subject.clone()));
    table("scenario", tested, &names, |kernel, name| {
        let result = results(kernel, SCENARIO, name).next();
        result.unwrap_or_else(|| NOT_OF_KERNEL.to_owned())
    })
}

/// How each test ended.
pub(crate) fn tests(tested: &[Tested]) -> String {
    let names = distinct(
        tested
            .iter()
            .flat_map(|kernel| kernel.outcomes.iter().map(|outcome| outcome.test.clone())),
    );
    table("test", tested, &names, |kernel, name| {
        let outcome = kernel.outcomes.iter().find(|outcome| outcome.test == name);
        match outcome.map(|outcome| outcome.passed) {
            Some(true) => PASSED.to_owned(),
            Some(false) => FAILED.to_owned(),
            None => "not run".to_owned(),
        }
    })
}

/// The hooks that the agent attached.
pub(crate) fn hooks(tested: &[Tested]) -> String {
    table(
        "hook",
        tested,
        &subjects(HOOK, tested),
        |kernel, subject| distinct(results(kernel, HOOK, subject)).join("; "),
    )
}

/// How the rows of each detection ended, with the number of rows.
pub(crate) fn detections(tested: &[Tested]) -> String {
    counted("detection", DETECTION, tested)
}

/// How the rows of each kind of interface ended, with the number of rows.
pub(crate) fn interfaces(tested: &[Tested]) -> String {
    counted("interface", INTERFACE, tested)
}

/// How the rows of each subject ended, with the number of rows.
fn counted(what: &str, kind: &str, tested: &[Tested]) -> String {
    let subjects = subjects(kind, tested);
    table(what, tested, &subjects, |kernel, subject| {
        let all: Vec<String> = results(kernel, kind, subject).collect();
        let counted = distinct(all.iter().cloned()).into_iter().map(|result| {
            let count = all.iter().filter(|&other| *other == result).count();
            format!("{result} ({count})")
        });
        counted.collect::<Vec<_>>().join(", ")
    })
}

/// The verifier's figures for each program, and its distance from the limits.
pub(crate) fn programs(tested: &[Tested]) -> String {
    let subjects = subjects(PROGRAM, tested);
    table("program", tested, &subjects, |kernel, subject| {
        let result = results(kernel, PROGRAM, subject).next();
        result
            .as_deref()
            .and_then(statistics)
            .unwrap_or_else(|| "not loaded".to_owned())
    })
}

/// Turns `28807 224` into `28807 instructions (limit: 34 times that), 224 bytes of stack (2.2
/// times)`, in short.
fn statistics(result: &str) -> Option<String> {
    let (instructions, stack) = result.split_once(' ')?;
    let times = |limit: u64, taken: &str| {
        // In tenths, rounded down.
        let tenths = (limit * 10).checked_div(taken.parse().ok()?)?;
        Some(format!("{}.{}x", tenths / 10, tenths % 10))
    };
    Some(format!(
        "{instructions} ({}), {stack} B ({})",
        times(MOST_INSTRUCTIONS, instructions)?,
        times(MOST_STACK, stack)?
    ))
}

/// The results of that subject on a kernel.
fn results(kernel: &Tested, kind: &str, subject: &str) -> impl Iterator<Item = String> {
    let facts = kernel.facts.iter();
    let facts = facts.filter(move |fact| fact.kind == kind && fact.subject == subject);
    facts.map(|fact| fact.result.clone())
}

/// The subjects of that kind on any kernel, sorted by name.
fn subjects(kind: &str, tested: &[Tested]) -> Vec<String> {
    let facts = tested.iter().flat_map(|kernel| &kernel.facts);
    let facts = facts.filter(|fact| fact.kind == kind);
    let mut subjects = distinct(facts.map(|fact| fact.subject.clone()));
    subjects.sort();
    subjects
}

/// Each distinct value once, in order of first appearance.
fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

fn table(
    what: &str,
    tested: &[Tested],
    rows: &[String],
    cell: impl Fn(&Tested, &str) -> String,
) -> String {
    let mut text = String::new();
    let mut line = |cells: Vec<String>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    let releases = tested.iter().map(|kernel| kernel.release.clone());
    line([what.to_owned()].into_iter().chain(releases).collect());
    line(vec!["---".to_owned(); tested.len() + 1]);
    for row in rows {
        let cells = tested.iter().map(|kernel| cell(kernel, row));
        line([row.clone()].into_iter().chain(cells).collect());
    }
    text
}

/// Puts the tables of hooks, detections, interfaces and scenarios into the README, in place of the
/// columns of these kernels.
pub(crate) fn write_readme(readme: &Path, tested: &[Tested]) -> Result<()> {
    let tables = [
        hooks(tested),
        detections(tested),
        interfaces(tested),
        scenarios(tested),
    ];
    let before = readme::read(readme, COMMAND)?;
    readme::write(
        readme,
        COMMAND,
        &columns::merge(&before, &tables.join("\n")),
    )
}

#[cfg(test)]
mod checks {
    use recon_tests::report::Fact;

    use super::super::suite::Outcome;
    use super::*;

    fn tested(release: &str, facts: &[[&str; 3]]) -> Tested {
        let facts = facts.iter().map(|fact| {
            let [kind, subject, result] = fact.map(str::to_owned);
            Fact {
                kind,
                subject,
                result,
            }
        });
        Tested {
            release: release.to_owned(),
            outcomes: vec![Outcome {
                test: "tools".to_owned(),
                passed: release == "6.1",
                seconds: 1,
            }],
            facts: facts.collect(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn a_table_has_a_column_for_each_kernel() {
        let both = [
            tested(
                "6.1",
                &[
                    [DETECTION, "b", PASSED],
                    [DETECTION, "a", PASSED],
                    [DETECTION, "a", "from 6.10 on"],
                    [DETECTION, "a", PASSED],
                    [HOOK, "out", "clsact"],
                    [HOOK, "out", "clsact"],
                    [SCENARIO, "s", PASSED],
                    [SCENARIO, "r", FAILED],
                ],
            ),
            tested("6.12", &[[HOOK, "out", "TCX"], [PROGRAM, "p", "1000 200"]]),
        ];
        for (table, expected) in [
            (
                tests(&both),
                "| test | 6.1 | 6.12 |\n| --- | --- | --- |\n| tools | passed | FAILED |\n",
            ),
            (
                hooks(&both),
                "| hook | 6.1 | 6.12 |\n| --- | --- | --- |\n| out | clsact | TCX |\n",
            ),
            (
                scenarios(&both),
                "| scenario | 6.1 | 6.12 |\n| --- | --- | --- |\n| s | passed | not of this kernel |\n| r | FAILED | not of this kernel |\n",
            ),
            (
                detections(&both),
                "| detection | 6.1 | 6.12 |\n| --- | --- | --- |\n| a | passed (2), from 6.10 on (1) |  |\n| b | passed (1) |  |\n",
            ),
            (
                programs(&both),
                "| program | 6.1 | 6.12 |\n| --- | --- | --- |\n| p | not loaded | 1000 (1000.0x), 200 B (2.5x) |\n",
            ),
        ] {
            assert_eq!(table, expected);
        }
    }
}
