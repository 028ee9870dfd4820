//! Builds the kernel object (package recon-ebpf) and leaves it in `OUT_DIR` for the agent to
//! include.
//!
//! In: the sources of recon-ebpf and recon-common, and what `cargo xtask setup` recorded about the
//! tool chain. Out: `OUT_DIR/recon-ebpf`, an ELF file for the BPF target; and what
//! `recon --version` says, as variables of the compiler.
//! The decisions held here: set-up chooses the toolchain and this script only checks that it is
//! still the recorded one. So the product builds without the sources of the tool, and a plain
//! `cargo build` uses what set-up has tested. What tells builds apart depends on the sources and
//! the compiler alone, never on the machine, its paths or the time.

#[path = "build/layout.rs"]
mod layout;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use aya_build::{Package, Toolchain, build_ebpf};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, elf};

/// Sources of the kernel object outside its own package, which aya-build watches itself.
const ALSO_WATCHED: [&str; 3] = ["recon-common", "Cargo.toml", "Cargo.lock"];
/// Sources that make a build differ from its commit.
const OWN: [&str; 3] = ["recon-user/src", "recon-user/build.rs", "recon-ebpf"];
/// The characters of a commit that are shown.
const COMMIT_LENGTH: &str = "--short=12";
/// What is shown of a build from sources without git.
const UNKNOWN: &str = "unknown";
/// Where set-up puts its tools: always the workspace's own `target`, since a build script does not
/// see `--target-dir`.
const TOOLS: &str = "target/tools";
/// The file in that folder that `cargo xtask setup` writes (xtask/src/toolchain.rs).
const RECORD: &str = "toolchain";
const LINKER: &str = "bin/bpf-linker";
/// The end of every message about the tool chain.
const WHAT_TO_DO: &str = "recon's kernel programs can't be built like this; run: cargo xtask setup";

fn main() -> ExitCode {
    match build_kernel_object().and_then(|()| describe_build()) {
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

/// Passes on what tells this build from others.
fn describe_build() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in OWN {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let (programs, maps) = kernel_object_hashes(&out.join("recon-ebpf"))?;
    let compiler = env::var_os("RUSTC").context("cargo sets RUSTC")?;
    let compiler = Command::new(compiler).arg("-V").output()?;
    for (name, value) in [
        (
            "COMMIT",
            commit(&workspace).unwrap_or_else(|| UNKNOWN.to_owned()),
        ),
        ("PROFILE", env::var("PROFILE").unwrap_or_default()),
        ("TARGET", env::var("TARGET").unwrap_or_default()),
        (
            "RUSTC",
            String::from_utf8_lossy(&compiler.stdout).trim().to_owned(),
        ),
        ("KERNEL_OBJECT", programs),
        ("MAP_LAYOUT", maps),
    ] {
        println!("cargo::rustc-env=RECON_BUILD_{name}={value}");
    }
    Ok(())
}

/// The commit that this is built from, marked if a tracked file differs from it. None without git.
fn commit(workspace: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let output = command.arg("-C").arg(workspace).args(arguments).output();
        let output = output.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned())
    };
    // Not the repository of somebody who has unpacked a tarball inside of it.
    let top = fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    (top == fs::canonicalize(workspace).ok()?).then_some(())?;
    let reference = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD"].into_iter().chain(reference.as_deref()) {
        let path = workspace.join(git(&["rev-parse", "--git-path", name])?);
        // A reference may be packed, and a missing file would make every build run this.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let commit = git(&["rev-parse", COMMIT_LENGTH, "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(match changed.is_empty() {
        true => commit,
        false => format!("{commit}-dirty"),
    })
}

/// Hashes of the kernel object: of all that is loaded, and of the definitions of its maps. Debug
/// information, which has paths, is omitted.
fn kernel_object_hashes(path: &Path) -> Result<(String, String)> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let file = object::File::parse(&*bytes).with_context(|| path.display().to_string())?;
    let (mut loaded, mut maps) = (Fnv::default(), Fnv::default());
    for section in file.sections() {
        let name = section.name()?;
        let is_loaded = matches!(section.flags(), SectionFlags::Elf { sh_flags }
            if sh_flags & u64::from(elf::SHF_ALLOC) != 0);
        if !is_loaded {
            continue;
        }
        loaded.add(name.as_bytes());
        loaded.add(section.data()?);
        if name.trim_start_matches('.') != "maps" {
            continue;
        }
        maps.add(section.data()?);
        let symbols = file.symbols();
        let symbols = symbols.filter(|symbol| symbol.section_index() == Some(section.index()));
        let mut names: Vec<_> = symbols.map(|of| (of.address(), of.name())).collect();
        names.sort_by_key(|(address, _)| *address);
        for (_, name) in names {
            maps.add(name?.as_bytes());
        }
    }
    Ok((loaded.text(), maps.text()))
}

/// FNV-1a with 64 bits: tells builds apart, and needs no dependency.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Adds bytes and their number.
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().copied().chain(bytes.len().to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
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
