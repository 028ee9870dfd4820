//! The tests' root file system in a guest: their executables, the attacking tools, and the files
//! that those load.
//!
//! In: this machine's programs. Out: an archive with the same paths, and the libraries that they
//! need.
//! The decision held here: the programs themselves say what they need (ldd lists libraries, Python
//! lists modules), so that this works on other distributions.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::program::{PYTHON, locate};

use super::cpio::Archive;
use crate::machine::TEST_TOOLS;

/// Programs that the tests need besides the tools: a shell without built-in applets that hide the
/// tools, and the programs that enter namespaces, drop privileges and list clsact filters.
const MORE_TOOLS: [&str; 4] = ["dash", "nsenter", "setpriv", "tc"];
/// The shell's path, and its program.
const SHELL: (&str, &str) = ("bin/sh", "dash");
/// Tools that not every distribution has, with the programs that they start. The tests skip what
/// needs them.
const OPTIONAL: [&str; 4] = [
    "/usr/bin/apt-get",
    "/usr/bin/dpkg",
    "/usr/lib/apt/methods/http",
    "/usr/lib/apt/methods/store",
];
/// Files that programs load by name or read, if this machine has them.
const DATA: [&str; 12] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/services",
    "/etc/protocols",
    "/usr/share/dpkg/cputable",
    "/usr/share/dpkg/tupletable",
    "/usr/share/nmap/nmap-services",
    "/usr/share/nmap/nmap-payloads",
    "/usr/share/nmap/nmap-protocols",
    "/usr/lib/x86_64-linux-gnu/libpcap.so.0.8",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
];
/// Folders that nginx and apt-get need.
const FOLDERS: [&str; 3] = ["var/log/nginx", "var/lib/nginx", "etc/apt/apt.conf.d"];

/// Adds a test under that path.
pub(super) fn add_test(archive: &mut Archive, path: &str, test: &Path) -> Result<()> {
    archive.program(path, &stripped(test)?);
    add_libraries(archive, test)
}

/// The program without its debug information, which is ten times as large as the rest.
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

/// Adds the tools, and all files that they load and read.
pub(super) fn add_tools(archive: &mut Archive) -> Result<()> {
    let tools = TEST_TOOLS.iter().map(|tool| tool.program);
    for tool in tools.chain(MORE_TOOLS) {
        let program = locate(tool)?;
        // A tool with an absolute path keeps it, the others are on the guest's PATH.
        let inside = match tool.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("bin/{tool}"),
        };
        archive.program(&inside, &fs::read(&program)?);
        add_libraries(archive, &program)?;
    }
    archive.link(SHELL.0, SHELL.1);
    add_python(archive)?;
    let exists = |path: &&str| Path::new(path).exists();
    for path in OPTIONAL.into_iter().filter(exists) {
        add_file(archive, path)?;
        add_libraries(archive, Path::new(path))?;
    }
    // Other distributions have some of these elsewhere; a test that needs one says so.
    for path in DATA.into_iter().filter(exists) {
        add_file(archive, path)?;
    }
    for folder in FOLDERS {
        archive.folder(folder);
    }
    Ok(())
}

/// Adds the modules that the tests' scripts import, and those of Python's start.
fn add_python(archive: &mut Archive) -> Result<()> {
    const LIST: &str = "import _socket, _thread, errno, sys
for module in list(sys.modules.values()):
    file = getattr(module, '__file__', None)
    if file: print(file)";
    let output = Command::new(PYTHON)
        // An empty environment, as in a guest.
        .env_clear()
        .args(["-I", "-c", LIST])
        .output()
        .context(PYTHON)?;
    ensure!(output.status.success(), "{PYTHON}: {}", output.status);
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    for file in files.lines() {
        add_file(archive, file)?;
        // Python locates its modules by this folder.
        if let Some(library) = file.strip_suffix("/os.py") {
            archive.folder(&format!("{}/lib-dynload", inside(library)));
        }
    }
    Ok(())
}

/// Adds the libraries of a program and the loader under their own paths.
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
    if !archive.has(inside(path)) {
        let content = fs::read(path).with_context(|| path.to_owned())?;
        archive.program(inside(path), &content);
    }
    Ok(())
}

/// The path in an archive.
fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}
