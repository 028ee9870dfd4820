//! Builds the agent and the tests for another architecture.
//!
//! In: the architecture. Out: the path of a static agent for it; the cargo that builds tests.
//! The decision held here: Rust's standard library for it comes from rustup where rustup has it.
//! Else the toolchain that builds the kernel programs builds it too, from the sources that it has
//! anyway, so that a machine with only a package registry can do it.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::Arch;
use crate::{
    step::Step,
    tasks::{self, cargo, run_cargo, target_dir, workspace},
    toolchain,
};

/// The crates of the standard library that a binary needs.
const BUILD_STD: &str = "build-std=std,panic_abort";

/// Builds the agent for release.
pub(crate) fn build_agent(arch: Arch) -> Result<PathBuf> {
    let mut build = command(arch, &tasks::agent_build("release"))?;
    run_cargo(build.args(tasks::STATIC))?;
    Ok(target_dir()?
        .join(arch.triple())
        .join("release")
        .join(tasks::BINARY))
}

/// cargo with these words, for that architecture. Everything that it links is static, so that the
/// agent and the tests share their dependencies.
pub(crate) fn command(arch: Arch, words: &str) -> Result<Command> {
    let triple = arch.triple();
    let words = format!("{words} --target {triple}");
    let mut build = if is_prepared(triple)? {
        cargo(&words)?
    } else {
        let name = toolchain::usable().unwrap_or(toolchain::DEBIAN);
        let mut build = toolchain::command(name, "cargo");
        build
            .args(words.split(' '))
            .args(["-Z", BUILD_STD])
            .current_dir(workspace()?)
            // Allows Debian's stable compiler to use -Z; a nightly ignores it.
            .env("RUSTC_BOOTSTRAP", "1");
        build
    };
    let setting = |name| {
        let target = triple.replace('-', "_").to_uppercase();
        format!("CARGO_TARGET_{target}_{name}")
    };
    build
        .env(setting("LINKER"), arch.tool("gcc"))
        .env(setting("RUSTFLAGS"), tasks::STATIC[1..].join(" "));
    Ok(build)
}

/// Whether the compiler of this workspace has a standard library for the target, if need be after
/// asking rustup for one.
fn is_prepared(triple: &str) -> Result<bool> {
    if has_std(triple) || !toolchain::has_rustup() {
        return Ok(has_std(triple));
    }
    let mut step = Step::new(
        format!("Rust's standard library for {triple}"),
        "rustup",
        ["target", "add", triple],
    );
    let added = step.try_out(workspace()?) && has_std(triple);
    if !added {
        eprintln!("setup: rustup cannot install it; it is built from source instead");
    }
    Ok(added)
}

/// Whether the compiler on the PATH, which cargo uses, has a standard library for the target.
fn has_std(triple: &str) -> bool {
    let print = ["--print", "target-libdir", "--target", triple];
    toolchain::output(Command::new("rustc").args(print))
        .is_some_and(|folder| PathBuf::from(folder.trim_end()).is_dir())
}
