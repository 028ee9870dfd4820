//! The tests' root file system in a guest: their executables, the attacking tools, and the files
//! that those load.
//!
//! In: the programs of an architecture. Out: an archive with the same paths, and the libraries that
//! they need.
//! The decision held here: an archive has only the files that the tests' programs load, not whole
//! packages, since a guest keeps all of it in its memory.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use recon_tests::program::PYTHON;

use super::{cpio::Archive, programs::Programs};
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
const DATA: [&str; 10] = [
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
];
/// Libraries that programs load by name, if they exist.
const LIBRARIES: [&str; 2] = ["libpcap.so.0.8", "libgcc_s.so.1"];
/// The module whose folder is Python's library.
const START: &str = "/os.py";
/// Folders that nginx and apt-get need.
const FOLDERS: [&str; 3] = ["var/log/nginx", "var/lib/nginx", "etc/apt/apt.conf.d"];

/// The packages with the tools of another architecture that [`TEST_TOOLS`] does not name, and
/// those of the optional ones.
const MORE_PACKAGES: [&str; 4] = ["dash", "util-linux", "dpkg", "apt"];

/// The packages with all programs here.
pub(super) fn packages() -> Vec<&'static str> {
    let tools = TEST_TOOLS.iter().map(|tool| tool.package);
    tools.chain(MORE_PACKAGES).collect()
}

/// An archive that grows by the files of an architecture.
#[derive(Debug)]
pub(super) struct RootFs<'a> {
    archive: Archive,
    programs: &'a Programs,
}

impl<'a> RootFs<'a> {
    pub(super) fn new(programs: &'a Programs) -> Self {
        Self {
            archive: Archive::default(),
            programs,
        }
    }

    /// The whole archive.
    pub(super) fn finish(self) -> Vec<u8> {
        self.archive.finish()
    }

    /// Adds a test under that path.
    pub(super) fn add_test(&mut self, path: &str, test: &Path) -> Result<()> {
        let content = stripped(test, &self.programs.strip())?;
        self.archive.program(path, &content);
        self.add_libraries(test)
    }

    /// Adds the tools, and all files that they load and read.
    pub(super) fn add_tools(&mut self) -> Result<()> {
        let tools = TEST_TOOLS.iter().map(|tool| tool.program);
        for tool in tools.chain(MORE_TOOLS) {
            let program = self.programs.locate(tool)?;
            // A tool with an absolute path keeps it, the others are on the guest's PATH.
            let inside = match tool.strip_prefix('/') {
                Some(path) => path.to_owned(),
                None => format!("bin/{tool}"),
            };
            self.archive.program(&inside, &fs::read(&program)?);
            self.add_libraries(&program)?;
        }
        self.archive.link(SHELL.0, SHELL.1);
        self.add_python()?;
        for path in OPTIONAL {
            if let Some(file) = self.programs.file(path) {
                self.add_file(&file)?;
                self.add_libraries(&file)?;
            }
        }
        // Other distributions have some of these elsewhere; a test that needs one says so.
        let data = DATA.into_iter().filter_map(|path| self.programs.file(path));
        let libraries = LIBRARIES.into_iter();
        let libraries = libraries.filter_map(|name| self.programs.library(name));
        for file in data.chain(libraries) {
            self.add_file(&file)?;
        }
        for folder in FOLDERS {
            self.archive.folder(folder);
        }
        Ok(())
    }

    /// Adds the modules that the tests' scripts import, and those of Python's start, as this
    /// machine's Python lists them.
    fn add_python(&mut self) -> Result<()> {
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
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        let start = listed.lines().find_map(|file| file.strip_suffix(START));
        let start = start.with_context(|| format!("{PYTHON} names no module {START}"))?;
        let library = self.programs.python_library(start)?;
        for file in listed.lines().map(Path::new) {
            let Ok(module) = file.strip_prefix(start) else {
                self.add_file(file)?;
                continue;
            };
            // Another release may have less to start with.
            let module = library.join(module);
            if module.exists() {
                self.add_file(&module)?;
            }
        }
        // Python locates its modules by this folder.
        let dynamic = library.join("lib-dynload");
        self.archive.folder(&self.programs.inside(&dynamic));
        Ok(())
    }

    /// Adds the libraries of a program and the loader under their own paths.
    fn add_libraries(&mut self, program: &Path) -> Result<()> {
        for library in self.programs.libraries(program)? {
            self.add_file(&library)?;
        }
        Ok(())
    }

    /// Adds a file under its own path, once.
    fn add_file(&mut self, file: &Path) -> Result<()> {
        let inside = self.programs.inside(file);
        if !self.archive.has(&inside) {
            let content = fs::read(file).with_context(|| file.display().to_string())?;
            self.archive.program(&inside, &content);
        }
        Ok(())
    }
}

/// The program without its debug information, which is ten times as large as the rest.
fn stripped(program: &Path, strip: &str) -> Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new()?;
    let done = Command::new(strip)
        .arg("-o")
        .arg(file.path())
        .arg(program)
        .status()
        .with_context(|| format!("{strip} (package binutils)"))?;
    ensure!(done.success(), "cannot strip {}: {done}", program.display());
    Ok(fs::read(file.path())?)
}
