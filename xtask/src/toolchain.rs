//! The BPF tool chain: which compiler and which linker build the kernel object, and where the
//! linker is.
//!
//! In: the toolchains that rustup knows, or the compiler under /usr; the workspace's folder. Out:
//! the toolchain to use, commands that run its programs, whether the linker works; and a record of
//! the choice in the tools' folder.
//! The decision held here: this module alone decides which compiler is usable. recon-user/build.rs
//! reads the record, so the product's build needs no source of this tool.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

/// The newest LLVM whose bitcode the linker below reads. It reads older bitcode too.
pub(crate) const LLVM_MAJOR: u32 = 22;
/// bpf-linker 0.10 corrupts the BTF of objects with `aya_ebpf::Global`; this one does not.
pub(crate) const LINKER_VERSION: &str = "0.13.0";
/// Any installed nightly.
pub(crate) const NIGHTLY: &str = "nightly";
/// A nightly from before the compiler moved to LLVM 23, to install where today's nightly is too
/// new.
pub(crate) const PINNED_NIGHTLY: &str = "nightly-2026-05-20";
/// The name under which set-up links Debian's compiler.
pub(crate) const DEBIAN: &str = "recon-bpf";
/// Where Debian's compiler is.
pub(crate) const DEBIAN_ROOT: &str = "/usr";
/// The sources of `core` under a compiler's root: the BPF target has no prebuilt `core`.
pub(crate) const CORE_SOURCES: &str = "lib/rustlib/src/rust/library/core";

/// The name of the record in the tools' folder. recon-user/build.rs has the same.
const RECORD: &str = "toolchain";

/// What decides whether a compiler is usable.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compiler {
    release: (u32, u32),
    llvm: u32,
}

impl Compiler {
    /// Reads the output of `rustc -vV`.
    pub(crate) fn parse(verbose_version: &str) -> Option<Self> {
        let field = |name| {
            verbose_version
                .lines()
                .find_map(|line| line.strip_prefix(name))
        };
        Some(Self {
            release: major_minor(field("release: ")?)?,
            llvm: major_minor(field("LLVM version: ")?)?.0,
        })
    }

    /// Whether it is new enough for the workspace and its bitcode is not too new for the linker.
    pub(crate) fn fits(&self) -> bool {
        let oldest = major_minor(env!("CARGO_PKG_RUST_VERSION")).unwrap_or_default();
        self.release >= oldest && self.llvm <= LLVM_MAJOR
    }
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The first toolchain that can build the kernel object.
pub(crate) fn usable() -> Option<&'static str> {
    let candidates: &[_] = if has_rustup() {
        &[NIGHTLY, PINNED_NIGHTLY, DEBIAN]
    } else {
        &[DEBIAN]
    };
    candidates.iter().copied().find(|name| {
        inspect(name).is_some_and(|compiler| compiler.fits())
            && root(name).is_some_and(|root| root.join(CORE_SOURCES).exists())
    })
}

/// Records the toolchain for recon-user/build.rs. A record that says the same already stays
/// untouched, since a newer one makes cargo build the kernel object again.
pub(crate) fn record(toolchain: &str, workspace: &Path) -> Result<()> {
    let text = describe(toolchain)
        .with_context(|| format!("the compiler of the toolchain {toolchain} does not run"))?;
    let folder = tools_dir(workspace);
    let file = folder.join(RECORD);
    if fs::read_to_string(&file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, text))
        .with_context(|| format!("can't write {}", file.display()))
}

/// The lines of the record: what an inner cargo needs to build the kernel object, and the
/// compiler's version, by which the build script sees that it has changed.
fn describe(toolchain: &str) -> Option<String> {
    let rustc = root(toolchain)?.join("bin").join("rustc");
    let version = output(Command::new(&rustc).arg("-V"))?;
    let mut text = format!(
        "# Written by `cargo xtask setup`, read by recon-user/build.rs.\n\
         toolchain = {toolchain}\n\
         rustc = {}\n\
         version = {}\n",
        rustc.display(),
        version.trim()
    );
    if !has_rustup() {
        // aya-build then takes the first cargo on the PATH, which must be Debian's.
        text += &format!("cargo_folder = {DEBIAN_ROOT}/bin\n");
    }
    Some(text)
}

