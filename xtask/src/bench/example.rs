//! Measurements by an example of the tests' package, which can use the kernel programs and the
//! agent's modules.
//!
//! In: the built example. Out: rows of nanoseconds, compared with the example's baseline.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::row::Row;

const UNIT: &str = "ns";

/// Runs the example and parses its lines. Each is one round of a row, tab-separated: the name,
/// nanoseconds of the baseline, nanoseconds of the row, and facts such as `peak memory=12.5 MB`.
pub(super) fn measure(example: &Path) -> Result<Vec<Row>> {
    rows(&output(example)?)
}

/// Runs the example and returns its stdout. Its stderr is that of this process.
pub(super) fn output(example: &Path) -> Result<String> {
    let name = || example.display().to_string();
    let output = Command::new(example)
        .stderr(Stdio::inherit())
        .output()
        .with_context(name)?;
    ensure!(output.status.success(), "{}: {}", name(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn rows(output: &str) -> Result<Vec<Row>> {
    let mut all: Vec<Row> = Vec::new();
    for line in output.lines() {
        let what = line.split('\t').next().unwrap_or_default();
        let known = all.iter().position(|row| row.what == what);
        let index = known.unwrap_or_else(|| {
            all.push(Row::new(what, UNIT));
            all.len() - 1
        });
        read(line, &mut all[index]).with_context(|| format!("not figures: {line}"))?;
    }
    Ok(all)
}

/// Adds the figures of a line.
fn read(line: &str, row: &mut Row) -> Option<()> {
    let mut fields = line.split('\t').skip(1);
    for with in [false, true] {
        row.push(with, fields.next()?.parse().ok()?);
    }
    for field in fields {
        let (name, value) = field.split_once('=')?;
        let (figure, unit) = value.split_once(' ')?;
        row.note(name, unit, figure.parse().ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_name_are_the_rounds_of_a_row() {
        let lines = "SYN\t20.0\t50\nSYN\t22\t44\nUDP\t20\t30\tpeak memory=7.5 MB\nSYN\t21\t63\n";
        let rows = rows(lines).expect("figures");
        let [syn, udp] = &rows[..] else {
            panic!("{rows:?}")
        };
        let ratio = |row: &Row| row.ratio().expect("a comparison");
        assert_eq!(
            (syn.what.as_str(), syn.figure(), syn.facts.len()),
            ("SYN", Some(50.0), 0)
        );
        assert_eq!((syn.baseline(), ratio(syn).median), (Some(21.0), 2.5));
        assert_eq!(ratio(udp).greatest, 1.5);
        assert_eq!(udp.facts[0].to_string(), "peak memory 7.50 MB");
        for broken in [
            "SYN",
            "SYN\tx\t1",
            "SYN\t1",
            "SYN\t1\t1\tmemory",
            "SYN\t1\t1\tmemory=1",
            "SYN\t1\t1\tmemory=x MB",
        ] {
            assert!(super::rows(broken).is_err(), "{broken}");
        }
    }
}
