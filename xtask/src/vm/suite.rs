//! `cargo xtask test --vm`: the tests inside of guests, one for each kernel.
//!
//! In: the agent, the tests' executables. Out: on stdout, a table of kernel and test; on stderr, what failed.
//! The decision held here: the laboratory of two namespaces is built inside of the guest, so that the tests are the same ones, and a
//! kernel differs from this machine's in nothing but itself. The agent in there is the static one; the tools that attack it, and the
//! tests, are this machine's, with the libraries that they need.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use recon_tests::{namespace::Namespace, process, program::PYTHON};

use super::{
    cpio::Archive,
    fetch::{Qemu, Store},
    guest::Guest,
    initramfs::{self, FINISHED, MODULES, Task},
    kernel::{self, Choice},
    module::Modules,
};
use crate::machine::{SBIN, TEST_TOOLS};

/// What the tests need beside the tools: a shell whose own commands don't stand before the tools, and what enters namespaces.
const MORE_TOOLS: [&str; 3] = ["dash", "nsenter", "setpriv"];
/// A shell's name, and which of these it is.
const SHELL: (&str, &str) = ("bin/sh", "dash");
/// What programs load by name, or read: where this machine has them.
const DATA: [&str; 10] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/services",
    "/etc/protocols",
    "/usr/share/nmap/nmap-services",
    "/usr/share/nmap/nmap-payloads",
    "/usr/share/nmap/nmap-protocols",
    "/usr/lib/x86_64-linux-gnu/libpcap.so.0.8",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
];
/// What nginx wants to be there.
const FOLDERS: [&str; 2] = ["var/log/nginx", "var/lib/nginx"];
/// Modules that tests use.
const TEST_MODULES: [&str; 2] = ["8021q", "bridge"];
/// Where the tests are in a guest.
const TESTS: &str = "tests";
/// All tests in an emulated processor that shares a real one.
const DEADLINE: Duration = Duration::from_secs(900);
/// Guests at a time: each takes 1 GiB and a processor.
const AT_ONCE: usize = 2;

/// How a test ended in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    test: String,
    passed: bool,
}

/// Runs the tests in a guest of each kind of kernel.
pub(crate) fn test(agent: &Path, tests: &[PathBuf], store: &Path) -> Result<()> {
    let store = Store::new(store.to_owned())?;
    // Here, so that guests at the same time don't both fetch it.
    let (qemu, busybox) = (store.qemu()?, store.busybox()?);
    let kinds = kernel::kinds();
    let mut table = Vec::new();
    for some in kinds.chunks(AT_ONCE) {
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|choice| scope.spawn(|| run(agent, tests, &store, (&qemu, &busybox), choice)))
                .collect();
            running
                .into_iter()
                .map(|guest| {
                    guest
                        .join()
                        .map_err(|_| anyhow!("a guest's thread panicked"))?
                })
                .collect()
        });
        for result in results {
            table.push(result?);
        }
    }
    let mut failed = 0;
    for (release, outcomes) in &table {
        for Outcome { test, passed } in outcomes {
            failed += u32::from(!passed);
            let result = if *passed { "passed" } else { "FAILED" };
            println!("| {release} | {test} | {result} |");
        }
        ensure!(
            outcomes.len() == tests.len(),
            "the guest with {release} ended before its tests did"
        );
    }
    ensure!(failed == 0, "{failed} tests failed");
    Ok(())
}

/// The kernel's release, and how the tests ended there.
fn run(
    agent: &Path,
    tests: &[PathBuf],
    store: &Store,
    (qemu, busybox): (&Qemu, &Path),
    choice: &Choice,
) -> Result<(String, Vec<Outcome>)> {
    let kernel = store.kernel(choice)?;
    let wanted = [&MODULES[..], &TEST_MODULES].concat();
    let modules = Modules::find(&kernel.modules, busybox)?.closure(&wanted)?;
    let names = tests
        .iter()
        .map(|test| Ok((format!("{TESTS}/{}", name_of(test)?), test)))
        .collect::<Result<Vec<_>>>()?;
    let order: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    let mut archive = initramfs::build(agent, busybox, &modules, Task::Tests(&order))?;
    for (name, test) in &names {
        archive.program(name, &stripped(test)?);
        add_libraries(&mut archive, test)?;
    }
    add_tools(&mut archive)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(&archive.finish())?;
    let guest = Guest {
        qemu,
        kernel: &kernel,
        initramfs: &file,
        tap: None,
    };
    // For its guard and its deadline: the guest has no network card.
    let namespace = Namespace::create("guest")?;
    let output = process::run(&namespace, guest.testing(), DEADLINE)?.success()?;
    let outcomes = outcomes(&output);
    if outcomes.iter().any(|outcome| !outcome.passed) || outcomes.len() < tests.len() {
        eprintln!("{}:\n{output}", kernel.release);
    }
    Ok((kernel.release, outcomes))
}

