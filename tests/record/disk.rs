//! The room on the disk: recon keeps to its limit, and a disk that others fill costs files alone.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use recon_tests::mounts::{self, Mounted};
use recon_tests::{Lab, PATIENCE, Seen};

use super::{INTERVAL, PORTS, Recording, dump, file_of, files};

const UNLIMITED: &str = "[alerts]\nlines = \"unlimited\"\n[record]\nsize = \"1MiB\"\n";
/// Sources that scan: the files about them take more than a mebibyte.
const SCANNERS: u8 = 200;

#[test]
fn a_folder_keeps_to_its_size() -> Result<()> {
    const LIMIT: u64 = 1 << 20;
    let recording = Recording::start(UNLIMITED, INTERVAL)?;
    for last in 0..SCANNERS {
        recording.scan_from([203, 0, 113, last], PORTS)?;
    }
    let scans = |seen: &Seen| {
        let scans = seen.fired("port-scan", "distinct_ports");
        scans.filter_map(file_of).count()
    };
    recording.agent.wait_for("an alert about each", |seen| {
        (scans(seen) == usize::from(SCANNERS)).then_some(())
    })?;
    let folder = recording.folder();
    let stopped = recording.agent.stop()?;
    let sizes = files(&folder)?.into_iter().map(|file| {
        let size = fs::metadata(file)?.len();
        Ok(size.next_multiple_of(4096))
    });
    let sizes: Vec<u64> = sizes.collect::<Result<_>>()?;
    let sum: u64 = sizes.iter().sum();
    ensure!(sum <= LIMIT && sum > LIMIT / 2, "{sum}");
    let last = stopped.seen.alerts.iter().rev().find_map(file_of);
    ensure!(last.is_some_and(|file| file.exists()), "{}", stopped.seen);
    let log = stopped.seen.log.iter();
    let totals = log.rev().find(|line| line.contains("totals of record"));
    let totals = totals.context("no totals")?;
    ensure!(
        totals.contains("failed=0") && !totals.contains("evicted=0"),
        "{totals}"
    );
    Ok(())
}

/// What the log says, once until files are written again.
const FULL: &str = "No space left on device";
/// Sources in each part of the story of a full disk.
const FEW: u8 = 4;

/// A folder on a disk that somebody fills.
struct FilledDisk {
    /// Detached before the folder is deleted on which it is.
    _disk: Mounted,
    recording: Recording,
    /// Sources that have scanned.
    scanned: u8,
}

impl FilledDisk {
    fn start() -> Result<Self> {
        let root = tempfile::tempdir()?;
        mounts::enter()?;
        let disk = Mounted::new("tmpfs", root.path(), "size=256k")?;
        let recording = Recording::start_in(Lab::new()?, root, UNLIMITED, INTERVAL)?;
        Ok(Self {
            _disk: disk,
            recording,
            scanned: 0,
        })
    }

    /// Takes all room that is left.
    fn fill(&self) -> Result<()> {
        const BLOCK: [u8; 4096] = [0; 4096];
        let path = self.recording.root.path().join("fill");
        let mut fill = File::options().create(true).append(true).open(path)?;
        loop {
            match fill.write_all(&BLOCK) {
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                written => written?,
            }
        }
    }

    /// Lets [`FEW`] further sources scan, and waits for an alert about each. Returns the files that
    /// these name.
    fn scan(&mut self) -> Result<Vec<PathBuf>> {
        let sources = self.scanned..self.scanned + FEW;
        self.scanned += FEW;
        for last in sources.clone() {
            self.recording.scan_from([203, 0, 113, last], PORTS)?;
        }
        let all = usize::from(self.scanned);
        self.recording
            .agent
            .wait_for("an alert about each", |seen| {
                let scans: Vec<_> = seen.fired("port-scan", "distinct_ports").collect();
                let named = scans.iter().skip(all - usize::from(FEW));
                (scans.len() == all).then(|| named.filter_map(|alert| file_of(alert)).collect())
            })
    }

    /// Waits until the log has said so often that the disk is full, or that it no longer is.
    fn wait_logged(&self, text: &'static str, times: usize) -> Result<()> {
        self.recording.agent.wait_for(text, |seen| {
            let said = seen.log.iter().filter(|line| line.contains(text)).count();
            (said == times).then_some(())
        })
    }
}

/// Waits until all of these are there.
fn wait_written(named: &[PathBuf]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !named.iter().all(|file| file.exists()) {
        ensure!(Instant::now() < end, "{named:?}");
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn a_full_disk_costs_files_alone() -> Result<()> {
    const AGAIN: &str = "files are written again";
    let mut disk = FilledDisk::start()?;
    let folder = disk.recording.folder();
    // There is nothing to evict.
    disk.fill()?;
    disk.scan()?;
    disk.wait_logged(FULL, 1)?;
    ensure!(files(&folder)?.is_empty());
    // There is room again. No alert may name a file before one is written.
    fs::remove_file(disk.recording.root.path().join("fill"))?;
    disk.scan()?;
    disk.wait_logged(AGAIN, 1)?;
    let old = disk.scan()?;
    ensure!(old.len() == usize::from(FEW), "{old:?}");
    wait_written(&old)?;
    // The newest take the places of the oldest.
    let count = files(&folder)?.len();
    disk.fill()?;
    let new = disk.scan()?;
    ensure!(new.len() == usize::from(FEW), "{new:?}");
    wait_written(&new)?;
    let left = files(&folder)?;
    ensure!(left.len().abs_diff(count) <= 2, "{count}: {left:?}");
    // Deleting a file with another link frees nothing: no more than a place is given up for that.
    let other = disk.recording.root.path().join("linked");
    fs::create_dir(&other)?;
    disk.fill()?;
    for file in &left {
        fs::hard_link(file, other.join(file.file_name().context("a name")?))?;
    }
    disk.scan()?;
    disk.wait_logged(FULL, 2)?;
    disk.scan()?;
    let stopped = disk.recording.agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let kept = files(&folder)?;
    ensure!(kept.len() + 2 >= left.len(), "{left:?} {kept:?}");
    ensure!(kept.iter().all(|file| left.contains(file)), "{kept:?}");
    let said = stopped.seen.log.iter().filter(|line| line.contains(FULL));
    ensure!(said.count() == 2, "{}", stopped.seen);
    // Nothing is left of a file that did not fit.
    for file in kept {
        let packets = dump(&disk.recording.lab, &file)?;
        ensure!(!packets.is_empty(), "{}", file.display());
    }
    Ok(())
}
