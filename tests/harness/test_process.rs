//! A process that connects, sends and listens on command, under any name.
//!
//! In: a namespace, a name, then one command at a time. Out: the result of each. The decision held
//! here: it is a copy of Python's interpreter, so that the kernel knows it by that name.

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
const SCRIPT: &str = include_str!("test_process.py");

/// Ignore the machine's own Python set-up and the distribution's packages.
const OPTIONS: [&str; 2] = ["-I", "-S"];

/// A running test process. Dropping it ends it.
#[derive(Debug)]
pub struct TestProcess {
    process: Process,
    commands: ChildStdin,
    answers: File,
    command_line: String,
    program: Renamed,
}

impl TestProcess {
    /// Starts one whose executable has that name.
    ///
    /// # Errors
    /// Without Python.
    pub fn start(namespace: &Namespace, name: &str) -> Result<Self> {
        let program = Renamed::copy(PYTHON, name)?;
        let script = program.folder().join("test_process.py");
        fs::write(&script, SCRIPT)?;
        let mut command = Command::new(program.path());
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

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
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

    /// Connects by TCP, shuts down its own side, waits until the other end has closed, and returns
    /// `connected` or an error's name such as `ECONNREFUSED`.
    ///
    /// # Errors
    /// When the process has ended, or does not answer.
    pub fn connect(&self, to: impl Into<IpAddr>, port: u16) -> Result<String> {
        self.execute(&format!("connect {} {port}", to.into()))
    }

    /// Like [`TestProcess::connect`], from an address that its namespace has.
    ///
    /// # Errors
    /// As [`TestProcess::connect`].
    pub fn connect_from(&self, from: IpAddr, to: impl Into<IpAddr>, port: u16) -> Result<String> {
        self.execute(&format!("connect {} {port} {from}", to.into()))
    }

    /// Sends a datagram from a new socket, and returns `sent` or an error's name.
    ///
    /// # Errors
    /// As [`TestProcess::connect`].
    pub fn send(&self, to: impl Into<IpAddr>, port: u16) -> Result<String> {
        self.execute(&format!("send {} {port}", to.into()))
    }

    /// Executes a command of the script that only sends: its verb, an address, a number (most
    /// often a port), and what else it needs.
    ///
    /// # Errors
    /// As [`TestProcess::connect`], and when nothing was sent.
    pub fn order(&self, command: &str) -> Result<()> {
        let answer = self.execute(command)?;
        ensure!(answer == "sent", "{command}: {answer}");
        Ok(())
    }

    /// Accepts connections from now on, and keeps each until the client closes it.
    ///
    /// # Errors
    /// As [`TestProcess::connect`], and when the port is taken.
    pub fn listen(&self, at: impl Into<IpAddr>, port: u16) -> Result<()> {
        self.serve(&format!("listen {} {port}", at.into()))
    }

    /// Like [`TestProcess::listen`], and sends so many bytes to each client first.
    ///
    /// # Errors
    /// As [`TestProcess::listen`].
    pub fn greet(&self, at: impl Into<IpAddr>, port: u16, bytes: usize) -> Result<()> {
        self.serve(&format!("listen {} {port} {bytes}", at.into()))
    }

    /// Like [`TestProcess::greet`], and then closes its own side before the client does.
    ///
    /// # Errors
    /// As [`TestProcess::listen`].
    pub fn dismiss(&self, at: impl Into<IpAddr>, port: u16, bytes: usize) -> Result<()> {
        self.serve(&format!("dismiss {} {port} {bytes}", at.into()))
    }

    /// Answers each datagram with the same bytes from now on.
    ///
    /// # Errors
    /// As [`TestProcess::listen`].
    pub fn echo(&self, at: impl Into<IpAddr>, port: u16) -> Result<()> {
        self.serve(&format!("echo {} {port}", at.into()))
    }

    fn serve(&self, command: &str) -> Result<()> {
        let answer = self.execute(command)?;
        ensure!(answer == "listening", "{command}: {answer}");
        Ok(())
    }

    fn execute(&self, command: &str) -> Result<String> {
        writeln!(&self.commands, "{command}")?;
        let mut watched = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
        let count = poll(&mut watched, PollTimeout::try_from(PATIENCE)?)?;
        ensure!(count > 0, "{command}: no answer");
        let mut answer = String::new();
        // Each command has one line of answer, so the buffer holds nothing beyond it.
        BufReader::new(&self.answers).read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the test process has ended");
        Ok(answer.trim_end().to_owned())
    }
}
