//! A terminal under tmux, in which a command runs.
//!
//! In: a size, a command, keys. Out: the screen as text. The server stays in the foreground and
//! ends with its guard, and the terminal with it.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::report::skip;
use recon_tests::{Lab, PATIENCE, Process};
use tempfile::TempDir;

/// Between two looks at a screen: nothing says that it has changed.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal. Dropping it ends what runs in it.
pub(super) struct Terminal {
    socket: PathBuf,
    _server: Process,
    _folder: TempDir,
}

/// Whether tmux is there. If not, says so.
pub(super) fn has_tmux() -> bool {
    let found = Command::new("tmux").arg("-V").output();
    let is_there = found.is_ok_and(|found| found.status.success());
    if !is_there {
        skip("recon top", "tmux is missing; cargo xtask test installs it");
    }
    is_there
}

impl Terminal {
    /// Runs a line of the shell in a terminal of that size.
    pub(super) fn start(lab: &Lab, [width, height]: [u16; 2], line: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("tmux.sock");
        let mut server = Command::new("tmux");
        server
            .args(["-D", "-u", "-f", "/dev/null", "-S"])
            .arg(&socket);
        server.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let server = Process::spawn(lab.host(), server)?;
        let terminal = Self {
            socket,
            _server: server,
            _folder: folder,
        };
        let until = Instant::now() + PATIENCE;
        while !terminal.socket.exists() {
            ensure!(Instant::now() < until, "tmux does not listen");
            thread::sleep(LOOK);
        }
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, line])?;
        Ok(terminal)
    }

    /// The output of a command of tmux.
    pub(super) fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        command
            .arg("-u")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments);
        let output = command.output().context("tmux")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmux {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the screen shows.
    pub(super) fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the sequences for colours.
    pub(super) fn colored(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    pub(super) fn press(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    pub(super) fn resize(&self, [width, height]: [u16; 2]) -> Result<()> {
        let (width, height) = (width.to_string(), height.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height])
            .map(drop)
    }

    /// Waits until `is_it` accepts the screen, and returns that.
    pub(super) fn wait(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen()?;
            if is_it(&screen) {
                return Ok(screen);
            }
            if Instant::now() >= until {
                bail!("{what}:\n{screen}");
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until the screen has a line that begins with these words, and returns that.
    pub(super) fn wait_line(&self, words: &str) -> Result<String> {
        self.wait(words, |screen| has_line(screen, words))
    }
}

/// Whether a line of the screen begins with these words, whatever is between them.
pub(super) fn has_line(screen: &str, words: &str) -> bool {
    let joined = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    screen.lines().any(|line| joined(line).starts_with(words))
}
