//! Resolves the pids of a finding to processes.
//!
//! In: events about started programs, findings. Out: the processes of each finding, and for each
//! row whether a scanning tool sent it.
//! The decision held here: a started program is looked up when its event arrives, since a scanner
//! may be gone a moment later. The process that accepts on a port is looked up when an alert needs
//! it, at most once a poll and on a thread of its own, since any user can make that slow.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use recon_common::{ImageId, Signal};

use crate::drain::{Forks, ImageNumbers};
use crate::incident::Finding;
use crate::process::{Listeners, Lookups, Process, ProcessTable, is_own, reader};

const PROC: &str = "/proc";
/// How many processes are remembered: half of what a 64-bit kernel can have by default (`pid_max`
/// is 32,768 or more).
const REMEMBERED: usize = 1 << 14;

/// Resolves pids.
pub(super) struct Actors {
    pub(super) processes: ProcessTable,
    lookups: Lookups,
    scanners: BTreeSet<String>,
}

impl Actors {
    /// Reads the processes that run now. `cgroups` is the mount point of cgroup2.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn new(
        scanners: BTreeSet<String>,
        cgroups: Option<PathBuf>,
        images: ImageNumbers,
        forks: Forks,
    ) -> io::Result<Self> {
        reader::start()?;
        let mut processes = ProcessTable::new(PROC, REMEMBERED)
            .with_cgroups(cgroups)
            .with_images(images, forks);
        read_users(&mut processes);
        processes.read_all();
        let listeners = Listeners::new(PROC);
        let lookups = Lookups::start(move |local, port, deadline| {
            listeners.find_listener(local, port, deadline)
        })?;
        Ok(Self {
            processes,
            lookups,
            scanners,
        })
    }

    /// Replaces the names of scanning tools.
    pub(super) fn set_scanners(&mut self, scanners: BTreeSet<String>) {
        self.scanners = scanners;
    }

    /// Reads the names of users again.
    pub(super) fn read_users(&mut self) {
        read_users(&mut self.processes);
    }

    /// Begins a poll.
    pub(super) fn begin_poll(&mut self) {
        self.lookups.begin_poll();
    }

    /// Whether that program of a process is a scanning tool.
    pub(super) fn is_tool(&mut self, sender: ImageId) -> bool {
        self.processes.is_tool(sender, &self.scanners)
    }

    /// The processes of a finding: the senders of the counted packets, or the process that accepts.
    pub(super) fn of(&mut self, finding: &Finding) -> Vec<Process> {
        let is_served = [Signal::Accepted, Signal::Used].map(|by| finding.signals.contains(by));
        if is_served.contains(&true) {
            let accepting = self.accepting(finding);
            return accepting
                .map(|pid| self.processes.get(pid))
                .into_iter()
                .collect();
        }
        let mut senders = finding.senders.clone();
        // A process that has run several programs is one process: the first one counts.
        senders.dedup_by_key(|sender| sender.pid);
        senders
            .into_iter()
            .map(|sender| self.processes.get_image(sender))
            .collect()
    }

    fn accepting(&mut self, finding: &Finding) -> Option<u32> {
        let local = finding.local.or(finding.locals.first().copied())?;
        let port = finding.port?;
        // A guest's server is not known here, whoever listens on the same port of this host.
        is_own(local).then(|| self.lookups.find(local.to_ip(), port))?
    }

    /// Takes the number of lookups and of reads of processes that were late.
    pub(super) fn take_late(&mut self) -> u64 {
        self.lookups.take_late() + reader::take_late()
    }
}

fn read_users(processes: &mut ProcessTable) {
    if !processes.read_users() {
        tracing::warn!(
            "the names of users can't be read from /etc/passwd as the first process has it: alerts name users that recon does not know yet by their numbers; give recon CAP_SYS_PTRACE, or reload it"
        );
    }
}

/// Whether /proc shows the pids that the kernel programs see. It does not in a container's own pid
/// namespace.
pub(crate) fn sees_all_processes() -> bool {
    /// `PROC_PID_INIT_INO` of the kernel's linux/proc_ns.h.
    const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
    fs::metadata("/proc/self/ns/pid").is_ok_and(|it| it.ino() == FIRST_PID_NAMESPACE)
}
