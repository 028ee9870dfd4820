//! tcpdump on the host's end of the pair, and `recon replay` of what it writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::lab::HOST_LINK;
use recon_tests::program::locate;
use recon_tests::{Alert, Lab, Process, Seen};
use tempfile::{NamedTempFile, TempDir};

const DEADLINE: Duration = Duration::from_secs(60);

/// A tcpdump that writes.
pub(crate) struct Recording {
    process: Process,
    file: NamedTempFile,
    log: NamedTempFile,
}

impl Recording {
    /// Starts it, and waits until it captures.
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let (file, log) = (NamedTempFile::new()?, NamedTempFile::new()?);
        let mut command = Command::new(locate("tcpdump")?);
        command
            .args([
                "-n",
                "-U",
                "--immediate-mode",
                "-Z",
                "root",
                "-B",
                "65536",
                "-s",
                "2048",
                "-i",
                HOST_LINK,
            ])
            .arg("-w")
            .arg(file.path())
            .stderr(Stdio::from(log.reopen()?));
        let recording = Self {
            process: Process::spawn(lab.host(), command)?,
            file,
            log,
        };
        recording.wait_log("listening on")?;
        Ok(recording)
    }

    fn wait_log(&self, text: &str) -> Result<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            let log = fs::read_to_string(self.log.path())?;
            if log.contains(text) {
                return Ok(log);
            }
            ensure!(Instant::now() < end, "no {text:?}: {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it. All packets are in the file.
    pub(crate) fn stop(mut self) -> Result<NamedTempFile> {
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(DEADLINE)?;
        let log = self.wait_log("dropped by kernel")?;
        let number = |text: &str| {
            let line = log.lines().find(|line| line.ends_with(text));
            let number = line.and_then(|line| line.split(' ').next());
            number.and_then(|number| number.parse::<u64>().ok())
        };
        let [captured, received, dropped] = ["captured", "received by filter", "dropped by kernel"]
            .map(|text| number(&format!("packets {text}")));
        ensure!(captured == received && dropped == Some(0), "{log}");
        Ok(self.file)
    }
}

/// What a replay has written.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) code: Option<i32>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) log: String,
    /// All of stdout.
    pub(crate) lines: String,
}

/// `recon replay FILE ARGUMENTS`.
pub(crate) fn replay(file: &Path, arguments: &str) -> Result<Replayed> {
    let mut command = recon(&format!("replay {arguments}"))?;
    command.arg("--").arg(file);
    finish(command)
}

/// Runs a replay to its end.
pub(crate) fn finish(mut command: Command) -> Result<Replayed> {
    let folder = TempDir::new()?;
    let output = command
        .current_dir(folder.path())
        .output()
        .context("recon replay")?;
    let mut seen = Seen::default();
    let lines = String::from_utf8(output.stdout)?;
    for line in lines.lines() {
        seen.read_stdout(line);
    }
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if !seen.garbage.is_empty() {
        bail!("no alerts: {:?}\n{log}", seen.garbage);
    }
    Ok(Replayed {
        code: output.status.code(),
        alerts: seen.alerts,
        log,
        lines,
    })
}

/// Replays files from a folder of their own.
pub(crate) fn replay_files(files: &[Vec<u8>], arguments: &str) -> Result<Replayed> {
    let folder = TempDir::new()?;
    let mut command = recon(&format!("replay {arguments}"))?;
    for (number, bytes) in files.iter().enumerate() {
        let path: PathBuf = folder.path().join(format!("{number}.pcap"));
        fs::write(&path, bytes)?;
        command.arg(path);
    }
    finish(command)
}
