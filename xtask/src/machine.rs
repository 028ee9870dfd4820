//! The state of this machine: the facts that a plan is made from.
//!
//! In: the toolchains, the file system, the user. Out: a [`Machine`], plain data.
//! The decision held here: presence is tested by looking at files, in milliseconds, never by asking
//! a package manager, so that a second run costs nothing and other distributions' packages count as
//! well.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use recon_tests::program::locate;

use crate::cargo_tool::CargoTool;
use crate::package::{Arch, chroot};
use crate::plan::BROWSER;
use crate::prometheus;
use crate::python_tool::{self, PythonTool};
use crate::toolchain::{self, CORE_SOURCES, Compiler, DEBIAN_ROOT, LLVM_MAJOR, NIGHTLY};

/// Exists while systemd is the running init, see sd_booted(3).
const SYSTEMD: &str = "/run/systemd/system";
/// Where LLVM's library may be, below its prefix.
const LLVM_LIBRARIES: [&str; 2] = ["lib/libLLVM.so", "lib64/libLLVM.so"];

/// A program that the tests run, and the Debian package that contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// The only tool whose package starts a service.
pub(crate) const WEB_SERVER: Tool = tool("nginx", "nginx");

/// Real scanners, clients and servers. netcat has its full name here, since there is another one;
/// Python must be Debian's own.
pub(crate) const TEST_TOOLS: [Tool; 25] = [
    tool("nmap", "nmap"),
    tool("hping3", "hping3"),
    tool("masscan", "masscan"),
    tool("zmap", "zmap"),
    tool("dig", "bind9-dnsutils"),
    tool("curl", "curl"),
    tool("wrk", "wrk"),
    tool("nc.openbsd", "netcat-openbsd"),
    WEB_SERVER,
    tool("iperf3", "iperf3"),
    tool("ping", "iputils-ping"),
    tool("traceroute", "traceroute"),
    tool("mtr", "mtr-tiny"),
    tool("dropbear", "dropbear-bin"),
    tool("ip", "iproute2"),
    tool("wg", "wireguard-tools"),
    tool("pppd", "ppp"),
    tool("/usr/bin/python3", "python3"),
    tool("scapy3", "python3-scapy"),
    tool("systemd-analyze", "systemd"),
    tool("tmux", "tmux"),
    tool("tcpdump", "tcpdump"),
    tool("tcpreplay", "tcpreplay"),
    tool("bpftool", "bpftool"),
    tool("nft", "nftables"),
];

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// The facts. The default is a machine that has nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) root: bool,
    pub(crate) apt: bool,
    pub(crate) systemd: bool,
    pub(crate) rustup: bool,
    /// The toolchain that can build the kernel object.
    pub(crate) toolchain: Option<&'static str>,
    /// That toolchain has clippy, or Debian's has it where there is none yet.
    pub(crate) clippy: bool,
    /// There is a nightly that lacks at most the sources of `core`.
    pub(crate) nightly: bool,
    /// Debian's compiler, its cargo and its sources are installed and new enough.
    pub(crate) debian_compiler: bool,
    /// The linker is built and works.
    pub(crate) linker: bool,
    /// Where LLVM is, or where Debian's package would install it.
    pub(crate) llvm_prefix: PathBuf,
    pub(crate) llvm: bool,
    pub(crate) missing_tools: Vec<Tool>,
    /// Programs that cargo has to build.
    pub(crate) missing_cargo_tools: Vec<CargoTool>,
    /// The other architecture that packages are built for, if its compiler is missing.
    pub(crate) no_cross: Option<Arch>,
    pub(crate) debootstrap: bool,
    /// The system's Python can make virtual environments.
    pub(crate) venv: bool,
    /// Python packages that the tests need and that are not installed.
    pub(crate) missing_python_tools: Vec<PythonTool>,
    /// Prometheus is unpacked.
    pub(crate) prometheus: bool,
    /// The browser is installed.
    pub(crate) browser: bool,
}

impl Machine {
    /// Collects all facts.
    pub(crate) fn look(workspace: &Path) -> Self {
        let rustup = toolchain::has_rustup();
        let toolchain = toolchain::usable();
        let root = toolchain
            .and_then(toolchain::root)
            .unwrap_or_else(|| DEBIAN_ROOT.into());
        let llvm_prefix = llvm_prefix();
        Self {
            root: nix::unistd::geteuid().is_root(),
            apt: on_path("apt-get"),
            systemd: Path::new(SYSTEMD).exists(),
            rustup,
            toolchain,
            clippy: root.join("bin/cargo-clippy").exists(),
            nightly: rustup && toolchain::inspect(NIGHTLY).is_some_and(|compiler| compiler.fits()),
            debian_compiler: has_debian_compiler(),
            linker: toolchain::linker_works(workspace),
            llvm: LLVM_LIBRARIES
                .iter()
                .any(|library| llvm_prefix.join(library).exists()),
            llvm_prefix,
            missing_tools: TEST_TOOLS
                .into_iter()
                .filter(|tool| !on_path(tool.program))
                .collect(),
            missing_cargo_tools: CargoTool::ALL
                .into_iter()
                .filter(|tool| !tool.works(workspace))
                .collect(),
            no_cross: Arch::of_this_machine()
                .map(Arch::other)
                .ok()
                .filter(|other| !on_path(&other.tool("gcc"))),
            debootstrap: on_path(chroot::PROGRAM),
            venv: python_tool::has_venv(),
            missing_python_tools: PythonTool::ALL
                .into_iter()
                .filter(|tool| !tool.is_there(workspace))
                .collect(),
            prometheus: prometheus::is_there(workspace),
            browser: on_path(BROWSER),
        }
    }
}

/// Looks at the files: rustup may not know this compiler yet.
fn has_debian_compiler() -> bool {
    let root = Path::new(DEBIAN_ROOT);
    toolchain::output(Command::new(root.join("bin/rustc")).arg("-vV"))
        .and_then(|version| Compiler::parse(&version))
        .is_some_and(|compiler| compiler.fits())
        && root.join("bin/cargo").exists()
        && root.join(CORE_SOURCES).exists()
}

/// Where LLVM is: what the contributor says, else Debian's folder.
fn llvm_prefix() -> PathBuf {
    env::var_os("LLVM_PREFIX").map_or_else(
        || format!("/usr/lib/llvm-{LLVM_MAJOR}").into(),
        PathBuf::from,
    )
}

fn on_path(program: &str) -> bool {
    locate(program).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_programs_are_found() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program"));
    }
}
