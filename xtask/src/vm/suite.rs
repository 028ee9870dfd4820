//! `cargo xtask test --vm`: the tests inside of guests, some for each kernel.
//!
//! In: the agent, the tests' executables, the kernels. Out: how each test ended on each kernel, and what it told beyond that.
//! The decision held here: the laboratory of two namespaces is built inside of the guest, so that the tests are the same ones, and a
//! kernel differs from this machine's in nothing but itself. The agent in there is the static one; the tools that attack it, and the
//! tests, are this machine's, with the libraries that they need.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use recon_tests::{
    lab::ATTACKER_MAC,
    machine::{Card, MACHINE, Machine, ONE_CARD, SELECTED},
    namespace::Namespace,
    process,
    report::{self, Fact},
};

use super::{
    Choice,
    cpio::Archive,
    fetch::{Kernel, Qemu, Store},
    guest::{Guest, bridge},
    initramfs::{self, FINISHED, MODULES, Task},
    module::Modules,
    rootfs,
};
use crate::step::quoted;

/// Modules that tests use.
const TEST_MODULES: [&str; 2] = ["8021q", "bridge"];
/// Where the tests are in a guest.
const TESTS: &str = "tests";
/// All tests in an emulated processor that shares a real one.
const DEADLINE: Duration = Duration::from_secs(900);
/// Guests at a time.
const AT_ONCE: usize = 2;
/// What a guest takes whose programs are in memory as well, in MiB.
const MEMORY: u32 = 1024;

/// How a test ended in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) test: String,
    pub(crate) passed: bool,
    /// How long it took.
    pub(crate) seconds: u32,
}

/// What the tests on one kernel came to.
#[derive(Debug)]
pub(crate) struct Tested {
    /// The kernel, as `uname -r` has it.
    pub(crate) release: String,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) facts: Vec<Fact>,
    /// Rows that were left out, with the reason.
    pub(crate) skipped: Vec<String>,
}

/// Tests: each one's name, and its executable.
pub(crate) type Tests = [(String, PathBuf)];

/// What a guest does: these tests on that kernel. Several may be of one kernel.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) kernel: Choice,
    pub(crate) tests: Vec<&'static str>,
    /// The machine for scenarios, without which a guest has no network card.
    pub(crate) scenarios: Option<Scenarios>,
}

/// The scenarios of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Scenarios {
    pub(crate) machine: &'static Machine,
    /// A part of their names.
    pub(crate) selected: String,
}

/// Does each job in a guest of its own, the first ones first, and returns what came of each kernel.
pub(crate) fn test(agent: &Path, tests: &Tests, jobs: &[Job], store: &Path) -> Result<Vec<Tested>> {
    let store = Store::new(store.to_owned())?;
    // Here, so that guests at the same time don't both fetch it.
    let (qemu, busybox) = (store.qemu()?, store.busybox()?);
    let jobs = jobs
        .iter()
        .map(|job| Ok((store.kernel(&job.kernel)?, job)))
        .collect::<Result<Vec<_>>>()?;
    let common = common(tests)?;
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some((number, (kernel, job))) = take(&jobs, &next) {
            let result = archive(agent, job, kernel, &busybox, &common)
                .and_then(|initramfs| run(job, &qemu, kernel, &initramfs));
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((number, result));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow!("a guest's thread panicked"))
        })
    })?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|&(number, _)| number);
    let results: Result<Vec<_>> = results.into_iter().map(|(_, result)| result).collect();
    Ok(by_kernel(results?))
}

/// The results of one kernel put together, in the order in which kernels come first.
fn by_kernel(results: Vec<Tested>) -> Vec<Tested> {
    let mut kernels: Vec<Tested> = Vec::new();
    for result in results {
        match kernels
            .iter_mut()
            .find(|kernel| kernel.release == result.release)
        {
            Some(kernel) => {
                kernel.outcomes.extend(result.outcomes);
                kernel.facts.extend(result.facts);
                kernel.skipped.extend(result.skipped);
            }
            None => kernels.push(result),
        }
    }
    for kernel in &mut kernels {
        kernel
            .outcomes
            .sort_by(|one, other| one.test.cmp(&other.test));
    }
    kernels
}

/// The next one that nobody has taken, and its number.
fn take<'a, T>(all: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, all.get(number)?))
}

/// What all guests have in common: the tests and the tools.
fn common(tests: &Tests) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for (name, test) in tests {
        rootfs::add_test(&mut archive, &format!("{TESTS}/{name}"), test)?;
    }
    rootfs::add_tools(&mut archive)?;
    Ok(archive.finish())
}

