//! How much memory the state of all queries takes together, and which holder may take more. A
//! holder is a query, for its groups, or a nursery, for its logs.
//!
//! In: the bytes that each holder takes. Out: the room that is left for a holder.
//! The decisions held here:
//! - One budget for all holders, since a flood fills some of them and leaves others empty.
//! - A quarter of it is reserved in equal parts, one for each holder: a flood that one query
//!   suspects leaves the others enough for the scanners of the day.
//! - It covers what groups are made of: their slots, the index to them, and their heap. Lists of
//!   one poll, and the evidence about remotes ([`crate::contact`]), have bounds of their own.

/// The share of the budget that is reserved.
const RESERVED_SHARE: usize = 4;

/// The bytes that holders take.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit: usize,
    /// Reserved for each holder.
    reserved: usize,
    /// By holder.
    held: Vec<usize>,
    /// What is held or reserved.
    claimed: usize,
}

impl MemoryBudget {
    pub(super) fn new(limit: u64, holders: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let reserved = limit / RESERVED_SHARE / holders.max(1);
        Self {
            limit,
            reserved,
            held: vec![0; holders],
            claimed: reserved * holders,
        }
    }

    /// How many bytes more a holder may take.
    pub(super) fn room(&self, holder: usize) -> usize {
        let own = self.reserved.saturating_sub(self.held[holder]);
        self.limit.saturating_sub(self.claimed) + own
    }

    /// Sets what a holder takes now.
    pub(super) fn set(&mut self, holder: usize, bytes: usize) {
        let before = std::mem::replace(&mut self.held[holder], bytes);
        if before != bytes {
            self.claimed = self.claimed - before.max(self.reserved) + bytes.max(self.reserved);
        }
    }

    /// The greatest holder of those that `may_give`. What others hold within their own reserve is
    /// no room for `holder`.
    pub(super) fn greatest(
        &self,
        holder: usize,
        may_give: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let gives = |&(other, &held): &(usize, &usize)| {
            (other == holder || held > self.reserved) && held > 0 && may_give(other)
        };
        let all = self.held.iter().enumerate();
        let greatest = all.filter(gives).max_by_key(|&(_, held)| held);
        greatest.map(|(other, _)| other)
    }

    /// The bytes that all holders take, and the most that they may take.
    pub(super) fn taken(&self) -> (usize, usize) {
        (self.held.iter().sum(), self.limit)
    }

    /// What all holders take.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.held.iter().sum()
    }

    /// The claimed bytes, cached and recounted.
    #[cfg(test)]
    pub(super) fn claimed(&self) -> [usize; 2] {
        let all = self.held.iter().map(|held| held.max(&self.reserved));
        [self.claimed, all.sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_a_reserve_that_no_other_can_take() {
        // 1000 bytes for five holders: 50 are reserved for each.
        let mut budget = MemoryBudget::new(1000, 5);
        // (holder, bytes it takes then, room of the first and of the last)
        for (holder, bytes, first, last) in [
            (0, 0, 800, 800),
            (0, 50, 750, 800),
            (0, 800, 0, 50),
            (4, 50, 0, 0),
            (4, 10, 0, 40),
            (0, 700, 100, 140),
            (3, 150, 0, 40),
            (0, 0, 700, 690),
        ] {
            budget.set(holder, bytes);
            let room = (budget.room(0), budget.room(4));
            assert_eq!(room, (first, last), "holder {holder} has {bytes}");
        }
        assert_eq!(budget.total(), 160);
    }

    #[test]
    fn the_greatest_holder_gives_but_not_below_its_reserve() {
        let mut budget = MemoryBudget::new(1000, 5);
        for (holder, bytes) in [(0, 300), (1, 400), (2, 50), (3, 20)] {
            budget.set(holder, bytes);
        }
        // (for which holder, which may give, which does)
        for (holder, may_give, expected) in [
            (0, &[0, 1, 2, 3, 4][..], Some(1)),
            (1, &[0, 2, 3, 4], Some(0)),
            (2, &[2, 3, 4], Some(2)),
            (2, &[3, 4], None),
            (4, &[4], None),
        ] {
            let found = budget.greatest(holder, |other| may_give.contains(&other));
            assert_eq!(found, expected, "{may_give:?} for {holder}");
        }
    }
}