/// What the guest's lines say.
fn outcomes(output: &str) -> Vec<Outcome> {
    let ends = output.lines().filter_map(|line| {
        let (test, code) = line
            .trim_end()
            .strip_prefix(FINISHED)?
            .split(" at ")
            .next()?
            .split_once(' ')?;
        let name = test.rsplit('/').next().unwrap_or(test);
        Some(Outcome {
            test: name.to_owned(),
            passed: code == "0",
        })
    });
    ends.collect()
}

/// `tools` of `target/release/deps/tools-89e02cc11a5a0cf4`.
fn name_of(test: &Path) -> Result<String> {
    let file = test.file_name().map(|name| name.to_string_lossy());
    let name = file.as_deref().and_then(|name| name.rsplit_once('-'));
    let (name, _) = name.with_context(|| format!("{} is no test", test.display()))?;
    Ok(name.to_owned())
}

/// The program without its debug information, of which there is ten times as much.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new()?;
    let done = Command::new("strip")
        .arg("-o")
        .arg(file.path())
        .arg(program)
        .status()
        .context("strip (package binutils)")?;
    ensure!(done.success(), "cannot strip {}: {done}", program.display());
    Ok(fs::read(file.path())?)
}

fn add_tools(archive: &mut Archive) -> Result<()> {
    let tools = TEST_TOOLS.iter().map(|tool| tool.program);
    for tool in tools.chain(MORE_TOOLS) {
        let program = find(tool)?;
        let inside = match tool.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("bin/{tool}"),
        };
        archive.program(&inside, &fs::read(&program)?);
        add_libraries(archive, &program)?;
    }
    archive.link(SHELL.0, SHELL.1);
    add_python(archive)?;
    for path in DATA {
        // Another distribution has some elsewhere, and a test that needs one says so.
        if Path::new(path).exists() {
            add_file(archive, path)?;
        }
    }
    for folder in FOLDERS {
        archive.folder(folder);
    }
    Ok(())
}

/// Adds the modules that the tests' scripts import, and those that Python imports by itself.
fn add_python(archive: &mut Archive) -> Result<()> {
    const LIST: &str = "import errno, socket, sys, threading
for module in list(sys.modules.values()):
    file = getattr(module, '__file__', None)
    if file: print(file)";
    let output = Command::new(PYTHON)
        // As in a guest, whatever this machine's locale.
        .env_clear()
        .args(["-I", "-c", LIST])
        .output()
        .context(PYTHON)?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{PYTHON}: {}", output.status);
    for file in files.lines() {
        add_file(archive, file)?;
        // What tells Python where its modules are.
        if let Some(library) = file.strip_suffix("/os.py") {
            archive.folder(&format!("{}/lib-dynload", library.trim_start_matches('/')));
        }
    }
    Ok(())
}

/// Where this machine has the program.
fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(SBIN.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    found.with_context(|| format!("{program} is not on the PATH"))
}

/// Adds the libraries of a program, and the loader, under the paths that they have here.
fn add_libraries(archive: &mut Archive, program: &Path) -> Result<()> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("not found") {
        bail!("{} lacks a library:\n{text}", program.display());
    }
    for path in text.split_whitespace().filter(|word| word.starts_with('/')) {
        add_file(archive, path)?;
    }
    Ok(())
}

/// Adds a file under its own path, once.
fn add_file(archive: &mut Archive, path: &str) -> Result<()> {
    let inside = path.trim_start_matches('/');
    if !archive.has(inside) {
        let content = fs::read(path).with_context(|| path.to_owned())?;
        archive.program(inside, &content);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_lines_say_how_tests_ended() {
        let output = "guest: runs tests/a\r\ntest x ... ok\r\nguest: finished tests/a 0\r\n\
                      guest: finished tests/b 101\r\nguest: finished tests/c";
        let expected = [("a", true), ("b", false)].map(|(test, passed)| Outcome {
            test: test.to_owned(),
            passed,
        });
        assert_eq!(outcomes(output), expected);
    }

    #[test]
    fn a_test_is_named_without_its_hash() {
        for (path, name) in [
            ("/deps/tools-89e02cc11a5a0cf4", Some("tools")),
            ("program_runs-e079", Some("program_runs")),
            ("/deps/tools", None),
            ("/", None),
        ] {
            assert_eq!(name_of(Path::new(path)).ok().as_deref(), name, "{path}");
        }
    }
}
