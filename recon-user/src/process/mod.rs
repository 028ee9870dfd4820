//! Processes of this host: who is behind a pid, and who listens on a port.
//!
//! In: programs that the kernel reports as executed, pids, the root of /proc. Out: a [`Process`] as
//! an alert shows it.
//! The decision held here: /proc is read as soon as a program starts, since a scanner may be gone
//! by the time of its alert, and the result is kept beyond the process's end. A pid alone does not
//! identify a process: its start time must match.

mod cgroup;
mod hierarchy;
mod listener;
pub(crate) mod login;
mod lookup;
mod proc;
mod socket;
mod text;
mod tool;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use recon_common::ExecEvent;

use crate::diagnostic::visible;
use recon_common::process::FILENAME_LENGTH;

use cgroup::Membership;
pub(crate) use listener::Listeners;
pub(crate) use lookup::Lookups;

use hierarchy::Cgroups;
use proc::ProcFiles;

/// The share of the records that is evicted at once.
const EVICTED_SHARE: usize = 8;
/// How long a record is trusted without a look at /proc: the kernel reuses a pid only after all
/// others, which takes longer. A scan brings thousands of rows of one process at once.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// A process, as far as it is known. All text is `visible`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The pid of the parent when the process was first seen.
    pub parent: Option<u32>,
    /// Real user id, when it executed its program or was first seen.
    pub user: Option<u32>,
    /// The task's name, which the process can choose.
    pub name: Option<String>,
    /// The path of the running file, or the executed path as it was given if that could not be
    /// read.
    pub executable: Option<String>,
    /// The arguments in one line of up to 4096 bytes, quoted as for a shell. The process can choose
    /// them.
    pub command_line: Option<String>,
    /// The id of its container, 64 hexadecimal digits.
    pub container: Option<String>,
    /// The systemd unit of the process or of its container.
    pub unit: Option<String>,
}

/// What is kept of one pid.
#[derive(Debug)]
struct ProcessRecord {
    process: Process,
    /// The names of its program, see [`tool::program_names`].
    names: Vec<String>,
    /// When it started. `None` for a process that was gone before it could be read.
    start: Option<u64>,
    /// When the pid was last checked to belong to that process.
    checked: Instant,
    /// The number of its last use.
    used: u64,
}

/// The processes of this host, also after their end, bounded in number. Most take up to 1 KiB each.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    proc_root: PathBuf,
    limit: usize,
    cgroups: Cgroups,
    records: HashMap<u32, ProcessRecord>,
    /// Number of uses so far.
    uses: u64,
    evicted: u64,
    trusted_for: Duration,
}

impl ProcessTable {
    /// Looks up below that root of /proc and keeps up to `limit` processes, at least one.
    #[must_use]
    pub(crate) fn new(proc_root: impl Into<PathBuf>, limit: usize) -> Self {
        Self {
            proc_root: proc_root.into(),
            limit: limit.max(1),
            cgroups: Cgroups::new(None),
            records: HashMap::new(),
            uses: 0,
            evicted: 0,
            trusted_for: TRUSTED_FOR,
        }
    }

    /// Looks up the cgroups of ended processes below `root`, where version 2 is mounted.
    #[must_use]
    pub(crate) fn with_cgroups(mut self, root: Option<PathBuf>) -> Self {
        self.cgroups = Cgroups::new(root);
        self
    }

    /// Records the processes that exist now.
    pub(crate) fn read_all(&mut self) {
        for pid in proc::list_pids(&self.proc_root) {
            self.record(pid);
        }
    }

