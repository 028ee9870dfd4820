//! What the tests need in a guest beside the agent: their executables, the tools that attack, and what those load.
//!
//! In: this machine's programs. Out: the same under the same paths in an archive, with the libraries that they need.
//! The decision held here: what is needed is asked of the programs themselves (ldd of their libraries, Python of its modules), so that
//! another distribution's files do as well.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::program::{PYTHON, locate};

use super::cpio::Archive;
use crate::machine::TEST_TOOLS;

/// What the tests need beside the tools: a shell whose own commands don't stand before the tools, what enters namespaces, what gives
/// up privileges, what tells of clsact.
const MORE_TOOLS: [&str; 4] = ["dash", "nsenter", "setpriv", "tc"];
/// A shell's name, and which of these it is.
const SHELL: (&str, &str) = ("bin/sh", "dash");
/// Tools that not every distribution has, with the programs that they start. Tests do without.
const OPTIONAL: [&str; 4] = [
    "/usr/bin/apt-get",
    "/usr/bin/dpkg",
    "/usr/lib/apt/methods/http",
    "/usr/lib/apt/methods/store",
];
/// What programs load by name, or read: where this machine has them.
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
/// What nginx and apt-get want to be there.
const FOLDERS: [&str; 3] = ["var/log/nginx", "var/lib/nginx", "etc/apt/apt.conf.d"];

/// Adds a test under that path.
pub(super) fn add_test(archive: &mut Archive, path: &str, test: &Path) -> Result<()> {
    archive.program(path, &stripped(test)?);
    add_libraries(archive, test)
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

/// Adds the tools, and all that they load and read.
pub(super) fn add_tools(archive: &mut Archive) -> Result<()> {
    let tools = TEST_TOOLS.iter().map(|tool| tool.program);
    for tool in tools.chain(MORE_TOOLS) {
        let program = locate(tool)?;
        // One that has to be a certain file stays where it is, the others are on the guest's PATH.
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
    // Another distribution has some elsewhere, and a test that needs one says so.
    for path in DATA.into_iter().filter(exists) {
        add_file(archive, path)?;
    }
    for folder in FOLDERS {
        archive.folder(folder);
    }
    Ok(())
}

/// Adds the modules that the tests' scripts import, and those that Python imports by itself.
fn add_python(archive: &mut Archive) -> Result<()> {
    const LIST: &str = "import _socket, _thread, errno, sys
for module in list(sys.modules.values()):
    file = getattr(module, '__file__', None)
    if file: print(file)";
    let output = Command::new(PYTHON)
        // As in a guest, whatever this machine's locale.
        .env_clear()
        .args(["-I", "-c", LIST])
        .output()
        .context(PYTHON)?;
    ensure!(output.status.success(), "{PYTHON}: {}", output.status);
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    for file in files.lines() {
        add_file(archive, file)?;
        // By which Python finds its modules.
        if let Some(library) = file.strip_suffix("/os.py") {
            archive.folder(&format!("{}/lib-dynload", inside(library)));
        }
    }
    Ok(())
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
