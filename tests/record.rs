//! `recon run --record`: the headers of the packets that an alert is about, as a file beside it.
//!
//! In: scans by real tools, payloads with a mark, floods. Out: a file that tcpdump and `recon
//! replay` read, in which the same scan is, and nothing of a payload unless that was asked for.
//! The decision held here: what a file has is held against what was sent, at each kind of hook.

#[path = "record/crowds.rs"]
mod crowds;
#[path = "record/disk.rs"]
mod disk;
#[path = "record/payloads.rs"]
mod payloads;
#[path = "record/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{self, syn};
use recon_tests::lab::HOST;
use recon_tests::process::run;
use recon_tests::program::locate;
use recon_tests::{Agent, Alert, Lab, PATIENCE};
use tempfile::TempDir;

const INTERVAL: &str = "--interval 100ms";
/// The agent's socket.
const SOCKET: &str = "control.sock";
/// One port more than the threshold of the port scan rule, some of which may be in the next poll.
const PORTS: u16 = 40;
const FIRST_PORT: u16 = 2000;

/// An agent that records.
struct Recording {
    lab: Lab,
    agent: Agent,
    root: TempDir,
}

impl Recording {
    fn start(settings: &str, arguments: &str) -> Result<Self> {
        Self::start_in(Lab::new()?, tempfile::tempdir()?, settings, arguments)
    }

    /// Starts one in that lab, with its files in that folder.
    fn start_in(lab: Lab, root: TempDir, settings: &str, arguments: &str) -> Result<Self> {
        let [config, folder, socket] =
            ["recon.toml", "evidence", SOCKET].map(|name| root.path().join(name));
        fs::write(&config, settings)?;
        let arguments = format!(
            "--config {} --record {} --control {} {arguments}",
            config.display(),
            folder.display(),
            socket.display()
        );
        let agent = Agent::start(&lab, &arguments)?;
        Ok(Self { lab, agent, root })
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("evidence")
    }

    /// The alert of a rule and measure, and its file once that is whole.
    fn evidence(&self, rule: &str, measure: &str) -> Result<(Alert, PathBuf)> {
        self.evidence_about(rule, measure, |_| true)
    }

    /// The same of the first such alert that is the wanted one.
    fn evidence_about(
        &self,
        rule: &str,
        measure: &str,
        is_wanted: impl Fn(&Alert) -> bool,
    ) -> Result<(Alert, PathBuf)> {
        let what = format!("{rule}/{measure} with a file");
        let alert = self.agent.wait_for(&what, |seen| {
            let mut fired = seen.fired(rule, measure);
            let has_file = |alert: &&Alert| file_of(alert).is_some() && is_wanted(alert);
            fired.find(has_file).cloned()
        })?;
        let file = file_of(&alert).context("no file")?;
        let end = Instant::now() + PATIENCE;
        while !file.exists() {
            ensure!(Instant::now() < end, "{}", file.display());
            std::thread::yield_now();
        }
        Ok((alert, file))
    }

    /// Sends a SYN to each of so many ports.
    fn scan_from(&self, source: [u8; 4], ports: u16) -> Result<()> {
        let sender = self.lab.sender()?;
        let path = frame::Path::new(source, HOST);
        for port in FIRST_PORT..FIRST_PORT + ports {
            sender.send(&path.tcp(syn(port), &[])?)?;
        }
        Ok(())
    }
}

/// The file that an alert names.
fn file_of(alert: &Alert) -> Option<PathBuf> {
    alert.text("recon.evidence.file").map(PathBuf::from)
}

/// The files of a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}

/// A line of tcpdump for each packet in a file.
fn dump(lab: &Lab, file: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(locate("tcpdump")?);
    command.args(["-n", "-r"]).arg(file);
    let text = run(lab.host(), command, PATIENCE)?.success()?;
    // What it says of the file itself.
    let packets = text
        .lines()
        .filter(|line| !line.starts_with("reading from file"));
    Ok(packets.map(str::to_owned).collect())
}

/// The ports to which those packets are SYNs, in their order.
fn probed_ports(packets: &[String]) -> Result<Vec<u16>> {
    let targets = packets.iter().filter_map(|line| {
        let (ends, _) = line.split_once(": Flags [S],")?;
        ends.rsplit('.').next()
    });
    let ports = targets.map(|port| port.parse().with_context(|| format!("{port}: {packets:?}")));
    ports.collect()
}

/// Whether a file has those bytes.
fn has(file: &Path, bytes: &[u8]) -> Result<bool> {
    let found = fs::read(file)?;
    Ok(found.windows(bytes.len()).any(|part| part == bytes))
}
