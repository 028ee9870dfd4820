//! Processes of this host: who is behind an id, and who listens on a port.
//!
//! In: programs that the kernel says were executed, ids, the root of /proc. Out: a [`Process`] as an alert tells of it.
//! The decision held here: /proc is read at once when a program starts, since a scanner may be gone by the time of its alert, and what
//! was read is kept beyond the process's end. An id alone does not name a process: its start time has to be the same.

mod cgroup;
mod hierarchy;
mod listener;
mod proc;
mod socket;
mod text;
mod tool;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use recon_common::Executed;
use recon_common::process::FILENAME_LENGTH;

pub use cgroup::{Membership, membership};
pub use listener::Listeners;
pub(crate) use text::visible;

use hierarchy::Cgroups;
use proc::Found;

/// The share of the records that makes room at once.
const EVICTED_SHARE: usize = 8;
/// How long a record is taken for that of its id without a look at /proc: an id is given anew only when all others have been, which
/// takes longer. A scan brings thousands of rows of one process at once.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// A process, as far as it is known. All text is `visible`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The id of the parent that it had when it was first seen.
    pub parent: Option<u32>,
    /// Real user id, when it executed its program or was first seen.
    pub user: Option<u32>,
    /// The task's name, which it can choose.
    pub name: Option<String>,
    /// The path of the file that runs; where that could not be read, the path that was executed, as it was given.
    pub executable: Option<String>,
    /// Its arguments in one line of up to 4096 bytes, quoted as a shell would. It can choose them.
    pub command_line: Option<String>,
    /// The id of the container that it is in, 64 hexadecimal digits.
    pub container: Option<String>,
    /// The systemd unit that it is in, or that its container is in.
    pub unit: Option<String>,
}

/// What is kept of one id.
#[derive(Debug)]
struct Record {
    process: Process,
    /// What its program may be called, see [`tool::names`].
    names: Vec<String>,
    /// When it started. None for one that was gone before it could be read.
    start: Option<u64>,
    /// When it was last seen to be of that process.
    checked: Instant,
    /// The use that was its last one.
    used: u64,
}

/// The processes of this host, with those that are gone, bounded in number. Most take up to 1 KiB each.
#[derive(Debug)]
pub struct Processes {
    proc_root: PathBuf,
    limit: usize,
    cgroups: Cgroups,
    records: HashMap<u32, Record>,
    /// How many uses there have been.
    uses: u64,
    evicted: u64,
    trusted_for: Duration,
}

impl Processes {
    /// Looks up below that root of /proc and keeps up to `limit` processes, at least one.
    #[must_use]
    pub fn new(proc_root: impl Into<PathBuf>, limit: usize) -> Self {
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

    /// Looks up the cgroups of processes that are gone below `root`, where version 2 is mounted.
    #[must_use]
    pub fn with_cgroups(mut self, root: Option<PathBuf>) -> Self {
        self.cgroups = Cgroups::new(root);
        self
    }

    /// Notes that a process has executed a program, which replaces what was known of it.
    pub fn executed(&mut self, executed: &Executed) {
        let pid = executed.process;
        let found = proc::read(&self.proc_root, pid);
        let membership = match found.as_ref().and_then(|found| found.cgroups.as_deref()) {
            Some(cgroups) => {
                self.cgroups.learn(executed.cgroup, cgroups);
                cgroup::of_process(cgroups)
            }
            None => self.cgroups.membership(executed.cgroup),
        };
        let filename = until_zero(&executed.filename);
        // The end of a path that was cut is not a file's name.
        let file = Some(filename).filter(|path| path.len() + 1 < FILENAME_LENGTH);
        let mut record = Record::new(pid, found, membership, file);
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

    /// The process of that id. One of which nothing is known has only its id; 0 is the kernel's word for an unknown one.
    pub fn get(&mut self, pid: u32) -> Process {
        self.known(pid).cloned().unwrap_or(Process {
            pid,
            ..Process::default()
        })
    }

    /// The process of that id, where something is known of it.
    pub fn known(&mut self, pid: u32) -> Option<&Process> {
        self.record(pid).map(|record| &record.process)
    }

    /// Whether the program of that process is one of those names: by its executable's file name, by that of the file that was executed
    /// (of a script, the script's), or where it is an interpreter by the script or jar that it was told to run. `.exe` at the end does
    /// not count, nor what follows the first `.` of a script or the first `-` or `.` of a jar. `argv[0]` has no part in it.
    pub fn is_tool(&mut self, pid: u32, names: &BTreeSet<String>) -> bool {
        self.record(pid)
            .is_some_and(|record| record.names.iter().any(|name| names.contains(name)))
    }

    /// How many records had to go since the last call, though they told something.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// The record of the process that has or had that id last, read anew where it is not.
    fn record(&mut self, pid: u32) -> Option<&Record> {
        if pid == 0 {
            return None;
        }
        let now = Instant::now();
        let is_same = self.records.get_mut(&pid).is_some_and(|record| {
            if now.duration_since(record.checked) < self.trusted_for {
                return true;
            }
            record.checked = now;
            proc::stat(&self.proc_root, pid).is_none_or(|stat| record.start == Some(stat.start))
        });
        if !is_same {
            let found = proc::read(&self.proc_root, pid);
            let membership = found
                .as_ref()
                .and_then(|found| found.cgroups.as_deref())
                .map(cgroup::of_process)
                .unwrap_or_default();
            let is_there = found.is_some();
            let mut record = Record::new(pid, found, membership, None);
            if is_there {
                record.process.user = proc::user(&self.proc_root, pid);
            }
            self.keep(record);
        }
        self.uses += 1;
        let record = self.records.get_mut(&pid)?;
        record.used = self.uses;
        Some(record)
    }

    fn keep(&mut self, mut record: Record) {
        let pid = record.process.pid;
        if self.records.len() >= self.limit && !self.records.contains_key(&pid) {
            self.make_room();
        }
        self.uses += 1;
        record.used = self.uses;
        self.records.insert(pid, record);
    }

    /// Drops an eighth of the records: those that tell nothing first, then those of processes that are gone, then the others, and of
    /// each the longest unused.
    fn make_room(&mut self) {
        let alive: HashSet<u32> = proc::all(&self.proc_root).collect();
        let rank =
            |pid: &u32, record: &Record| (record.is_known(), alive.contains(pid), record.used);
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

impl Record {
    /// What was found of the process, where it executed `file`.
    fn new(pid: u32, found: Option<Found>, membership: Membership, file: Option<&[u8]>) -> Self {
        let mut process = Process {
            pid,
            container: membership.container,
            unit: membership.unit,
            ..Process::default()
        };
        let mut executable = None;
        let mut arguments = Vec::new();
        let mut start = None;
        if let Some(found) = found {
            process.parent = found.stat.parent;
            process.name = Some(visible(&found.stat.name));
            process.executable = found.executable.as_deref().map(visible);
            if !found.arguments.is_empty() {
                let arguments = found.arguments.iter().map(Vec::as_slice);
                process.command_line = Some(text::command_line(arguments));
            }
            start = Some(found.stat.start);
            executable = found.executable;
            arguments = found.arguments;
        }
        Self {
            names: tool::names(file, executable.as_deref(), &arguments),
            process,
            start,
            checked: Instant::now(),
            used: 0,
        }
    }

    /// Whether it tells more than the id.
    fn is_known(&self) -> bool {
        self.start.is_some() || self.process.user.is_some()
    }
}

/// What is before the first 0.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}
