//! How many different members were seen in a window.
//!
//! In: members, a slice at a time. Out: how many there are, and which.
//! The decision held here: one member is a part of the window itself, a few are a list that is searched from its begin, and only more are a
//! hash table: a flood makes many windows of a member or two.

use std::hash::Hash;

use hashbrown::HashMap;
use recon_common::Address;

use super::{Counted, Slice, allocated};
use crate::stream::Secrets;

/// Members that are a list at most.
const FEW: usize = 16;
/// Members that a list has room for at first.
const FIRST_FEW: usize = 4;

/// What is counted by its difference.
pub trait Member: Eq + Hash {
    /// The bytes of heap that it takes.
    fn heap(&self) -> usize {
        0
    }
}

impl Member for u16 {}
impl Member for u64 {}
impl Member for Address {}

/// How many different members were seen in a window.
#[derive(Clone, Debug)]
pub struct Distinct<M>(Held<M>);

/// Members with the slice in which each was last seen.
#[derive(Clone, Debug)]
enum Held<M> {
    None,
    One((M, Slice)),
    Few(Vec<(M, Slice)>),
    Many(Box<Many<M>>),
}

#[derive(Clone, Debug)]
struct Many<M> {
    /// The slice in which each member was last seen. Some may have left the window.
    last: HashMap<M, Slice, Secrets>,
    /// How many members were last seen in each slice.
    counted: Counted,
    /// The bytes of heap that members take by themselves.
    owned: usize,
}

impl<M> Default for Distinct<M> {
    fn default() -> Self {
        Self(Held::None)
    }
}

impl<M: Member> Distinct<M> {
    /// Notes that `member` was seen at `now`. Returns whether it is held for the whole window: a new one can't be where there are `limit`
    /// already, or where it would take more memory and `may_grow` is false.
    pub fn add(&mut self, now: Slice, member: M, limit: usize, may_grow: bool) -> bool {
        self.expire(now);
        match &mut self.0 {
            Held::None if limit > 0 => {
                self.0 = Held::One((member, now));
                return true;
            }
            Held::One((known, last)) if *known == member => {
                *last = now.max(*last);
                return true;
            }
            Held::Many(many) => return many.add(now, member, limit, may_grow),
            Held::Few(few) => {
                if let Some((_, last)) = few.iter_mut().find(|(known, _)| *known == member) {
                    *last = now.max(*last);
                    return true;
                }
                if few.len() < limit.min(FEW) && (may_grow || few.len() < few.capacity()) {
                    few.push((member, now));
                    return true;
                }
            }
            Held::None | Held::One(_) => {}
        }
        if !may_grow || self.total() >= limit as u64 {
            return false;
        }
        self.0 = match std::mem::replace(&mut self.0, Held::None) {
            Held::One(one) => {
                let mut few = Vec::with_capacity(FIRST_FEW);
                few.extend([one, (member, now)]);
                Held::Few(few)
            }
            Held::Few(few) => {
                let mut many = Many::of(few);
                many.add(now, member, limit, may_grow);
                Held::Many(Box::new(many))
            }
            // Those have added the member themselves.
            held @ (Held::None | Held::Many(_)) => held,
        };
        true
    }

    /// Drops what has left the window at `now`.
    pub fn expire(&mut self, now: Slice) {
        let oldest = now.oldest();
        let is_empty = match &mut self.0 {
            Held::None => false,
            Held::One((_, last)) => *last < oldest,
            Held::Few(few) => {
                few.retain(|(_, last)| *last >= oldest);
                few.is_empty()
            }
            Held::Many(many) => {
                many.counted.expire(now);
                many.counted.total() == 0
            }
        };
        if is_empty {
            *self = Self::default();
        }
    }

    /// How many members the window holds.
    #[must_use]
    pub fn total(&self) -> u64 {
        match &self.0 {
            Held::None => 0,
            Held::One(_) => 1,
            Held::Few(few) => few.len() as u64,
            Held::Many(many) => many.counted.total(),
        }
    }

    /// The members that the window holds, in no order.
    pub fn members(&self) -> impl Iterator<Item = &M> {
        self.last_seen().map(|(member, _)| member)
    }

    /// The members that the window holds with the slice in which each was last seen, in no order.
    pub(super) fn last_seen(&self) -> impl Iterator<Item = (&M, Slice)> {
        let (few, many) = match &self.0 {
            Held::None => (&[][..], None),
            Held::One(one) => (std::slice::from_ref(one), None),
            Held::Few(few) => (&few[..], None),
            Held::Many(many) => (&[][..], Some(many)),
        };
        let few = few.iter().map(|(member, last)| (member, *last));
        few.chain(many.into_iter().flat_map(|many| many.last_seen()))
    }

    /// The bytes of heap that it takes. Those of large sets are known, not walked.
    #[must_use]
    pub fn heap(&self) -> usize {
        match &self.0 {
            Held::None => 0,
            Held::One((member, _)) => member.heap(),
            Held::Few(few) => {
                let members: usize = few.iter().map(|(member, _)| member.heap()).sum();
                allocated(few.capacity() * size_of::<(M, Slice)>()) + members
            }
            Held::Many(many) => {
                let table = allocated(many.last.allocation_size());
                allocated(size_of::<Many<M>>()) + table + many.owned + many.counted.heap()
            }
        }
    }

