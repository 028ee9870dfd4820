//! `cargo xtask`: the commands of a contributor.
//!
//! In: a subcommand. Out: its result, on a machine that may have only a stable Rust. stdout carries
//! results only (alerts, the path of a binary), everything else goes to stderr.
//! Holds the command line; each subcommand first installs what it needs (setup.rs), then does its
//! work (tasks.rs).

mod bench;
mod cargo_tool;
mod charts;
mod guests;
mod lab;
mod machine;
mod package;
mod plan;
mod prometheus;
mod python_tool;
mod readme;
mod setup;
mod step;
mod tasks;
mod toolchain;
mod vm;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

/// Set up, build, run, show, test and lint recon.
///
/// Every command first installs what it needs and is missing, and says what and why before it does.
/// Where it may not install something, it stops and prints the commands to type.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the build of the kernel programs needs: a compiler that can build `core`, and
    /// bpf-linker
    ///
    /// bpf-linker is built into the project's target folder. The compiler is a nightly toolchain
    /// with rust-src if there is one or rustup can complete one; otherwise it comes from Debian's
    /// packages, which needs root.
    Setup,
    /// Build recon and print the path of the binary
    Build {
        /// Build without optimisation; the kernel programs are always optimised
        #[arg(long)]
        debug: bool,
        /// Print how far each kernel program is from the verifier's limits, on this kernel and on
        /// Debian's, and fail where one is close
        ///
        /// Needs root.
        #[arg(long, conflicts_with = "debug")]
        verify: bool,
    },
    /// Build recon and start it: alerts on stdout as JSON lines, everything else on stderr
    ///
    /// Without `-i` among ARGS, recon watches every interface that is up, except loopback. Ctrl-C
    /// and SIGTERM reach recon itself, which detaches and exits. Loading programs into the kernel
    /// needs root: sudo -E env "PATH=$PATH" cargo xtask run
    Run {
        /// Arguments for `recon run`, see `cargo xtask run -- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run all tests, including those with real kernel programs and real scanners
    ///
    /// They work in network namespaces of their own and leave this machine's interfaces alone.
    /// Needs root.
    Test(guests::TestOptions),
    /// Show recon at work: real scans and floods between two network namespaces, and the alerts
    /// that they cause
    ///
    /// Needs root and less than half a minute; leaves nothing behind.
    Lab {
        #[command(subcommand)]
        place: Option<Place>,
    },
    /// Measure the cost of recon: packets, connections, services and floods without it and with it,
    /// side by side; and how precise its alerts are
    ///
    /// Figures depend on the machine and on its other load, so each comes with its spread over the
    /// rounds. Needs root and some ten minutes; leaves nothing behind.
    Bench(bench::Options),
    /// The process whose connections `bench` measures
    #[command(hide = true, subcommand)]
    BenchWorker(bench::Work),
    /// Build Debian packages and print their paths
    ///
    /// A package for another architecture is cross-compiled; its kernel programs are the same.
    Package(package::Options),
    /// Check the licences, sources and versions of all dependencies with cargo-deny
    Deny {
        /// Check for known defects too: downloads a database from GitHub
        #[arg(long)]
        advisories: bool,
    },
    /// Make the chart library in the page of `recon report` again, from a lock file with checksums
    ///
    /// Needs npm. Builds and tests don't: the file is part of the project.
    Charts {
        /// Change nothing, and fail if the file would be another one
        #[arg(long)]
        verify: bool,
    },
    /// Check formatting and run clippy with warnings denied, for the host and for the kernel
    /// programs
    Lint,
}

/// Where the lab runs, if not in two network namespaces.
#[derive(Subcommand)]
enum Place {
    /// Run recon in a virtual machine with a stock Debian kernel, and attack it over a virtio
    /// network card
    ///
    /// Downloads qemu and the kernel into the project's target folder the first time. Needs root;
    /// leaves nothing behind.
    Vm {
        /// 5.10-cloud, 6.1-cloud, 6.1, 6.12-cloud, newest-cloud: the newest of that kind; or a
        /// release such as 6.1.0-50-cloud-amd64
        #[arg(long, value_name = "VERSION", default_value = vm::kernel::DEFAULT)]
        kernel: vm::Choice,
        /// Run no attack, and open the guest's prompt until its shell ends
        #[arg(long)]
        shell: bool,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => tasks::setup(),
        Task::Build { verify: true, .. } => guests::print_verifier(),
        Task::Build { debug, .. } => tasks::build(debug),
        Task::Run { args } => tasks::run(&args),
        Task::Test(options) if options.vm => guests::run_tests(&options),
        Task::Test(options) if options.package => package::test(),
        Task::Test(options) => tasks::test(&options.args, options.hostile),
        Task::Lab { place: None } => tasks::lab(),
        Task::Lab {
            place: Some(Place::Vm { kernel, shell }),
        } => tasks::lab_vm(&kernel, shell),
        Task::Charts { verify } => tasks::charts(verify),
        Task::Bench(options) => tasks::bench(&options),
        Task::BenchWorker(work) => bench::run_worker(&work),
        Task::Package(options) => package::package(&options),
        Task::Deny { advisories } => tasks::deny(advisories),
        Task::Lint => tasks::lint(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not returned from main: with RUST_BACKTRACE set, a backtrace would bury the commands
            // to type.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
