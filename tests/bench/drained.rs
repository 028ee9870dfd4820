//! A kernel's table that is filled and drained again and again.
//!
//! In: how many entries. Out: the processor time of draining them, by this thread: the wait for
//! programs that are still running, some milliseconds a poll, uses none.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use recon_common::Key;
use recon_common::table::TABLE_ENTRIES;
use recon_tests::usage::own_cpu_time;
use recon_user::drain::{Drain, Grace};
use recon_user::hook::{Hooks, Netns, Pins, ProgramOptions};

use super::flood;

pub(crate) const ROUNDS: u32 = 5;
/// Label, entries, and the capacity of the table: the default, and what the largest size needs.
pub(crate) const SIZES: [(&str, u32, u32); 3] = [
    ("10,000 entries", 10_000, TABLE_ENTRIES),
    ("100,000 entries", 100_000, TABLE_ENTRIES),
    ("1,000,000 entries", 1_000_000, 1 << 20),
];
const GENERATIONS: [&str; 2] = ["COUNTS_0", "COUNTS_1"];
/// The words of a [`Key`], in the kernel's order: aya accepts arrays of numbers, but not a foreign
/// type.
type Words = [u32; 10];
pub(crate) type Table = HashMap<MapData, Words, u64>;

pub(crate) struct Drained {
    drain: Drain,
    generations: [Table; 2],
    /// The number of polls. Each makes the other generation live.
    polls: usize,
}

impl Drained {
    /// A table with room for so many entries. With `pins`, polls have two phases.
    pub(crate) fn new(room: u32, pins: Option<Pins>) -> Result<Self> {
        let options = ProgramOptions {
            table_entries: room,
            netns: Netns::Watched,
            kernel_log: false,
            dns_names: false,
            record: None,
        };
        let mut hooks = Hooks::load_pinned(options, pins)?;
        let [first, second] = GENERATIONS;
        let generations = [open(hooks.ebpf(), first)?, open(hooks.ebpf(), second)?];
        Ok(Self {
            drain: hooks.open_drain(Grace::detect(), None)?,
            generations,
            polls: 0,
        })
    }

    /// Fills the live table.
    pub(crate) fn fill(&mut self, entries: u32) -> Result<&Table> {
        let live = self.polls % GENERATIONS.len();
        for source in 0..entries {
            self.generations[live].insert(words(&flood::key(source)), 1, 0)?;
        }
        Ok(&self.generations[live])
    }

    /// Polls until so many entries arrive: at the next poll or, if a generation is drained one poll
    /// later, at the one after.
    pub(crate) fn poll(&mut self, entries: u32) -> Result<Duration> {
        loop {
            let begin = own_cpu_time()?;
            let tally = self.drain.poll(|key, count, _| {
                black_box((key, count));
            })?;
            self.drain.commit()?;
            let time = own_cpu_time()? - begin;
            self.polls += 1;
            if tally.keys > 0 {
                let count = tally.keys;
                ensure!(count == u64::from(entries), "{count} of {entries} entries");
                return Ok(time);
            }
        }
    }
}

/// Nanoseconds for each of the entries.
pub(crate) fn per_entry(time: Duration, entries: u32) -> f64 {
    time.as_nanos() as f64 / f64::from(entries)
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
