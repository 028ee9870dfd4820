//! Draining: exact counts of one interval out of the kernel's two generations.
//!
//! In: the maps that the programs fill. Out: each [`Key`] with its count since the last poll, once, and the counters' growth; and, as
//! they are started, programs ([`ExecEvents`]).
//! The decision held here: the kernel writes to the live generation; a poll makes the other one live, waits until no program
//! can still write to the old one ([`Grace`]), then reads and empties it in batches. No count is lost or doubled.

mod batch;
mod exec_events;
mod grace;
mod pending_connect;
mod recent;
mod shared_array;
mod sketches;

use std::io;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError, PerCpuArray};
use recon_common::{Counter, Key, Loss, Registers};
use thiserror::Error;

use batch::Batch;
pub use exec_events::ExecEvents;
pub use grace::Grace;
use pending_connect::PendingConnects;
use recent::RecentKeys;
pub(crate) use recent::slot_count as recent_slot_count;
use sketches::Sketches;

/// Why the counts could not be read.
#[derive(Debug, Error)]
pub enum DrainError {
    /// The kernel object lacks a map that this agent expects, or it has another type.
    #[error("the kernel object has no usable map {name}: agent and object are of different builds")]
    NoMap {
        /// The map's name.
        name: &'static str,
    },
    /// A map could not be read or written.
    #[error("map {name}: {reason}")]
    Map {
        /// The map's name.
        name: &'static str,
        /// What aya says.
        reason: MapError,
    },
    /// The kernel refused a batch.
    #[error("draining map {name} in batches: {reason}")]
    Batch {
        /// The map's name.
        name: &'static str,
        /// What the kernel says.
        reason: io::Error,
    },
    /// The grace period could not be waited for.
    #[error("membarrier: {0}")]
    Grace(io::Error),
    /// The kernel does not share the memory of a map.
    #[error("map {name} can't be mapped into memory: {reason}")]
    Shared {
        /// The map's name.
        name: &'static str,
        /// What the kernel says.
        reason: io::Error,
    },
    /// The ring of started programs can't be waited for.
    #[error("can't wait for the ring of started programs: {0}")]
    Ring(io::Error),
}

const COUNTS: [&str; 2] = ["COUNTS_0", "COUNTS_1"];
const GENERATION: &str = "GENERATION";
const COUNTERS: &str = "COUNTERS";
const PENDING_CONNECT: &str = "PENDING_CONNECT";
const KEYS: &str = "KEYS";
const SKETCHED: &str = "SKETCHED";
const RECENT: &str = "RECENT";

/// What one poll brought, beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that crossed an inbound hook.
    pub frames_in: u64,
    /// Frames that crossed an outbound hook.
    pub frames_out: u64,
    /// Sum of the counts of all rows.
    pub signals: u64,
    /// Of these, the signals of sources that got no key of their own.
    pub sketched: u64,
    /// How many rows there were.
    pub keys: u64,
    /// What could not be counted, by [`Loss`].
    pub lost: [u64; Loss::ALL.len()],
}

impl Tally {
    /// All losses together.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Whether the counts are a lower bound.
    #[must_use]
    pub fn is_lower_bound(&self) -> bool {
        let mut losses = Loss::ALL.into_iter().zip(self.lost);
        self.sketched > 0 || losses.any(|(loss, count)| loss.lowers_counts() && count > 0)
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        self.signals += other.signals;
        self.sketched += other.sketched;
        self.keys += other.keys;
        for (sum, lost) in self.lost.iter_mut().zip(other.lost) {
            *sum += lost;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            frames_in,
            frames_out,
            signals,
            sketched,
            keys,
            lost: _,
        } = self;
        write!(
            f,
            "frames_in={frames_in} frames_out={frames_out} signals={signals} admitted={} sketched={sketched} keys={keys} lost={}",
            signals.saturating_sub(*sketched),
            self.lost_total()
        )?;
        for (loss, count) in Loss::ALL.into_iter().zip(self.lost) {
            if count > 0 {
                write!(f, " lost_{}={count}", loss.name())?;
            }
        }
        Ok(())
    }
}

/// Reads what the kernel programs count.
pub struct Drain {
    counts: [MapData; 2],
    generation: Array<MapData, u32>,
    counters: PerCpuArray<MapData, u64>,
    keys: Array<MapData, u64>,
    sketches: Sketches,
    recent: RecentKeys,
    pending_connects: PendingConnects,
    live: usize,
    grace: Grace,
    batch: Batch,
    /// What an unfinished poll has given to its caller already: told of with the next one that succeeds.
    pending: Tally,
    /// The counters at the last poll.
    before: [u64; Counter::COUNT as usize],
}

