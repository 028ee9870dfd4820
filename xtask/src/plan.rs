//! The steps of the set-up, as data.
//!
//! In: the facts about the machine, and the goal. Out: steps in order, or a message that says why
//! they are impossible and what to type. Pure, so that every kind of machine is tested on any
//! machine.
//! The decision held here: the order of preference is the contributor's own nightly, then Debian's
//! packages; a package manager is used only when something is missing.

use std::path::Path;

use crate::{
    cargo_tool::{CARGO_DEB, CARGO_DENY, CargoTool},
    machine::{Machine, WEB_SERVER},
    package::chroot,
    prometheus,
    python_tool::VENV_PACKAGE,
    step::Step,
    toolchain::{
        DEBIAN, DEBIAN_ROOT, LINKER_VERSION, LLVM_MAJOR, NIGHTLY, PINNED_NIGHTLY, tools_dir,
    },
};

/// A complete compiler with its sources. The plain `rustc` of a Debian release is too old.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const CLIPPY_PACKAGE: &str = "rust-web-clippy";
/// apt-get waits this many seconds for another one to end: a new machine updates itself after its
/// first boot.
const APT_WAITS: [&str; 2] = ["-o", "DPkg::Lock::Timeout=300"];

/// The purpose of the set-up. Each goal needs everything that `Build` needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Build,
    /// Attacks by real tools.
    Lab,
    /// The same, and what the tests compare results with.
    Test,
    Lint,
    /// Debian packages.
    Package,
    /// The same for the other architecture.
    Cross,
    /// The agent and the tests for guests of the other architecture.
    CrossGuest,
    /// Tests of a package in a bare Debian.
    PackageTest,
    /// Checks of the dependencies.
    Deny,
}

impl Goal {
    /// Whether it runs real scanners, clients and servers.
    fn runs_tools(self) -> bool {
        matches!(self, Self::Lab | Self::Test)
    }

    fn compiles_for_another(self) -> bool {
        matches!(self, Self::Cross | Self::CrossGuest)
    }

    fn cargo_tool(self) -> Option<CargoTool> {
        match self {
            Self::Package | Self::PackageTest | Self::Cross => Some(CARGO_DEB),
            Self::Deny => Some(CARGO_DENY),
            Self::Build | Self::Lab | Self::Test | Self::Lint | Self::CrossGuest => None,
        }
    }
}

/// The one step that may fail without harm: it completes a nightly, which needs neither root nor a
/// distribution.
pub(crate) fn optional_step(machine: &Machine) -> Option<Step> {
    (machine.toolchain.is_none() && machine.nightly).then(|| {
        Step::new(
            "rust-src for the nightly toolchain: the BPF target has no prebuilt `core`, so it is built from source",
            "rustup",
            format!("component add rust-src --toolchain {NIGHTLY}").split(' '),
        )
    })
}

/// The step without which some tests check nothing: the package may be missing in the archive.
pub(crate) fn prometheus_step(machine: &Machine, goal: Goal, workspace: &Path) -> Option<Step> {
    (goal == Goal::Test && machine.apt && !machine.prometheus).then(|| prometheus::step(workspace))
}

/// The browser in which the tests look at the pages of `recon report`.
pub(crate) const BROWSER: &str = "chromium";

/// The step without which these tests check nothing: the package may be missing in the archive.
pub(crate) fn browser_step(machine: &Machine, goal: Goal) -> Option<Step> {
    let is_wanted = goal == Goal::Test && machine.apt && machine.root && !machine.browser;
    is_wanted.then(|| {
        let install = [
            "install",
            "--yes",
            "--no-install-recommends",
            "--no-remove",
            BROWSER,
        ];
        apt(
            "chromium: the tests look at the pages of `recon report` in it",
            install,
        )
    })
}

/// The steps that make this machine able to do `goal`; none if it is able already.
pub(crate) fn plan_steps(machine: &Machine, goal: Goal, workspace: &Path) -> Vec<Step> {
    let mut steps = apt_steps(machine, goal);
    if machine.toolchain.is_none() && machine.rustup {
        steps.push(Step::new(
            format!(
                "Debian's compiler becomes the rustup toolchain {DEBIAN}, so that builds find it"
            ),
            "rustup",
            ["toolchain", "link", DEBIAN, DEBIAN_ROOT],
        ));
    }
    if let Some(toolchain) = machine
        .toolchain
        .filter(|&name| goal == Goal::Lint && name != DEBIAN && !machine.clippy)
    {
        steps.push(Step::new(
            format!("clippy for the {toolchain} toolchain: it lints the kernel programs"),
            "rustup",
            format!("component add clippy --toolchain {toolchain}").split(' '),
        ));
    }
    if !machine.linker {
        steps.push(linker_step(machine, workspace));
    }
    let missing = goal
        .cargo_tool()
        .filter(|tool| machine.missing_cargo_tools.contains(tool));
    steps.extend(missing.map(|tool| tool.step(workspace)));
    if goal == Goal::Test {
        let missing = machine.missing_python_tools.iter();
        steps.extend(missing.flat_map(|tool| tool.steps(workspace)));
    }
    steps
}

/// Why the steps are impossible here, and what to type instead; `None` if they are possible.
pub(crate) fn obstacle(machine: &Machine, goal: Goal, steps: &[Step]) -> Option<String> {
    let as_root: Vec<_> = steps.iter().filter(|step| step.root).collect();
    if as_root.is_empty() || (machine.apt && machine.root) {
        return None;
    }
    if machine.apt {
        let lines = as_root
            .iter()
            .map(|step| format!("\n    {}", step.with_sudo()));
        return Some(format!(
            "only root can install what is missing. Type:{}\nand then the same cargo xtask command again",
            lines.collect::<String>()
        ));
    }
    Some(format!(
        "packages are missing, and this machine has no apt-get. Type:{}",
        by_hand(machine, goal)
    ))
}