/// The compiler of an installed toolchain.
pub(crate) fn inspect(toolchain: &str) -> Option<Compiler> {
    Compiler::parse(&output(command(toolchain, "rustc").arg("-vV"))?)
}

/// The folder a toolchain is installed in.
pub(crate) fn root(toolchain: &str) -> Option<PathBuf> {
    let path = output(command(toolchain, "rustc").args(["--print", "sysroot"]))?;
    Some(PathBuf::from(path.trim_end()))
}

/// A command that runs a program of a toolchain. Without rustup only Debian's compiler is
/// available.
pub(crate) fn command(toolchain: &str, program: &str) -> Command {
    let mut command;
    if has_rustup() {
        command = Command::new("rustup");
        command.args(["run", toolchain, program]);
    } else {
        let bin = Path::new(DEBIAN_ROOT).join("bin");
        command = Command::new(bin.join(program));
        // Its cargo takes rustc and clippy from the PATH, where another compiler may come first.
        let mut path = bin.into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
    }
    // Its subcommands would take the cargo that started this program for the toolchain's own.
    command.env_remove("CARGO");
    command
}

/// Whether rustup is on the PATH.
pub(crate) fn has_rustup() -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join("rustup").is_file())
}

/// Where set-up puts what it builds. Always the workspace's own `target`, whatever
/// `CARGO_TARGET_DIR` says: a build script does not see `--target-dir`, and one linker serves every
/// target folder of a checkout.
pub(crate) fn tools_dir(workspace: &Path) -> PathBuf {
    workspace.join("target").join("tools")
}

/// Whether the linker is installed, finds its LLVM, and is the tested version.
pub(crate) fn linker_works(workspace: &Path) -> bool {
    let linker = tools_dir(workspace).join("bin").join("bpf-linker");
    output(Command::new(linker).arg("--version")).is_some_and(|version| {
        version
            .split_whitespace()
            .any(|word| word == LINKER_VERSION)
    })
}

/// What a probe prints, or `None` if it can't be run or fails. A probe does not ask why.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let done = command.stderr(Stdio::null()).output().ok()?;
    done.status
        .success()
        .then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbose(release: &str, llvm: &str) -> String {
        format!(
            "rustc {release} (0123abcde 2026-05-19)\nbinary: rustc\nrelease: {release}\nLLVM version: {llvm}\n"
        )
    }

    #[test]
    fn compilers_are_judged_by_age_and_llvm() {
        for (release, llvm, fits) in [
            ("1.97.0-nightly", "22.1.4", true),
            ("1.99.0-nightly", "23.1.0", false),
            ("1.96.0", "22.1.8", true),
            ("1.85.0", "19.1.7", false),
            ("2.0.0", "22.1.0", true),
        ] {
            let compiler = Compiler::parse(&verbose(release, llvm)).expect(release);
            assert_eq!(compiler.fits(), fits, "{release}, LLVM {llvm}");
        }
    }

    #[test]
    fn the_record_is_written_once() {
        let workspace = tempfile::tempdir().expect("a folder");
        let Some(toolchain) = usable() else { return };
        record(toolchain, workspace.path()).expect("it is recorded");
        let file = tools_dir(workspace.path()).join(RECORD);
        let written = || fs::metadata(&file).and_then(|file| file.modified());
        let (text, first) = (fs::read_to_string(&file), written());
        let text = text.expect("a record");
        for field in ["toolchain = ", "rustc = /", "version = rustc "] {
            assert!(text.contains(&format!("\n{field}")), "{field}: {text}");
        }
        record(toolchain, workspace.path()).expect("it is recorded");
        assert_eq!(written().ok(), first.ok());
        fs::write(&file, "toolchain = old").expect("a file");
        record(toolchain, workspace.path()).expect("it is recorded");
        assert_eq!(fs::read_to_string(&file).ok(), Some(text));
        assert!(record("no-such-toolchain", workspace.path()).is_err());
    }

    #[test]
    fn output_of_anything_else_is_no_compiler() {
        for text in ["", "release: x\nLLVM version: 22.1", "release: 1.96.0\n"] {
            assert_eq!(Compiler::parse(text), None, "{text:?}");
        }
        assert_eq!(inspect("no-such-toolchain"), None);
    }
}
