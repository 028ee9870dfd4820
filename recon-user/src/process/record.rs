//! What is kept of one pid.
//!
//! In: what /proc says of a process, and how the kernel recorded its beginning. Out: a
//! [`ProcessRecord`], and whether two of them are of one process.
//! The decision held here: a process that was gone before it could be read has no start to compare.
//! Then the kernel's record of the fork tells it from an earlier process of its pid. It has the
//! number of programs under the pid, so only two processes that one program forks, and the first of
//! which never executes one, look alike. Where neither is known, it may be any process of that pid.

use std::time::Instant;

use recon_common::ImageId;

use super::cgroup::Membership;
use super::image::Image;
use super::proc::ProcFiles;
use super::{Process, Start, text, tool};
use crate::diagnostic::visible;

/// What is kept of one pid.
#[derive(Debug)]
pub(super) struct ProcessRecord {
    /// What it runs, or ran last.
    pub(super) image: Image,
    /// What it ran before, the latest last.
    pub(super) earlier: Vec<Image>,
    /// Programs that it was seen to execute.
    pub(super) executed: u32,
    /// When it started. `None` for a process that was gone before it could be read.
    pub(super) start: Option<u64>,
    /// How it began: the process at its fork, and the program that forked. `None` if the kernel did
    /// not record that, or has recorded a later process of that pid.
    pub(super) fork: Option<(ImageId, ImageId)>,
    /// When the pid was last checked to belong to that process.
    pub(super) checked: Instant,
    /// The number of its last use.
    pub(super) used: u64,
}

impl ProcessRecord {
    /// A record of what was found of the process, which executed `file`.
    pub(super) fn new(
        pid: u32,
        found: Option<ProcFiles>,
        membership: Membership,
        file: Option<&[u8]>,
    ) -> Self {
        let mut process = Process {
            pid,
            container: membership.container,
            unit: membership.unit,
            ..Process::default()
        };
        let (mut executable, mut arguments) = (None, &[][..]);
        if let Some(found) = &found {
            (executable, arguments) = (found.executable.as_deref(), &found.arguments);
            process.parent = found.stat.parent;
            process.start = Start::from_ticks(pid, found.stat.start);
            process.name = Some(visible(&found.stat.name));
            process.executable = executable.map(visible);
            if !arguments.is_empty() {
                let arguments = arguments.iter().map(Vec::as_slice);
                process.command_line = Some(text::command_line(arguments));
            }
        }
        Self {
            image: Image {
                number: 0,
                names: tool::program_names(file, executable, arguments),
                process,
            },
            earlier: Vec::new(),
            executed: 0,
            start: found.as_ref().map(|found| found.stat.start),
            fork: None,
            checked: Instant::now(),
            used: 0,
        }
    }

    /// Whether more than the pid is known.
    pub(super) fn is_known(&self) -> bool {
        self.start.is_some() || self.image.process.user.is_some()
    }

    /// Whether it is of the same process as `before`, an older record of the pid. `None` if that is
    /// unknown.
    pub(super) fn is_same_process(&self, before: &Self) -> Option<bool> {
        match (self.start, before.start) {
            (Some(start), Some(earlier)) => Some(start == earlier),
            _ => self.fork.map(|fork| before.fork == Some(fork)),
        }
    }
}