    /// Records that a process has executed a program, which replaces what was known of it.
    pub(crate) fn record_exec(&mut self, executed: &ExecEvent) {
        let pid = executed.pid;
        let found = proc::read_process(&self.proc_root, pid);
        let membership = match found.as_ref().and_then(|found| found.cgroups.as_deref()) {
            Some(cgroups) => {
                self.cgroups.learn_path(executed.cgroup, cgroups);
                cgroup::membership_of_process(cgroups)
            }
            None => self.cgroups.membership(executed.cgroup),
        };
        let filename = until_zero(&executed.filename);
        // The end of a truncated path is not a file's name.
        let file = Some(filename).filter(|path| path.len() + 1 < FILENAME_LENGTH);
        let mut record = ProcessRecord::new(pid, found, membership, file);
        let process = &mut record.process;
        process.user = Some(executed.user);
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| visible(bytes));
        if process.name.is_none() {
            process.name = text(until_zero(&executed.name));
        }
        if process.executable.is_none() {
            process.executable = text(filename);
        }
        self.keep(record);
    }

    /// The session that the process is the first program of, if an SSH server has started it.
    pub(crate) fn login(&mut self, pid: u32) -> Option<login::Session> {
        let parent = self.find(pid)?.parent?;
        let name = self.find(parent)?.name.as_deref();
        if !name.is_some_and(login::is_server) {
            return None;
        }
        // A server that starts another for each connection has no session yet.
        let own = self.find(pid)?.name.as_deref();
        if own.is_some_and(login::is_server) {
            return None;
        }
        login::session_of(&self.proc_root, pid)
    }

    /// The process with that pid. An unknown one has only its pid; the kernel programs write 0 for
    /// an unknown pid.
    pub(crate) fn get(&mut self, pid: u32) -> Process {
        self.find(pid).cloned().unwrap_or(Process {
            pid,
            ..Process::default()
        })
    }

    /// The process with that pid, if anything is known of it.
    pub(crate) fn find(&mut self, pid: u32) -> Option<&Process> {
        self.record(pid).map(|record| &record.process)
    }

    /// Whether the program of that process has one of those names: by its executable's file name,
    /// by that of the executed file (for a script, the script's), or for an interpreter by the
    /// script or jar that it runs. A final `.exe` does not count, nor what follows the first `.` of
    /// a script or the first `-` or `.` of a jar. `argv[0]` does not count.
    pub(crate) fn is_tool(&mut self, pid: u32, names: &BTreeSet<String>) -> bool {
        self.record(pid)
            .is_some_and(|record| record.names.iter().any(|name| names.contains(name)))
    }

    /// How many known processes were evicted since the last call.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// The record of the process that has or last had that pid. Reads /proc if the record is of
    /// another one.
    fn record(&mut self, pid: u32) -> Option<&ProcessRecord> {
        if pid == 0 {
            return None;
        }
        let now = Instant::now();
        let is_same = self.records.get_mut(&pid).is_some_and(|record| {
            if now.duration_since(record.checked) < self.trusted_for {
                return true;
            }
            record.checked = now;
            proc::read_stat(&self.proc_root, pid)
                .is_none_or(|stat| record.start == Some(stat.start))
        });
        if !is_same {
            let found = proc::read_process(&self.proc_root, pid);
            let membership = found
                .as_ref()
                .and_then(|found| found.cgroups.as_deref())
                .map(cgroup::membership_of_process)
                .unwrap_or_default();
            let is_there = found.is_some();
            let mut record = ProcessRecord::new(pid, found, membership, None);
            if is_there {
                record.process.user = proc::read_user(&self.proc_root, pid);
            }
            self.keep(record);
        }
        self.uses += 1;
        let record = self.records.get_mut(&pid)?;
        record.used = self.uses;
        Some(record)
    }

    fn keep(&mut self, mut record: ProcessRecord) {
        let pid = record.process.pid;
        if self.records.len() >= self.limit && !self.records.contains_key(&pid) {
            self.make_room();
        }
        self.uses += 1;
        record.used = self.uses;
        self.records.insert(pid, record);
    }

    /// Evicts an eighth of the records: first unknown processes, then those that have ended, then
    /// the others, and of each the longest unused.
    fn make_room(&mut self) {
        let alive: HashSet<u32> = proc::list_pids(&self.proc_root).collect();
        let rank = |pid: &u32, record: &ProcessRecord| {
            (record.is_known(), alive.contains(pid), record.used)
        };
        let mut ranks: Vec<_> = self
            .records
            .iter()
            .map(|(pid, record)| rank(pid, record))
            .collect();
        let share = (self.limit / EVICTED_SHARE).max(1);
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(share - 1);
        self.records.retain(|pid, record| {
            let goes = rank(pid, record) <= last_to_go;
            self.evicted += u64::from(goes && record.is_known());
            !goes
        });
    }
}

impl ProcessRecord {
    /// A record of what was found of the process, which executed `file`.
    fn new(
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
            process.name = Some(visible(&found.stat.name));
            process.executable = executable.map(visible);
            if !arguments.is_empty() {
                let arguments = arguments.iter().map(Vec::as_slice);
                process.command_line = Some(text::command_line(arguments));
            }
        }
        Self {
            names: tool::program_names(file, executable, arguments),
            process,
            start: found.as_ref().map(|found| found.stat.start),
            checked: Instant::now(),
            used: 0,
        }
    }

    /// Whether more than the pid is known.
    fn is_known(&self) -> bool {
        self.start.is_some() || self.process.user.is_some()
    }
}

/// The bytes before the first 0.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}
