//! The maps of the two generations, as far as the drain reads them by system calls.
//!
//! In: a loaded kernel object. Out: [`CountMaps`], which the drain is generic over: [`KernelMaps`]
//! here, a fake one in the tests. The maps whose memory the kernel shares are
//! [`super::shared_array`]'s.

use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Array, Map, MapData, PerCpuArray};
use aya::{Ebpf, Pod};
use recon_common::{Counter, Key};

use super::batch::BatchBuffer;
use super::error::map_error;
use super::grace::{Grace, ProgramsWait};
use super::{DrainError, frozen};

pub(crate) const COUNTS: [&str; 2] = ["COUNTS_0", "COUNTS_1"];
pub(super) const GENERATION: &str = "GENERATION";
const COUNTERS: &str = "COUNTERS";
const KEYS: &str = "KEYS";

/// What the drain does with the kernel's maps.
pub trait CountMaps {
    /// Makes the programs write to that generation.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses.
    fn set_live(&mut self, generation: usize) -> Result<(), DrainError>;

    /// How often this agent and those before it have made the generations change places. The lowest
    /// bit says which one is live.
    fn flips(&self) -> u32;

    /// The same, as the programs know it.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses.
    fn read_flips(&self) -> Result<u32, DrainError>;

    /// Returns when every program that was running at the call has ended, or after a bound. Says
    /// whether the kernel has confirmed it.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses.
    fn wait_for_programs(&mut self) -> Result<bool, DrainError>;

    /// Empties the table of that generation into `entry`, each key once.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses. What was not given to `entry` stays in the table.
    fn drain_table(
        &mut self,
        generation: usize,
        entry: impl FnMut(&Key, u64),
    ) -> Result<(), DrainError>;

    /// Gives the table of that generation to `entry`, each key once, and leaves it. No program may
    /// write to it.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses. Part of the table may have been given.
    fn read_table(
        &mut self,
        generation: usize,
        entry: impl FnMut(&Key, u64),
    ) -> Result<(), DrainError>;

    /// How many keys the programs have put into the table of that generation.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses.
    fn key_count(&self, generation: usize) -> Result<u64, DrainError>;

    /// Tells the programs that the table of that generation is empty.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses.
    fn reset_key_count(&mut self, generation: usize) -> Result<(), DrainError>;

    /// A counter's sum over all processors since the programs were loaded.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses.
    fn read_counter(&self, counter: Counter) -> Result<u64, DrainError>;
}

/// The maps of a loaded kernel object.
pub struct KernelMaps {
    counts: [MapData; 2],
    generation: Array<MapData, u32>,
    /// aya keeps that of the array to itself.
    generation_fd: OwnedFd,
    /// How often the generations have changed places, as the programs know it.
    flips: u32,
    counters: PerCpuArray<MapData, u64>,
    keys: Array<MapData, u64>,
    keys_fd: OwnedFd,
    batch: BatchBuffer,
    programs: ProgramsWait,
}

impl KernelMaps {
    /// Takes the maps out of a loaded kernel object.
    pub(super) fn take(ebpf: &mut Ebpf, grace: Grace) -> Result<Self, DrainError> {
        let [first, second] = COUNTS;
        let counts = [take_hash(ebpf, first)?, take_hash(ebpf, second)?];
        let (generation, generation_fd) = take_array::<u32>(ebpf, GENERATION)?;
        let (keys, keys_fd) = take_array(ebpf, KEYS)?;
        // Not 0 if the maps are those of an earlier agent.
        let flips = generation.get(&0, 0).map_err(map_error(GENERATION))?;
        Ok(Self {
            counts,
            generation,
            generation_fd,
            flips,
            counters: take_map(ebpf, COUNTERS)?
                .try_into()
                .map_err(map_error(COUNTERS))?,
            keys,
            keys_fd,
            batch: BatchBuffer::new(),
            programs: ProgramsWait::start(grace).map_err(DrainError::GraceThread)?,
        })
    }
}

impl CountMaps for KernelMaps {
    fn set_live(&mut self, generation: usize) -> Result<(), DrainError> {
        // The next number whose lowest bit is the generation.
        let flips = self
            .flips
            .wrapping_add(1 + u32::from(self.flips as usize & 1 == generation));
        let set = self.generation.set(0, flips, 0);
        set.map_err(map_error(GENERATION))
            .map_err(|error| frozen::explain(GENERATION, &self.generation_fd, error))?;
        self.flips = flips;
        Ok(())
    }

    fn flips(&self) -> u32 {
        self.flips
    }

    fn read_flips(&self) -> Result<u32, DrainError> {
        self.generation.get(&0, 0).map_err(map_error(GENERATION))
    }

    fn wait_for_programs(&mut self) -> Result<bool, DrainError> {
        self.programs.wait().map_err(DrainError::Grace)
    }

    fn drain_table(
        &mut self,
        generation: usize,
        entry: impl FnMut(&Key, u64),
    ) -> Result<(), DrainError> {
        let (name, table) = (COUNTS[generation], self.counts[generation].fd());
        let drained = self.batch.drain(table, entry);
        drained
            .map_err(|reason| DrainError::Batch { name, reason })
            .map_err(|error| frozen::explain(name, table, error))
    }

    fn read_table(
        &mut self,
        generation: usize,
        entry: impl FnMut(&Key, u64),
    ) -> Result<(), DrainError> {
        let read = self.batch.read(self.counts[generation].fd(), entry);
        read.map_err(|reason| DrainError::Batch {
            name: COUNTS[generation],
            reason,
        })
    }

    fn key_count(&self, generation: usize) -> Result<u64, DrainError> {
        let count = self.keys.get(&(generation as u32), 0);
        count.map_err(map_error(KEYS))
    }

    fn reset_key_count(&mut self, generation: usize) -> Result<(), DrainError> {
        let set = self.keys.set(generation as u32, 0, 0);
        set.map_err(map_error(KEYS))
            .map_err(|error| frozen::explain(KEYS, &self.keys_fd, error))
    }

    fn read_counter(&self, counter: Counter) -> Result<u64, DrainError> {
        let values = self.counters.get(&counter.index(), 0);
        Ok(values.map_err(map_error(COUNTERS))?.iter().sum())
    }
}

/// Takes a map out of a loaded kernel object.
pub(super) fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, DrainError> {
    ebpf.take_map(name).ok_or(DrainError::NoMap { name })
}

/// The same for an array, and another descriptor of it.
fn take_array<T: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<(Array<MapData, T>, OwnedFd), DrainError> {
    let map = take_map(ebpf, name)?;
    let Map::Array(data) = &map else {
        return Err(DrainError::NoMap { name });
    };
    let descriptor = data.fd().as_fd().try_clone_to_owned();
    let descriptor = descriptor.map_err(|reason| DrainError::Shared { name, reason })?;
    Ok((map.try_into().map_err(map_error(name))?, descriptor))
}

fn take_hash(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, DrainError> {
    match take_map(ebpf, name)? {
        Map::HashMap(data) => Ok(data),
        _ => Err(DrainError::NoMap { name }),
    }
}
