//! Measures the cost of an alert: findings serialized to lines and written through the sink to a
//! reader, against write(2) of the same lines.
//!
//! In: nothing. Out: on stdout, a line for each round of each reader, separated by tabs: the
//! reader, the nanoseconds per alert with write(2) and with recon, and the alerts per second of
//! recon. `cargo xtask bench` runs this and formats a table.
//! The decisions held here: lines are gathered for the sink as in the agent, which hands on those
//! of a poll together. A round has as many alerts as one poll may bring before the sink drops any.
//! It ends when the last alert is written and, if there is a reader, read. The findings are those
//! of a flood, which names no process.

mod driver;
mod flood;

use std::fs::File;
use std::io::{self, PipeReader, Write as _};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use recon_user::alert::AlertLines;
use recon_user::incident::Notification;
use recon_user::sink::{GatheredLines, Sink};

/// Even, so that each side comes first equally often.
const ROUNDS: u32 = 20;
/// The capacity of the sink's queue.
const ALERTS: usize = 4096;
/// SYNs of each source: over every threshold that counts them, so that several rules report a
/// source.
const SYNS: u64 = 1000;

#[derive(Clone, Copy)]
enum Reader {
    /// /dev/null.
    Nobody,
    /// A thread at the other end of a pipe.
    Thread,
}

/// Findings for `ALERTS` alerts.
fn notifications() -> Result<Vec<Notification>> {
    let interval = driver::interval(0);
    let mut pipeline = driver::pipeline();
    for source in 0..ALERTS as u32 {
        driver::push(&mut pipeline, &flood::key(source), SYNS, interval);
    }
    let mut findings = pipeline.end_poll_unlimited(interval, false);
    findings.truncate(ALERTS);
    ensure!(findings.len() == ALERTS, "{} findings", findings.len());
    let findings = findings.into_iter().map(Box::new);
    Ok(findings.map(Notification::Found).collect())
}

/// Nanoseconds per alert that `write` takes. `write` gets the file to write to.
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
    let mut lines = AlertLines::of(driver::HOST);
    let mut gathered = GatheredLines::default();
    for notification in notifications {
        gathered.add(lines.notification(notification, &[])?);
        if gathered.is_full() {
            hand_on(&mut gathered, &mut sink);
        }
    }
    hand_on(&mut gathered, &mut sink);
    let written = sink.finish();
    ensure!(written.dropped == 0, "{written:?}");
    Ok(())
}

fn hand_on(gathered: &mut GatheredLines, sink: &mut Sink) {
    if let Some((bytes, lines)) = gathered.take() {
        sink.write_lines(bytes, lines);
    }
}

fn main() -> Result<()> {
    let notifications = notifications()?;
    let mut numbered = AlertLines::of(driver::HOST);
    let lines = notifications
        .iter()
        .map(|notification| Ok(numbered.notification(notification, &[])?.to_vec()));
    let lines: Vec<Vec<u8>> = lines.collect::<Result<_>>()?;
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
            let (write_time, recon_time) = if round % 2 == 0 {
                let written = by_write()?;
                (written, by_recon()?)
            } else {
                let recon = by_recon()?;
                (by_write()?, recon)
            };
            println!(
                "{what}\t{write_time}\t{recon_time}\trate={} alerts/s",
                1e9 / recon_time
            );
        }
    }
    Ok(())
}
