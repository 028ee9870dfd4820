//! The second KQL engine, DuckDB with a translator: the tests compare its results with those of
//! recon's own engine.
//!
//! In: the workspace. Out: whether the engine is installed, and the steps that install it.
//! The decision held here: it lives in a virtual environment of the target folder, in versions that
//! have been tried, and adds nothing to the system's Python.

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
/// Name and version of each package. The translator depends on no database, and does not install
/// one.
const PACKAGES: [[&str; 2]; 2] = [["duckdb", "2.0.0"], ["duckdb-kql", "1.1.2"]];

fn folder(workspace: &Path) -> PathBuf {
    tools_dir(workspace).join("kql")
}

/// Whether the system's Python can make virtual environments.
pub(crate) fn has_venv() -> bool {
    output(Command::new(PYTHON).args(["-c", "import ensurepip"])).is_some()
}

/// Whether the engine is installed in these versions.
pub(crate) fn is_there(workspace: &Path) -> bool {
    let versions = "from importlib.metadata import version; import sys; print(*(version(name) for name in sys.argv[1:]))";
    let python = folder(workspace).join("bin/python");
    let found = output(
        Command::new(python)
            .args(["-c", versions])
            .args(PACKAGES.map(|[name, _]| name)),
    );
    found.is_some_and(|found| {
        found
            .split_whitespace()
            .eq(PACKAGES.map(|[_, version]| version))
    })
}

/// The steps that install the engine.
pub(crate) fn steps(workspace: &Path) -> [Step; 2] {
    let folder = folder(workspace);
    let packages = PACKAGES.map(|[name, version]| format!("{name}=={version}"));
    let install = ["install", "--disable-pip-version-check", "--quiet"];
    [
        Step::new(
            "a virtual environment for the second KQL engine, with which the tests compare results",
            PYTHON,
            ["-m", "venv", &folder.display().to_string()],
        ),
        Step::new(
            format!("{}: the second KQL engine", packages.join(" and ")),
            folder.join("bin/pip"),
            install
                .into_iter()
                .chain(packages.iter().map(String::as_str)),
        ),
    ]
}
