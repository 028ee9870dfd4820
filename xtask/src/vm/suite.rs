//! `cargo xtask test --vm`: the tests in guests, several for each kernel.
//!
//! In: the agent, the tests' executables, the kernels. Out: how each test ended on each kernel, and
//! the facts that it recorded.
//! The decision held here: the tests build their lab inside of the guest, so that they are the same
//! as on this machine, and only the kernel and the architecture differ. The guest runs the static
//! agent. The tests and the tools are this machine's, with their libraries; on arm64 the tests are
//! static, and the tools those of Debian's packages.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use recon_tests::{
    lab::ATTACKER_MAC,
    machine::{Card, GuestMachine, MACHINE, ONE_CARD, SELECTED},
    namespace::Namespace,
    process,
    report::{self, Fact},
    rows::map_in_parallel,
};

use super::{
    Choice,
    fetch::{Kernel, Qemu, Store},
    guest::{Guest, bridge},
    initramfs::{self, FINISHED, MODULES},
    module::Modules,
    programs::Programs,
    rootfs::{self, RootFs},
};
use crate::{package::Arch, step::quoted};

/// Modules that the tests use, and those that a host with modprobe(8) loads by itself when the
/// agent asks for sockets. The kernels for cloud images have no PPP.
const TEST_MODULES: [&str; 13] = [
    "8021q",
    "bridge",
    "tcp_diag",
    "udp_diag",
    "unix_diag",
    "tun",
    "macvlan",
    "bonding",
    "wireguard",
    "ip_gre",
    "ipip",
    "sit",
    "ppp_async",
];
/// The folder of the tests in a guest.
const TESTS: &str = "tests";
/// The deadline for all tests of a guest, on an emulated processor that shares a real one.
const DEADLINE: Duration = Duration::from_secs(2400);
/// Guests that run at a time.
const AT_ONCE: usize = 2;
/// The memory of a guest, which holds its programs as well, in MiB.
const MEMORY: u32 = 1024;

/// How a test ended in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) test: String,
    pub(crate) passed: bool,
    /// How long it took.
    pub(crate) seconds: u32,
}

/// The results of the tests on one kernel.
#[derive(Debug)]
pub(crate) struct Tested {
    /// The kernel, as printed by `uname -r`.
    pub(crate) release: String,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) facts: Vec<Fact>,
    /// Rows that were skipped, with the reason.
    pub(crate) skipped: Vec<String>,
}

/// What cargo has built for an architecture.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) arch: Arch,
    pub(crate) agent: PathBuf,
    /// The name and the executable of each test.
    pub(crate) tests: Vec<(String, PathBuf)>,
}

/// The work of one guest: these tests on that kernel. A kernel may have several jobs.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) kernel: Choice,
    pub(crate) tests: Vec<&'static str>,
    /// The machine whose scenarios run; without it, the guest has no network card.
    pub(crate) machine: Option<&'static GuestMachine>,
    /// A part of the scenarios' names; empty for all.
    pub(crate) selected: String,
}

impl Job {
    /// Tests that need no network card.
    pub(crate) fn of_tests(kernel: Choice, tests: &[&'static str]) -> Self {
        Self {
            kernel,
            tests: tests.to_vec(),
            machine: None,
            selected: String::new(),
        }
    }
}

/// Does each job in a guest of its own, the first ones first, and returns the results by kernel.
pub(crate) fn run_jobs(builds: &[Build], jobs: &[Job], store: &Path) -> Result<Vec<Tested>> {
    let store = Store::new(store.to_owned())?;
    let own = Arch::of_this_machine()?;
    // Before the guests start, so that two of them do not download it at a time.
    let unpacker = store.busybox(own)?;
    let parts = builds.iter().map(|build| prepare(build, &store, own));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let jobs = jobs
        .iter()
        .map(|job| Ok((store.kernel(&job.kernel)?, job)))
        .collect::<Result<Vec<_>>>()?;
    let results = map_in_parallel(&jobs, AT_ONCE, |(kernel, job)| {
        let parts = parts.iter().find(|parts| parts.build.arch == kernel.arch);
        let parts = parts.with_context(|| format!("no tests for {}", kernel.arch.debian()))?;
        let initramfs = write_initramfs(parts, job, kernel, &unpacker)?;
        run_job(job, &parts.qemu, kernel, &initramfs)
    });
    let results: Result<Vec<_>> = results.into_iter().collect();
    Ok(merge_by_kernel(results?))
}

/// What all guests of an architecture have in common.
struct Parts<'a> {
    build: &'a Build,
    qemu: Qemu,
    busybox: PathBuf,
    /// An archive with the tests and the tools.
    common: Vec<u8>,
}

