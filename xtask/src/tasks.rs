//! The work of each subcommand, once the machine is ready.
//!
//! In: the arguments after the subcommand. Out: cargo's work done, or recon in place of this
//! process.
//! The decision held here: the tests and `run` use the release build of the agent, and cargo's
//! output never reaches stdout.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    bench,
    cargo_tool::CARGO_DENY,
    charts, lab,
    package::Arch,
    plan::Goal,
    setup,
    step::{line, run as run_to_end},
    toolchain, vm,
};

/// The package with the binary `recon`.
pub(crate) const AGENT: &str = "recon-user";
pub(crate) const BINARY: &str = "recon";
/// Links the C runtime into the agent, so that one file runs on any distribution. Only the binary
/// gets the flag: its dependencies are compiled once for it and for the tests, and procedural
/// macros do not support it.
pub(crate) const STATIC: [&str; 3] = ["--", "-C", "target-feature=+crt-static"];
/// The start of a line in which cargo repeats the output of the agent's build script, which
/// compiles the kernel programs.
const KERNEL_BUILD: &str = "warning: recon-user@";
/// The agent's unit tests are compiled for themselves alone, which takes minutes with all
/// optimisations and less without most of them.
const LIGHT_AGENT: &str = "profile.release.package.recon-user.opt-level=1";
/// The same for the tests, whose time goes into waiting.
pub(crate) const LIGHT_TESTS: &str = "profile.release.package.recon-tests.opt-level=1";
/// Of the benchmarks, which are examples, one has tests.
const OTHER_UNIT_TESTS: [&str; 8] = [
    "--workspace",
    "--exclude",
    AGENT,
    "--exclude",
    KERNEL,
    "--lib",
    "--bins",
    "--example=precision",
];
/// The package with the kernel programs, which compiles for the BPF target only.
const KERNEL: &str = "recon-ebpf";
/// The end of a `cargo clippy` line.
const DENY_WARNINGS: &str = "-- -D warnings";

pub(crate) fn setup() -> Result<()> {
    let toolchain = setup::ensure_ready(Goal::Build, workspace()?)?;
    eprintln!("setup: complete; toolchain {toolchain} builds the kernel programs");
    Ok(())
}

pub(crate) fn build(debug: bool) -> Result<()> {
    let agent = match debug {
        true => build_agent(Goal::Build, "dev", "debug")?,
        false => agent(Goal::Build)?,
    };
    println!("{}", agent.display());
    Ok(())
}

pub(crate) fn charts(verify: bool) -> Result<()> {
    charts::bundle(workspace()?, verify)
}

/// Replaces this process with recon, so that signals reach it and its exit code is the command's.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let agent = agent(Goal::Build)?;
    let mut recon = Command::new(&agent);
    recon.arg("run").args(args);
    eprintln!("+ {}", line(&recon));
    let error = recon.exec();
    Err(error).with_context(|| format!("cannot start {}", agent.display()))
}

/// Runs the tests, or only the attacks on recon itself with those that are ignored otherwise.
pub(crate) fn test(args: &[OsString], hostile: bool) -> Result<()> {
    const HOSTILE: &str = "--test hostile* --test spoofed -- --include-ignored";
    need_root("tests", "test")?;
    let agent = agent(Goal::Test)?;
    if !hostile && args.is_empty() {
        // Unit tests first: they take seconds, and what follows many minutes.
        run_tests(
            &agent,
            &["--package", AGENT, "--lib", "--config", LIGHT_AGENT],
            &[],
        )?;
        run_tests(&agent, &OTHER_UNIT_TESTS, &[])?;
        return run_tests(&agent, &["--test", "*"], &[]);
    }
    let chosen: Vec<_> = match hostile {
        true => HOSTILE.split(' ').collect(),
        false => Vec::new(),
    };
    run_tests(&agent, &chosen, args)
}

/// With the agent's profile, so that shared dependencies are compiled once.
fn run_tests(agent: &Path, chosen: &[&str], args: &[OsString]) -> Result<()> {
    let mut tests = cargo("test --release")?;
    tests.args(["--config", LIGHT_TESTS]);
    run_cargo(tests.args(chosen).args(args).env("RECON_BIN", agent))
}

pub(crate) fn lab() -> Result<()> {
    need_root("laboratory's attacks", "lab")?;
    lab::run_lab(&agent(Goal::Lab)?)
}

