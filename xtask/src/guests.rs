//! Work in guests with Debian's kernels: tests and scenarios (`cargo xtask test --vm`), the
//! verifier (`cargo xtask build --verify`).
//!
//! In: kernels and names of tests. Out: on stdout, tables with a column for each kernel; an error
//! where something failed.
//! The decision held here: the guests run the executables that cargo builds for `cargo test` on
//! this machine, those of another architecture the same ones cross-compiled.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use recon_tests::{
    machine::MACHINES,
    report::{self, Fact, NEEDS},
};

use crate::{
    machine::Machine,
    package::{Arch, cross},
    plan::{self, Goal},
    setup,
    step::line,
    tasks::{LIGHT_TESTS, agent, cargo, need_root, target_dir, workspace},
    vm::{self, Build, Choice, Job, Tested, tables},
};

/// The tests with real traffic and real kernel programs, in two parts of about equal length: two
/// guests of a kernel run in parallel.
const TESTS: [&[&str]; 2] = [
    &["processes", "outbound", "flood", "boundary", "interfaces"],
    &[
        "tools",
        "quiet",
        "answers",
        "outcomes",
        "program_runs",
        "command_line",
        "kernel_log",
        VERIFIER,
    ],
];
/// Tests that take emulated processors many minutes: guests run them if they are named.
const IF_NAMED: &[&str] = &["pins", "hostile_blind", "service", "restart", "privileges"];
/// The test that asks the verifier.
const VERIFIER: &str = "verifier";
/// The test that runs once on each machine.
const SCENARIOS: &str = "scenarios";

/// The tests that continuous integration has time for: socket hooks on the oldest kernel,
/// boundaries on the newest, and what the verifier of each says. The two run at a time, about as
/// long.
const BRIEF: [(Choice, &[&str]); 2] = [
    (Choice::OLDEST, &["processes", VERIFIER]),
    (Choice::NEWEST, &["boundary", VERIFIER]),
];

/// Which tests to run, and where.
#[derive(Args, Debug, Default)]
pub(crate) struct TestOptions {
    /// Run the tests with real traffic in virtual machines with stock Debian kernels instead,
    /// and the scenarios: fallbacks and networks
    #[arg(long)]
    pub(crate) vm: bool,
    /// With --vm, only on this kernel: 5.10-cloud, 6.1-cloud, 6.1, 6.12-cloud, 6.12-arm64,
    /// newest-cloud, or a release; may be given several times
    #[arg(long, value_name = "VERSION", requires = "vm")]
    kernel: Vec<Choice>,
    /// With --vm, run no tests, and only the scenarios whose names contain TEXT
    #[arg(long, requires = "vm", value_name = "TEXT", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["args", "readme", "brief"])]
    scenarios: Option<String>,
    /// With --vm, write the tables of hooks, detections and scenarios into
    /// recon-user/docs/kernels.md; with --kernel, the columns of these kernels
    #[arg(long, requires = "vm", conflicts_with_all = ["brief", "args"])]
    readme: bool,
    /// With --vm, run only what continuous integration has time for
    #[arg(long, requires = "vm", conflicts_with_all = ["kernel", "args"])]
    brief: bool,
    /// Run the attacks on recon itself, also those that take minutes
    #[arg(long, conflicts_with_all = ["vm", "args"])]
    pub(crate) hostile: bool,
    /// Test the Debian package instead, in a bare Debian that debootstrap makes: install, run,
    /// upgrade, purge
    #[arg(long, conflicts_with_all = ["vm", "hostile", "args"])]
    pub(crate) package: bool,
    /// Arguments for `cargo test`, such as `-p recon-common` or `NAME -- --nocapture`; with
    /// --vm, names of tests such as `tools`
    #[arg(last = true)]
    pub(crate) args: Vec<OsString>,
}