/// A file to boot from, which has no name. The kernel unpacks one archive after the other.
fn archive(
    agent: &Path,
    job: &Job,
    kernel: &Kernel,
    busybox: &Path,
    common: &[u8],
) -> Result<File> {
    let machine = job.scenarios.as_ref().map(|scenarios| scenarios.machine);
    let more = machine.map_or(&TEST_MODULES[..], |machine| machine.modules);
    let modules =
        Modules::find(&kernel.modules, busybox)?.closure(&[&MODULES[..], more].concat())?;
    let paths = job.tests.iter().map(|name| format!("{TESTS}/{name}"));
    let paths: Vec<String> = paths.collect();
    let order: Vec<&str> = paths.iter().map(String::as_str).collect();
    let variables = job
        .scenarios
        .as_ref()
        .map(|Scenarios { machine, selected }| {
            let (name, selected) = (quoted(machine.name), quoted(selected));
            format!("{MACHINE}={name} {SELECTED}={selected}")
        });
    let task = match &variables {
        Some(variables) => Task::Scenarios(&order, variables),
        None => Task::Tests(&order),
    };
    let own = initramfs::build(agent, busybox, &modules, task)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(&own.finish())?;
    file.write_all(common)?;
    Ok(file)
}

/// Runs the tests in a guest, and shows its output where one failed.
fn run(job: &Job, qemu: &Qemu, kernel: &Kernel, initramfs: &File) -> Result<Tested> {
    let start = Instant::now();
    let namespace = Namespace::create("guest")?;
    let machine = job.scenarios.as_ref().map(|scenarios| scenarios.machine);
    let mut cards = Vec::new();
    if let Some(machine) = machine {
        cards.extend(machine.cards);
        cards.push(Card::plain(ATTACKER_MAC));
        // The taps must send nothing of their own.
        namespace.set("ipv6/conf/default/disable_ipv6", 1)?;
        bridge(&namespace, &cards)?;
    }
    let Machine {
        processors,
        kernel_options,
        ..
    } = machine.unwrap_or(&ONE_CARD);
    let guest = Guest {
        qemu,
        kernel,
        initramfs,
        processors: *processors,
        memory: MEMORY,
        cards: &cards,
        kernel_options,
    };
    let output = process::run(&namespace, guest.testing(), DEADLINE)?
        .success()
        .with_context(|| kernel.release.clone())?;
    let mut outcomes = outcomes(&output);
    for outcome in &mut outcomes {
        if let Some(machine) = machine {
            outcome.test = format!("{}: {}", outcome.test, machine.name);
        }
    }
    let tested = Tested {
        release: kernel.release.clone(),
        outcomes,
        facts: output.lines().filter_map(report::parse_fact).collect(),
        skipped: skipped(&output),
    };
    let ended = tested.outcomes.len() == job.tests.len();
    if !ended || tested.outcomes.iter().any(|outcome| !outcome.passed) {
        eprintln!("{}:\n{output}", kernel.release);
    }
    let tests = tested.outcomes.iter();
    let tests = tests.map(|outcome| format!("{} {} s", outcome.test, outcome.seconds));
    eprintln!(
        "guest: Linux {} took {} s: {}",
        kernel.release,
        start.elapsed().as_secs(),
        tests.collect::<Vec<_>>().join(", ")
    );
    Ok(tested)
}

/// How the tests ended, by the guest's lines.
fn outcomes(output: &str) -> Vec<Outcome> {
    let ends = output.lines().filter_map(|line| {
        let mut words = line.trim_end().strip_prefix(FINISHED)?.split(' ');
        let test = words.next()?;
        Some(Outcome {
            test: test.rsplit('/').next().unwrap_or(test).to_owned(),
            passed: words.next()? == "0",
            seconds: words.next()?.parse().ok()?,
        })
    });
    ends.collect()
}

/// What the tests have not done, by their own lines.
fn skipped(output: &str) -> Vec<String> {
    let lines = output.lines().map(str::trim_end);
    let lines = lines.filter(|line| line.starts_with(report::SKIPPED));
    lines.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_kernels_guests_is_put_together() {
        let tested = |release: &str, test: &str| Tested {
            release: release.to_owned(),
            outcomes: vec![Outcome {
                test: test.to_owned(),
                passed: true,
                seconds: 1,
            }],
            facts: Vec::new(),
            skipped: Vec::new(),
        };
        let kernels = by_kernel(vec![
            tested("6.1", "b"),
            tested("6.12", "b"),
            tested("6.1", "a"),
        ]);
        let names: Vec<_> = kernels
            .iter()
            .map(|kernel| {
                let tests = kernel.outcomes.iter().map(|outcome| outcome.test.as_str());
                (kernel.release.as_str(), tests.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(names, [("6.1", vec!["a", "b"]), ("6.12", vec!["b"])]);
    }

    #[test]
    fn a_guests_lines_say_how_tests_ended() {
        let output = "guest: runs tests/a\r\ntest x ... ok\r\nskipped: y: no z\r\nguest: finished tests/a 0 7\r\n\
                      guest: finished tests/b 101 30\r\nguest: finished tests/c";
        let expected = [("a", true, 7), ("b", false, 30)].map(|(test, passed, seconds)| Outcome {
            test: test.to_owned(),
            passed,
            seconds,
        });
        assert_eq!(outcomes(output), expected);
        assert_eq!(skipped(output), ["skipped: y: no z"]);
    }
}
