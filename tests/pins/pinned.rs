//! A lab whose agents pin, with traffic that goes on while they come and go.
//!
//! In: frames with SYNs, sent by a thread. Out: how many were sent, and how many stand in the rows
//! of all agents together.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::frame::{Path, syn};
use recon_tests::hooks::{attached, attached_to_cgroup, most_programs};
use recon_tests::lab::HOST_LINK;
use recon_tests::pins::{Bpffs, ids_of_process, set_layout_revision, still_there};
use recon_tests::process::{Finished, run};
use recon_tests::{Agent, Lab, PATIENCE, Seen};
use serde_json::Value;
use tempfile::TempDir;

/// An address that the host forwards to but does not have.
pub(crate) const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));
const SOURCES: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
/// Few enough to have a key each.
const SOURCE_COUNT: u32 = 200;
const PORT: u16 = 2000;
/// Frames between two pauses of the traffic, which leave the processor to the agents.
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// The lab.
pub(crate) struct Pinned {
    pub(crate) lab: Lab,
    pub(crate) bpffs: Bpffs,
    folder: TempDir,
    frames: Vec<Vec<u8>>,
    sent: u64,
    /// Programs, maps and links of all agents.
    ids: BTreeSet<(&'static str, u32)>,
}

impl Pinned {
    pub(crate) fn new() -> Result<Self> {
        let lab = Lab::new()?;
        // Only the traffic crosses: IPv6 would send listener reports.
        lab.attacker().set("ipv6/conf/all/disable_ipv6", 1)?;
        let frames = (0..SOURCE_COUNT).map(|number| {
            let source = IpAddr::V4(Ipv4Addr::from(u32::from(SOURCES) + number));
            Path::new(source, TARGET).tcp(syn(PORT), &[])
        });
        Ok(Self {
            frames: frames.collect::<Result<_>>()?,
            lab,
            bpffs: Bpffs::mount()?,
            folder: TempDir::with_prefix("recon-pins-")?,
            sent: 0,
            ids: BTreeSet::new(),
        })
    }

    /// A file of the test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the only set of pins.
    pub(crate) fn set(&self) -> Result<PathBuf> {
        let mut sets = fs::read_dir(self.bpffs.pins())?;
        Ok(sets.next().context("a set of pins")??.path())
    }

    fn rows(&self) -> PathBuf {
        self.file("rows.jsonl")
    }

    /// `recon run` with pins, by that binary, or by the one under test.
    pub(crate) fn command(&self, binary: Option<&FilePath>, arguments: &str) -> Result<Command> {
        let mut command = recon("")?;
        if let Some(binary) = binary {
            command = Command::new(binary);
        }
        command.args(["run", "-vv", "-i", HOST_LINK, "--pins"]);
        command
            .arg(self.bpffs.pins())
            .arg("--events")
            .arg(self.rows());
        command.args(arguments.split_whitespace());
        if !arguments.contains("--rules") {
            command.args(["--profile", "source"]);
        }
        if !arguments.contains("--interval") {
            command.args(["--interval", "100ms"]);
        }
        if !arguments.contains("--cgroup") {
            command.args(self.lab.watched_sockets());
        }
        Ok(command)
    }

    /// Starts an agent and waits until it watches.
    pub(crate) fn start(&mut self, arguments: &str) -> Result<Agent> {
        self.start_binary(None, arguments)
    }

    pub(crate) fn start_binary(
        &mut self,
        binary: Option<&FilePath>,
        arguments: &str,
    ) -> Result<Agent> {
        let command = self.command(binary, arguments)?;
        let agent = Agent::spawn(&self.lab, command, Stdio::piped())?;
        self.note_ids(&agent)?;
        Ok(agent)
    }

    /// Notes which programs and maps an agent has.
    pub(crate) fn note_ids(&mut self, agent: &Agent) -> Result<()> {
        self.ids.extend(ids_of_process(agent.pid())?);
        Ok(())
    }

    /// Runs `recon detach`.
    pub(crate) fn detach(&self) -> Result<Finished> {
        let mut command = recon("detach --pins")?;
        command.arg(self.bpffs.pins());
        run(self.lab.host(), command, PATIENCE)
    }

    /// Sends the frames of the traffic once.
    pub(crate) fn send_once(&mut self) -> Result<()> {
        self.send_frames(&self.frames.clone())
    }

    /// Sends these frames, too.
    pub(crate) fn send_frames(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        let sender = self.lab.sender()?;
        frames.iter().try_for_each(|frame| sender.send(frame))?;
        self.sent += frames.len() as u64;
        Ok(())
    }

    /// Adds frames to the traffic, one to each burst.
    pub(crate) fn mix_into_traffic(&mut self, added: Vec<Vec<u8>>) {
        let mut usual = self.frames.clone().into_iter().cycle();
        let mixed = added.into_iter().flat_map(|frame| {
            let usual: Vec<_> = usual.by_ref().take(BURST - 1).collect();
            std::iter::once(frame).chain(usual)
        });
        self.frames = mixed.collect();
    }

