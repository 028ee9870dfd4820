//! The shell of a guest that takes commands, on its third serial line.
//!
//! In: lines. Out: what they wrote, and their exit code.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::{PATIENCE, namespace::Namespace};

use super::super::guest::Guest;

/// Ends what a command writes; its exit code follows.
const DONE: &str = "guest: done ";
/// Ends a script on its way to the guest.
const END_OF_SCRIPT: &str = "END-OF-SCRIPT";

/// An exit code.
pub(super) const SUCCESS: &str = "0";

#[derive(Debug)]
pub(super) struct Shell {
    line: BufReader<UnixStream>,
}

impl Shell {
    /// That of the guest in this namespace.
    pub(super) fn of(namespace: &Namespace) -> Result<Self> {
        let line = Guest::control(namespace)?;
        line.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            line: BufReader::new(line),
        })
    }

    /// Runs one line in the shell itself, and returns what it wrote and its exit code.
    pub(super) fn ask(&mut self, line: &str) -> Result<(String, String)> {
        self.line
            .get_mut()
            .write_all(format!("{line}\necho \"{DONE}$?\"\n").as_bytes())?;
        let mut output = String::new();
        let end = Instant::now() + PATIENCE;
        loop {
            ensure!(
                Instant::now() < end,
                "the guest does not come to an end: {line}"
            );
            let mut read = String::new();
            let length = self.line.read_line(&mut read);
            let length = length.with_context(|| format!("the guest does not answer: {line}"))?;
            ensure!(length > 0, "the guest has ended: {line}");
            match read.trim_end().strip_prefix(DONE) {
                Some(code) => return Ok((output, code.to_owned())),
                None => output += &read,
            }
        }
    }

    /// Runs lines in a shell of their own, each of which has to succeed.
    pub(super) fn script(&mut self, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let (output, code) = self.ask(&format!(
            "cat >/tmp/script <<'{END_OF_SCRIPT}'\n{lines}\n{END_OF_SCRIPT}\nsh -ex /tmp/script </dev/null 2>&1"
        ))?;
        if code != SUCCESS {
            bail!("in the guest, exit code {code}:\n{output}");
        }
        Ok(())
    }
}
