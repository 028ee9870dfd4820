//! What somebody else has done to the maps.
//!
//! In: what the programs and this agent have written to the maps, and what is there. Out:
//! [`Interference`], the difference.
//! The decision held here: the programs count the keys that they put into a generation, and an idle
//! generation has exactly so many, so that each key that another process deletes or adds is seen at
//! the next poll. Counters only grow, and nobody but this agent moves the generations. Whoever
//! changes two of these so that they agree still has the sums against him ([`super::balance`]).

/// What was found since the last [`super::Drain::take_interference`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interference {
    /// Keys that were gone from the table, or that no program had put there.
    pub(crate) keys: u64,
    /// Counters that were smaller than before.
    pub(crate) counters: u64,
    /// Signals that are in a counter and in no row, or the other way round.
    pub(crate) signals: u64,
    /// Polls at which another generation was live than the agent's.
    pub(crate) moves: u64,
}

impl Interference {
    /// Notes a generation that holds `found` keys, of which the programs have put `counted` there.
    pub(super) fn compare_keys(&mut self, counted: u64, found: u64) {
        self.keys += counted.abs_diff(found);
    }

    /// The growth of a counter. One that has shrunk was set to 0 by somebody and has grown since.
    pub(super) fn growth(&mut self, before: u64, now: u64) -> u64 {
        now.checked_sub(before).unwrap_or_else(|| {
            self.counters += 1;
            now
        })
    }

    /// Notes how often the generations have changed places, as this agent knows it and as the
    /// kernel says.
    pub(super) fn compare_flips(&mut self, own: u32, found: u32) {
        self.moves += u64::from(own != found);
    }
}
