//! Processes of this host: who is behind a pid, and who listens on a port.
//!
//! In: programs that the kernel reports as executed, pids, the root of /proc. Out: a [`Process`] as
//! an alert shows it.
//! The decision held here: /proc is read as soon as a program starts, since a scanner may be gone
//! by the time of its alert, and the result is kept beyond the process's end. A pid alone does not
//! identify a process: its start time must match. Nor does a process identify a program: what it
//! ran before is kept too, and /proc describes a program only if the kernel's number of it is still
//! the same afterwards. Which program sent is known from that number, or else not at all.

mod cgroup;
mod evict;
mod hierarchy;
mod image;
mod listener;
pub(crate) mod login;
mod lookup;
pub(crate) mod netns;
mod proc;
pub(crate) mod reader;
mod record;
mod served;
mod socket;
mod start;
mod text;
mod tool;
mod users;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use recon_common::process::FILENAME_LENGTH;
use recon_common::{ExecEvent, ImageId};
use serde::{Deserialize, Serialize};

use crate::diagnostic::visible;
use crate::drain::{Forks, ImageNumbers};

use hierarchy::Cgroups;
use image::{Image, is_of_process};
pub(crate) use listener::Listeners;
pub(crate) use lookup::Lookups;
use record::ProcessRecord;
pub(crate) use served::{ServedPorts, is_own};
pub use start::Start;
pub(crate) use tool::strip_exe;
use users::Users;

/// Processes that forked one after the other, whose program is looked for.
const MOST_FORKS: u32 = 4;
/// How long a record is trusted without a look at /proc: the kernel reuses a pid only after all
/// others, which takes longer. A scan brings thousands of rows of one process at once.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// A process, as far as it is known. All text is `visible`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The pid of the process that started it, or of its parent when it was first seen.
    pub parent: Option<u32>,
    /// Real user id, when it executed its program or was first seen.
    pub user: Option<u32>,
    /// The user's name on this host, unless the process is in a container.
    pub user_name: Option<String>,
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
    /// When it started. `None` if it was gone before it could be read.
    pub start: Option<Start>,
}