fn prepare<'a>(build: &'a Build, store: &Store, own: Arch) -> Result<Parts<'a>> {
    let arch = build.arch;
    let programs = match arch == own {
        true => Programs::installed(arch),
        false => Programs::unpacked(store.tools(arch, &rootfs::packages())?, arch),
    };
    let mut files = RootFs::new(&programs);
    for (name, test) in &build.tests {
        files.add_test(&format!("{TESTS}/{name}"), test)?;
    }
    files.add_tools()?;
    Ok(Parts {
        build,
        qemu: store.qemu(arch)?,
        busybox: store.busybox(arch)?,
        common: files.finish(),
    })
}

/// Merges the results of each kernel, in the order of first appearance.
fn merge_by_kernel(results: Vec<Tested>) -> Vec<Tested> {
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

/// An unnamed file to boot from. The kernel unpacks one archive after the other.
fn write_initramfs(parts: &Parts<'_>, job: &Job, kernel: &Kernel, unpacker: &Path) -> Result<File> {
    let more = job
        .machine
        .map_or(&TEST_MODULES[..], |machine| machine.modules);
    let modules =
        Modules::find(&kernel.modules, unpacker)?.closure(&[&MODULES[..], more].concat())?;
    let tests = job.tests.iter().map(|name| format!("{TESTS}/{name}"));
    let tests: Vec<String> = tests.collect();
    let work = match job.machine {
        Some(machine) => {
            let (name, selected) = (quoted(machine.name), quoted(&job.selected));
            initramfs::scenarios(&tests, &format!("{MACHINE}={name} {SELECTED}={selected}"))
        }
        None => initramfs::tests(&tests),
    };
    let mut file = initramfs::write(&parts.build.agent, &parts.busybox, &modules, &work)?;
    file.write_all(&parts.common)?;
    Ok(file)
}

/// Runs a job in a guest, and prints its output if a test failed.
fn run_job(job: &Job, qemu: &Qemu, kernel: &Kernel, initramfs: &File) -> Result<Tested> {
    let start = Instant::now();
    let namespace = Namespace::create("guest")?;
    let machine = job.machine;
    let mut cards = Vec::new();
    if let Some(machine) = machine {
        cards.extend(machine.cards);
        cards.push(Card::plain(ATTACKER_MAC));
        // The taps must not send anything of their own.
        namespace.set("ipv6/conf/default/disable_ipv6", 1)?;
        bridge(&namespace, &cards)?;
    }
    let hardware = machine.unwrap_or(&ONE_CARD);
    let guest = Guest {
        qemu,
        kernel,
        initramfs,
        processors: hardware.processors,
        memory: MEMORY,
        cards: &cards,
        kernel_options: hardware.kernel_options,
    };
    let output = process::run(&namespace, guest.testing(), DEADLINE)?
        .success()
        .with_context(|| kernel.release.clone())?;
    let mut outcomes = parse_outcomes(&output);
    for outcome in &mut outcomes {
        if let Some(machine) = machine {
            outcome.test = format!("{}: {}", outcome.test, machine.name);
        }
    }
    let tested = Tested {
        release: kernel.release.clone(),
        outcomes,
        facts: output.lines().filter_map(report::parse_fact).collect(),
        skipped: parse_skipped(&output),
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

/// How the tests ended, from the guest's lines.
fn parse_outcomes(output: &str) -> Vec<Outcome> {
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

/// The lines by which the tests report skipped rows.
fn parse_skipped(output: &str) -> Vec<String> {
    let lines = output.lines().map(str::trim_end);
    let lines = lines.filter(|line| line.starts_with(report::SKIPPED));
    lines.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_merged_by_kernel() {
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
        let kernels = merge_by_kernel(vec![
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
    fn results_are_parsed_from_a_guests_lines() {
        let output = "guest: runs tests/a\r\ntest x ... ok\r\nskipped: y: no z\r\nguest: finished tests/a 0 7\r\n\
                      guest: finished tests/b 101 30\r\nguest: finished tests/c";
        let expected = [("a", true, 7), ("b", false, 30)].map(|(test, passed, seconds)| Outcome {
            test: test.to_owned(),
            passed,
            seconds,
        });
        assert_eq!(parse_outcomes(output), expected);
        assert_eq!(parse_skipped(output), ["skipped: y: no z"]);
    }
}
