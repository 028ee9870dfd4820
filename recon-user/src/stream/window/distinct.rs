//! The number of distinct members in a window.
//!
//! In: members, one pane at a time. Out: how many distinct members there are, and which.
//! The decision held here: one member is part of the window itself, a few are a list that is
//! searched linearly, and only more become a hash table. A flood creates many windows of one or two
//! members.

use std::hash::Hash;

use hashbrown::HashMap;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::{Counted, Pane, allocated};
use crate::stream::Secrets;

/// The most members that a list holds.
const FEW: usize = 16;
/// The first capacity of a list.
const FIRST_FEW: usize = 4;

/// A value whose distinct values are counted.
pub trait Member: Eq + Hash {
    /// The bytes of heap that the member takes.
    fn heap(&self) -> usize {
        0
    }
}

impl Member for u16 {}
impl Member for u64 {}
impl Member for Address {}

/// The distinct members in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "M: Member + Serialize",
    deserialize = "M: Member + Deserialize<'de>"
))]
pub struct Distinct<M>(MemberSet<M>);

/// Members, each with the pane in which it was last seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "M: Member + Serialize",
    deserialize = "M: Member + Deserialize<'de>"
))]
enum MemberSet<M> {
    None,
    One((M, Pane)),
    Few(Vec<(M, Pane)>),
    Many(Box<Many<M>>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "M: Member + Serialize",
    deserialize = "M: Member + Deserialize<'de>"
))]
struct Many<M> {
    /// The pane in which each member was last seen. Some members may have left the window.
    last: HashMap<M, Pane, Secrets>,
    /// The number of members that were last seen in each pane.
    counted: Counted,
    /// The bytes of heap that the members own.
    owned: usize,
}

impl<M> Default for Distinct<M> {
    fn default() -> Self {
        Self(MemberSet::None)
    }
}

impl<M: Member> Distinct<M> {
    /// Records that `member` was seen at `now`. Returns whether it stays for the whole window. A
    /// new member does not if the window has `limit` members already, or if it would take more
    /// memory and `may_grow` is false.
    pub fn add(&mut self, now: Pane, member: M, limit: usize, may_grow: bool) -> bool {
        self.expire(now);
        match &mut self.0 {
            MemberSet::None if limit > 0 => {
                self.0 = MemberSet::One((member, now));
                return true;
            }
            MemberSet::One((known, last)) if *known == member => {
                *last = now.max(*last);
                return true;
            }
            MemberSet::Many(many) => return many.add(now, member, limit, may_grow),
            MemberSet::Few(few) => {
                if let Some((_, last)) = few.iter_mut().find(|(known, _)| *known == member) {
                    *last = now.max(*last);
                    return true;
                }
                if few.len() < limit.min(FEW) && (may_grow || few.len() < few.capacity()) {
                    few.push((member, now));
                    return true;
                }
            }
            MemberSet::None | MemberSet::One(_) => {}
        }
        if !may_grow || self.total() >= limit as u64 {
            return false;
        }
        self.0 = match std::mem::replace(&mut self.0, MemberSet::None) {
            MemberSet::One(one) => {
                let mut few = Vec::with_capacity(FIRST_FEW);
                few.extend([one, (member, now)]);
                MemberSet::Few(few)
            }
            MemberSet::Few(few) => {
                let mut many = Many::of(few);
                many.add(now, member, limit, may_grow);
                MemberSet::Many(Box::new(many))
            }
            // These have added the member above.
            held @ (MemberSet::None | MemberSet::Many(_)) => held,
        };
        true
    }

    /// Drops a member.
    pub fn remove(&mut self, member: &M) {
        let is_empty = match &mut self.0 {
            MemberSet::None => false,
            MemberSet::One((known, _)) => known == member,
            MemberSet::Few(few) => {
                few.retain(|(known, _)| known != member);
                few.is_empty()
            }
            MemberSet::Many(many) => {
                many.remove(member);
                many.counted.total() == 0
            }
        };
        if is_empty {
            *self = Self::default();
        }
    }

    /// Drops the members that have left the window at `now`.
    pub fn expire(&mut self, now: Pane) {
        let oldest = now.oldest();
        let is_empty = match &mut self.0 {
            MemberSet::None => false,
            MemberSet::One((_, last)) => *last < oldest,
            MemberSet::Few(few) => {
                few.retain(|(_, last)| *last >= oldest);
                few.is_empty()
            }
            MemberSet::Many(many) => {
                many.counted.expire(now);
                many.counted.total() == 0
            }
        };
        if is_empty {
            *self = Self::default();
        }
    }

    /// The number of members in the window.
    #[must_use]
    pub fn total(&self) -> u64 {
        match &self.0 {
            MemberSet::None => 0,
            MemberSet::One(_) => 1,
            MemberSet::Few(few) => few.len() as u64,
            MemberSet::Many(many) => many.counted.total(),
        }
    }

    /// The members in the window, in no particular order.
    pub fn members(&self) -> impl Iterator<Item = &M> {
        self.last_seen().map(|(member, _)| member)
    }

    /// The members in the window and the pane in which each was last seen, in no particular order.
    pub(super) fn last_seen(&self) -> impl Iterator<Item = (&M, Pane)> {
        let (few, many) = match &self.0 {
            MemberSet::None => (&[][..], None),
            MemberSet::One(one) => (std::slice::from_ref(one), None),
            MemberSet::Few(few) => (&few[..], None),
            MemberSet::Many(many) => (&[][..], Some(many)),
        };
        let few = few.iter().map(|(member, last)| (member, *last));
        few.chain(many.into_iter().flat_map(|many| many.last_seen()))
    }

