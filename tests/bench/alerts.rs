//! What an alert costs: findings made lines and handed through the sink to a reader, against write(2) of the same lines.
//!
//! In: nothing. Out: on stdout a line for each round of each reader: what it is, nanoseconds an alert by write(2) and by recon, and how many a
//! second recon so writes, between tabs. `cargo xtask bench` starts it and makes a table of it.
//! The decision held here: as many alerts as one poll may bring before the sink drops some; a round ends when the last of them is written, and
//! read where somebody reads. The findings are those of a flood, which names no process.

mod flood;
mod judging;

use std::fs::File;
use std::io::{self, PipeReader, Write as _};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use recon_user::alert;
use recon_user::incident::Notification;
use recon_user::sink::Sink;

/// Even, so that each side comes first as often as the other.
const ROUNDS: u32 = 20;
/// What the sink's queue holds.
const ALERTS: usize = 4096;
/// SYNs of a source: over all thresholds that count them, so that a source is found by several rules.
const SYNS: u64 = 1000;

#[derive(Clone, Copy)]
enum Reader {
    /// /dev/null.
    Nobody,
    /// A thread at the other end of a pipe.
    Thread,
}

/// As many findings as there are alerts.
fn notifications() -> Result<Vec<Notification>> {
    let interval = judging::interval(0);
    let mut pipeline = judging::pipeline();
    for source in 0..ALERTS as u32 {
        judging::push(&mut pipeline, &flood::key(source), SYNS, interval);
    }
    let mut findings = pipeline.end_poll_unlimited(interval, false);
    findings.truncate(ALERTS);
    ensure!(findings.len() == ALERTS, "{} findings", findings.len());
    let notifications = findings.into_iter().map(|finding| Notification {
        finding,
        suppressed: None,
    });
    Ok(notifications.collect())
}

/// Nanoseconds an alert of `write`, which gets a file to write to.
fn time(reader: Reader, write: impl FnOnce(File) -> Result<()>) -> Result<f64> {
    let (file, read) = match reader {
        Reader::Nobody => (File::options().write(true).open("/dev/null")?, None),
        Reader::Thread => {
            let (reader, writer) = io::pipe()?;
            let read = thread::spawn(move || read_all(reader));
            (File::from(OwnedFd::from(writer)), Some(read))
        }
    };
    let begin = Instant::now();
    write(file)?;
    if let Some(read) = read {
        read.join().map_err(|_| anyhow!("the reader panicked"))??;
    }
    Ok(begin.elapsed().as_nanos() as f64 / ALERTS as f64)
}

fn read_all(mut reader: PipeReader) -> io::Result<u64> {
    io::copy(&mut reader, &mut io::sink())
}

fn by_recon(notifications: &[Notification], file: &File) -> Result<()> {
    let mut sink = Sink::new(file)?;
    for notification in notifications {
        sink.write(alert::line(notification, judging::HOST, &[])?);
    }
    let written = sink.finish();
    ensure!(written.dropped == 0, "{written:?}");
    Ok(())
}

fn main() -> Result<()> {
    let notifications = notifications()?;
    let lines = notifications
        .iter()
        .map(|notification| alert::line(notification, judging::HOST, &[]));
    let lines: Vec<Vec<u8>> = lines.collect::<Result<_, _>>()?;
    for (what, reader) in [
        ("to /dev/null", Reader::Nobody),
        ("to a reader at a pipe", Reader::Thread),
    ] {
        let by_write = || {
            time(reader, |mut file| {
                let mut lines = lines.iter();
                Ok(lines.try_for_each(|line| file.write_all(line))?)
            })
        };
        let by_recon = || time(reader, |file| by_recon(&notifications, &file));
        for round in 0..ROUNDS {
            let (written, told) = if round % 2 == 0 {
                let written = by_write()?;
                (written, by_recon()?)
            } else {
                let told = by_recon()?;
                (by_write()?, told)
            };
            println!("{what}\t{written}\t{told}\trate={} alerts/s", 1e9 / told);
        }
    }
    Ok(())
}
