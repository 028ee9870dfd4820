//! Measures what it costs that a poll over pinned maps reads first and empties after the commit:
//! against a poll that does both at once.
//!
//! In: nothing. Out: on stdout, a line for each round of each size, separated by tabs: the size,
//! and the nanoseconds per entry of one phase and of two. `cargo xtask bench` runs this and formats
//! a table.
//! The decision held here: both sides have a table of the same size, filled alike, in turn. The
//! journal is no part of it: that is `--state`, with pins or without.

mod drained;
mod flood;

use anyhow::Result;
use recon_tests::pins::Bpffs;
use recon_user::hook::open_pins;

use drained::{Drained, ROUNDS, SIZES, per_entry};

fn main() -> Result<()> {
    for (what, entries, room) in SIZES {
        let bpffs = Bpffs::mount()?;
        let pins = open_pins(Some(&bpffs.pins()), room)?;
        let mut sides = [Drained::new(room, None)?, Drained::new(room, pins)?];
        for round in 0..ROUNDS {
            let mut figures = [0.0; 2];
            let second_first = usize::from(round % 2 == 1);
            for side in [second_first, 1 - second_first] {
                sides[side].fill(entries)?;
                figures[side] = per_entry(sides[side].poll(entries)?, entries);
            }
            let [one, two] = figures;
            println!("{what}\t{one}\t{two}");
        }
    }
    Ok(())
}
