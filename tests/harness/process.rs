//! A command inside a network namespace, with a deadline. Dropping its guard kills it.
//!
//! The decisions held here: the child enters the namespace and its cgroup between fork and exec, so
//! that its process id is the tool's own. It leads a process group, so that a shell's children end
//! with it. It dies with the thread that started it, so that a killed test leaves no agent behind;
//! the next run ends what a shell has left, with its namespace.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::cgroup::Cgroup;
use crate::namespace::Namespace;

/// A running command. Dropping it kills its process group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    exit: OwnedFd,
    ended: Option<ExitStatus>,
    what: String,
}

/// The result of a command.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its stdout and stderr.
    pub output: String,
    /// Its process id.
    pub pid: u32,
    what: String,
}

impl Finished {
    /// The output of a command, if it succeeded.
    ///
    /// # Errors
    /// If it did not succeed, with its output.
    pub fn success(self) -> Result<String> {
        let Self {
            status,
            output,
            what,
            ..
        } = self;
        ensure!(status.success(), "{what}: {status}\n{}", end_of(&output));
        Ok(output)
    }
}

/// `line` as a command of the shell.
#[must_use]
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

/// Runs `command` inside `namespace` to its end.
///
/// # Errors
/// When it can't be started, or has not ended after `deadline`.
pub fn run(namespace: &Namespace, mut command: Command, deadline: Duration) -> Result<Finished> {
    // A file and not a pipe: a full pipe would block the command.
    let mut file = tempfile::tempfile()?;
    command.stdout(file.try_clone()?).stderr(file.try_clone()?);
    let mut process = Process::spawn(namespace, command)?;
    let ended = process.wait(deadline);
    let output = read_back(&mut file)?;
    Ok(Finished {
        status: ended.with_context(|| end_of(&output).to_owned())?,
        output,
        pid: process.pid(),
        what: process.what.clone(),
    })
}

/// The end of a long output, short enough for a message.
fn end_of(output: &str) -> &str {
    const ROOM: usize = 2000;
    &output[output.floor_char_boundary(output.len().saturating_sub(ROOM))..]
}

fn read_back(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Process {
    /// Starts `command` inside `namespace`, with no input. It does not outlive the calling thread.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn spawn(namespace: &Namespace, command: Command) -> Result<Self> {
        Self::start(namespace, command, Stdio::null())
    }

    /// Like [`Process::spawn`], with a pipe to its stdin, see [`Process::take_stdin`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn_fed(namespace: &Namespace, command: Command) -> Result<Self> {
        Self::start(namespace, command, Stdio::piped())
    }

    fn start(namespace: &Namespace, mut command: Command, stdin: Stdio) -> Result<Self> {
        let handle = namespace.handle()?;
        let entrance = namespace.cgroup().map(Cgroup::entrance).transpose()?;
        let what = format!("{command:?}");
        command.stdin(stdin).process_group(0);
        let enter = move || {
            setns(&handle, CloneFlags::CLONE_NEWNET)?;
            if let Some(mut entrance) = entrance.as_ref() {
                entrance.write_all(b"0")?;
            }
            set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        };
        // SAFETY: system calls on values made before the fork: nothing is allocated, no lock is
        // taken.
        unsafe { command.pre_exec(enter) };
        let child = command.spawn().with_context(|| what.clone())?;
        let exit = watch_exit(&child)?;
        Ok(Self {
            child,
            exit,
            ended: None,
            what,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pipe to its stdin, if it has one and nobody has taken it.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The pipe from its stdout, if it has one and nobody has taken it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The pipe from its stderr, if it has one and nobody has taken it.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended and been reaped.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.raw_pid(), signal).with_context(|| format!("{signal} to {}", self.what))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it has not ended after `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let mut watched = [PollFd::new(self.exit.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watched, PollTimeout::try_from(deadline)?)? == 0 {
            bail!("{} runs for longer than {deadline:?}", self.what);
        }
        self.end()
    }

    /// Kills the group and then reaps its leader: until then no other process can get its id.
    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        killpg(self.raw_pid(), Signal::SIGKILL)?;
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(self.pid().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{}: {error:#}", self.what);
        }
    }
}

/// A descriptor that is readable once the child has ended.
fn watch_exit(child: &Child) -> Result<OwnedFd> {
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: two integers; the child has not been reaped, so no other process has its id.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), NO_FLAGS) };
    ensure!(
        descriptor >= 0,
        "pidfd_open: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the kernel has just opened it for this process, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(libc::c_int::try_from(descriptor)?) })
}