    /// The bytes of heap that the window takes. Large sets keep a running total.
    #[must_use]
    pub fn heap(&self) -> usize {
        match &self.0 {
            MemberSet::None => 0,
            MemberSet::One((member, _)) => member.heap(),
            MemberSet::Few(few) => {
                let members: usize = few.iter().map(|(member, _)| member.heap()).sum();
                allocated(few.capacity() * size_of::<(M, Pane)>()) + members
            }
            MemberSet::Many(many) => {
                let table = allocated(many.last.allocation_size());
                allocated(size_of::<Many<M>>()) + table + many.owned + many.counted.heap()
            }
        }
    }

    /// The bytes that the next member may take, while a large table is copied to one of twice its
    /// size.
    #[must_use]
    pub fn growth(&self) -> usize {
        match &self.0 {
            MemberSet::Many(many) if many.is_full() => 2 * many.last.allocation_size(),
            _ => 0,
        }
    }
}

impl<M: Member> Many<M> {
    fn of(mut few: Vec<(M, Pane)>) -> Self {
        // `Counted` takes panes in order. They are out of order if the clock was set back.
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

    fn add(&mut self, now: Pane, member: M, limit: usize, may_grow: bool) -> bool {
        let newest = self.counted.newest();
        let has_pane = may_grow || self.counted.has_room_for(now);
        // The newest pane takes the member if the clock was set back or if no new pane is allowed.
        let now = if has_pane { now.max(newest) } else { newest };
        if let Some(last) = self.last.get_mut(&member) {
            if *last == now {
                return has_pane;
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
        // Expired members are removed in bulk, so that the cost per member is constant.
        const SPARE: u64 = 64;
        if self.last.len() as u64 > 2 * self.counted.total() + SPARE {
            self.forget();
            self.last.shrink_to(2 * self.last.len());
        }
        has_pane
    }

    fn remove(&mut self, member: &M) {
        let Some((member, last)) = self.last.remove_entry(member) else {
            return;
        };
        self.owned -= member.heap();
        // One that has left the window is no longer counted.
        if last >= self.counted.oldest() {
            self.counted.take_one(last);
        }
    }

    /// Drops expired members. This does work at most once a pane, since none expire in between.
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

    fn last_seen(&self) -> impl Iterator<Item = (&M, Pane)> {
        let oldest = self.counted.oldest();
        let all = self.last.iter().map(|(member, last)| (member, *last));
        all.filter(move |&(_, last)| last >= oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pane;
    use super::*;

    #[test]
    fn members_count_once_and_expire() {
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
            assert!(window.add(pane(second), member, 10, true));
            assert_eq!(window.total(), total, "at {second} s");
        }
    }

    #[test]
    fn members_that_are_removed_do_not_count() {
        for members in [1, 2, FEW as u16, FEW as u16 + 1, 100] {
            let mut window = Distinct::default();
            for member in 0..members {
                assert!(window.add(pane(0), member, usize::MAX, true));
            }
            window.remove(&members);
            assert_eq!(window.total(), u64::from(members), "none of them");
            for member in 0..members {
                window.remove(&member);
                assert_eq!(window.total(), u64::from(members - member - 1));
            }
            assert_eq!(window.heap(), 0);
        }
    }

    #[test]
    fn members_are_bounded_and_expiry_makes_room() {
        for limit in [1, 2, FEW, FEW + 1, 100] {
            let mut window = Distinct::default();
            let members = limit as u16;
            assert!((0..members).all(|member| window.add(pane(0), member, limit, true)));
            assert!(!window.add(pane(60), members, limit, true), "{limit}");
            assert!(
                window.add(pane(60), 0, limit, true),
                "a known member is still recorded"
            );
            assert_eq!(window.total(), limit as u64);
            // All but the member that was seen later have expired.
            for member in 0..members - 1 {
                assert!(
                    window.add(pane(3600), 1000 + member, limit, true),
                    "{limit}"
                );
            }
            assert!(!window.add(pane(3600), members, limit, true), "{limit}");
            assert_eq!(window.total(), limit as u64);
        }
    }

    #[test]
    fn members_that_need_memory_are_refused_unless_the_window_may_grow() {
        let mut window = Distinct::default();
        let mut refused = 0;
        for member in 0..1000_u16 {
            let before = window.heap();
            if !window.add(pane(0), member, usize::MAX, false) {
                assert_eq!(window.heap(), before);
                refused += 1;
                assert!(window.add(pane(0), member, usize::MAX, true));
            }
        }
        assert_eq!(window.total(), 1000);
        assert!(
            (5..20).contains(&refused),
            "once for each growth: {refused}"
        );
        window.expire(pane(3600));
        assert_eq!((window.total(), window.heap()), (0, 0));
    }

    #[test]
    fn members_count_once_after_the_clock_is_set_back() {
        let mut window = Distinct::default();
        for second in [600, 0, 660, 60] {
            for member in 0..50_u16 {
                assert!(window.add(pane(second), member, usize::MAX, true));
            }
            assert_eq!(window.total(), 50, "at {second} s");
        }
    }
}
