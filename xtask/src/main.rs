//! `cargo xtask`: everything a contributor types.
//!
//! In: a subcommand. Out: what it promises, on a machine that may have nothing but a stable Rust; stdout carries
//! results only (alerts, the path of a binary), everything else goes to stderr.
//! Holds the command line; each subcommand first makes sure of what it needs (setup.rs), then works (tasks.rs).

mod bench;
mod engine;
mod guests;
mod lab;
mod machine;
mod plan;
mod readme;
mod setup;
mod step;
mod tasks;
mod toolchain;
mod vm;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::tasks::Profile;

/// Set up, build, run, show, test and lint recon.
///
/// Every command first installs what it is missing, and says what and why before it does. Nothing missing, nothing
/// done. Where it may not install something, it stops and prints the commands to type.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the kernel programs need to be built: a compiler that can build `core`, and bpf-linker
    ///
    /// bpf-linker is built into the project's target folder. The compiler is a nightly toolchain with rust-src if
    /// there is one, or if rustup can complete it; else Debian's packages, which takes root.
    Setup,
    /// Build recon and print where the binary is
    Build {
        /// Build without optimisation; the kernel programs are always optimised
        #[arg(long)]
        debug: bool,
        /// Ask the verifier of this kernel and of Debian's how far each kernel program is from its limits, and fail where that is near
        ///
        /// Takes root.
        #[arg(long, conflicts_with = "debug")]
        verify: bool,
    },
    /// Build recon and start it: alerts on stdout as JSON lines, everything else on stderr
    ///
    /// Without `-i` among ARGS it watches every interface that is up, except loopback. Ctrl-C and SIGTERM reach
    /// recon itself, which detaches and exits. Loading programs into the kernel takes root:
    /// sudo -E env "PATH=$PATH" cargo xtask run
    Run {
        /// Arguments for `recon run`, see `cargo xtask run -- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run all tests, the ones with real kernel programs and real scanners too
    ///
    /// They work in network namespaces of their own and leave this machine's interfaces alone. Takes root.
    Test {
        /// Run the tests with real traffic in virtual machines with stock Debian kernels instead, and try fallbacks and networks there
        #[arg(long)]
        vm: bool,
        /// With --vm, only on this kernel: 6.1-cloud, 6.1, 6.12-cloud, or a release; may be given several times
        #[arg(long, value_name = "VERSION", requires = "vm")]
        kernel: Vec<vm::Choice>,
        /// With --vm, no tests, and only the scenarios whose names contain TEXT: fallbacks and networks
        #[arg(long, requires = "vm", value_name = "TEXT", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["args", "readme", "brief"])]
        scenarios: Option<String>,
        /// With --vm, write the tables of hooks, detections and scenarios into the README
        #[arg(long, requires = "vm", conflicts_with_all = ["kernel", "brief", "args"])]
        readme: bool,
        /// With --vm, only as much as continuous integration has time for
        #[arg(long, requires = "vm", conflicts_with_all = ["kernel", "args"])]
        brief: bool,
        /// Arguments for `cargo test`, such as `-p recon-common` or `NAME -- --nocapture`; with --vm, names of tests such as `tools`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Show recon at work: real scans and floods between two network namespaces, and the alerts they cause
    ///
    /// Takes root and less than half a minute; leaves nothing behind.
    Lab {
        #[command(subcommand)]
        place: Option<Place>,
    },
    /// Measure what recon costs: packets, connections, services and floods without it and with it, side by side
    ///
    /// Figures vary with the machine and with what else runs on it: each comes with its spread over the rounds. Takes
    /// root and some ten minutes; leaves nothing behind.
    Bench(bench::Options),
    /// The process that `bench` measures
    #[command(hide = true, subcommand)]
    BenchWorker(bench::Work),
    /// Check formatting and run clippy, warnings denied: for the host and for the kernel programs
    Lint,
}

/// Where the laboratory is, if not in two network namespaces.
#[derive(Subcommand)]
enum Place {
    /// Run recon in a virtual machine with a stock Debian kernel, and attack that over a virtio network card
    ///
    /// Fetches qemu and the kernel into the project's target folder at first. Takes root; leaves nothing behind.
    Vm {
        /// 6.1-cloud, 6.1, 6.12-cloud: the newest of these, or a release such as 6.1.0-50-cloud-amd64
        #[arg(long, value_name = "VERSION", default_value = vm::kernel::DEFAULT)]
        kernel: vm::Choice,
        /// Attack nothing, and stay at the guest's prompt until its shell ends
        #[arg(long)]
        shell: bool,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => tasks::setup(),
        Task::Build { verify: true, .. } => guests::verify(),
        Task::Build { debug: true, .. } => tasks::build(Profile::Dev),
        Task::Build { debug: false, .. } => tasks::build(Profile::Release),
        Task::Run { args } => tasks::run(&args),
        Task::Test {
            vm: true,
            kernel,
            scenarios,
            readme,
            brief,
            args,
        } => {
            let selection = guests::Selection {
                kernels: kernel,
                names: args,
                brief,
                scenarios,
            };
            guests::test(&selection, readme)
        }
        Task::Test { args, .. } => tasks::test(&args),
        Task::Lab { place: None } => tasks::lab(),
        Task::Lab {
            place: Some(Place::Vm { kernel, shell }),
        } => tasks::lab_vm(&kernel, shell),
        Task::Bench(options) => tasks::bench(&options),
        Task::BenchWorker(work) => bench::work(&work),
        Task::Lint => tasks::lint(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: the lines to type must not drown in a backtrace where RUST_BACKTRACE is set.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
