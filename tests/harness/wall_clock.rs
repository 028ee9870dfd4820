//! A wall clock of a program's own, which a test sets while the program runs.
//!
//! In: a command, and how far its clock is ahead of this machine's. Out: the command that runs it.
//! The decision held here: the machine's clock is not touched, and the program is the one that
//! ships. It is linked statically, so that a library such as faketime's can't reach it: the kernel
//! asks `wall_clock.py` about the time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::program::PYTHON;

const SCRIPT: &str = include_str!("wall_clock.py");

/// A clock that can be set. The programs must end before it is dropped.
#[derive(Debug)]
pub struct WallClock {
    folder: TempDir,
}

impl WallClock {
    /// A clock with this machine's time.
    ///
    /// # Errors
    /// If there is no room for its files.
    pub fn new() -> Result<Self> {
        let clock = Self {
            folder: tempfile::tempdir()?,
        };
        fs::write(clock.path("wall_clock.py"), SCRIPT)?;
        clock.set_ahead(0)?;
        Ok(clock)
    }

    /// Sets it to so many seconds after this machine's time, or before it.
    ///
    /// # Errors
    /// If its file can't be written.
    pub fn set_ahead(&self, seconds: i64) -> Result<()> {
        // A program that asks meanwhile must not find half a number.
        let next = self.path("next");
        fs::write(&next, seconds.to_string())?;
        fs::rename(next, self.path("offset")).context("can't set the clock")
    }

    /// The command under this clock. It keeps its process id.
    #[must_use]
    pub fn give_to(&self, command: &Command) -> Command {
        let mut under = Command::new(PYTHON);
        under
            .args(["-I", "-S"])
            .args([self.path("wall_clock.py"), self.path("offset")])
            .arg(command.get_program())
            .args(command.get_args());
        under
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