pub(crate) fn lab_vm(kernel: &vm::Choice, shell: bool) -> Result<()> {
    need_root("laboratory's attacks", "lab vm")?;
    ensure!(
        kernel.arch() == Arch::of_this_machine()?,
        "the lab's guest needs three serial lines, which {}'s machine lacks. Type:\
         \n    cargo xtask test --vm --kernel {}",
        kernel.arch().debian(),
        kernel.name()
    );
    let agent = agent(Goal::Lab)?;
    let store = target_dir()?.join("vm");
    if shell {
        vm::open_prompt(&agent, kernel, &store)
    } else {
        vm::run_lab(&agent, kernel, &store)
    }
}

pub(crate) fn bench(options: &bench::Options) -> Result<()> {
    need_root("benchmarks", "bench")?;
    let agent = agent(Goal::Lab)?;
    let mut build = cargo("build --release")?;
    for name in options.examples() {
        build.args(["--example", name]);
    }
    run_cargo(&mut build)?;
    let examples = target_dir()?.join("release/examples");
    bench::run_parts(&agent, &examples, options, workspace()?)
}

pub(crate) fn need_root(what: &str, task: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the {what} load programs into the kernel and create network namespaces, which needs root. Type:\
             \n    sudo -E env \"PATH=$PATH\" cargo xtask {task}"
        );
    }
    Ok(())
}

pub(crate) fn lint() -> Result<()> {
    let toolchain = setup::ensure_ready(Goal::Lint, workspace()?)?;
    say_and_run(&mut cargo("fmt --all --check")?)?;
    let host =
        format!("clippy --release --workspace --exclude {KERNEL} --all-targets {DENY_WARNINGS}");
    run_cargo(&mut cargo(&host)?)?;
    say_and_run(
        toolchain::command(toolchain, "cargo")
            .args(["clippy", "--package", KERNEL, "--bins"])
            .args("--target bpfel-unknown-none -Z build-std=core --target-dir".split(' '))
            // The other toolchain's cargo may lay out this folder differently.
            .arg(target_dir()?.join("bpf-lint"))
            .args(DENY_WARNINGS.split(' '))
            .current_dir(workspace()?)
            // Allows Debian's stable compiler to use -Z; a nightly ignores it.
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}

/// Runs cargo-deny over the dependencies.
pub(crate) fn deny(advisories: bool) -> Result<()> {
    let workspace = workspace()?;
    setup::ensure_ready(Goal::Deny, workspace)?;
    let mut deny = CARGO_DENY.command(workspace);
    deny.current_dir(workspace)
        .args("--locked --config .cargo/deny.toml check bans licenses sources".split(' '))
        .args(advisories.then_some("advisories"));
    say_and_run(&mut deny)
}

/// Prepares for `goal`, builds the agent for release and returns its path.
pub(crate) fn agent(goal: Goal) -> Result<PathBuf> {
    build_agent(goal, "release", "release")
}

/// Builds the agent with a profile, whose output is in that folder.
fn build_agent(goal: Goal, profile: &str, folder: &str) -> Result<PathBuf> {
    setup::ensure_ready(goal, workspace()?)?;
    run_cargo(cargo(&agent_build(profile))?.args(STATIC))?;
    Ok(target_dir()?.join(folder).join(BINARY))
}

/// cargo's words that build the agent. [`STATIC`] comes last.
pub(crate) fn agent_build(profile: &str) -> String {
    format!("rustc --package {AGENT} --bin {BINARY} --profile {profile}")
}

/// The cargo that started this process, in the workspace.
pub(crate) fn cargo(words: &str) -> Result<Command> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(words.split(' ')).current_dir(workspace()?);
    Ok(command)
}

pub(crate) fn say_and_run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", line(command));
    run_to_end(command)
}

/// Runs cargo and hides the warnings that repeat the output of the kernel programs' build. If that
/// build fails, cargo still shows its output in full.
pub(crate) fn run_cargo(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", line(command));
    let mut child = command
        .stdout(io::stderr())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().context("a pipe from cargo")?;
    for text in BufReader::new(stderr).lines() {
        let text = text?;
        if !text.starts_with(KERNEL_BUILD) {
            eprintln!("{text}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed: {status}", line(command));
    }
    Ok(())
}

pub(crate) fn workspace() -> Result<&'static Path> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .with_context(|| format!("{} is not in a workspace", package.display()))
}

/// cargo has put this program into `<target folder>/debug`, whichever way the folder was chosen.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program's own path")?;
    let dir = program.ancestors().nth(2);
    dir.map(Path::to_path_buf)
        .with_context(|| format!("{} is not in a target folder", program.display()))
}