impl TestOptions {
    /// Without a choice, the tests run on each of these kernels.
    fn jobs(&self, each: &[Choice]) -> Result<Vec<Job>> {
        if self.brief {
            return Ok(BRIEF
                .map(|(kernel, tests)| Job::of_tests(kernel, tests))
                .into());
        }
        let known = [TESTS.concat(), IF_NAMED.to_vec()].concat();
        for name in &self.args {
            ensure!(
                known.iter().any(|test| name == test),
                "unknown test {}; the tests are: {}",
                name.display(),
                known.join(", ")
            );
        }
        let is_wanted = |test: &&str| match &self.args[..] {
            [] => self.scenarios.is_none() && !IF_NAMED.contains(test),
            names => names.iter().any(|name| name == test),
        };
        let [first, second] = TESTS;
        let parts = [first, second, IF_NAMED]
            .map(|part| part.iter().copied().filter(is_wanted).collect::<Vec<_>>());
        let kernels = match &self.kernel[..] {
            [] => each,
            kernels => kernels,
        };
        let mut jobs = Vec::new();
        for kernel in kernels {
            let parts = parts.iter().filter(|part| !part.is_empty());
            jobs.extend(parts.map(|part| Job::of_tests(kernel.clone(), part)));
            let machines = MACHINES.iter().filter(|_| self.args.is_empty());
            jobs.extend(machines.map(|machine| Job {
                kernel: kernel.clone(),
                tests: vec![SCENARIOS],
                machine: Some(machine),
                selected: self.scenarios.clone().unwrap_or_default(),
            }));
        }
        Ok(jobs)
    }
}

/// Runs tests and scenarios in guests. Writes the results into the README on request.
pub(crate) fn run_tests(options: &TestOptions) -> Result<()> {
    need_root("tests", "test --vm")?;
    let (jobs, tested) = run_in_guests(options.jobs(&each_kernel()?)?)?;
    for kernel in &tested {
        for line in &kernel.skipped {
            println!("{}: {line}", kernel.release);
        }
    }
    let tables = [
        tables::hooks(&tested),
        tables::detections(&tested),
        tables::interfaces(&tested),
        tables::scenarios(&tested),
        tables::programs(&tested),
        tables::tests(&tested),
    ];
    // A table without rows has two lines.
    let filled = tables.iter().filter(|table| table.lines().count() > 2);
    println!("{}", filled.cloned().collect::<Vec<_>>().join("\n"));
    ensure_passed(&jobs, &tested)?;
    if options.readme {
        tables::write_readme(&workspace()?.join(crate::readme::KERNELS), &tested)?;
    }
    Ok(())
}

/// Prints the verifier's statistics, for this kernel and one of each kind.
pub(crate) fn print_verifier() -> Result<()> {
    need_root("verifier's statistics", "build --verify")?;
    let here = verify_here(&build_tests(cargo(&test_build(&[VERIFIER]))?)?)?;
    let kernels = each_kernel()?.into_iter();
    let jobs = kernels.map(|kernel| Job::of_tests(kernel, &[VERIFIER]));
    let (jobs, mut tested) = run_in_guests(jobs.collect())?;
    let passed = here.outcomes.iter().all(|outcome| outcome.passed);
    tested.insert(0, here);
    println!("{}", tables::programs(&tested));
    ensure!(passed, "failed on this kernel");
    ensure_passed(&jobs, &tested)
}

/// Runs the verifier's test on this kernel.
fn verify_here(tests: &[(String, PathBuf)]) -> Result<Tested> {
    let (name, path) = tests.first().context("cargo built no test")?;
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
        facts: text.lines().filter_map(report::parse_fact).collect(),
        skipped: Vec::new(),
    })
}

/// The newest kernel of each kind that this machine can test.
fn each_kernel() -> Result<Vec<Choice>> {
    let workspace = workspace()?;
    let own = Arch::of_this_machine()?;
    let machine = Machine::look(workspace);
    let mut arches = vec![own];
    if plan::is_possible(&machine, Goal::CrossGuest, workspace) {
        arches.push(own.other());
    }
    Ok(vm::each(&arches))
}

/// Does the jobs, without those for machines that no selected scenario needs. Returns the jobs
/// done.
fn run_in_guests(mut jobs: Vec<Job>) -> Result<(Vec<Job>, Vec<Tested>)> {
    let own = Arch::of_this_machine()?;
    let mut tests: Vec<&str> = jobs.iter().flat_map(|job| job.tests.clone()).collect();
    tests.sort_unstable();
    tests.dedup();
    let mut arches: Vec<Arch> = jobs.iter().map(|job| job.kernel.arch()).collect();
    arches.sort_unstable();
    arches.dedup();
    let builds = arches.into_iter().map(|arch| build(arch, own, &tests));
    let builds = builds.collect::<Result<Vec<_>>>()?;
    // Each machine has scenarios, but not of each name.
    if jobs.iter().any(|job| !job.selected.is_empty()) {
        let listing = build_tests(cargo(&test_build(&[SCENARIOS]))?)?;
        let (_, scenarios) = listing.first().context("cargo built no test")?;
        let rows = needed_machines(scenarios)?;
        jobs.retain(|job| is_needed(job, &rows));
        ensure!(!jobs.is_empty(), "no scenario's name contains that text");
    }
    let tested = vm::run_jobs(&builds, &jobs, &target_dir()?.join("vm"))?;
    Ok((jobs, tested))
}