/// Whether the set-up can prepare this machine for `goal`.
pub(crate) fn is_possible(machine: &Machine, goal: Goal, workspace: &Path) -> bool {
    obstacle(machine, goal, &plan_steps(machine, goal, workspace)).is_none()
}

/// How to get there without Debian's packages: lines to type, each after a line break.
pub(crate) fn by_hand(machine: &Machine, goal: Goal) -> String {
    let mut text = String::new();
    if machine.toolchain.is_none() {
        text += &format!(
            "\n    rustup toolchain install {PINNED_NIGHTLY} --profile minimal --component rust-src --component clippy"
        );
    }
    if !machine.linker {
        text += &format!(
            "\n    # install LLVM {LLVM_MAJOR} with its development files, whatever your distribution calls them\
             \n    LLVM_PREFIX=\"$(llvm-config --prefix)\" cargo xtask setup"
        );
    }
    if goal.runs_tools() && !machine.missing_tools.is_empty() {
        let programs: Vec<_> = machine
            .missing_tools
            .iter()
            .map(|tool| tool.program)
            .collect();
        text += &format!(
            "\n    # install the packages with these programs: {}",
            programs.join(", ")
        );
    }
    if let Some(arch) = machine.no_cross.filter(|_| goal.compiles_for_another()) {
        text += &format!(
            "\n    # install a C compiler for the other architecture: {}",
            arch.tool("gcc")
        );
    }
    text + "\nand then the same cargo xtask command again"
}

/// Everything that comes from apt-get, in one go.
fn apt_steps(machine: &Machine, goal: Goal) -> Vec<Step> {
    let wanted = wanted_packages(machine, goal);
    if wanted.is_empty() {
        return Vec::new();
    }
    let whys: Vec<_> = wanted
        .iter()
        .map(|(names, why)| format!("{}: {why}", names.join(", ")))
        .collect();
    // An unattended apt-get must not remove the contributor's packages, such as Debian's own rustup
    // or rustc.
    let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    let packages = wanted
        .iter()
        .flat_map(|(names, _)| names.iter().map(String::as_str));
    let mut steps = vec![
        apt("the package lists, for the next step", ["update"]),
        // In runlevel 1, installing a package does not start its service.
        apt(whys.join("\nsetup: "), install.into_iter().chain(packages)).env("RUNLEVEL", "1"),
    ];
    if goal.runs_tools() && machine.systemd && machine.missing_tools.contains(&WEB_SERVER) {
        let unit = format!("{}.service", WEB_SERVER.package);
        let why = format!(
            "{unit} is masked: the tests start a server of their own, and the installed one must not open port 80"
        );
        steps.insert(0, Step::new(why, "systemctl", ["mask", &unit]).needs_root());
    }
    steps
}

/// Package names and their purpose.
fn wanted_packages(machine: &Machine, goal: Goal) -> Vec<(Vec<String>, &'static str)> {
    let mut wanted = Vec::new();
    if machine.toolchain.is_none() && !machine.debian_compiler {
        wanted.push((
            COMPILER_PACKAGES.map(String::from).to_vec(),
            "a compiler with the sources of `core`: the BPF target has no prebuilt one",
        ));
    }
    let debian = machine.toolchain.is_none_or(|name| name == DEBIAN);
    if goal == Goal::Lint && debian && !machine.clippy {
        wanted.push((vec![CLIPPY_PACKAGE.to_owned()], "lints the kernel programs"));
    }
    if !machine.linker && !machine.llvm {
        wanted.push((
            vec![format!("llvm-{LLVM_MAJOR}-dev")],
            "bpf-linker is built against it",
        ));
    }
    if goal.runs_tools() && !machine.missing_tools.is_empty() {
        let packages = machine
            .missing_tools
            .iter()
            .map(|tool| tool.package.to_owned())
            .collect();
        wanted.push((
            packages,
            "the real scanners, clients and servers that the lab and the tests run",
        ));
    }
    if let Some(arch) = machine.no_cross.filter(|_| goal.compiles_for_another()) {
        wanted.push((
            arch.cross_packages().map(String::from).to_vec(),
            "a C compiler for the other architecture links the agent",
        ));
    }
    if goal == Goal::PackageTest && !machine.debootstrap {
        wanted.push((
            vec![chroot::PROGRAM.to_owned()],
            "makes the bare Debian in which the package is tested",
        ));
    }
    if goal == Goal::Test && !machine.missing_python_tools.is_empty() && !machine.venv {
        wanted.push((
            vec![VENV_PACKAGE.to_owned()],
            "the second KQL engine and the NATS server get virtual environments of their own",
        ));
    }
    wanted
}

fn apt<'a>(why: impl Into<String>, args: impl IntoIterator<Item = &'a str>) -> Step {
    Step::new(why, "apt-get", APT_WAITS.into_iter().chain(args))
        .needs_root()
        .env("DEBIAN_FRONTEND", "noninteractive")
}

fn linker_step(machine: &Machine, workspace: &Path) -> Step {
    let prefix = machine.llvm_prefix.display().to_string();
    let root = tools_dir(workspace).display().to_string();
    let why =
        format!("bpf-linker {LINKER_VERSION}, built into {root}: it links the kernel programs");
    let install = format!(
        "install bpf-linker --version {LINKER_VERSION} --locked --no-default-features \
         --features llvm-{LLVM_MAJOR}"
    );
    Step::new(why, "cargo", install.split(' ').chain(["--root", &root]))
        .env("LLVM_PREFIX", &prefix)
        .env(&format!("LLVM_SYS_{LLVM_MAJOR}1_PREFIX"), &prefix)
}

#[cfg(test)]
mod tests;
