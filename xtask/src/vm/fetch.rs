//! The parts of a guest: qemu, Debian's kernels, busybox and the tools of another architecture,
//! downloaded once and kept in the target folder.
//!
//! In: the package lists of apt-get, for kernels those of Debian's suites. Out: folders with
//! unpacked packages.
//! The decision held here: packages are downloaded and unpacked, not installed: that needs no root,
//! does not change the machine, and works where a package conflicts with an installed one
//! (qemu-system-x86 with a newer qemu-utils). An installed qemu is used as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use recon_tests::program::locate;

use super::{
    archive::{Archive, to_install},
    kernel::{self, Choice},
};
use crate::{
    package::Arch,
    step::{line, run},
};

const QEMU: &str = "qemu-system-";
const BUSYBOX_PACKAGE: &str = "busybox-static";
/// The folders of qemu's firmware in the packages.
const FIRMWARE: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];
/// The folders of libraries in the packages.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/// The folders of modules in the packages of kernels.
const MODULE_FOLDERS: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// The architecture of this machine, whose own package lists serve.
const OWN: Arch = Arch::Amd64;
/// The suite of the tools for another architecture.
const TOOLS_SUITE: &str = "bookworm";
/// The file that lists the packages in a folder of tools.
const PACKAGES: &str = "packages";
const WHAT_TO_DO: &str = "if the package lists are old or missing, type: apt-get update; without a network, the lab needs the downloads of an earlier run";

/// The folder of all downloads.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// A kernel, unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The release, as printed by `uname -r`.
    pub(super) release: String,
    /// The file that qemu boots.
    pub(super) image: PathBuf,
    pub(super) modules: PathBuf,
    pub(super) arch: Arch,
}

/// A qemu that can be started.
#[derive(Debug)]
pub(super) struct Qemu {
    /// The folder of its packages, or `None` for the installed qemu.
    folder: Option<PathBuf>,
    /// The architecture of its guests.
    arch: Arch,
}

impl Qemu {
    /// The command, with the arguments that locate qemu's own files.
    pub(super) fn command(&self) -> Command {
        let Some(folder) = &self.folder else {
            return Command::new(qemu_program(self.arch));
        };
        let mut command = Command::new(folder.join("usr/bin").join(qemu_program(self.arch)));
        for firmware in FIRMWARE {
            command.arg("-L").arg(folder.join(firmware));
        }
        let libraries = LIBRARIES.map(|library| folder.join(library).display().to_string());
        command.env("LD_LIBRARY_PATH", libraries.join(":"));
        command
    }
}

