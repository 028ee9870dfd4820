//! Builds the kernel object (package recon-ebpf) and leaves it in `OUT_DIR` for the agent to include.
//!
//! In: the sources of recon-ebpf and recon-common, the tool chain that `cargo xtask setup` brought.
//! Out: `OUT_DIR/recon-ebpf`, an ELF file for the BPF target.
//! Holds the decision to build it with another toolchain than the agent, found the way set-up finds it.

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use std::{
    env, iter,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain, build_ebpf};

/// What the kernel object is made from besides its own package, which aya-build watches itself.
const ALSO_WATCHED: [&str; 3] = ["recon-common", "Cargo.toml", "Cargo.lock"];
/// The end of a message about a missing tool.
const WHAT_TO_DO: &str = "the kernel programs cannot be built without; run: cargo xtask setup";

fn main() -> ExitCode {
    match kernel_object() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: cargo shows this line by itself, without the script's other output.
            println!("cargo::error={error:#}");
            ExitCode::FAILURE
        }
    }
}

fn kernel_object() -> Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package
        .parent()
        .context("recon-user is not in a workspace")?;
    for watched in ALSO_WATCHED {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    let linker_dir = toolchain::tools_dir(workspace).join("bin");
    println!("cargo::rerun-if-changed={}", linker_dir.display());

    let Some((name, compiler)) = toolchain::usable() else {
        bail!("no toolchain with rust-src, which {WHAT_TO_DO}");
    };
    if !toolchain::linker_works(workspace) {
        bail!("no working bpf-linker, which {WHAT_TO_DO}");
    }
    prepare_environment(linker_dir, compiler.nightly)?;

    let root_dir = workspace.join("recon-ebpf");
    let package = Package {
        name: "recon-ebpf",
        root_dir: root_dir
            .to_str()
            .with_context(|| format!("{} is not UTF-8", root_dir.display()))?,
        ..Package::default()
    };
    build_ebpf([package], Toolchain::Custom(name))
}

/// What the inner cargo inherits from this process: aya-build offers no other way to hand it down.
fn prepare_environment(linker_dir: PathBuf, nightly: bool) -> Result<()> {
    // Without rustup, aya-build takes the first cargo on the PATH: that has to be Debian's.
    let debian = (!toolchain::has_rustup()).then(|| Path::new(toolchain::DEBIAN_ROOT).join("bin"));
    let old = env::var_os("PATH").unwrap_or_default();
    let dirs = iter::once(linker_dir)
        .chain(debian)
        .chain(env::split_paths(&old));
    let path = env::join_paths(dirs).context("the workspace's own path cannot be on the PATH")?;
    // SAFETY: this process has one thread here; aya-build starts its own later and joins it.
    unsafe { env::set_var("PATH", path) };
    if !nightly {
        // SAFETY: as above.
        unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    }
    Ok(())
}
