//! How much memory the state of all rules takes together, and which rule may take more.
//!
//! In: the bytes that each rule's groups take. Out: the room that is left for a rule.
//! The decisions held here:
//! - One bound for all rules, since a flood makes groups of some of them and leaves others empty.
//! - A quarter of it is set aside in equal parts, one for each rule: a flood that is suspicious to one rule, and so can't be pushed out of
//!   it, leaves the others enough for the scanners of the day.
//! - What is counted is what groups are made of: their slots, the index to them, and what they hold on the heap. Lists of one poll and
//!   what was asked of this host ([`super::answers`]) have bounds of their own.

/// The share of all memory that is set aside.
const SET_ASIDE: usize = 4;

/// What the rules take, in bytes.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    /// What is set aside for each rule.
    aside: usize,
    /// By rule.
    held: Vec<usize>,
    /// What is held or set aside.
    claimed: usize,
}

impl Memory {
    pub(super) fn new(limit: u64, rules: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let aside = limit / SET_ASIDE / rules.max(1);
        Self {
            limit,
            aside,
            held: vec![0; rules],
            claimed: aside * rules,
        }
    }

    /// How much more a rule may take.
    pub(super) fn room(&self, rule: usize) -> usize {
        let own = self.aside.saturating_sub(self.held[rule]);
        self.limit.saturating_sub(self.claimed) + own
    }

    /// Notes what a rule takes now.
    pub(super) fn note(&mut self, rule: usize, bytes: usize) {
        let before = std::mem::replace(&mut self.held[rule], bytes);
        if before != bytes {
            self.claimed = self.claimed - before.max(self.aside) + bytes.max(self.aside);
        }
    }

    /// The rule that holds the most, of those that `may_give`: what others hold of what is set aside for them is no room for `rule`.
    pub(super) fn greatest(&self, rule: usize, may_give: impl Fn(usize) -> bool) -> Option<usize> {
        let gives = |&(other, &held): &(usize, &usize)| {
            (other == rule || held > self.aside) && held > 0 && may_give(other)
        };
        let all = self.held.iter().enumerate();
        let greatest = all.filter(gives).max_by_key(|&(_, held)| held);
        greatest.map(|(other, _)| other)
    }

    /// What all rules take.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.held.iter().sum()
    }

    /// What is held or set aside, as it is kept and counted anew.
    #[cfg(test)]
    pub(super) fn claimed(&self) -> [usize; 2] {
        let all = self.held.iter().map(|held| held.max(&self.aside));
        [self.claimed, all.sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_share_that_no_other_can_take() {
        // 1000 bytes for five rules: 50 are set aside for each.
        let mut memory = Memory::new(1000, 5);
        // (rule, bytes it takes then, room of the first and of the last)
        for (rule, bytes, first, last) in [
            (0, 0, 800, 800),
            (0, 50, 750, 800),
            (0, 800, 0, 50),
            (4, 50, 0, 0),
            (4, 10, 0, 40),
            (0, 700, 100, 140),
            (3, 150, 0, 40),
            (0, 0, 700, 690),
        ] {
            memory.note(rule, bytes);
            let room = (memory.room(0), memory.room(4));
            assert_eq!(room, (first, last), "rule {rule} has {bytes}");
        }
        assert_eq!(memory.total(), 160);
    }

    #[test]
    fn the_greatest_gives_but_not_what_is_set_aside() {
        let mut memory = Memory::new(1000, 5);
        for (rule, bytes) in [(0, 300), (1, 400), (2, 50), (3, 20)] {
            memory.note(rule, bytes);
        }
        // (for which rule, which may give, which does)
        for (rule, may_give, expected) in [
            (0, &[0, 1, 2, 3, 4][..], Some(1)),
            (1, &[0, 2, 3, 4], Some(0)),
            (2, &[2, 3, 4], Some(2)),
            (2, &[3, 4], None),
            (4, &[4], None),
        ] {
            let found = memory.greatest(rule, |other| may_give.contains(&other));
            assert_eq!(found, expected, "{may_give:?} for {rule}");
        }
    }
}
