//! A process of its own that connects, sends and listens as it is told, under any name.
//!
//! In: a namespace, a name, then one command at a time. Out: what became of each. It is Python's interpreter, copied, so that the kernel knows it
//! by that name.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::namespace::Namespace;
use crate::program::{PYTHON, Renamed};
use crate::{PATIENCE, Process};

/// Reads commands from its stdin.
const SCRIPT: &str = include_str!("puppet.py");

/// Nothing of the machine's own set-up, nor what a distribution adds.
const OPTIONS: [&str; 2] = ["-I", "-S"];

/// A running puppet. Dropping it ends it.
#[derive(Debug)]
pub struct Puppet {
    process: Process,
    commands: ChildStdin,
    answers: File,
    command_line: String,
    program: Renamed,
}

impl Puppet {
    /// Starts one whose executable has that name.
    ///
    /// # Errors
    /// Without Python.
    pub fn start(namespace: &Namespace, name: &str) -> Result<Self> {
        let program = Renamed::copy(PYTHON, name)?;
        let script = program.folder().join("puppet.py");
        fs::write(&script, SCRIPT)?;
        let mut command = Command::new(program.path());
        // Whatever the machine's Python is set up for.
        command.args(OPTIONS).arg(&script).stdout(Stdio::piped());
        let mut process = Process::spawn_fed(namespace, command)?;
        let commands = process.take_stdin().context("a pipe to stdin")?;
        let answers = process.take_stdout().context("a pipe from stdout")?;
        Ok(Self {
            process,
            commands,
            answers: OwnedFd::from(answers).into(),
            command_line: format!(
                "{} {} {}",
                program.path().display(),
                OPTIONS.join(" "),
                script.display()
            ),
            program,
        })
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The file that it executes.
    #[must_use]
    pub fn executable(&self) -> &Path {
        self.program.path()
    }

    /// Its arguments, the executable first, separated by blanks.
    #[must_use]
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// Connects by TCP, says no more, waits until the other end has closed, and returns what became of it: `connected`, or an error's name such as `ECONNREFUSED`.
    ///
    /// # Errors
    /// When the puppet has ended, or does not answer.
    pub fn connect(&self, to: impl Into<IpAddr>, port: u16) -> Result<String> {
        self.tell(&format!("connect {} {port}", to.into()))
    }

    /// The same from an address that its namespace has.
    ///
    /// # Errors
    /// As [`Puppet::connect`].
    pub fn connect_from(&self, from: IpAddr, to: impl Into<IpAddr>, port: u16) -> Result<String> {
        self.tell(&format!("connect {} {port} {from}", to.into()))
    }

    /// Sends a datagram from a socket of its own, and returns `sent` or an error's name.
    ///
    /// # Errors
    /// As [`Puppet::connect`].
    pub fn send(&self, to: impl Into<IpAddr>, port: u16) -> Result<String> {
        self.tell(&format!("send {} {port}", to.into()))
    }

    /// Accepts connections from now on, and keeps each as long as the client does.
    ///
    /// # Errors
    /// As [`Puppet::connect`], and when the port is taken.
    pub fn listen(&self, at: impl Into<IpAddr>, port: u16) -> Result<()> {
        let answer = self.tell(&format!("listen {} {port}", at.into()))?;
        ensure!(answer == "listening", "port {port}: {answer}");
        Ok(())
    }

    fn tell(&self, command: &str) -> Result<String> {
        writeln!(&self.commands, "{command}")?;
        let mut watched = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
        let count = poll(&mut watched, PollTimeout::try_from(PATIENCE)?)?;
        ensure!(count > 0, "{command}: no answer");
        let mut answer = String::new();
        // There is one line for each command, so nothing beyond it is read and lost.
        BufReader::new(&self.answers).read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the puppet has ended");
        Ok(answer.trim_end().to_owned())
    }
}
