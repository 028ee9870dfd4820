//! Measures the cost of a row as the number of sources grows: a flood of one-packet sources under
//! the built-in rules.
//!
//! In: nothing. Out: on stdout, a line for each round of each number of sources, separated by tabs:
//! the label, the nanoseconds per row with the smallest number and with this number, and the peak
//! memory. `cargo xtask bench` runs this and formats a table.
//! The decisions held here:
//! - Every row has a new source, and polls are as large as the kernel's table. A poll without rows
//!   comes last: an attempt is settled in the poll after its own, so that a row costs the same work
//!   however few polls there are.
//! - Small numbers are repeated with new pipelines, so that there is enough time to measure. Each
//!   number has a process of its own, so that no other measurement has grown its memory.

mod driver;
mod flood;

use std::env;
use std::hint::black_box;
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_common::Key;
use recon_common::table::TABLE_ENTRIES;
use recon_tests::usage::{own_cpu_time, peak_memory};

const ROUNDS: u32 = 3;
/// The least number of rows in one measurement.
const LEAST_ROWS: u32 = 200_000;
/// Ascending. Millions take minutes, over which noise evens out, so one round is enough.
const SIZES: [Size; 5] = [
    Size::new("1,000 sources", 1_000, ROUNDS),
    Size::new("10,000 sources", 10_000, ROUNDS),
    Size::new("100,000 sources", 100_000, ROUNDS),
    Size::new("1,000,000 sources", 1_000_000, 1),
    Size::new("10,000,000 sources", 10_000_000, 1),
];

/// A number of sources to measure.
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

/// Pushes that many sources into a new pipeline and returns the CPU time.
fn push_sources(sources: u32) -> Result<Duration> {
    let mut pipeline = driver::pipeline();
    let mut time = Duration::ZERO;
    for poll in 0..=sources.div_ceil(TABLE_ENTRIES) {
        let first = sources.min(poll * TABLE_ENTRIES);
        let last = sources.min(first + TABLE_ENTRIES);
        let keys: Vec<Key> = (first..last).map(flood::key).collect();
        let interval = driver::interval(poll);
        let begin = own_cpu_time()?;
        for key in &keys {
            driver::push(&mut pipeline, key, 1, interval);
        }
        black_box(pipeline.end_poll_unlimited(interval, false));
        time += own_cpu_time()? - begin;
    }
    Ok(time)
}

/// Prints the nanoseconds per row and the peak memory of this process in megabytes.
fn measure(sources: u32) -> Result<()> {
    let repeat = LEAST_ROWS.div_ceil(sources);
    let mut time = Duration::ZERO;
    for _ in 0..repeat {
        time += push_sources(sources)?;
    }
    let row = time.as_nanos() as f64 / f64::from(sources * repeat);
    println!("{row}\t{}", peak_memory(process::id())? as f64 / 1e6);
    Ok(())
}

/// Runs [`measure`] in a process of its own.
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

/// Prints one round of a size: nanoseconds per row with the smallest number and with this one, and
/// megabytes.
fn print(size: &Size, base: f64, row: f64, memory: f64) {
    println!("{}\t{base}\t{row}\tpeak memory={memory} MB", size.what);
}