impl Drain {
    /// Takes the maps out of a loaded kernel object. They outlive its programs.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with.
    pub fn open(ebpf: &mut Ebpf, grace: Grace) -> Result<Self, DrainError> {
        let mut take = |name| ebpf.take_map(name).ok_or(DrainError::NoMap { name });
        let [first, second] = COUNTS;
        let counts = [
            hash_map_data(take(first)?, first)?,
            hash_map_data(take(second)?, second)?,
        ];
        Ok(Self {
            counts,
            generation: take(GENERATION)?
                .try_into()
                .map_err(map_error(GENERATION))?,
            counters: take(COUNTERS)?.try_into().map_err(map_error(COUNTERS))?,
            keys: take(KEYS)?.try_into().map_err(map_error(KEYS))?,
            sketches: map_shared(take(SKETCHED)?, SKETCHED, Sketches::map)?,
            recent: map_shared(take(RECENT)?, RECENT, RecentKeys::map)?,
            pending_connects: map_shared(
                take(PENDING_CONNECT)?,
                PENDING_CONNECT,
                PendingConnects::map,
            )?,
            live: 0,
            grace,
            batch: Batch::new(),
            pending: Tally::default(),
            before: [0; Counter::COUNT as usize],
        })
    }

    /// Gives every count since the last poll to `row`, once; with it, where its key is of many sources, which those are.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses. What was not given to `row` stays in the kernel for a later poll.
    pub fn poll(
        &mut self,
        row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<Tally, DrainError> {
        match self.grace {
            Grace::Membarrier => {
                let old = self.flip_generation()?;
                grace::wait_for_programs().map_err(DrainError::Grace)?;
                self.drain_generations(&[old], false, row)
            }
            // The other generation has been idle for a whole interval: long enough for any program to end.
            Grace::NextPoll => {
                let tally = self.drain_generations(&[1 - self.live], false, row)?;
                self.flip_generation()?;
                Ok(tally)
            }
        }
    }

    /// Waits until every program that is running now has ended. Where the kernel refuses to, a detached program may still
    /// be at its last packet.
    ///
    /// # Errors
    /// [`DrainError::Grace`].
    pub fn wait_for_programs(&self) -> Result<(), DrainError> {
        match self.grace {
            Grace::Membarrier => grace::wait_for_programs().map_err(DrainError::Grace),
            Grace::NextPoll => Ok(()),
        }
    }

    /// Gives all that is left to `row`, of both generations. For when no program runs any more, see [`Drain::wait_for_programs`].
    ///
    /// # Errors
    /// As [`Drain::poll`].
    pub fn finish(
        &mut self,
        row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<Tally, DrainError> {
        self.drain_generations(&[1 - self.live, self.live], true, row)
    }

    /// Makes the other generation live, and returns the one that was.
    fn flip_generation(&mut self) -> Result<usize, DrainError> {
        let old = self.live;
        let new = 1 - old;
        self.generation
            .set(0, new as u32, 0)
            .map_err(map_error(GENERATION))?;
        self.live = new;
        Ok(old)
    }

    fn drain_generations(
        &mut self,
        generations: &[usize],
        at_end: bool,
        mut row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<Tally, DrainError> {
        self.read_counters()?;
        let pending = &mut self.pending;
        for &generation in generations {
            let sketches = self.sketches.of_generation(generation);
            let recent = &mut self.recent;
            let mut give = |key: &Key, count| {
                pending.signals += count;
                pending.keys += 1;
                row(key, count, sketches.find(key));
            };
            recent.read_generation(generation);
            self.batch
                .drain(self.counts[generation].fd(), |key, count| {
                    give(key, count + recent.take_count(key));
                })
                .map_err(|reason| DrainError::Batch {
                    name: COUNTS[generation],
                    reason,
                })?;
            recent
                .drain_rest()
                .for_each(|(key, count)| give(&key, count));
            sketches.clear();
            self.keys
                .set(generation as u32, 0, 0)
                .map_err(map_error(KEYS))?;
        }
        self.pending_connects.drain_failed(at_end, |key| {
            pending.signals += 1;
            pending.keys += 1;
            row(key, 1, None);
        });
        Ok(std::mem::take(&mut self.pending))
    }

    /// Adds to the pending tally how far the counters have grown since the last call.
    fn read_counters(&mut self) -> Result<(), DrainError> {
        let mut growth = |counter: Counter| -> Result<u64, DrainError> {
            let index = counter.index();
            let values = self.counters.get(&index, 0).map_err(map_error(COUNTERS))?;
            let now = values.iter().sum();
            let before = std::mem::replace(&mut self.before[index as usize], now);
            Ok(now - before)
        };
        self.pending.frames_in += growth(Counter::FramesIn)?;
        self.pending.frames_out += growth(Counter::FramesOut)?;
        self.pending.sketched += growth(Counter::Sketched)?;
        for loss in Loss::ALL {
            self.pending.lost[loss as usize] += growth(Counter::Lost(loss))?;
        }
        Ok(())
    }
}

fn map_error(name: &'static str) -> impl FnOnce(MapError) -> DrainError {
    move |reason| DrainError::Map { name, reason }
}

fn hash_map_data(map: Map, name: &'static str) -> Result<MapData, DrainError> {
    match map {
        Map::HashMap(data) => Ok(data),
        _ => Err(DrainError::NoMap { name }),
    }
}

/// An array whose memory is shared with the kernel.
fn map_shared<T>(
    map: Map,
    name: &'static str,
    new: impl FnOnce(MapData) -> io::Result<T>,
) -> Result<T, DrainError> {
    let Map::Array(data) = map else {
        return Err(DrainError::NoMap { name });
    };
    new(data).map_err(|reason| DrainError::Shared { name, reason })
}
