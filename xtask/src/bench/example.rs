//! What is measured by an example of the tests' package: a frame in the kernel programs, a row under the rules.
//!
//! In: the built example. Out: rows of nanoseconds, against what the example compares with.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::row::{Rounds, Row};

const UNIT: &str = "ns";

/// Runs the example and reads its lines: what, nanoseconds of what it is compared with, nanoseconds of its own.
pub(super) fn measure(example: &Path) -> Result<Vec<Row>> {
    let name = || example.display().to_string();
    let output = Command::new(example)
        .stderr(Stdio::inherit())
        .output()
        .with_context(name)?;
    ensure!(output.status.success(), "{}: {}", name(), output.status);
    rows(&String::from_utf8_lossy(&output.stdout))
}

fn rows(output: &str) -> Result<Vec<Row>> {
    let mut all: Vec<(&str, Rounds)> = Vec::new();
    for line in output.lines() {
        let mut fields = line.split('\t');
        let mut next = || {
            fields
                .next()
                .with_context(|| format!("not figures: {line}"))
        };
        let (what, without, with) = (next()?, next()?.parse()?, next()?.parse()?);
        if all.last().is_none_or(|(last, _)| *last != what) {
            all.push((what, Rounds::default()));
        }
        if let Some((_, rounds)) = all.last_mut() {
            rounds.push(false, without);
            rounds.push(true, with);
        }
    }
    let row = |(what, rounds): (&str, Rounds)| rounds.row(what, UNIT, String::new());
    Ok(all.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_frame_are_the_rounds_of_a_row() {
        let rows = rows("SYN\t20.0\t50\nSYN\t22\t44\nSYN\t21\t63\nUDP\t20\t30\n").expect("figures");
        let [syn, udp] = &rows[..] else {
            panic!("{rows:?}")
        };
        assert_eq!(
            (syn.what.as_str(), syn.baseline, syn.with, syn.ratio.median),
            ("SYN", 21.0, 50.0, 2.5)
        );
        assert_eq!((udp.what.as_str(), udp.ratio.greatest), ("UDP", 1.5));
        for broken in ["SYN", "SYN\tx\t1", "SYN\t1"] {
            assert!(super::rows(broken).is_err(), "{broken}");
        }
    }
}
