//! One step of the set-up, as data: its purpose and its command.
//!
//! In: a purpose, a command line, variables. Out: the command as a line to type, or run.
//! The decision held here: whatever the set-up starts writes to stderr, because stdout belongs to
//! recon's alerts.

use std::{ffi::OsStr, fmt, io, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

/// Characters that a shell does not interpret.
const PLAIN: &str = "-_./=:,@+%";

/// One thing to do.
#[derive(Debug)]
pub(crate) struct Step {
    /// What is installed and why: printed before it is done.
    pub(crate) why: String,
    /// Whether it writes outside of the workspace and the user's home.
    pub(crate) root: bool,
    command: Command,
}

impl Step {
    pub(crate) fn new<S: AsRef<OsStr>>(
        why: impl Into<String>,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self {
            why: why.into(),
            root: false,
            command,
        }
    }

    pub(crate) fn needs_root(mut self) -> Self {
        self.root = true;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The line to type for a user who is not root.
    pub(crate) fn with_sudo(&self) -> String {
        match (self.root, self.command.get_envs().len()) {
            (false, _) => self.to_string(),
            (true, 0) => format!("sudo {self}"),
            // sudo drops variables that precede it.
            (true, _) => format!("sudo env {self}"),
        }
    }

    /// Announces the step, then runs it.
    pub(crate) fn run(&mut self, workspace: &Path) -> Result<()> {
        run(self.announce(workspace))
    }

    /// Runs a step that may fail, and hides its output.
    pub(crate) fn try_out(&mut self, workspace: &Path) -> bool {
        let done = self.announce(workspace).output();
        done.is_ok_and(|done| done.status.success())
    }

    fn announce(&mut self, workspace: &Path) -> &mut Command {
        eprintln!("setup: {}\nsetup: + {self}", self.why);
        self.command.current_dir(workspace)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.command.get_envs() {
            let value = value.unwrap_or_default().to_string_lossy();
            write!(f, "{}={} ", name.display(), quoted(&value))?;
        }
        f.write_str(&line(&self.command))
    }
}

/// Runs a command to its end, with its stdout joined to stderr. Fails if the command fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed: {status}", line(command));
    }
    Ok(())
}

/// A command as a user would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let args = command.get_args().map(|arg| quoted(&arg.to_string_lossy()));
    std::iter::once(quoted(&program))
        .chain(args)
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || PLAIN.contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_as_the_line_to_type() {
        let step = Step::new("why", "apt-get", ["install", "a b"]);
        assert_eq!(step.to_string(), "apt-get install 'a b'");
        assert_eq!(step.with_sudo(), "apt-get install 'a b'");
        let step = step.needs_root();
        assert_eq!(step.with_sudo(), "sudo apt-get install 'a b'");
        let step = step.env("RUNLEVEL", "1");
        assert_eq!(
            step.with_sudo(),
            "sudo env RUNLEVEL=1 apt-get install 'a b'"
        );
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(&mut Command::new("false")).expect_err("false fails");
        assert!(error.to_string().starts_with("false failed"), "{error}");
    }

    #[test]
    fn quotes_survive_a_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("--root=/a/b"), "--root=/a/b");
    }
}
