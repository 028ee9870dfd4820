//! Fake maps for tests of the drain and of what polls it: the programs' side and failures of the
//! kernel.

use std::io;

use recon_common::process::PENDING_CONNECT_SLOTS;
use recon_common::recent::first_slot;
use recon_common::sources::SKETCHES;
use recon_common::{Address, Signal};

use super::shared_array::SharedArray;
use super::*;

pub(super) const PROCESSORS: u32 = 2;
/// The set of maps.
pub(super) const MAPS: u64 = 77;

/// The system call that fails at the next poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    SetLive,
    Wait,
    /// After so many keys.
    Table(usize),
    ResetKeyCount,
    Counter,
}

/// All of them.
pub(super) const FAILURES: [Failure; 6] = [
    Failure::SetLive,
    Failure::Wait,
    Failure::Table(0),
    Failure::Table(1),
    Failure::ResetKeyCount,
    Failure::Counter,
];

/// Maps in memory, with programs that write to them.
pub(crate) struct FakeMaps {
    pub(super) tables: [Vec<(Key, u64)>; 2],
    pub(super) key_counts: [u64; 2],
    pub(super) counters: [u64; Counter::COUNT as usize],
    pub(super) live: usize,
    pub(super) flips: u32,
    /// What somebody else has set that to.
    pub(super) found_flips: Option<u32>,
    /// What a program that read the generation's number before it changed adds until it ends.
    pub(super) in_flight: Option<(Key, u64)>,
    /// What programs add to the live generation before the counters are read.
    pub(super) meanwhile: Option<(Key, u64)>,
    /// The call that fails, until it is taken back.
    pub(super) failure: Option<Failure>,
    /// Whether the kernel never says that programs have ended.
    pub(super) is_late: bool,
    /// How often somebody has waited for programs.
    pub(super) waits: usize,
}

impl Default for FakeMaps {
    fn default() -> Self {
        Self {
            tables: Default::default(),
            key_counts: [0; 2],
            counters: [0; Counter::COUNT as usize],
            live: 0,
            flips: 0,
            found_flips: None,
            in_flight: None,
            meanwhile: None,
            failure: None,
            is_late: false,
            waits: 0,
        }
    }
}

impl FakeMaps {
    /// Counts as a kernel program does.
    pub(super) fn count(&mut self, generation: usize, key: Key, count: u64) {
        let table = &mut self.tables[generation];
        match table.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum += count,
            None => {
                table.push((key, count));
                self.key_counts[generation] += 1;
            }
        }
        let frames = Counter::Frames(Direction::In, FrameClass::Signal);
        self.counters[frames.index() as usize] += count;
    }

    /// Fails if that call is to fail.
    fn fail(&self, failure: Failure) -> Result<(), DrainError> {
        if self.failure == Some(failure) {
            return Err(DrainError::Grace(io::ErrorKind::Other.into()));
        }
        Ok(())
    }
}

impl CountMaps for FakeMaps {
    fn set_live(&mut self, generation: usize) -> Result<(), DrainError> {
        self.fail(Failure::SetLive)?;
        self.live = generation;
        self.flips += 1;
        Ok(())
    }

    fn flips(&self) -> u32 {
        self.flips
    }

    fn read_flips(&self) -> Result<u32, DrainError> {
        Ok(self.found_flips.unwrap_or(self.flips))
    }

    fn wait_for_programs(&mut self) -> Result<bool, DrainError> {
        self.waits += 1;
        self.fail(Failure::Wait)?;
        if let Some((key, count)) = self.in_flight.take() {
            self.count(1 - self.live, key, count);
        }
        if let Some((key, count)) = self.meanwhile.take() {
            self.count(self.live, key, count);
        }
        Ok(!self.is_late)
    }

    fn drain_table(
        &mut self,
        generation: usize,
        mut entry: impl FnMut(&Key, u64),
    ) -> Result<(), DrainError> {
        let mut given = 0;
        while let Some((key, count)) = self.tables[generation].pop() {
            if let Err(error) = self.fail(Failure::Table(given)) {
                self.tables[generation].push((key, count));
                return Err(error);
            }
            entry(&key, count);
            given += 1;
        }
        Ok(())
    }

    fn read_table(
        &mut self,
        generation: usize,
        mut entry: impl FnMut(&Key, u64),
    ) -> Result<(), DrainError> {
        for (given, (key, count)) in self.tables[generation].iter().rev().enumerate() {
            self.fail(Failure::Table(given))?;
            entry(key, *count);
        }
        Ok(())
    }

    fn key_count(&self, generation: usize) -> Result<u64, DrainError> {
        Ok(self.key_counts[generation])
    }

    fn reset_key_count(&mut self, generation: usize) -> Result<(), DrainError> {
        self.fail(Failure::ResetKeyCount)?;
        self.key_counts[generation] = 0;
        Ok(())
    }

    fn read_counter(&self, counter: Counter) -> Result<u64, DrainError> {
        self.fail(Failure::Counter)?;
        Ok(self.counters[counter.index() as usize])
    }
}

/// The key of a SYN from a scanner to that port.
pub(crate) fn syn(port: u16) -> Key {
    Key {
        remote: Address::v4([198, 51, 100, 7]),
        local: Address::v4([203, 0, 113, 1]),
        detail: 0,
        port,
        signal: Signal::Syn as u8,
        tool: 0,
    }
}

/// A drain over empty fake maps.
pub(crate) fn drain(grace: Grace) -> Drain<FakeMaps> {
    Drain::from_parts(
        FakeMaps::default(),
        Sketches::new(SharedArray::zeroed(2 * SKETCHES)),
        RecentKeys::new(SharedArray::zeroed(first_slot(PROCESSORS, 0)), PROCESSORS),
        PendingConnects::new(SharedArray::zeroed(PENDING_CONNECT_SLOTS)),
        grace,
    )
}

impl Drain<FakeMaps> {
    /// The same over pinned maps, of which no poll was committed.
    pub(crate) fn pinned(self) -> Self {
        self.with_record(CommitRecord::zeroed(MAPS), false, None)
    }

    /// What a process finds that starts after this one has been killed. `committed` is what that
    /// knows of its last commit.
    pub(super) fn killed(self, committed: Option<&Commit>) -> Self {
        let Self {
            maps,
            sketches,
            recent,
            pending_connects,
            grace,
            record,
            ..
        } = self;
        let record = record.expect("pinned maps");
        let pending_connects = pending_connects.killed();
        let recent = recent.killed();
        Self::from_parts(maps, sketches, recent, pending_connects, grace)
            .with_record(record, true, committed)
    }

    /// Counts in the live generation of the table, as a kernel program does.
    pub(crate) fn count(&mut self, key: Key, count: u64) {
        self.maps.count(self.maps.live, key, count);
    }

    /// Makes a call fail from now on, or none.
    pub(crate) fn fail_at(&mut self, failure: Option<Failure>) {
        self.maps.failure = failure;
    }
}
