//! The second engine that runs KQL: DuckDB with a translator, against which the tests hold recon's own.
//!
//! In: the workspace. Out: whether it is there, and the steps that install it.
//! Holds the decision that it lives in a virtual environment of the target folder, in the versions that were tried: nothing of it gets
//! into the system's Python.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    step::Step,
    toolchain::{output, tools_dir},
};

/// Debian's own, since another one on the path may lack the means to make a virtual environment.
const PYTHON: &str = "/usr/bin/python3";
/// What Debian leaves out of it.
pub(crate) const VENV_PACKAGE: &str = "python3-venv";
/// Name and version of each package. The translator needs no certain database, and names none.
const PACKAGES: [[&str; 2]; 2] = [["duckdb", "2.0.0"], ["duckdb-kql", "1.1.2"]];

fn folder(workspace: &Path) -> PathBuf {
    tools_dir(workspace).join("kql")
}

/// Whether the system's Python can make virtual environments.
pub(crate) fn has_venv() -> bool {
    output(Command::new(PYTHON).args(["-c", "import ensurepip"])).is_some()
}

/// Whether it is there, in these versions.
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

/// What installs it.
pub(crate) fn steps(workspace: &Path) -> [Step; 2] {
    let folder = folder(workspace);
    let pip = folder.join("bin/pip").display().to_string();
    let packages = PACKAGES.map(|[name, version]| format!("{name}=={version}"));
    let install = ["install", "--disable-pip-version-check", "--quiet"];
    [
        Step::new(
            "a virtual environment for what runs KQL a second time, so that the tests can compare",
            [PYTHON, "-m", "venv", &folder.display().to_string()],
        ),
        Step::new(
            format!("{}: they run KQL", packages.join(" and ")),
            [pip.as_str()]
                .into_iter()
                .chain(install)
                .chain(packages.iter().map(String::as_str)),
        ),
    ]
}
