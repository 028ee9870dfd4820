//! Draining: exact counts of one interval from the kernel's two generations.
//!
//! In: the maps that the programs fill. Out: each [`Key`] with its count since the last poll, once,
//! and the growth of the counters; and programs as they are started ([`ExecEvents`]).
//! The decisions held here: the kernel writes to the live generation. A poll makes the other one
//! live, waits until no program can still write to the old one ([`Grace`]), then reads and empties
//! it in batches. No count is lost or doubled, also when a poll fails halfway. Over pinned maps,
//! which outlive this process, a poll has two phases: see [`committed`] and [`Commit`].

mod balance;
mod batch;
mod callers;
mod commit;
mod committed;
mod dns_frames;
mod error;
mod exec_events;
mod frame_ring;
mod frozen;
mod grace;
mod hit_headers;
mod interference;
mod kernel_log;
mod left;
mod maps;
mod parsed_again;
mod pending_connect;
mod recent;
mod shared_array;
mod sketches;
mod tally;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::io;

use aya::Ebpf;
use aya::maps::{Map, MapData};
use recon_common::{Counter, Direction, FrameClass, Key, Loss, Registers};

use balance::{Balance, Sums};
pub(crate) use callers::Callers;
pub use commit::Commit;
use commit::CommitRecord;
pub use committed::PinnedRecord;
pub(crate) use dns_frames::DnsFrames;
pub use error::DrainError;
pub(crate) use exec_events::{ExecEvents, Forks, ImageNumbers};
pub(crate) use frozen::is_frozen;
pub use grace::Grace;
pub(crate) use hit_headers::HitHeaders;
pub(crate) use interference::Interference;
pub(crate) use kernel_log::{KernelLog, LoggedFrame};
pub(crate) use left::count_left;
pub(crate) use maps::COUNTS as TABLES;
pub(crate) use maps::CountMaps;
use maps::{KernelMaps, take_map};
use pending_connect::PendingConnects;
use recent::RecentKeys;
pub(crate) use recent::slot_count as recent_slot_count;
use sketches::Sketches;
pub use tally::{Frames, SignalCounts, Tally};

const PENDING_CONNECT: &str = "PENDING_CONNECT";
const SKETCHED: &str = "SKETCHED";
const RECENT: &str = "RECENT";

/// Reads what the kernel programs count.
pub struct Drain<M = KernelMaps> {
    maps: M,
    sketches: Sketches,
    recent: RecentKeys,
    pending_connects: PendingConnects,
    grace: Grace,
    /// Where polls are committed, if the maps outlive this process.
    record: Option<CommitRecord>,
    /// The generation that the programs write to.
    live: usize,
    /// What is in the other generation.
    retired: Retired,
    /// Rows of the retired generation, read and not given yet.
    entries: Vec<(Key, u64)>,
    /// The sums of rows that a failed poll has already given to its caller: part of the next tally.
    pending: Tally,
    /// The counters at the last poll.
    before: [u64; Counter::COUNT as usize],
    /// The keys taken out of a generation since its number of keys was last set to 0.
    drained: u64,
    interference: Interference,
    balance: Balance,
    /// Whether the kernel has said that all programs have ended.
    has_waited: bool,
}

/// What is in the generation that is not live.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Retired {
    /// Nothing.
    Empty,
    /// Counts that no poll has given: a poll failed before the generation was empty, or every
    /// generation waits for an interval.
    Unread,
    /// Counts that a poll has given, to be committed.
    Given(Commit),
}

impl Drain {
    /// Takes the maps out of a loaded kernel object. They outlive its programs.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with.
    pub fn open(ebpf: &mut Ebpf, grace: Grace) -> Result<Self, DrainError> {
        let maps = KernelMaps::take(ebpf, grace)?;
        let sketches = map_shared(ebpf, SKETCHED, Sketches::map)?;
        let recent = map_shared(ebpf, RECENT, RecentKeys::map)?;
        let pending_connects = map_shared(ebpf, PENDING_CONNECT, PendingConnects::map)?;
        Ok(Self::from_parts(
            maps,
            sketches,
            recent,
            pending_connects,
            grace,
        ))
    }
}

