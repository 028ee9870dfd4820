//! `cargo xtask package`: Debian packages.
//!
//! In: architectures, a version. Out: on stdout, the path of a package for each architecture.
//! The decision held here: the agent is linked statically as in every build, so one package serves
//! every release of Debian and Ubuntu. Everything that is generated is in `package` beside the
//! binary; cargo-deb finds it there by the paths in recon-user/Cargo.toml.

mod arch;
pub(crate) mod chroot;
pub(crate) mod cross;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use clap::Args;
use recon_tests::pins::set_layout_revision;

pub(crate) use arch::Arch;

use crate::{
    cargo_tool::CARGO_DEB,
    plan::Goal,
    setup, step,
    tasks::{self, cargo, say_and_run, target_dir, workspace},
};

/// Writes the man pages and completions (recon-user/package/generate.rs).
const GENERATOR: &str = "package-files";
/// The generator's folder of man pages.
const PAGES: &str = "man";
/// The folder beside the binary.
const STAGE: &str = "package";

/// Which packages to build.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// The architecture to build for; may be repeated [default: this machine's]
    #[arg(long, value_enum, value_name = "ARCH")]
    arch: Vec<Arch>,
    /// The version of the package [default: that of the workspace, revision 1]
    #[arg(long, value_name = "VERSION")]
    deb_version: Option<String>,
}

/// Builds the packages and prints their paths.
pub(crate) fn package(options: &Options) -> Result<()> {
    let own = [Arch::of_this_machine()?];
    let arches = match options.arch.as_slice() {
        [] => &own,
        asked => asked,
    };
    let version = options.deb_version.as_deref();
    let folder = target_dir()?.join("debian");
    for &arch in arches {
        let stage = stage(arch)?;
        let package = build_deb(arch, &stage, version, &folder)?;
        println!("{}", package.display());
    }
    Ok(())
}

/// Older than any version of the workspace.
const VERSION_BEFORE: &str = "0.0.1-1";
/// The digits of no revision of the layout so far.
const REVISION_BEFORE: &[u8; 3] = b"000";

/// Tests the package in a bare Debian, and its service under a systemd that runs there.
pub(crate) fn test() -> Result<()> {
    tasks::need_root("test of the package", "test --package")?;
    setup::ensure_ready(Goal::PackageTest, workspace()?)?;
    let debian = chroot::prepare().context("cannot make a bare Debian to test the package in")?;
    let arch = Arch::of_this_machine()?;
    let stage = stage(arch)?;
    // In folders of their own: cargo-deb removes a package of another version.
    let folder = target_dir()?.join(STAGE);
    let before = build_before(arch, &stage, &folder.join("before"))?;
    let package = build_deb(arch, &stage, None, &folder.join("now"))?;
    let mut test = cargo(&format!(
        "test --release --config {} --test package",
        tasks::LIGHT_TESTS
    ))?;
    test.env("RECON_DEBIAN", debian)
        .env("RECON_DEB_BEFORE", before)
        .env("RECON_DEB", package);
    tasks::run_cargo(&mut test)
}

/// A package of a version before: its agent has maps of another layout, which the next one must
/// replace.
fn build_before(arch: Arch, stage: &Path, folder: &Path) -> Result<PathBuf> {
    let binary = stage.join(tasks::BINARY);
    let built = fs::read(&binary).with_context(|| binary.display().to_string())?;
    let mut older = built.clone();
    set_layout_revision(&mut older, REVISION_BEFORE)?;
    fs::write(&binary, older)?;
    let package = build_deb(arch, stage, Some(VERSION_BEFORE), folder);
    fs::write(&binary, built)?;
    package
}

/// Builds the agent for an architecture, and the files around it. Returns the folder with all of
/// them.
fn stage(arch: Arch) -> Result<PathBuf> {
    let own = arch == Arch::of_this_machine()?;
    setup::ensure_ready(if own { Goal::Package } else { Goal::Cross }, workspace()?)?;
    let agent = match own {
        true => tasks::agent(Goal::Package)?,
        false => cross::build_agent(arch)?,
    };
    let stage = agent.with_file_name(STAGE);
    // A page of a command that is no more must not stay.
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| stage.display().to_string())?;
    }
    fs::create_dir_all(&stage).with_context(|| stage.display().to_string())?;
    let mut generator = cargo(&format!(
        "run --release --package recon-user --example {GENERATOR} --"
    ))?;
    tasks::run_cargo(generator.arg(&stage))?;
    let mut compress = Command::new("gzip");
    // Without the time, so that the same sources give the same package.
    compress.args(["--best", "--no-name"]);
    for page in fs::read_dir(stage.join(PAGES))? {
        compress.arg(page?.path());
    }
    step::run(&mut compress)?;
    let binary = stage.join(tasks::BINARY);
    say_and_run(
        Command::new(if own {
            "strip".to_owned()
        } else {
            arch.tool("strip")
        })
        .arg("-o")
        .arg(&binary)
        .arg(&agent),
    )?;
    Ok(stage)
}

/// Runs cargo-deb over what is staged. The package goes to that folder.
fn build_deb(arch: Arch, stage: &Path, version: Option<&str>, folder: &Path) -> Result<PathBuf> {
    let workspace = workspace()?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut deb = CARGO_DEB.command(workspace);
    deb.current_dir(workspace)
        .args(["--package", tasks::AGENT, "--no-build", "--no-strip"])
        .arg("--output")
        .arg(folder);
    if arch != Arch::of_this_machine()? {
        deb.args(["--target", arch.triple()]);
    }
    if let Some(version) = version {
        deb.args(["--deb-version", version]);
    }
    eprintln!("+ {} # with {}", step::line(&deb), stage.display());
    // Its last line is the path.
    let output = deb
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", step::line(&deb)))?;
    anyhow::ensure!(
        output.status.success(),
        "{} failed: {}",
        step::line(&deb),
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let path = text.lines().last().context("cargo-deb prints no path")?;
    Ok(path.trim().into())
}