/// The processes of this host, also after their end, bounded in number. Most take up to 1 KiB each.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    proc_root: PathBuf,
    limit: usize,
    cgroups: Cgroups,
    images: ImageNumbers,
    forks: Forks,
    users: Users,
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
            images: ImageNumbers::uncounted(),
            forks: Forks::unrecorded(),
            users: Users::default(),
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

    /// Reads there which program a process runs, and who started it.
    #[must_use]
    pub(crate) fn with_images(mut self, images: ImageNumbers, forks: Forks) -> Self {
        self.images = images;
        self.forks = forks;
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
        let ImageId { pid, number } = ImageId::unpack(executed.image);
        let latest = self.forks.find(pid);
        let before = self.records.get(&pid);
        // Its numbers may come round.
        let is_known = before.is_some_and(|it| it.fork == latest && it.executed > 0);
        let fork = latest.filter(|&(child, _)| is_known || is_of_process(number, child));
        let found = proc::read_process(&self.proc_root, pid);
        // Else it is of a program that the process has executed since, or of a later process.
        let found = found.filter(|_| self.images.number(pid) == number && fork == latest);
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
        let is_there = found.is_some();
        let mut record = ProcessRecord::new(pid, found, membership, file);
        record.image.number = number;
        record.fork = fork;
        let process = &mut record.image.process;
        process.user = Some(executed.user);
        if is_there {
            self.name_user(process);
        }
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| visible(bytes));
        if process.name.is_none() {
            process.name = text(until_zero(&executed.name));
        }
        if process.executable.is_none() {
            process.executable = text(filename);
        }
        record.executed = 1;
        self.keep(record);
    }

    /// The process with that pid. An unknown one has only its pid; the kernel programs write 0 for
    /// an unknown pid.
    pub(crate) fn get(&mut self, pid: u32) -> Process {
        self.find(pid).cloned().unwrap_or(unknown(pid))
    }

    /// The process as it was when it ran that program.
    pub(crate) fn get_image(&mut self, sender: ImageId) -> Process {
        self.find_image(sender)
            .cloned()
            .unwrap_or(unknown(sender.pid))
    }

    /// The process with that pid, if anything is known of it.
    pub(crate) fn find(&mut self, pid: u32) -> Option<&Process> {
        self.record(pid).map(|record| &record.image.process)
    }

    /// The process as it was when it ran that program, if that is known.
    pub(crate) fn find_image(&mut self, sender: ImageId) -> Option<&Process> {
        self.image(sender).map(|image| &image.process)
    }

    /// Whether that program of a process has one of those names: by its executable's file name,
    /// by that of the executed file (for a script, the script's), or for an interpreter by the
    /// script or jar that it runs. A final `.exe` does not count, nor what follows the first `.` of
    /// a script or the first `-` or `.` of a jar. `argv[0]` does not count.
    pub(crate) fn is_tool(&mut self, sender: ImageId, names: &BTreeSet<String>) -> bool {
        self.image(sender)
            .is_some_and(|image| image.names.iter().any(|name| names.contains(name)))
    }

    /// How many known processes were evicted since the last call.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// What is known of that program of a process.
    fn image(&mut self, sender: ImageId) -> Option<&Image> {
        self.learn(sender, MOST_FORKS);
        self.records.get(&sender.pid)?.find_image(sender.number)
    }

    /// Learns what that program of a process is, also by up to so many processes before that never
    /// executed one.
    fn learn(&mut self, sender: ImageId, most_forks: u32) -> Option<()> {
        let ImageId { pid, number } = sender;
        let is_known = self.record(pid)?.find_image(number).is_some();
        // The event of its start is still to come, or was lost.
        if !is_known && self.images.number(pid) == number {
            self.read(pid);
        }
        let record = self.records.get(&pid)?;
        let is_described = |image: &Image| image.process.name.is_some();
        if record.find_image(number).is_some_and(is_described) {
            return Some(());
        }
        let (_, parent) = self.forks.find(pid).filter(|(child, _)| *child == sender)?;
        // It runs, or ran, what its parent ran.
        self.learn(parent, most_forks.checked_sub(1)?)?;
        let inherited = self.records.get(&parent.pid)?.find_image(parent.number);
        let inherited = inherited?.clone();
        self.records
            .get_mut(&pid)?
            .begin_as(sender, parent.pid, inherited);
        Some(())
    }

    /// The record of the process that has or last had that pid. Reads /proc if the record is of
    /// another one.
    fn record(&mut self, pid: u32) -> Option<&ProcessRecord> {
        if pid == 0 {
            return None;
        }
        let now = Instant::now();
        let fork = self.forks.find(pid);
        let is_same = self.records.get_mut(&pid).is_some_and(|record| {
            // A later process got the pid, and may be gone too.
            if fork.is_some() && fork != record.fork {
                return false;
            }
            if now.duration_since(record.checked) < self.trusted_for {
                return true;
            }
            record.checked = now;
            proc::read_stat(&self.proc_root, pid)
                .is_none_or(|stat| record.start == Some(stat.start))
        });
        if !is_same {
            self.read(pid);
        }
        self.uses += 1;
        let record = self.records.get_mut(&pid)?;
        record.used = self.uses;
        Some(record)
    }

    /// Reads what the process runs now.
    fn read(&mut self, pid: u32) {
        let before = self.images.number(pid);
        let fork = self.forks.find(pid);
        let found = proc::read_process(&self.proc_root, pid);
        let number = self.images.number(pid);
        // Else it may be of either program, or process.
        let found = found.filter(|_| number == before && fork == self.forks.find(pid));
        let membership = found
            .as_ref()
            .and_then(|found| found.cgroups.as_deref())
            .map(cgroup::membership_of_process)
            .unwrap_or_default();
        let is_there = found.is_some();
        let mut record = ProcessRecord::new(pid, found, membership, None);
        record.image.number = number;
        record.fork = fork;
        if is_there {
            record.image.process.user = proc::read_user(&self.proc_root, pid);
            self.name_user(&mut record.image.process);
        }
        self.keep(record);
    }

    fn keep(&mut self, mut record: ProcessRecord) {
        let pid = record.image.process.pid;
        // Once its parent has ended, /proc names another one.
        if let Some((_, parent)) = record.fork {
            record.image.process.parent = Some(parent.pid);
        }
        match self.records.remove(&pid) {
            Some(before) => record.inherit(before),
            None if self.records.len() >= self.limit => self.make_room(),
            None => {}
        }
        self.uses += 1;
        record.used = self.uses;
        self.records.insert(pid, record);
    }
}

/// A process of which only the id is known.
fn unknown(pid: u32) -> Process {
    Process {
        pid,
        ..Process::default()
    }
}

/// The bytes before the first 0.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}