    /// The bytes that the next member may take while a large table is copied to one of twice its size.
    #[must_use]
    pub fn growth(&self) -> usize {
        match &self.0 {
            Held::Many(many) if many.is_full() => 2 * many.last.allocation_size(),
            _ => 0,
        }
    }
}

impl<M: Member> Many<M> {
    fn of(mut few: Vec<(M, Slice)>) -> Self {
        // Slices are counted in their order. A clock that was set back has seen some of them out of it.
        few.sort_unstable_by_key(|&(_, last)| last);
        let mut counted = Counted::default();
        for &(_, last) in &few {
            counted.add(last, 1, true);
        }
        Self {
            owned: few.iter().map(|(member, _)| member.heap()).sum(),
            last: few.into_iter().collect(),
            counted,
        }
    }

    fn is_full(&self) -> bool {
        self.last.len() == self.last.capacity()
    }

    fn add(&mut self, now: Slice, member: M, limit: usize, may_grow: bool) -> bool {
        let newest = self.counted.newest();
        let has_slice = may_grow || self.counted.has_room_for(now);
        // What a clock that was set back brings is counted in the newest slice, and so is what has none of its own.
        let now = if has_slice { now.max(newest) } else { newest };
        if let Some(last) = self.last.get_mut(&member) {
            if *last == now {
                return has_slice;
            }
            self.counted.take_one(*last);
            *last = now;
        } else {
            if self.last.len() >= limit || self.is_full() && !may_grow {
                self.forget();
            }
            if self.last.len() >= limit || self.is_full() && !may_grow {
                return false;
            }
            self.owned += member.heap();
            self.last.insert(member, now);
        }
        self.counted.add(now, 1, true);
        // Members that have left the window go in bulk, so that each costs the same however many there are.
        const SPARE: u64 = 64;
        if self.last.len() as u64 > 2 * self.counted.total() + SPARE {
            self.forget();
            self.last.shrink_to(2 * self.last.len());
        }
        has_slice
    }

    /// Drops members that have left the window: once a slice at most, as none leaves in between.
    fn forget(&mut self) {
        if self.last.len() as u64 == self.counted.total() {
            return;
        }
        let oldest = self.counted.oldest();
        let owned = &mut self.owned;
        self.last.retain(|member, last| {
            let is_held = *last >= oldest;
            if !is_held {
                *owned -= member.heap();
            }
            is_held
        });
    }

    fn last_seen(&self) -> impl Iterator<Item = (&M, Slice)> {
        let oldest = self.counted.oldest();
        let all = self.last.iter().map(|(member, last)| (member, *last));
        all.filter(move |&(_, last)| last >= oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::slice;
    use super::*;

    #[test]
    fn members_count_once_and_leave() {
        let mut window = Distinct::default();
        for (second, member, total) in [
            (0, 1_u16, 1),
            (0, 1, 1),
            (60, 2, 2),
            (120, 1, 2),
            (3659, 3, 3),
            (3660, 3, 2),
            (3720, 3, 1),
        ] {
            assert!(window.add(slice(second), member, 10, true));
            assert_eq!(window.total(), total, "at {second} s");
        }
    }

    #[test]
    fn members_are_bounded_and_room_comes_back() {
        for limit in [1, 2, FEW, FEW + 1, 100] {
            let mut window = Distinct::default();
            let members = limit as u16;
            assert!((0..members).all(|member| window.add(slice(0), member, limit, true)));
            assert!(!window.add(slice(60), members, limit, true), "{limit}");
            assert!(
                window.add(slice(60), 0, limit, true),
                "a member that is held is still seen"
            );
            assert_eq!(window.total(), limit as u64);
            // All but the one that was seen later have left.
            for member in 0..members - 1 {
                assert!(
                    window.add(slice(3600), 1000 + member, limit, true),
                    "{limit}"
                );
            }
            assert!(!window.add(slice(3600), members, limit, true), "{limit}");
            assert_eq!(window.total(), limit as u64);
        }
    }

    #[test]
    fn what_takes_memory_waits_for_it() {
        let mut window = Distinct::default();
        let mut refused = 0;
        for member in 0..1000_u16 {
            let before = window.heap();
            if !window.add(slice(0), member, usize::MAX, false) {
                assert_eq!(window.heap(), before);
                refused += 1;
                assert!(window.add(slice(0), member, usize::MAX, true));
            }
        }
        assert_eq!(window.total(), 1000);
        assert!((5..20).contains(&refused), "as often as it grew: {refused}");
        window.expire(slice(3600));
        assert_eq!((window.total(), window.heap()), (0, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_counts_each_once() {
        let mut window = Distinct::default();
        for second in [600, 0, 660, 60] {
            for member in 0..50_u16 {
                assert!(window.add(slice(second), member, usize::MAX, true));
            }
            assert_eq!(window.total(), 50, "at {second} s");
        }
    }
}
