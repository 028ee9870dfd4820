//! The BPF tool chain: which compiler and which linker build the kernel object, and where the linker lives.
//!
//! In: the toolchains that rustup knows, else the compiler under /usr; the workspace's folder.
//! Out: the toolchain to use, commands that run its programs, whether the linker works.
//! Holds the decision what counts as usable. recon-user/build.rs includes this very file by its path: set-up and
//! a plain `cargo build` look in the same way, so nothing has to be handed from one to the other.
//! Hence: std only, and only what both sides need.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The newest LLVM whose bitcode the linker below reads; it reads older bitcode as well.
pub(crate) const LLVM_MAJOR: u32 = 22;
/// bpf-linker 0.10 corrupts the BTF of objects with `aya_ebpf::Global`; this one does not.
pub(crate) const LINKER_VERSION: &str = "0.13.0";
/// Whatever nightly there is.
pub(crate) const NIGHTLY: &str = "nightly";
/// A nightly of before the compiler moved on to LLVM 23: what to install where today's nightly is too new.
pub(crate) const PINNED_NIGHTLY: &str = "nightly-2026-05-20";
/// The name under which set-up links Debian's compiler.
pub(crate) const DEBIAN: &str = "recon-bpf";
/// Where Debian's compiler is.
pub(crate) const DEBIAN_ROOT: &str = "/usr";
/// `core`, under a compiler's root: the BPF target has no prebuilt one.
pub(crate) const CORE_SOURCES: &str = "lib/rustlib/src/rust/library/core";

/// What has to be known of a compiler to judge it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compiler {
    release: (u32, u32),
    llvm: u32,
    /// `-Z` works as it is; without, it needs `RUSTC_BOOTSTRAP=1`.
    pub(crate) nightly: bool,
}

impl Compiler {
    /// Reads the output of `rustc -vV`.
    pub(crate) fn parse(verbose_version: &str) -> Option<Self> {
        let field = |name| {
            verbose_version
                .lines()
                .find_map(|line| line.strip_prefix(name))
        };
        let release = field("release: ")?;
        Some(Self {
            release: major_minor(release)?,
            llvm: major_minor(field("LLVM version: ")?)?.0,
            nightly: release.contains("-nightly") || release.contains("-dev"),
        })
    }

    /// New enough for the workspace, and its bitcode not too new for the linker.
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
pub(crate) fn usable() -> Option<(&'static str, Compiler)> {
    let candidates: &[_] = if has_rustup() {
        &[NIGHTLY, PINNED_NIGHTLY, DEBIAN]
    } else {
        &[DEBIAN]
    };
    candidates.iter().find_map(|&name| {
        let compiler = inspect(name).filter(Compiler::fits)?;
        root(name)?
            .join(CORE_SOURCES)
            .exists()
            .then_some((name, compiler))
    })
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

/// A program of a toolchain. Without rustup there is only Debian's compiler to be had.
pub(crate) fn command(toolchain: &str, program: &str) -> Command {
    let mut command;
    if has_rustup() {
        command = Command::new("rustup");
        command.args(["run", toolchain, program]);
    } else {
        let bin = Path::new(DEBIAN_ROOT).join("bin");
        command = Command::new(bin.join(program));
        // Its cargo looks for rustc and clippy there, and another compiler may come first.
        let mut path = bin.into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
    }
    // The cargo that started this one would be taken for the toolchain's own by its subcommands.
    command.env_remove("CARGO");
    command
}

/// rustup is on the PATH.
pub(crate) fn has_rustup() -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join("rustup").is_file())
}

/// Where set-up puts what it builds. Always the workspace's own `target`, whatever `CARGO_TARGET_DIR` says:
/// a build script cannot see `--target-dir`, and one linker serves every target folder of a checkout.
pub(crate) fn tools_dir(workspace: &Path) -> PathBuf {
    workspace.join("target").join("tools")
}

/// The linker is there, finds its LLVM, and is the version that was tried.
pub(crate) fn linker_works(workspace: &Path) -> bool {
    let linker = tools_dir(workspace).join("bin").join("bpf-linker");
    output(Command::new(linker).arg("--version")).is_some_and(|version| {
        version
            .split_whitespace()
            .any(|word| word == LINKER_VERSION)
    })
}

/// What a probe prints, if it can be run and succeeds; why it does not is of no interest to a probe.
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
        for (release, llvm, nightly, fits) in [
            ("1.97.0-nightly", "22.1.4", true, true),
            ("1.99.0-nightly", "23.1.0", true, false),
            ("1.96.0", "22.1.8", false, true),
            ("1.85.0", "19.1.7", false, false),
            ("2.0.0", "22.1.0", false, true),
        ] {
            let compiler = Compiler::parse(&verbose(release, llvm)).expect(release);
            assert_eq!(
                (compiler.nightly, compiler.fits()),
                (nightly, fits),
                "{release}, LLVM {llvm}"
            );
        }
    }

    #[test]
    fn what_is_not_a_compiler_is_none() {
        for text in ["", "release: x\nLLVM version: 22.1", "release: 1.96.0\n"] {
            assert_eq!(Compiler::parse(text), None, "{text:?}");
        }
        assert_eq!(inspect("no-such-toolchain"), None);
    }
}
