//! What a poll has given, and when that is safe to empty.
//!
//! In: the number of flips and the counters of a poll. Out: [`Commit`], which whoever keeps the
//! poll's rows writes beside them; and a record in a pinned map, from which the next process goes
//! on.
//! The decisions held here: a poll over pinned maps reads and leaves. Its rows are emptied once
//! [`super::Drain::commit`] says that they are safe. So whenever a process is killed, each row is
//! with exactly one of the two: with who committed it, or still in the kernel. The record holds the
//! counters' absolute values, too, so that the sums of all processes together are those of the
//! kernel. It has two places, and a word that says which one is whole.

use std::io;
use std::sync::atomic::{Ordering, compiler_fence};

use aya::maps::MapData;
use recon_common::Counter;
use serde::{Deserialize, Serialize};

use super::shared_array::SharedArray;

/// How far a set of pinned maps has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The set of maps: random, another one for each set that is created. Numbers of flips of
    /// another set say nothing.
    pub maps: u64,
    /// How often the generations had changed places. Each committed poll has another number.
    pub flips: u32,
    /// The counters' absolute values when the poll read them, by [`Counter::index`].
    pub counters: Vec<u64>,
}

/// The memory of the pinned record, which only agents use.
#[derive(Debug)]
pub(super) struct CommitRecord {
    maps: u64,
    words: SharedArray<u64>,
}

/// A place holds the number of flips and the counters.
const PLACE_WORDS: usize = 1 + Counter::COUNT as usize;
const PLACES: usize = 2;

impl CommitRecord {
    /// Words of the map, an array of 8 bytes each: which place is whole, then the places.
    pub(super) const WORDS: u32 = (1 + PLACES * PLACE_WORDS) as u32;

    /// Maps the memory of the record of that set of maps.
    ///
    /// # Errors
    /// What the kernel says if it does not share the array's memory.
    pub(super) fn map(map: MapData, maps: u64) -> io::Result<Self> {
        let words = SharedArray::map(map, Self::WORDS)?;
        Ok(Self { maps, words })
    }

    /// A record that was never written.
    #[cfg(test)]
    pub(super) fn zeroed(maps: u64) -> Self {
        let words = SharedArray::zeroed(Self::WORDS);
        Self { maps, words }
    }

    /// The set of maps.
    pub(super) const fn maps(&self) -> u64 {
        self.maps
    }

    /// The latest commit, if there was one.
    pub(super) fn read(&self) -> Option<Commit> {
        let place = self.whole_place()?;
        let mut words = (0..PLACE_WORDS).map(|word| self.load(Self::position(place, word)));
        Some(Commit {
            maps: self.maps,
            flips: words.next()? as u32,
            counters: words.collect(),
        })
    }

    /// Replaces the latest commit. Also if this process is killed meanwhile, one of the two is
    /// there.
    pub(super) fn write(&mut self, commit: &Commit) {
        let place = self.whole_place().map_or(0, |whole| 1 - whole);
        let words = std::iter::once(u64::from(commit.flips)).chain(commit.counters.iter().copied());
        for (word, value) in words.take(PLACE_WORDS).enumerate() {
            self.store(Self::position(place, word), value);
        }
        // A process that is killed has done its writes in the order of its instructions.
        compiler_fence(Ordering::SeqCst);
        self.store(0, place as u64 + 1);
    }

    fn whole_place(&self) -> Option<usize> {
        let place = usize::try_from(self.load(0)).ok()?.checked_sub(1)?;
        (place < PLACES).then_some(place)
    }

    const fn position(place: usize, word: usize) -> usize {
        1 + place * PLACE_WORDS + word
    }

    fn load(&self, position: usize) -> u64 {
        // SAFETY: the word is within the mapping, and any bytes are a number.
        unsafe { self.words.value(position).read_volatile() }
    }

    fn store(&self, position: usize, value: u64) {
        // SAFETY: as above, and only this process writes to it.
        unsafe { self.words.value(position).write_volatile(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_commit_is_read_also_while_the_next_is_written() {
        let mut record = CommitRecord::zeroed(7);
        assert_eq!(record.read(), None);
        for flips in 1..5 {
            let commit = Commit {
                maps: 7,
                flips,
                counters: vec![u64::from(flips) << 40; Counter::COUNT as usize],
            };
            record.write(&commit);
            // The next process finds a place that was half written.
            let other = record
                .whole_place()
                .map(|whole| 1 - whole)
                .expect("written");
            record.store(CommitRecord::position(other, 0), u64::MAX);
            assert_eq!(record.read(), Some(commit));
        }
    }
}