/// Builds the agent and these tests for an architecture.
fn build(arch: Arch, own: Arch, tests: &[&str]) -> Result<Build> {
    let words = test_build(tests);
    let (agent, tests) = if arch == own {
        (agent(Goal::Test)?, build_tests(cargo(&words)?)?)
    } else {
        setup::ensure_ready(Goal::CrossGuest, workspace()?)?;
        let agent = cross::build_agent(arch)?;
        (agent, build_tests(cross::command(arch, &words)?)?)
    };
    Ok(Build { arch, agent, tests })
}

/// The scenarios and the machine that each needs, as the test lists them outside of guests.
fn needed_machines(scenarios: &Path) -> Result<Vec<Fact>> {
    let output = Command::new(scenarios).arg("--show-output").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let facts = text.lines().filter_map(report::parse_fact);
    Ok(facts.filter(|fact| fact.kind == NEEDS).collect())
}

fn is_needed(job: &Job, rows: &[Fact]) -> bool {
    job.machine.is_none_or(|machine| {
        let mut rows = rows.iter();
        rows.any(|row| row.result == machine.name && row.subject.contains(&job.selected))
    })
}

/// A test that a guest never started counts as failed.
fn ensure_passed(jobs: &[Job], tested: &[Tested]) -> Result<()> {
    let wanted: usize = jobs.iter().map(|job| job.tests.len()).sum();
    let outcomes = tested
        .iter()
        .flat_map(|kernel| kernel.outcomes.iter().map(move |outcome| (kernel, outcome)));
    let (passed, failed): (Vec<_>, Vec<_>) = outcomes.partition(|(_, outcome)| outcome.passed);
    let failed: Vec<_> = failed
        .iter()
        .map(|(kernel, outcome)| format!("{} on {}", outcome.test, kernel.release))
        .collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    ensure!(
        passed.len() >= wanted,
        "only {} of {wanted} tests have ended",
        passed.len()
    );
    Ok(())
}

/// cargo's words that build these tests.
fn test_build(tests: &[&str]) -> String {
    let names: Vec<String> = tests.iter().map(|test| format!("--test {test}")).collect();
    format!(
        "test --release --config {LIGHT_TESTS} --no-run {}",
        names.join(" ")
    )
}

/// Builds tests, and returns the name and the executable of each.
fn build_tests(mut build: Command) -> Result<Vec<(String, PathBuf)>> {
    eprintln!("+ {}", line(&build));
    let output = build.output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{log}");
    }
    log.lines()
        .filter_map(executable)
        .map(|(name, path)| Ok((name, workspace()?.join(path))))
        .collect()
}

/// The name and the path in one of cargo's lines, such as `  Executable tools.rs
/// (target/release/deps/tools-89e02cc11a5a0cf4)`.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let (source, path) = line.trim().strip_prefix("Executable ")?.split_once(" (")?;
    let name = source.strip_suffix(".rs")?;
    Some((name.to_owned(), path.strip_suffix(')')?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_selected_by_name_and_kernel() {
        let jobs = |kernels: &[&str], names: &[&str]| {
            let options = TestOptions {
                kernel: kernels
                    .iter()
                    .map(|kernel| kernel.parse().expect(kernel))
                    .collect(),
                args: names.iter().map(OsString::from).collect(),
                ..TestOptions::default()
            };
            let each = vm::each(&[Arch::Amd64, Arch::Arm64]);
            options.jobs(&each).ok().map(|jobs| jobs.len())
        };
        for (kernels, names, expected) in [
            (&[][..], &[][..], Some(42)),
            (&["6.1"], &[], Some(7)),
            (&["6.12-arm64"], &[], Some(7)),
            (&["6.1", "6.12-cloud"], &["tools"], Some(2)),
            (&["6.1"], &["tools", "boundary"], Some(2)),
            (&[], &["nothing"], None),
        ] {
            assert_eq!(jobs(kernels, names), expected, "{kernels:?} {names:?}");
        }
    }

    #[test]
    fn continuous_integration_verifies_on_the_oldest_and_the_newest_kernel() {
        for (_, tests) in BRIEF {
            assert!(tests.iter().all(|test| TESTS.concat().contains(test)));
        }
        for kernel in [Choice::OLDEST, Choice::NEWEST] {
            let verifies =
                |(of, tests): &(Choice, &[&str])| *of == kernel && tests.contains(&VERIFIER);
            assert!(BRIEF.iter().any(verifies), "{kernel:?}");
        }
    }

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
