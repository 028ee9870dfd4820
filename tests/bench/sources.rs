//! What a row costs as the sources grow in number: a flood of one-packet sources under the rules that are there by themselves.
//!
//! In: nothing. Out: on stdout a line for each round of each number of sources: what it is, nanoseconds a row with the least number and with
//! this one, and the most memory that it took, between tabs. `cargo xtask bench` starts it and makes a table of it.
//! The decisions held here: every row is of a source not seen before, in polls as large as the kernel's table; few sources are shown to a
//! new judge again and again, so that a clock has something to measure. Each number has a process of its own, whose memory nobody
//! else has grown.

mod flood;
mod judging;

use std::env;
use std::hint::black_box;
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_common::Key;
use recon_common::table::TABLE_ENTRIES;
use recon_tests::usage::{own_cpu_time, peak_memory};

const ROUNDS: u32 = 3;
/// What one measurement sees at least.
const LEAST_ROWS: u32 = 200_000;
/// Ascending. Millions take minutes, in which noise evens out: once is enough.
const SIZES: [Size; 5] = [
    Size::new("1,000 sources", 1_000, ROUNDS),
    Size::new("10,000 sources", 10_000, ROUNDS),
    Size::new("100,000 sources", 100_000, ROUNDS),
    Size::new("1,000,000 sources", 1_000_000, 1),
    Size::new("10,000,000 sources", 10_000_000, 1),
];

/// A number of sources.
struct Size {
    what: &'static str,
    sources: u32,
    rounds: u32,
}

impl Size {
    const fn new(what: &'static str, sources: u32, rounds: u32) -> Self {
        Self {
            what,
            sources,
            rounds,
        }
    }
}

/// Shows a new judge so many sources, and returns what that takes.
fn judge_all(sources: u32) -> Result<Duration> {
    let mut pipeline = judging::pipeline();
    let mut time = Duration::ZERO;
    for (poll, first) in (0..sources).step_by(TABLE_ENTRIES as usize).enumerate() {
        let last = sources.min(first + TABLE_ENTRIES);
        let keys: Vec<Key> = (first..last).map(flood::key).collect();
        let interval = judging::interval(poll as u32);
        let begin = own_cpu_time()?;
        for key in &keys {
            judging::push(&mut pipeline, key, 1, interval);
        }
        black_box(pipeline.end_poll_unlimited(interval, false));
        time += own_cpu_time()? - begin;
    }
    Ok(time)
}

/// Prints nanoseconds a row, and the process's peak of memory in megabytes.
fn measure(sources: u32) -> Result<()> {
    let repeat = LEAST_ROWS.div_ceil(sources);
    let mut time = Duration::ZERO;
    for _ in 0..repeat {
        time += judge_all(sources)?;
    }
    let row = time.as_nanos() as f64 / f64::from(sources * repeat);
    println!("{row}\t{}", peak_memory(process::id())? as f64 / 1e6);
    Ok(())
}

/// The same in a process of its own.
fn measured(sources: u32) -> Result<(f64, f64)> {
    let output = Command::new(env::current_exe()?)
        .arg(sources.to_string())
        .output()?;
    let figures = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{sources} sources: {output:?}");
    let (row, memory) = figures.trim().split_once('\t').context("two figures")?;
    Ok((row.parse()?, memory.parse()?))
}

fn main() -> Result<()> {
    if let Some(sources) = env::args().nth(1) {
        return measure(sources.parse()?);
    }
    let [least, ..] = &SIZES;
    for round in 0..ROUNDS {
        let (base, memory) = measured(least.sources)?;
        print(least, base, base, memory);
        for size in SIZES.iter().skip(1).filter(|size| round < size.rounds) {
            let (row, memory) = measured(size.sources)?;
            print(size, base, row, memory);
        }
    }
    Ok(())
}

/// Prints a round of a size: nanoseconds a row with the least number and with this one, megabytes.
fn print(size: &Size, base: f64, row: f64, memory: f64) {
    println!("{}\t{base}\t{row}\tpeak memory={memory} MB", size.what);
}