impl Store {
    /// Keeps everything in `folder`, which is created if needed.
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        ensure!(
            cfg!(target_arch = "x86_64"),
            "the lab emulates x86-64 and arm64 on x86-64, and this machine is another one"
        );
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder })
    }

    /// The installed qemu for guests of that architecture, or Debian's.
    pub(super) fn qemu(&self, arch: Arch) -> Result<Qemu> {
        if locate(&qemu_program(arch)).is_ok() {
            return Ok(Qemu { folder: None, arch });
        }
        let folder = self.folder.join(named("qemu", arch));
        if !folder.exists() {
            let download = download_here(&missing_packages(arch)?);
            self.fetch(&folder, "qemu, which runs the guest", download)?;
        }
        let folder = Some(folder);
        Ok(Qemu { folder, arch })
    }

    /// A static busybox: a guest's shell, and the program that unpacks modules here.
    pub(super) fn busybox(&self, arch: Arch) -> Result<PathBuf> {
        let folder = self.folder.join(named("busybox", arch));
        if !folder.exists() {
            let packages = [BUSYBOX_PACKAGE.to_owned()];
            let download = match arch {
                OWN => download_here(&packages),
                _ => self.archive(TOOLS_SUITE, arch)?.download(&packages),
            };
            self.fetch(&folder, "busybox, the guest's shell", download)?;
        }
        Ok(folder.join("bin/busybox"))
    }

    /// The files of these packages for another architecture, and of all that they depend on. No
    /// script of theirs has run.
    pub(super) fn tools(&self, arch: Arch, packages: &[&str]) -> Result<PathBuf> {
        let folder = self.folder.join(named("tools", arch));
        let list = folder.join(PACKAGES);
        let wanted = packages.join("\n");
        if fs::read_to_string(&list).is_ok_and(|had| had == wanted) {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let archive = self.archive(TOOLS_SUITE, arch)?;
        let download = archive.download(&archive.closure(packages)?);
        let why = format!("the tests' tools for {}", arch.debian());
        self.fetch(&folder, &why, download)?;
        fs::write(&list, wanted).with_context(|| list.display().to_string())?;
        Ok(folder)
    }

    fn archive(&self, suite: &str, arch: Arch) -> Result<Archive> {
        Archive::open(&self.folder.join("apt"), suite, arch.debian())
    }

    /// The newest kernel of that choice that Debian has, or, without a network, the newest
    /// downloaded one.
    pub(super) fn kernel(&self, choice: &Choice) -> Result<Kernel> {
        let release = match self.fetch_kernel(choice) {
            Ok(release) => release,
            Err(error) => match choice.newest(self.fetched()) {
                Some(release) => {
                    eprintln!("lab: {error:#}: {release} of an earlier run serves");
                    release
                }
                None => return Err(error.context(WHAT_TO_DO)),
            },
        };
        let folder = self.folder.join(format!("{}{release}", kernel::PACKAGE));
        // Debian moves both.
        let modules = MODULE_FOLDERS.map(|modules| folder.join(modules).join(&release));
        let modules = modules.into_iter().find(|modules| modules.exists());
        let modules = modules.with_context(|| format!("{} has no modules", folder.display()))?;
        let images = [
            folder.join(format!("boot/vmlinuz-{release}")),
            modules.join("vmlinuz"),
        ];
        let image = images.into_iter().find(|image| image.exists());
        Ok(Kernel {
            image: image.with_context(|| format!("{} has no kernel", folder.display()))?,
            modules,
            release,
            arch: choice.arch(),
        })
    }

    /// Downloads the newest kernel of that choice unless it is there, and returns its release.
    fn fetch_kernel(&self, choice: &Choice) -> Result<String> {
        for suite in choice.suites() {
            let archive = self.archive(suite, choice.arch())?;
            let Some(release) = choice.newest(archive.packages(kernel::PACKAGE)) else {
                continue;
            };
            let folder = self.folder.join(format!("{}{release}", kernel::PACKAGE));
            if !folder.exists() {
                let packages = kernel_packages(&archive, &release);
                let download = archive.download(&packages);
                self.fetch(&folder, "the guest's kernel", download)?;
            }
            return Ok(release);
        }
        bail!("Debian has no package {}", choice.package())
    }

    /// The names of the downloaded folders.
    fn fetched(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// Downloads packages and unpacks them into `folder`, which then has all of them or does not
    /// exist.
    fn fetch(&self, folder: &Path, why: &str, mut download: Command) -> Result<()> {
        eprintln!("lab: {why}: packages into {}", folder.display());
        eprintln!("lab: + {}", line(&download));
        let work = tempfile::Builder::new()
            .prefix(&format!("fetch-{}-", process::id()))
            .tempdir_in(&self.folder)?;
        let (debs, root) = (work.path().join("debs"), work.path().join("root"));
        fs::create_dir(&debs)?;
        fs::create_dir(&root)?;
        // apt-get has already printed which package failed.
        run(download.current_dir(&debs))
            .map_err(|_| anyhow!("cannot download {why}; {WHAT_TO_DO}"))?;
        for entry in fs::read_dir(&debs)? {
            run(Command::new("dpkg-deb")
                .arg("-x")
                .arg(entry?.path())
                .arg(&root))?;
        }
        match fs::rename(&root, folder) {
            // Another run was faster.
            Err(_) if folder.exists() => Ok(()),
            renamed => renamed.with_context(|| folder.display().to_string()),
        }
    }
}

/// The program that emulates a machine of that architecture.
fn qemu_program(arch: Arch) -> String {
    format!("{QEMU}{}", arch.processor())
}

/// The package with that program.
fn qemu_package(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86",
        Arch::Arm64 => "qemu-system-arm",
    }
}

/// The folder of a part; this machine's own has the bare name.
fn named(part: &str, arch: Arch) -> String {
    match arch {
        OWN => part.to_owned(),
        other => format!("{part}-{}", other.debian()),
    }
}

/// The command that downloads packages of this machine's own suite into its working directory.
fn download_here(packages: &[String]) -> Command {
    let mut download = Command::new("apt-get");
    // The user that apt-get would change to may not write here.
    download
        .args(["-o", "APT::Sandbox::User=root", "--quiet", "download"])
        .args(packages);
    download
}

/// The packages that hold a kernel: one, or since Linux 7 one each for the image and the modules.
fn kernel_packages(archive: &Archive, release: &str) -> Vec<String> {
    const PARTS: [&str; 3] = [kernel::PACKAGE, "linux-binary-", "linux-modules-"];
    let names = PARTS.map(|part| format!("{part}{release}"));
    let is_listed = |name: &String| archive.packages(name).contains(name);
    names.into_iter().filter(is_listed).collect()
}

/// qemu, and its dependencies that are not installed.
fn missing_packages(arch: Arch) -> Result<Vec<String>> {
    let mut simulate = Command::new("apt-get");
    simulate
        .args(["install", "--simulate", "--no-install-recommends"])
        .arg(qemu_package(arch));
    let output = simulate.output().with_context(|| {
        format!(
            "{} is not installed, and this machine has no apt-get to download it",
            qemu_program(arch)
        )
    })?;
    let steps = String::from_utf8_lossy(&output.stdout);
    let packages: Vec<String> = steps.lines().filter_map(to_install).collect();
    ensure!(
        output.status.success() && !packages.is_empty(),
        "{} failed: {}{WHAT_TO_DO}",
        line(&simulate),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_downloaded_qemu_finds_its_own_files() {
        for (arch, program) in [
            (Arch::Amd64, "qemu-system-x86_64"),
            (Arch::Arm64, "qemu-system-aarch64"),
        ] {
            let folder = Some(PathBuf::from("/f"));
            assert_eq!(
                line(&Qemu { folder, arch }.command()),
                format!(
                    "/f/usr/bin/{program} -L /f/usr/share/qemu -L /f/usr/share/seabios -L /f/usr/lib/ipxe/qemu"
                )
            );
        }
    }
}
