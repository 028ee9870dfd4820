//! What runs in guests with Debian's kernels: `cargo xtask test --vm` and `cargo xtask build --verify`.
//!
//! In: which kernels, which tests. Out: on stdout, tables with a column for each kernel; an error where something failed.
//! The decision held here: the guests run the executables that cargo has built for `cargo test` on this machine.

use std::{ffi::OsString, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::report;

use crate::{
    plan::Goal,
    step::line,
    tasks::{Profile, agent, cargo, need_root, target_dir, workspace},
    vm::{self, Choice, Tested, tables},
};

/// The tests with real traffic and real kernel programs.
const TESTS: [&str; 10] = [
    "answers",
    "boundary",
    "command_line",
    "flood",
    "outbound",
    "processes",
    "program_runs",
    "quiet",
    "tools",
    VERIFIER,
];
/// The one that asks the verifier.
const VERIFIER: &str = "verifier";

/// Runs tests, all or those of these names, on these kernels or one of each kind, and may write what came of them into the README.
pub(crate) fn test(kernels: Vec<Choice>, names: &[OsString], readme: bool) -> Result<()> {
    need_root("tests", "test --vm")?;
    let mut tests: Vec<&str> = TESTS.to_vec();
    if !names.is_empty() {
        for name in names {
            ensure!(
                tests.iter().any(|test| name == test),
                "no test {}; there are: {}",
                name.display(),
                tests.join(", ")
            );
        }
        tests.retain(|test| names.iter().any(|name| name == test));
    }
    let kernels = match kernels {
        none if none.is_empty() => vm::kinds(),
        kernels => kernels,
    };
    let tested = in_guests(&tests, &kernels)?;
    for kernel in &tested {
        for line in &kernel.left_out {
            println!("{}: {line}", kernel.release);
        }
    }
    let tables = [
        tables::hooks(&tested),
        tables::detections(&tested),
        tables::programs(&tested),
        tables::tests(&tested),
    ];
    println!("{}", tables.join("\n"));
    ensure_passed(&tests, &tested)?;
    if readme {
        tables::write_readme(&workspace()?.join("README.md"), &tested)?;
    }
    Ok(())
}

/// Prints the verifier's statistics, of this kernel and of one of each kind.
pub(crate) fn verify() -> Result<()> {
    need_root("verifier's statistics", "build --verify")?;
    let tests = build(&[VERIFIER])?;
    let here = verify_here(&tests)?;
    let mut tested = vec![here];
    tested.extend(in_guests(&[VERIFIER], &vm::kinds())?);
    println!("{}", tables::programs(&tested));
    ensure_passed(&[VERIFIER], &tested)
}

/// Runs the verifier's test on this kernel.
fn verify_here(tests: &[(String, PathBuf)]) -> Result<Tested> {
    let (name, path) = tests.first().context("cargo has built no test")?;
    let start = Instant::now();
    let output = Command::new(path).arg("--show-output").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprintln!("{text}");
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(Tested {
        release: release.trim().to_owned(),
        outcomes: vec![vm::Outcome {
            test: name.clone(),
            passed: output.status.success(),
            seconds: u32::try_from(start.elapsed().as_secs())?,
        }],
        facts: text.lines().filter_map(report::read).collect(),
        left_out: Vec::new(),
    })
}

fn in_guests(tests: &[&str], kernels: &[Choice]) -> Result<Vec<Tested>> {
    let agent = agent(Goal::Test, Profile::Release)?;
    let tests = build(tests)?;
    vm::test(&agent, &tests, kernels, &target_dir()?.join("vm"))
}

fn ensure_passed(tests: &[&str], tested: &[Tested]) -> Result<()> {
    let mut failed = Vec::new();
    for kernel in tested {
        for test in tests {
            let mut outcomes = kernel.outcomes.iter();
            if !outcomes.any(|outcome| outcome.test == *test && outcome.passed) {
                failed.push(format!("{test} on {}", kernel.release));
            }
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Builds these tests, and returns the name and the executable of each.
fn build(tests: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let names: Vec<String> = tests.iter().map(|test| format!("--test {test}")).collect();
    let mut build = cargo(&format!(
        "test --release --package recon-tests --no-run {}",
        names.join(" ")
    ))?;
    eprintln!("+ {}", line(&build));
    let output = build.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{said}");
    }
    said.lines()
        .filter_map(executable)
        .map(|(name, path)| Ok((name, workspace()?.join(path))))
        .collect()
}

/// The name and the path in a line of cargo such as `  Executable tools.rs (target/release/deps/tools-89e02cc11a5a0cf4)`.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let (source, path) = line.trim().strip_prefix("Executable ")?.split_once(" (")?;
    let name = source.strip_suffix(".rs")?;
    Some((name.to_owned(), path.strip_suffix(')')?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_read_from_cargos_lines() {
        for (line, expected) in [
            (
                "  Executable tools.rs (target/release/deps/tools-89e0)",
                Some(("tools", "target/release/deps/tools-89e0")),
            ),
            ("    Finished `release` profile in 3.14s", None),
            ("  Executable tools.rs", None),
        ] {
            let expected = expected.map(|(name, path)| (name.to_owned(), path.into()));
            assert_eq!(executable(line), expected, "{line}");
        }
    }
}
