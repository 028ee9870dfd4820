//! Polls in two phases, over pinned maps that outlive this process.
//!
//! In: the pinned record, and what the caller knows of its last commit. Out: rows that stay in the
//! kernel until they are committed, so that a process that is killed at any moment loses none and
//! leaves none to be counted twice.
//!
//! How a caller that keeps rows over a restart uses it:
//!
//! 1. [`Drain::open_pinned`] with the [`Commit`] that stands in its journal, `None` without one.
//! 2. [`Drain::poll`] gives the rows of one generation.
//! 3. [`Drain::uncommitted`] is the [`Commit`] of that poll. It goes into the journal beside the
//!    poll's rows, in one write that is there as a whole or not at all.
//! 4. [`Drain::commit`] empties the generation.
//!
//! A process that is killed before 3 is done leaves the generation to the next one, which gives it
//! again: its rows are in no journal. One that is killed later leaves a generation whose number of
//! flips is the journal's, and the next process only empties it. Without a journal the record in
//! the pinned map, which step 4 writes first, has the same part.
//!
//! The decisions held here: a poll gives one generation, so that a commit is one number. What an
//! earlier process left takes a poll of its own, and what is counted meanwhile waits for the next.
//! Rows are read as a whole before the first is given: where the kernel refuses halfway, none was.
//! A poll does not wait for a caller that has not committed: rows that it has given are emptied.

use aya::Ebpf;
use aya::maps::MapData;
use recon_common::{Key, Registers};

use super::balance::Balance;
use super::commit::{Commit, CommitRecord};
use super::pending_connect::Mark;
use super::{CountMaps, Drain, DrainError, Grace, Retired, Tally};

/// Places for rows that are kept between polls.
const MOST_KEPT: usize = 1 << 12;

/// The pinned record of a set of maps.
#[derive(Debug)]
pub struct PinnedRecord {
    /// The set of maps: a random number that was chosen when they were created.
    pub maps: u64,
    /// Whether an earlier process has used them.
    pub is_adopted: bool,
    /// The map of the record, see [`PinnedRecord::ENTRIES`].
    pub record: MapData,
}

impl PinnedRecord {
    /// The record is an array of so many words of 8 bytes, whose memory the kernel shares.
    pub const ENTRIES: u32 = CommitRecord::WORDS;
    /// Its name in messages.
    pub(super) const NAME: &str = "commits";
}

impl Drain {
    /// Takes the maps out of a loaded kernel object, as [`Drain::open`] does; they are pinned.
    /// `committed` is the last commit that the caller knows of, and counts only if it is of these
    /// maps. Without one the pinned record says what was committed last.
    ///
    /// # Errors
    /// [`DrainError`] if the object is not the one this agent was built with, or the kernel does
    /// not share memory.
    pub fn open_pinned(
        ebpf: &mut Ebpf,
        grace: Grace,
        pinned: PinnedRecord,
        committed: Option<&Commit>,
    ) -> Result<Self, DrainError> {
        let drain = Self::open(ebpf, grace)?;
        let name = PinnedRecord::NAME;
        let record = CommitRecord::map(pinned.record, pinned.maps)
            .map_err(|reason| DrainError::Shared { name, reason })?;
        Ok(drain.with_record(record, pinned.is_adopted, committed))
    }
}

impl<M: CountMaps> Drain<M> {
    /// Makes this drain one over pinned maps.
    pub(super) fn with_record(
        self,
        record: CommitRecord,
        is_adopted: bool,
        committed: Option<&Commit>,
    ) -> Self {
        let of_caller = committed.filter(|committed| committed.maps == record.maps());
        let last = of_caller.cloned().or_else(|| record.read());
        let mut drain = Self {
            record: Some(record),
            balance: Balance::new(is_adopted),
            retired: match self.grace {
                Grace::Membarrier if !is_adopted => Retired::Empty,
                _ => Retired::Unread,
            },
            ..self
        };
        if let Some(last) = last {
            for (before, counter) in drain.before.iter_mut().zip(&last.counters) {
                *before = *counter;
            }
            drain
                .pending_connects
                .settle_marks(Some(Mark::of_flips(last.flips)));
            if last.flips == drain.maps.flips() {
                drain.retired = Retired::Given(last);
            }
        } else {
            drain.pending_connects.settle_marks(None);
        }
        drain
    }

