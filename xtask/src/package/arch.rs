//! The architectures that packages are built for, and that guests have.
//!
//! In: Debian's name. Out: what Rust and the GNU tools call it.

use std::env;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// An architecture, by Debian's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    pub(crate) fn of_this_machine() -> Result<Self> {
        let all = Self::ALL.into_iter();
        let found = all
            .clone()
            .find(|arch| arch.processor() == env::consts::ARCH);
        found.with_context(|| {
            let known: Vec<_> = all.map(Self::processor).collect();
            format!(
                "packages are built on {}, not on {}",
                known.join(" and "),
                env::consts::ARCH
            )
        })
    }

    /// The one that this machine has to compile for another machine.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Amd64 => Self::Arm64,
            Self::Arm64 => Self::Amd64,
        }
    }

    /// Debian's name.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name in Rust's and GNU's triples, and qemu's.
    pub(crate) fn processor(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The folders of its libraries in Debian's packages, below the root.
    pub(crate) fn libraries(self) -> [String; 2] {
        ["usr/lib", "lib"].map(|folder| format!("{folder}/{}-linux-gnu", self.processor()))
    }

    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// A program of the GNU tools for it, such as strip.
    pub(crate) fn tool(self, name: &str) -> String {
        format!("{}-linux-gnu-{name}", self.processor())
    }

    /// Debian's packages with a C compiler and library for it, to be used on another one. Their
    /// static library is part of the second.
    pub(crate) fn cross_packages(self) -> [&'static str; 2] {
        match self {
            Self::Amd64 => ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Arm64 => ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }
}
