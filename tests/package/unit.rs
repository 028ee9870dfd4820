//! The command line of a systemd unit, run without systemd.
//!
//! In: the unit, an installed system. Out: a command with the user, the capabilities and the
//! folders that systemd would give it.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::root::Root;

/// The folders that systemd makes for a service, and where.
const FOLDERS: [(&str, &str); 3] = [
    ("RuntimeDirectory", "/run"),
    ("StateDirectory", "/var/lib"),
    ("LogsDirectory", "/var/log"),
];

/// The text of a unit.
pub(super) struct Unit(pub(super) String);

impl Unit {
    /// The value of a directive.
    fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// What it starts.
    pub(super) fn start(&self) -> Result<&str> {
        self.value("ExecStart").context("the unit has no ExecStart")
    }

    /// Makes its folders and returns its command.
    pub(super) fn command(&self, root: &Root) -> Result<Command> {
        let user = self.value("User").unwrap_or("root");
        for (directive, parent) in FOLDERS {
            if let Some(folder) = self.value(directive) {
                let mode = self.value(&format!("{directive}Mode")).unwrap_or("0755");
                root.run(&format!(
                    "install --directory --owner={user} --mode={mode} {parent}/{folder}"
                ))?;
            }
        }
        let mut command = root.command("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.args(["--clear-groups", "--no-new-privs"]);
        if let Some(names) = self.value("AmbientCapabilities") {
            let names: String = names
                .split(' ')
                .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
                .collect();
            for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
                command.arg(format!("{set}=-all{names}"));
            }
        }
        command.args(self.start()?.split_whitespace());
        Ok(command)
    }
}