    /// What the last poll has given and what is not committed yet. `None` if there is nothing, or
    /// if the maps are not pinned.
    pub fn uncommitted(&self) -> Option<&Commit> {
        match &self.retired {
            Retired::Given(commit) => Some(commit),
            _ => None,
        }
    }

    /// Empties what the last poll has given. To be called once its rows are safe. Without pinned
    /// maps there is nothing to do.
    ///
    /// # Errors
    /// [`DrainError`] where the kernel refuses. What was given is not given again, and the next
    /// call tries again.
    pub fn commit(&mut self) -> Result<(), DrainError> {
        let (Retired::Given(commit), Some(record)) = (&self.retired, &mut self.record) else {
            return Ok(());
        };
        record.write(commit);
        self.clear_generation(1 - self.live)?;
        self.pending_connects.clear_given();
        self.retired = Retired::Empty;
        if self.grace == Grace::NextPoll {
            self.retire_generation()?;
        }
        Ok(())
    }

    /// Gives the counts of the retired generation, after it has retired the live one if there was
    /// none, and leaves them.
    pub(super) fn poll_keeping(
        &mut self,
        mut row: impl FnMut(&Key, u64, Option<&Registers>),
    ) -> Result<Tally, DrainError> {
        // A generation that is retired now has to wait for an interval there.
        let comes_later = self.grace == Grace::NextPoll && self.retired != Retired::Unread;
        self.commit()?;
        if self.retired == Retired::Empty {
            self.retire_generation()?;
        }
        if comes_later {
            return Ok(Tally::default());
        }
        if self.grace == Grace::Membarrier {
            self.wait_for_retired()?;
        }
        self.read_counters()?;
        self.read_generation(1 - self.live)?;
        let flips = self.maps.flips();
        self.give_entries(1 - self.live, &mut row);
        self.compare_sums();
        let pending = &mut self.pending;
        self.pending_connects
            .read_failed(Mark::of_flips(flips), |key| {
                pending.socket_signals += 1;
                pending.add_row(key, 1);
                row(key, 1, None);
            });
        self.retired = Retired::Given(Commit {
            maps: self.record.as_ref().map_or(0, CommitRecord::maps),
            flips,
            counters: self.before.to_vec(),
        });
        Ok(std::mem::take(&mut self.pending))
    }

    fn retire_generation(&mut self) -> Result<(), DrainError> {
        self.flip_generation()?;
        self.retired = Retired::Unread;
        Ok(())
    }

    /// Reads a generation that no program writes to.
    fn read_generation(&mut self, generation: usize) -> Result<(), DrainError> {
        let Self {
            maps,
            recent,
            entries,
            interference,
            ..
        } = self;
        entries.clear();
        recent.read_generation(generation);
        maps.read_table(generation, |key, count| {
            entries.push((*key, count + recent.take_count(key)));
        })?;
        let counted = maps.key_count(generation)?;
        interference.compare_keys(counted, entries.len() as u64);
        entries.extend(recent.drain_rest());
        Ok(())
    }

    /// Gives what was read of a generation.
    fn give_entries(
        &mut self,
        generation: usize,
        row: &mut impl FnMut(&Key, u64, Option<&Registers>),
    ) {
        let sketches = self.sketches.of_generation(generation);
        for (key, count) in self.entries.drain(..) {
            self.pending.add_row(&key, count);
            self.balance.add_given(count);
            row(&key, count, sketches.find(&key));
        }
        // After a flood: a quiet host's polls have a few rows.
        self.entries.shrink_to(MOST_KEPT);
    }

    /// Empties a generation that no program writes to.
    fn clear_generation(&mut self, generation: usize) -> Result<(), DrainError> {
        self.maps.drain_table(generation, |_, _| {})?;
        self.recent.clear_generation(generation);
        self.sketches.of_generation(generation).clear();
        self.maps.reset_key_count(generation)
    }
}
