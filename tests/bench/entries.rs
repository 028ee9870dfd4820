//! Measures the cost of draining an entry: the agent's batches, against a walk over the same table.
//!
//! In: nothing. Out: on stdout, a line for each round of each size, separated by tabs: the size,
//! and the nanoseconds per entry of the walk and of the batches. `cargo xtask bench` runs this and
//! formats a table.
//! The decisions held here: the walk is what aya offers, one system call for the next key and one
//! for its value. It does not empty the table, so it is the least that an agent without batches
//! does. The table is filled again for each side, in turn. A figure is the CPU time of this thread:
//! the wait for programs that are still running, some milliseconds a poll, uses no CPU.

mod flood;

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use recon_common::Key;
use recon_common::table::TABLE_ENTRIES;
use recon_tests::usage::own_cpu_time;
use recon_user::drain::{Drain, Grace};
use recon_user::hook::{Hooks, Netns};

const ROUNDS: u32 = 5;
/// Label, entries, and the capacity of the table: the default, and what the largest size needs.
const SIZES: [(&str, u32, u32); 3] = [
    ("10,000 entries", 10_000, TABLE_ENTRIES),
    ("100,000 entries", 100_000, TABLE_ENTRIES),
    ("1,000,000 entries", 1_000_000, 1 << 20),
];
const GENERATIONS: [&str; 2] = ["COUNTS_0", "COUNTS_1"];
/// The words of a [`Key`], in the kernel's order: aya accepts arrays of numbers, but not a foreign
/// type.
type Words = [u32; 10];
type Table = HashMap<MapData, Words, u64>;

struct Bench {
    drain: Drain,
    generations: [Table; 2],
    /// The number of polls. Each makes the other generation live.
    polls: usize,
}

impl Bench {
    fn new(room: u32) -> Result<Self> {
        let mut hooks = Hooks::load(room, Netns::Watched)?;
        let [first, second] = GENERATIONS;
        let generations = [open(hooks.ebpf(), first)?, open(hooks.ebpf(), second)?];
        Ok(Self {
            drain: Drain::open(hooks.ebpf(), Grace::detect())?,
            generations,
            polls: 0,
        })
    }

    /// Nanoseconds per entry.
    fn measure(&mut self, entries: u32, in_batches: bool) -> Result<f64> {
        self.fill(entries)?;
        let walked = match in_batches {
            true => None,
            false => Some(walk(&self.generations[self.live()])?),
        };
        // Empties the table, whichever side is measured.
        let drained = self.poll()?;
        let (count, time) = walked.unwrap_or(drained);
        ensure!(count == u64::from(entries), "{count} of {entries} entries");
        Ok(time.as_nanos() as f64 / f64::from(entries))
    }

    fn live(&self) -> usize {
        self.polls % GENERATIONS.len()
    }

    fn fill(&mut self, entries: u32) -> Result<()> {
        let live = self.live();
        for source in 0..entries {
            self.generations[live].insert(words(&flood::key(source)), 1, 0)?;
        }
        Ok(())
    }

    /// Polls until the entries of the table arrive: at the next poll or, if a generation is drained
    /// one poll later, at the one after.
    fn poll(&mut self) -> Result<(u64, Duration)> {
        loop {
            let begin = own_cpu_time()?;
            let tally = self.drain.poll(|key, count, _| {
                black_box((key, count));
            })?;
            let time = own_cpu_time()? - begin;
            self.polls += 1;
            if tally.keys > 0 {
                return Ok((tally.keys, time));
            }
        }
    }
}

/// A second handle to a map that the drain owns.
fn open(ebpf: &Ebpf, name: &str) -> Result<Table> {
    let map = ebpf.map(name).with_context(|| name.to_owned())?;
    let Map::HashMap(data) = map else {
        bail!("{name} is no hash map");
    };
    let again = MapData::from_id(data.info()?.id())?;
    Ok(Table::try_from(Map::HashMap(again))?)
}

fn words(key: &Key) -> Words {
    let [a, b, c, d] = key.remote.words();
    let [e, f, g, h] = key.local.words();
    let [high, low] = key.port.to_ne_bytes();
    let last = u32::from_ne_bytes([high, low, key.signal, key.tool]);
    [a, b, c, d, e, f, g, h, key.detail, last]
}

/// Reads all entries one by one.
fn walk(table: &Table) -> Result<(u64, Duration)> {
    let begin = own_cpu_time()?;
    let mut entries = 0;
    for entry in table.iter() {
        black_box(entry?);
        entries += 1;
    }
    Ok((entries, own_cpu_time()? - begin))
}

fn main() -> Result<()> {
    for (what, entries, room) in SIZES {
        let mut bench = Bench::new(room)?;
        for round in 0..ROUNDS {
            let mut figures = [0.0; 2];
            let with_first = usize::from(round % 2 == 1);
            for with in [with_first, 1 - with_first] {
                figures[with] = bench.measure(entries, with == 1)?;
            }
            let [walked, drained] = figures;
            println!("{what}\t{walked}\t{drained}");
        }
    }
    Ok(())
}
