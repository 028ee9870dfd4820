//! The cost of a packet whose headers are copied to the ring of `--record`.
//!
//! In: a SYN. Out: lines as those of [`super::measure`], of the programs without `--record` and
//! with it.
//! The decision held here: every packet has a new source, since a source has few records in each
//! generation of the table, and the ring holds some thousand. So the runs are few, and the table
//! and the ring are emptied in between.

use std::os::fd::RawFd;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapData, RingBuf};
use recon_common::hit_header::RING;
use recon_user::drain::{Drain, Grace};
use recon_user::hook::Hooks;

use super::raw::{Caller, SourceEnd, time_few, with_new_sources};
use super::{ROUNDS, XDP, descriptor, load};

/// Packets between two polls: fewer records than half of the ring holds.
const RUNS: u32 = 4_000;
/// Polls in a round.
const BATCHES: u32 = 25;

/// The programs with or without `--record`, and what empties their maps.
struct Side {
    caller: Caller,
    drain: Drain,
    ring: RingBuf<MapData>,
    /// The maps must outlive the runs.
    _hooks: Hooks,
}

impl Side {
    fn load(is_recorded: bool, end: SourceEnd) -> Result<Self> {
        let mut hooks = load(is_recorded)?;
        let drain = Drain::open(hooks.ebpf(), Grace::detect())?;
        let ring = hooks.ebpf().take_map(RING).context(RING)?;
        let program: RawFd = descriptor(&mut hooks, XDP)?;
        Ok(Self {
            caller: with_new_sources(program, end)?,
            drain,
            ring: ring.try_into()?,
            _hooks: hooks,
        })
    }

    /// Nanoseconds per packet of a round, and the records that it left.
    fn run_round(&mut self, frame: &[u8]) -> Result<(f64, u32)> {
        let (mut sum, mut records) = (0, 0);
        for _ in 0..BATCHES {
            sum += time_few(self.caller.program(), frame, RUNS)?;
            while self.ring.next().is_some() {
                records += 1;
            }
            self.drain.poll(|_, _, _| {})?;
        }
        Ok((f64::from(sum) / f64::from(BATCHES), records))
    }
}

/// Prints two lines for each round: without `--record`, and with it.
pub(crate) fn measure_copies(
    baseline: RawFd,
    what: &str,
    frame: &[u8],
    end: SourceEnd,
) -> Result<()> {
    /// Of a hundred packets. Sources that share a slot take turns.
    const FEWEST: u32 = 97;
    let changing = with_new_sources(baseline, end)?;
    let mut sides = [Side::load(false, end)?, Side::load(true, end)?];
    for _ in 0..ROUNDS {
        let passing = time_few(baseline, frame, BATCHES * RUNS)?;
        let change = time_few(changing.program(), frame, BATCHES * RUNS)?;
        let change = f64::from(change) - f64::from(passing);
        for (side, name) in sides.iter_mut().zip(["", ", with --record"]) {
            let (figure, records) = side.run_round(frame)?;
            let copied = records * 100 / (BATCHES * RUNS);
            // A program that copies nothing would look fast.
            let is_expected = if name.is_empty() {
                copied == 0
            } else {
                copied >= FEWEST
            };
            ensure!(is_expected, "{what}{name}: {records} records");
            println!("{what}{name}\t{passing}\t{}", figure - change);
        }
    }
    Ok(())
}
