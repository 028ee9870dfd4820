//! Measures the cost of draining an entry: the agent's batches, against a walk over the same table.
//!
//! In: nothing. Out: on stdout, a line for each round of each size, separated by tabs: the size,
//! and the nanoseconds per entry of the walk and of the batches. `cargo xtask bench` runs this and
//! formats a table.
//! The decisions held here: the walk is what aya offers, one system call for the next key and one
//! for its value. It does not empty the table, so it is the least that an agent without batches
//! does. The table is filled again for each side, in turn.

mod drained;
mod flood;

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::usage::own_cpu_time;

use drained::{Drained, ROUNDS, SIZES, Table, per_entry};

/// Nanoseconds per entry.
fn measure(drained: &mut Drained, entries: u32, in_batches: bool) -> Result<f64> {
    let table = drained.fill(entries)?;
    let walked = match in_batches {
        true => None,
        false => Some(walk(table, entries)?),
    };
    // Empties the table, whichever side is measured.
    let polled = drained.poll(entries)?;
    Ok(per_entry(walked.unwrap_or(polled), entries))
}

/// Reads all entries one by one.
fn walk(table: &Table, expected: u32) -> Result<Duration> {
    let begin = own_cpu_time()?;
    let mut entries = 0;
    for entry in table.iter() {
        black_box(entry?);
        entries += 1;
    }
    ensure!(entries == expected, "{entries} of {expected} entries");
    Ok(own_cpu_time()? - begin)
}

fn main() -> Result<()> {
    for (what, entries, room) in SIZES {
        let mut drained = Drained::new(room, None)?;
        for round in 0..ROUNDS {
            let mut figures = [0.0; 2];
            let with_first = usize::from(round % 2 == 1);
            for with in [with_first, 1 - with_first] {
                figures[with] = measure(&mut drained, entries, with == 1)?;
            }
            let [walked, drained] = figures;
            println!("{what}\t{walked}\t{drained}");
        }
    }
    Ok(())
}
