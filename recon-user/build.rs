//! Builds the kernel object (package recon-ebpf) and leaves it in `OUT_DIR` for the agent to
//! include.
//!
//! In: the sources of recon-ebpf and recon-common, and what `cargo xtask setup` recorded about the
//! tool chain. Out: `OUT_DIR/recon-ebpf`, an ELF file for the BPF target.
//! The decision held here: set-up chooses the toolchain and this script only checks that it is
//! still the recorded one. So the product builds without the sources of the tool, and a plain
//! `cargo build` uses what set-up has tested.

#[path = "build/layout.rs"]
mod layout;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use aya_build::{Package, Toolchain, build_ebpf};

/// Sources of the kernel object outside its own package, which aya-build watches itself.
const ALSO_WATCHED: [&str; 3] = ["recon-common", "Cargo.toml", "Cargo.lock"];
/// Where set-up puts its tools: always the workspace's own `target`, since a build script does not
/// see `--target-dir`.
const TOOLS: &str = "target/tools";
/// The file in that folder that `cargo xtask setup` writes (xtask/src/toolchain.rs).
const RECORD: &str = "toolchain";
const LINKER: &str = "bin/bpf-linker";
/// The end of every message about the tool chain.
const WHAT_TO_DO: &str = "recon's kernel programs can't be built like this; run: cargo xtask setup";

fn main() -> ExitCode {
    match build_kernel_object() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // cargo shows this line alone; a returned error would come with all of the script's
            // output.
            println!("cargo::error={error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build_kernel_object() -> Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package
        .parent()
        .context("recon-user is not in a workspace")?;
    layout::pass_layout(package, workspace)?;
    let tools = workspace.join(TOOLS);
    let record = tools.join(RECORD);
    let linker = tools.join(LINKER);
    for path in ALSO_WATCHED
        .map(|watched| workspace.join(watched))
        .iter()
        .chain([&record, &linker])
    {
        println!("cargo::rerun-if-changed={}", path.display());
    }

    let toolchain = RecordedToolchain::read(&record)?;
    toolchain.check()?;
    if !linker.is_file() {
        bail!("{} is missing; {WHAT_TO_DO}", linker.display());
    }
    let linker_folder = tools.join("bin");
    toolchain.set_environment(&linker_folder)?;

    let root_dir = workspace.join("recon-ebpf");
    let package = Package {
        name: "recon-ebpf",
        root_dir: root_dir
            .to_str()
            .with_context(|| format!("{} is not UTF-8", root_dir.display()))?,
        ..Package::default()
    };
    build_ebpf([package], Toolchain::Custom(&toolchain.name))
}

/// The toolchain that set-up has chosen.
struct RecordedToolchain {
    /// The name by which rustup knows it.
    name: String,
    rustc: PathBuf,
    /// What that compiler prints for `-V`.
    version: String,
    /// The folder of the cargo to use, where no rustup chooses one.
    cargo_folder: Option<PathBuf>,
}

impl RecordedToolchain {
    /// Reads the lines `NAME = VALUE` of set-up's record.
    fn read(record: &Path) -> Result<Self> {
        let shown = record.display();
        let text = fs::read_to_string(record)
            .map_err(|error| anyhow!("{shown}: {error}; {WHAT_TO_DO}"))?;
        let optional = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
        };
        let field = |name: &str| {
            optional(name).with_context(|| format!("{shown} has no field {name}; {WHAT_TO_DO}"))
        };
        Ok(Self {
            name: field("toolchain")?.to_owned(),
            rustc: field("rustc")?.into(),
            version: field("version")?.to_owned(),
            cargo_folder: optional("cargo_folder").map(PathBuf::from),
        })
    }

    /// Fails if the compiler has changed since set-up has tested it: its bitcode may be too new for
    /// the linker.
    fn check(&self) -> Result<()> {
        let rustc = self.rustc.display();
        let output = Command::new(&self.rustc)
            .arg("-V")
            .output()
            .map_err(|error| anyhow!("{rustc}: {error}; {WHAT_TO_DO}"))?;
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.trim();
        if version != self.version {
            bail!(
                "{rustc} is now {version:?}, set-up has tested {:?}; {WHAT_TO_DO}",
                self.version
            );
        }
        Ok(())
    }

    /// Sets what the inner cargo inherits from this process: aya-build has no other way to pass it
    /// on.
    fn set_environment(&self, linker_folder: &Path) -> Result<()> {
        let old = env::var_os("PATH").unwrap_or_default();
        let folders = [Some(linker_folder), self.cargo_folder.as_deref()];
        let folders = folders
            .into_iter()
            .flatten()
            .map(Path::to_path_buf)
            .chain(env::split_paths(&old));
        let path = env::join_paths(folders).context("the workspace's path can't be on the PATH")?;
        // SAFETY: this process has one thread here; aya-build starts its own later and joins it.
        unsafe {
            env::set_var("PATH", path);
            // Allows Debian's stable compiler to use -Z; a nightly ignores it.
            env::set_var("RUSTC_BOOTSTRAP", "1");
        }
        Ok(())
    }
}