    /// Sends while `work` runs.
    pub(crate) fn under_traffic<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let sender = self.lab.sender()?;
        let frames = self.frames.clone();
        let ends = AtomicBool::new(false);
        let (result, sent) = thread::scope(|scope| {
            let traffic = scope.spawn(|| -> Result<u64> {
                let mut sent = 0;
                for burst in frames.chunks(BURST).cycle() {
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    burst.iter().try_for_each(|frame| sender.send(frame))?;
                    sent += burst.len() as u64;
                    thread::sleep(PAUSE);
                }
                Ok(sent)
            });
            let result = work(self);
            ends.store(true, Ordering::Relaxed);
            let sent = traffic.join().map_err(|_| anyhow!("the sender panicked"));
            (result, sent)
        });
        self.sent += sent??;
        result
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many stand in the rows of all agents. The last line of one that is killed may be torn.
    pub(crate) fn counted(&self) -> Result<u64> {
        let text = fs::read_to_string(self.rows())?;
        let rows = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let of_traffic = |row: &Value| {
            row["ActionType"] == "SYN"
                && row["LocalIP"] == TARGET.to_string()
                && row["RemoteIP"] != Value::Null
        };
        let counts = rows.filter(of_traffic);
        counts
            .map(|row| row["Count"].as_u64().with_context(|| row.to_string()))
            .sum()
    }

    /// Waits until as many are counted as were sent, and fails if there are more.
    pub(crate) fn ensure_all_counted(&self, agent: &Agent) -> Result<()> {
        self.ensure_counted(agent, 0)
    }

    /// The same, with so many more that something else has sent.
    pub(crate) fn ensure_counted(&self, agent: &Agent, more: u64) -> Result<()> {
        let sent = self.sent + more;
        let end = Instant::now() + PATIENCE;
        while self.counted()? < sent && Instant::now() < end {
            agent.wait_poll()?;
        }
        // Another one would show what counts twice.
        agent.wait_poll()?;
        let counted = self.counted()?;
        ensure!(
            counted == sent,
            "{sent} sent, {counted} counted\n{}",
            agent.seen()
        );
        Ok(())
    }

    /// Fails if a hook has a second program.
    pub(crate) fn ensure_one_program(&self) -> Result<()> {
        let most = most_programs(&self.lab)?;
        ensure!(most == 1, "{most} programs on a hook");
        Ok(())
    }

    /// Ends the last agent and detaches. Fails if anything is left.
    pub(crate) fn finish(&self, agent: Agent) -> Result<()> {
        stop(agent)?;
        self.detach()?.success()?;
        self.ensure_nothing_left()?;
        let left = [attached(&self.lab)?, attached_to_cgroup(&self.lab)?].concat();
        ensure!(left.is_empty(), "still attached: {left:?}");
        Ok(())
    }

    /// Fails if a program, a map or a link of any agent is still in the kernel.
    pub(crate) fn ensure_nothing_left(&self) -> Result<()> {
        let pinned = self.bpffs.pinned();
        ensure!(pinned.is_empty(), "still pinned: {pinned:?}");
        ensure!(!self.bpffs.pins().exists(), "the folder is there");
        // The kernel frees a program after a grace period.
        let end = Instant::now() + PATIENCE;
        loop {
            let left = still_there(&self.ids)?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "still in the kernel: {left:?}");
            thread::yield_now();
        }
    }
}

/// Kills an agent when it has just committed a poll.
pub(crate) fn kill(agent: Agent) -> Result<Seen> {
    let committed = |seen: &Seen| {
        let mut lines = seen.log.iter();
        lines.rfind(|line| line.contains("committed what")).cloned()
    };
    let before = committed(&agent.seen());
    agent.wait_for("a commit", |seen| {
        let now = committed(seen);
        (now.is_some() && now != before).then_some(())
    })?;
    agent.signal(Signal::SIGKILL)?;
    Ok(agent.wait()?.seen)
}

/// Ends an agent in order.
pub(crate) fn stop(agent: Agent) -> Result<Seen> {
    let stopped = agent.stop()?;
    ensure!(
        stopped.status.success(),
        "{}\n{}",
        stopped.status,
        stopped.seen
    );
    Ok(stopped.seen)
}

/// Ends an agent; every other one is killed.
pub(crate) fn end(agent: Agent, number: usize) -> Result<Seen> {
    match number % 2 {
        0 => kill(agent),
        _ => stop(agent),
    }
}

/// A copy of the binary, with other digits of the layout's revision.
pub(crate) fn copy_binary(
    pinned: &Pinned,
    name: &str,
    revision: Option<&[u8; 3]>,
) -> Result<PathBuf> {
    let source = recon("")?.get_program().to_owned();
    let mut bytes = fs::read(source)?;
    if let Some(revision) = revision {
        set_layout_revision(&mut bytes, revision)?;
    }
    let [written, path] = [format!("{name}.new"), name.to_owned()].map(|name| pinned.file(&name));
    fs::write(&written, bytes)?;
    fs::set_permissions(&written, fs::Permissions::from_mode(0o755))?;
    // A process that another thread starts meanwhile inherits this file's descriptor, and a file
    // that is open for writing can't be executed.
    let mut copy = Command::new("cp");
    copy.arg(&written).arg(&path);
    run(pinned.lab.host(), copy, PATIENCE)?.success()?;
    fs::remove_file(written)?;
    Ok(path)
}
