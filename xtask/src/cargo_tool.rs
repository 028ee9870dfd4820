//! Programs that cargo builds from crates into the target folder, like bpf-linker.
//!
//! In: the workspace. Out: whether one is installed, the step that installs it, a command that runs
//! it.
//! The decision held here: each in one tested version. `dpkg-buildpackage` would need a source
//! package and debhelper for one binary; cargo-deb writes what debhelper would.

use std::{path::Path, process::Command};

use crate::{
    step::Step,
    toolchain::{output, tools_dir},
};

/// A program of that name from the crate of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
    /// Instead of the default ones.
    features: &'static str,
    why: &'static str,
}

/// Without its default features it needs no C library, and compresses with xz.
pub(crate) const CARGO_DEB: CargoTool = CargoTool {
    name: "cargo-deb",
    version: "3.8.0",
    features: "gzip",
    why: "it writes Debian packages",
};

/// Takes about a minute of one processor.
pub(crate) const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    features: "",
    why: "it checks licences, sources and versions of the dependencies",
};

impl CargoTool {
    pub(crate) const ALL: [Self; 2] = [CARGO_DEB, CARGO_DENY];

    /// Whether it is installed, in the tested version.
    pub(crate) fn works(self, workspace: &Path) -> bool {
        output(self.command(workspace).arg("--version"))
            .is_some_and(|version| version.split_whitespace().any(|word| word == self.version))
    }

    /// Installs it.
    pub(crate) fn step(self, workspace: &Path) -> Step {
        let Self {
            name,
            version,
            features,
            why,
        } = self;
        let root = tools_dir(workspace).display().to_string();
        // Not optimised: they run for seconds, and that halves what a new machine waits.
        let install =
            format!("install {name} --version {version} --locked --no-default-features --debug");
        let features = ["--features", features];
        let features = features.iter().filter(|_| !self.features.is_empty());
        let words = install.split(' ').chain(features.copied());
        Step::new(
            format!("{name} {version}, built into {root}: {why}"),
            "cargo",
            words.chain(["--root", &root]),
        )
    }

    pub(crate) fn command(self, workspace: &Path) -> Command {
        Command::new(tools_dir(workspace).join("bin").join(self.name))
    }
}
