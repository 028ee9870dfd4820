//! A disk that hangs: a file system on which every write waits, as a folder of NFS whose server has
//! gone. Polls, alerts and reloads go on, and what waits is written once the disk is back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::process::{run, shell};
use recon_tests::scan::{PORTS, SIGNALS_PER_PORT, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE, mounts};

use super::{INTERVAL, ensure_nothing_attached};

/// An ext4 in a file, mounted for this thread and what it starts. Dropping it unmounts it.
struct Disk {
    lab: Lab,
    at: PathBuf,
}

/// A disk that hangs. Dropping it lets it go on: whoever waits for it can't even be killed.
struct Frozen<'a>(&'a Disk);

impl Disk {
    fn mount(lab: Lab, folder: &Path) -> Result<Self> {
        let [image, at] = ["image", "disk"].map(|name| folder.join(name));
        fs::create_dir(&at)?;
        mounts::enter()?;
        let disk = Self { lab, at };
        let at = disk.at.display();
        let image = image.display();
        disk.run(&format!(
            "truncate -s 16M {image} && mkfs.ext4 -q {image} && mount -o loop {image} {at}"
        ))?;
        Ok(disk)
    }

    fn run(&self, line: &str) -> Result<String> {
        run(self.lab.host(), shell(line), PATIENCE)?.success()
    }

    fn freeze(&self) -> Result<Frozen<'_>> {
        let frozen = Frozen(self);
        self.run(&format!("fsfreeze -f {}", self.at.display()))?;
        Ok(frozen)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&format!("fsfreeze -u {}", self.0.at.display()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.run(&format!("umount -l {}", self.at.display()));
    }
}

#[test]
fn a_disk_that_hangs_stops_no_poll() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = Disk::mount(Lab::new()?, folder.path())?;
    let rows = disk.at.join("rows");
    let agent = Agent::start(
        &disk.lab,
        &format!("{INTERVAL} --events {}", rows.display()),
    )?;
    scan(&disk.lab, PORTS)?;
    ensure_alert(&agent)?;
    agent.wait_drained(SIGNALS_PER_PORT * PORTS.len() as u64)?;
    // The next look finds that it has to be made anew, which waits.
    fs::rename(&rows, disk.at.join("rows.1"))?;
    let frozen = disk.freeze()?;
    let before = agent.seen().polls;
    scan(&disk.lab, 3000..3030)?;
    agent.wait_drained(SIGNALS_PER_PORT * (PORTS.len() as u64 + 30))?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the reload", |seen| {
        seen.has_logged("reload: nothing has changed").then_some(())
    })?;
    for _ in 0..10 {
        agent.wait_poll()?;
    }
    ensure!(agent.seen().polls >= before + 10);
    drop(frozen);
    agent.wait_for("the file opened again", |seen| {
        seen.has_logged("opened again").then_some(())
    })?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    for says in ["events_dropped=0", " missed_polls=0"] {
        ensure!(stopped.seen.has_logged(says), "{says}: {}", stopped.seen);
    }
    let mut ports = 0;
    for file in ["rows", "rows.1"] {
        let text = fs::read_to_string(disk.at.join(file))?;
        let rows = text.lines().filter(|line| line.contains("\"SYN\""));
        ports += rows.count();
    }
    ensure!(ports == PORTS.len() + 30, "{ports} rows: {}", stopped.seen);
    ensure_nothing_attached(&disk.lab)
}