impl<M: CountMaps> Drain<M> {
    fn from_parts(
        maps: M,
        sketches: Sketches,
        recent: RecentKeys,
        pending_connects: PendingConnects,
        grace: Grace,
    ) -> Self {
        let live = maps.flips() as usize & 1;
        Self {
            maps,
            sketches,
            recent,
            pending_connects,
            grace,
            record: None,
            live,
            retired: Retired::Empty,
            entries: Vec::new(),
            pending: Tally::default(),
            before: [0; Counter::COUNT as usize],
            drained: 0,
            interference: Interference::default(),
            balance: Balance::new(false),
            has_waited: false,
        }
    }

    /// What somebody else has done to the maps since the last call.
    pub(crate) fn take_interference(&mut self) -> Interference {
        std::mem::take(&mut self.interference)
    }

    /// Gives every count since the last poll to `row`, once; with an overflow key its sources too.
    /// Over pinned maps the counts stay until [`Drain::commit`].
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses. What was not given to `row` stays in the kernel for
    /// a later poll.
    pub fn poll(
        &mut self,
        mut row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<Tally, DrainError> {
        if self.record.is_some() {
            return self.poll_keeping(row);
        }
        match self.grace {
            Grace::Membarrier => {
                // One that an earlier poll has retired in vain is a poll of its own: so each poll
                // waits once.
                if self.retired == Retired::Empty {
                    self.flip_generation()?;
                    self.retired = Retired::Unread;
                }
                self.wait_for_retired()?;
                self.read_counters()?;
                self.drain_generation(1 - self.live, &mut row)?;
                self.retired = Retired::Empty;
                self.compare_sums();
            }
            // The other generation was idle for a whole interval, in which every program has ended.
            Grace::NextPoll => {
                self.read_counters()?;
                self.drain_generation(1 - self.live, &mut row)?;
                self.compare_sums();
                self.flip_generation()?;
            }
        }
        Ok(self.finish_tally(false, row))
    }

    /// Waits until no program writes to the retired generation.
    fn wait_for_retired(&mut self) -> Result<(), DrainError> {
        if !self.maps.wait_for_programs()? {
            self.balance.doubt();
        }
        Ok(())
    }

    /// Whether a poll has failed, so that the next one gives what that would have given, and no
    /// more.
    pub(crate) fn is_behind(&self) -> bool {
        self.grace == Grace::Membarrier && self.retired == Retired::Unread
    }

    /// Waits until every program that is running now has ended. Where the kernel refuses to wait, a
    /// detached program may still be at its last packet.
    ///
    /// # Errors
    /// [`DrainError::Grace`].
    pub(crate) fn wait_for_programs(&mut self) -> Result<(), DrainError> {
        if self.grace == Grace::Membarrier {
            self.has_waited = self.maps.wait_for_programs()?;
        }
        Ok(())
    }

    /// Gives the rest of both generations to `row`. To be called when no program runs any more, see
    /// [`Drain::wait_for_programs`].
    ///
    /// # Errors
    /// As [`Drain::poll`].
    pub fn finish(
        &mut self,
        mut row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<Tally, DrainError> {
        self.commit()?;
        self.read_counters()?;
        self.drain_generation(1 - self.live, &mut row)?;
        let found = self.interference;
        self.drain_generation(self.live, &mut row)?;
        if self.has_waited {
            self.balance.retire_all();
            self.compare_sums();
        } else {
            // A program may still be at its last packet there.
            self.interference = found;
        }
        Ok(self.finish_tally(true, row))
    }

    /// Makes the other generation live and returns the old one.
    fn flip_generation(&mut self) -> Result<usize, DrainError> {
        let old = self.live;
        let new = 1 - old;
        let found = self.maps.read_flips()?;
        let is_moved = self.maps.flips() != found;
        let growth = self.growth_of_sums()?;
        self.interference.compare_flips(self.maps.flips(), found);
        self.maps.set_live(new)?;
        self.live = new;
        self.balance.retire(Some(growth).filter(|_| !is_moved));
        Ok(old)
    }

    /// What the sums have grown by since the counters were last read.
    fn growth_of_sums(&self) -> Result<Sums, DrainError> {
        let growth = |counter: Counter| -> Result<u64, DrainError> {
            let before = self.before[counter.index() as usize];
            // One that has shrunk is reported when it is read.
            Ok(self.maps.read_counter(counter)?.saturating_sub(before))
        };
        let mut sums = Sums::default();
        for counter in Sums::COUNTERS {
            sums.add(counter, growth(counter)?);
        }
        Ok(sums)
    }

    /// Compares the sums of a generation that was given with those of the counters.
    fn compare_sums(&mut self) {
        self.interference.signals += self.balance.settle();
    }

    /// Empties a generation that no program writes to.
    fn drain_generation(
        &mut self,
        generation: usize,
        row: &mut impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<(), DrainError> {
        let sketches = self.sketches.of_generation(generation);
        let (recent, pending, drained) = (&mut self.recent, &mut self.pending, &mut self.drained);
        let balance = &mut self.balance;
        let mut give = |key: &Key, count| {
            pending.add_row(key, count);
            balance.add_given(count);
            row(key, count, sketches.find(key));
        };
        recent.drain_generation(generation);
        self.maps.drain_table(generation, |key, count| {
            *drained += 1;
            give(key, count + recent.take_count(key));
        })?;
        recent
            .drain_rest()
            .for_each(|(key, count)| give(&key, count));
        sketches.clear();
        let counted = self.maps.key_count(generation)?;
        self.maps.reset_key_count(generation)?;
        let drained = std::mem::take(&mut self.drained);
        self.interference.compare_keys(counted, drained);
        Ok(())
    }

    /// Gives the connections that failed at once to `row`, and returns the sums since the last
    /// tally.
    fn finish_tally(
        &mut self,
        at_end: bool,
        mut row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Tally {
        let pending = &mut self.pending;
        self.pending_connects.drain_failed(at_end, |key| {
            pending.socket_signals += 1;
            pending.signals += 1;
            pending.keys += 1;
            row(key, 1, None);
        });
        std::mem::take(pending)
    }

    /// Adds the growth of the counters since the last call to the pending tally.
    fn read_counters(&mut self) -> Result<(), DrainError> {
        let (interference, balance) = (&mut self.interference, &mut self.balance);
        let mut growth = |counter: Counter| -> Result<u64, DrainError> {
            let now = self.maps.read_counter(counter)?;
            let before = std::mem::replace(&mut self.before[counter.index() as usize], now);
            let growth = interference.growth(before, now);
            balance.add_counted(counter, growth);
            Ok(growth)
        };
        for direction in [Direction::In, Direction::Out] {
            for class in FrameClass::all() {
                let frames = growth(Counter::Frames(direction, class))?;
                self.pending.add_frames(direction, class, frames);
            }
        }
        self.pending.socket_signals += growth(Counter::SocketSignals)?;
        for loss in Loss::ALL {
            self.pending.lost[loss as usize] += growth(Counter::Lost(loss))?;
        }
        Ok(())
    }
}

/// Takes an array out of a loaded kernel object and maps its memory.
fn map_shared<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    map: impl FnOnce(MapData) -> io::Result<T>,
) -> Result<T, DrainError> {
    let Map::Array(data) = take_map(ebpf, name)? else {
        return Err(DrainError::NoMap { name });
    };
    map(data).map_err(|reason| DrainError::Shared { name, reason })
}
