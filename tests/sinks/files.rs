//! Sinks to files: a full disk, rotation under load, and `kill -9`.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::scan::PORTS;
use recon_tests::{Lab, mounts};
use serde_json::Value;

use super::{Watched, lines};

/// A table of recon.toml for a sink that gets everything.
fn table(name: &str, path: &Path, more: &str) -> String {
    let path = path.display();
    format!("[sinks.{name}]\ntype = 'file'\npath = '{path}'\nlines = ['alerts', 'rows']\n{more}\n")
}

#[test]
fn a_full_disk_costs_lines_that_are_counted() -> Result<()> {
    const FULL: &str = "dropped so far";
    const AGAIN: &str = "can be written again";
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk");
    fs::create_dir(&disk)?;
    mounts::enter()?;
    mounts::mount_new("tmpfs", &disk, "size=64k")?;
    // One page is left.
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 60 << 10])?;
    let path = disk.join("lines.jsonl");
    let watched = Watched::start(Lab::new()?, folder.path(), &table("disk", &path, ""))?;
    watched.scan(PORTS)?;
    watched.wait_logged(FULL)?;
    let problem = watched.status()?["sinks"][1]["problem"].clone();
    ensure!(
        problem
            .as_str()
            .is_some_and(|it| it.contains("No space left")),
        "{problem}"
    );
    fs::remove_file(&filler)?;
    watched.scan(PORTS)?;
    watched.wait_logged(AGAIN)?;
    watched.scan(PORTS)?;
    watched.wait_empty("disk")?;
    let ended = watched.stop()?;
    let text = fs::read_to_string(&path)?;
    // What the full disk has cut off is a line of its own.
    let is_whole = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
    let whole: Vec<_> = text.lines().filter(is_whole).map(str::to_owned).collect();
    let torn = text.lines().filter(|line| !is_whole(line));
    ensure!(torn.count() <= 1, "{text}");
    let totals = ended.ensure_agrees("disk", &whole)?;
    ensure!(totals.dropped > 0 && totals.repeated == 0, "{totals:?}");
    for said in [FULL, AGAIN] {
        let log = ended.stopped.seen.log.iter();
        let count = log.filter(|line| line.contains(said)).count();
        ensure!(count == 1, "{count} times {said:?}: {}", ended.stopped.seen);
    }
    Ok(())
}

#[test]
fn a_file_is_rotated_under_load() -> Result<()> {
    const LIMIT: u64 = 64 << 10;
    const KEPT: usize = 2;
    let folder = tempfile::tempdir()?;
    let [all_kept, few_kept] = ["kept", "bounded"].map(|name| folder.path().join(name));
    let tables = table("kept", &all_kept, "rotate = '64KiB'\nkeep = 900")
        + &table(
            "bounded",
            &few_kept,
            &format!("rotate = '64KiB'\nkeep = {KEPT}"),
        );
    let watched = Watched::start(Lab::new()?, folder.path(), &tables)?;
    for start in (2000..6000).step_by(500) {
        watched.scan(start..start + 500)?;
    }
    let ended = watched.stop()?;
    let rotated = |path: &Path| -> Result<Vec<String>> {
        let name = |number: usize| match number {
            0 => path.to_owned(),
            number => path.with_extension(number.to_string()),
        };
        let files = (0..).map(name).take_while(|path| path.exists());
        let mut texts = Vec::new();
        for file in files {
            let length = fs::metadata(&file)?.len();
            ensure!(length <= LIMIT, "{}: {length} bytes", file.display());
            texts.push(fs::read_to_string(&file)?);
        }
        Ok(texts)
    };
    let mut texts = rotated(&all_kept)?;
    ensure!(texts.len() > 5, "{} files", texts.len());
    // From the oldest to the newest: nothing is out of order.
    texts.reverse();
    let received = lines(&texts.concat())?;
    ensure!(received == ended.sent, "the order");
    let totals = ended.ensure_agrees("kept", &received)?;
    ensure!(totals.dropped == 0, "{totals:?}");
    let texts = rotated(&few_kept)?;
    ensure!(texts.len() == KEPT + 1, "{} files", texts.len());
    ensure!(ended.totals("bounded")? == totals, "{totals:?}");
    Ok(())
}

/// What counts as written before the agent is killed is in the file.
#[test]
fn a_killed_agent_leaves_what_it_counts_as_written() -> Result<()> {
    const ROUNDS: u16 = 3;
    let folder = tempfile::tempdir()?;
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("safe.{round}"));
        let safe = table("safe", &path, "fsync = 'line'");
        let watched = Watched::start(Lab::new()?, folder.path(), &safe)?;
        watched.scan(PORTS)?;
        // Others are being written when it is killed.
        recon_tests::scan::scan(&watched.lab, 3000..3400)?;
        let counted = watched.wait_state("safe", "lines are written", |it| it.written > 0)?;
        watched.agent.signal(Signal::SIGKILL)?;
        watched.agent.wait()?;
        let text = fs::read_to_string(&path)?;
        let whole = text.matches('\n').count() as u64;
        ensure!(whole >= counted.written, "{whole} lines, {counted:?}");
    }
    Ok(())
}
