//! Who is behind a finding: ids of processes turned into processes.
//!
//! In: programs as they are started, findings. Out: for each finding the processes that it is about, and for each row whether a scanning
//! tool has sent it.
//! The decision held here: a started program is looked at when the kernel tells of it, since a scanner may be gone a moment later; who
//! accepts on a port is looked up when an alert is due, and once a poll, since it takes milliseconds.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use recon_common::{ExecEvent, Signal};

use crate::incident::Finding;
use crate::process::{Listeners, Process, ProcessTable};

const PROC: &str = "/proc";
/// Processes that are remembered: half of what a 64-bit kernel can have by default (`pid_max` is 32,768 or more).
const REMEMBERED: usize = 1 << 14;

/// Resolves ids of processes.
pub(super) struct Actors {
    processes: ProcessTable,
    listeners: Listeners,
    scanners: BTreeSet<String>,
    /// What was looked up in this poll.
    accepting: HashMap<(IpAddr, u16), Option<u32>>,
}

impl Actors {
    /// Knows the processes that run now. `cgroups` is where cgroup2 is mounted.
    pub(super) fn new(scanners: BTreeSet<String>, cgroups: Option<PathBuf>) -> Self {
        let mut processes = ProcessTable::new(PROC, REMEMBERED).with_cgroups(cgroups);
        for pid in running() {
            processes.get(pid);
        }
        Self {
            processes,
            listeners: Listeners::new(PROC),
            scanners,
            accepting: HashMap::new(),
        }
    }

    /// Notes a started program.
    pub(super) fn executed(&mut self, executed: &ExecEvent) {
        self.processes.record_exec(executed);
    }

    /// Begins a poll: what was looked up in the one before may have changed.
    pub(super) fn begin_poll(&mut self) {
        self.accepting.clear();
    }

    /// Whether that process runs a scanning tool.
    pub(super) fn is_tool(&mut self, pid: u32) -> bool {
        self.processes.is_tool(pid, &self.scanners)
    }

    /// The process of that id, if it is known.
    pub(super) fn known(&mut self, pid: u32) -> Option<&Process> {
        self.processes.find(pid)
    }

    /// The processes that a finding is about: those that sent what was counted, or the one that accepts.
    pub(super) fn of(&mut self, finding: &Finding) -> Vec<Process> {
        let pids = if finding.signals.contains(Signal::Accepted) {
            self.accepting(finding).into_iter().collect()
        } else if let Some(pid) = finding.pid {
            vec![pid]
        } else {
            finding.pids.clone()
        };
        pids.into_iter()
            .map(|pid| self.processes.get(pid))
            .collect()
    }

    fn accepting(&mut self, finding: &Finding) -> Option<u32> {
        let local = finding.local.or(finding.locals.first().copied())?.to_ip();
        let port = finding.port?;
        let Self {
            listeners,
            accepting,
            ..
        } = self;
        *accepting
            .entry((local, port))
            .or_insert_with(|| listeners.find_listener(local, port))
    }

    /// Processes that were forgotten for want of room since the last call.
    pub(super) fn take_evicted(&mut self) -> u64 {
        self.processes.take_evicted()
    }
}

/// The ids of the processes that run now.
fn running() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(PROC).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether /proc shows processes under the ids that the kernel's programs see: not inside a container's own pid namespace.
pub(super) fn sees_all_processes() -> bool {
    /// `PROC_PID_INIT_INO` of the kernel's linux/proc_ns.h.
    const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
    fs::metadata("/proc/self/ns/pid").is_ok_and(|it| it.ino() == FIRST_PID_NAMESPACE)
}
