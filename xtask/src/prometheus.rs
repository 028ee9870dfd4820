//! Prometheus and promtool, with which the tests read the metrics and check the installed rules.
//!
//! In: the workspace. Out: whether they are there, and the step that fetches them.
//! The decision held here: Debian's package is unpacked into the target folder and not installed,
//! since it starts a service and brings a web interface. It may be missing: where apt-get has no
//! such package, the tests that need it say so and check nothing.

use std::path::{Path, PathBuf};

use crate::{step::Step, toolchain::tools_dir};

/// The package, and the programs of it that are unpacked.
const PACKAGE: &str = "prometheus";
const PROGRAMS: [&str; 2] = ["usr/bin/prometheus", "usr/bin/promtool"];

fn folder(workspace: &Path) -> PathBuf {
    tools_dir(workspace).join(PACKAGE)
}

/// Whether both programs are there.
pub(crate) fn is_there(workspace: &Path) -> bool {
    PROGRAMS
        .iter()
        .all(|program| folder(workspace).join(program).exists())
}

/// The step that fetches them.
pub(crate) fn step(workspace: &Path) -> Step {
    let script = format!(
        "rm -rf \"$0\" && mkdir -p \"$0\" && cd \"$0\" && apt-get download {PACKAGE} && \
         dpkg-deb --fsys-tarfile {PACKAGE}_*.deb | tar -x ./{} ./{} && rm {PACKAGE}_*.deb",
        PROGRAMS[0], PROGRAMS[1]
    );
    let folder = folder(workspace).display().to_string();
    Step::new(
        format!(
            "{PACKAGE} and promtool, unpacked into {folder}: the tests scrape and check with them"
        ),
        "sh",
        ["-c", &script, &folder],
    )
}
