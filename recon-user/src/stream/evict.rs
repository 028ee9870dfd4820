//! Which groups of a query are evicted.
//!
//! In: the groups, the time. Out: an eighth of them, as far as they may go.
//! The decisions held here:
//! - An eighth goes at once, so that room costs the same however many groups there are: the empty
//!   ones first, then what networks hold beyond their quota.
//! - Of the rest, those at or under half of their threshold go first, the longest unchanged and the
//!   lowest first; then suspicious ones by chance, and then reported ones by chance. But each of
//!   the three keeps an eighth of the memory while another has more.
//! - What this poll has changed goes last, since it is not judged yet.
//! - A suspicious or reported group of a source with a handshake stays.

use std::hash::BuildHasher;

use jiff::Timestamp;
use recon_common::Address;

use super::Secrets;
use super::fair::{Demand, KEPT_SHARE, NetworkLoads, Watcher};
use super::group::Group;
use super::query::Query;
use super::store::Store;
use crate::address::NetworkSize;

/// The share of groups that is evicted at once.
const EVICTED_SHARE: usize = 8;
/// The events of a group are the low bits of its age.
const EVENT_BITS: u32 = 24;

/// What an eviction depends on.
#[derive(Clone, Copy)]
pub(super) struct Eviction<'a> {
    pub(super) query: &'a Query,
    pub(super) now: Timestamp,
    pub(super) poll: u64,
    pub(super) demand: Demand,
    /// No two evictions have the same number, nor the same chance.
    pub(super) number: u64,
    pub(super) watcher: &'a dyn Watcher,
    pub(super) secrets: &'a Secrets,
}

/// Groups that go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evicted {
    /// Those that hold something.
    pub(super) all: u64,
    /// Those of them that are over half of the threshold, or were reported.
    pub(super) suspicious: u64,
}

/// What goes.
#[derive(Debug)]
pub(super) struct Chosen {
    /// By position.
    pub(super) is_chosen: Vec<bool>,
    pub(super) evicted: Evicted,
    /// How many more should go.
    wanted: usize,
}

impl Chosen {
    /// Whether fewer go than should.
    pub(super) fn is_short(&self) -> bool {
        self.wanted > 0
    }

    fn add(&mut self, position: usize, state: GroupState) {
        self.is_chosen[position] = true;
        self.evicted.all += 1;
        self.evicted.suspicious += u64::from(state != GroupState::Small);
        self.wanted -= 1;
    }
}

/// Why a group may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupState {
    /// It holds nothing.
    Empty,
    /// It is at or under half of its threshold.
    Small,
    /// It is over half of its threshold.
    Suspicious,
    /// It was reported.
    Reported,
    /// It is over half of its threshold, and this poll has changed it: it is not judged yet.
    Fresh,
    /// It may not.
    Stays,
}

/// The states whose groups each keep a share of the memory, in the order in which they go.
const SHARING: [GroupState; 3] = [
    GroupState::Small,
    GroupState::Suspicious,
    GroupState::Reported,
];

/// Chooses the groups that go. `begin` is where the window begins.
pub(super) fn choose(store: &Store, eviction: &Eviction<'_>, begin: Timestamp) -> Chosen {
    let groups = 0..store.len() as u32;
    let states: Vec<_> = groups
        .map(|position| state(store.get(position), eviction, begin))
        .collect();
    let is_chosen: Vec<_> = states
        .iter()
        .map(|state| *state == GroupState::Empty)
        .collect();
    let empty = is_chosen.iter().filter(|&&is_empty| is_empty).count();
    let share = (states.len() / EVICTED_SHARE).max(1);
    let mut chosen = Chosen {
        is_chosen,
        evicted: Evicted::default(),
        wanted: share.saturating_sub(empty),
    };
    choose_excess(store, eviction, &states, &mut chosen);
    let kept = states.len() / KEPT_SHARE;
    for state in SHARING {
        choose_of_state(store, eviction, &states, (state, kept), &mut chosen);
    }
    // The rest takes so much that there are no shares left.
    for state in SHARING.into_iter().chain([GroupState::Fresh]) {
        choose_of_state(store, eviction, &states, (state, 0), &mut chosen);
    }
    chosen
}

/// Chooses by chance among the groups of networks that hold more than their quota.
fn choose_excess(
    store: &Store,
    eviction: &Eviction<'_>,
    states: &[GroupState],
    chosen: &mut Chosen,
) {
    let &Eviction { query, secrets, .. } = eviction;
    let mut loads = NetworkLoads::default();
    let all = (0..store.len()).filter(|&position| !chosen.is_chosen[position]);
    let sources = all.filter_map(|position| {
        let source = source(store.get(position as u32), query)?;
        Some((position, source))
    });
    let sources: Vec<_> = sources.collect();
    sources
        .iter()
        .for_each(|&(_, source)| loads.add(source, secrets));
    let holders = store.len();
    let excess = sources.into_iter();
    let excess = excess.filter(|&(_, source)| loads.is_over_quota(source, holders, secrets));
    let mut excess: Vec<_> = excess
        .map(|(position, source)| (chance(position, eviction), position, source))
        .collect();
    excess.sort_unstable();
    for (_, position, source) in excess {
        if chosen.wanted == 0 {
            return;
        }
        if loads.is_over_quota(source, holders, secrets) {
            chosen.add(position, states[position]);
            loads.remove(source, secrets);
        }
    }
}

/// Chooses groups of a state that go first, but leaves so many.
fn choose_of_state(
    store: &Store,
    eviction: &Eviction<'_>,
    states: &[GroupState],
    (state, kept): (GroupState, usize),
    chosen: &mut Chosen,
) {
    if eviction.demand == Demand::Growth && state != GroupState::Small {
        return;
    }
    let all = states.iter().enumerate();
    let of_state = all.filter(|&(position, of)| *of == state && !chosen.is_chosen[position]);
    let mut ranked: Vec<_> = of_state
        .map(|(position, _)| {
            let rank = match state {
                GroupState::Small => age(store.get(position as u32), eviction.query),
                _ => chance(position, eviction),
            };
            (rank, position)
        })
        .collect();
    let going = ranked.len().saturating_sub(kept).min(chosen.wanted);
    if let Some(last) = going.checked_sub(1) {
        ranked.select_nth_unstable(last);
    }
    ranked[..going]
        .iter()
        .for_each(|&(_, position)| chosen.add(position, state));
}

/// The remote, or its network, if the query groups by that.
fn source(group: &Group, query: &Query) -> Option<Address> {
    query.key.remote_of(group.first_row())
}

fn state(group: &Group, eviction: &Eviction<'_>, begin: Timestamp) -> GroupState {
    let &Eviction { query, watcher, .. } = eviction;
    let total = group.total(query);
    let is_reported = group.tag.is_some_and(|tag| watcher.is_reported(tag, begin));
    let is_suspicious = total > query.threshold() / 2;
    let state = match (total, is_reported) {
        (0, false) => return GroupState::Empty,
        (_, false) if !is_suspicious => return GroupState::Small,
        _ if is_suspicious && group.changed_in == eviction.poll => GroupState::Fresh,
        (_, true) => GroupState::Reported,
        (_, false) => GroupState::Suspicious,
    };
    let is_proven = |remote| match query.key.network() {
        None => watcher.is_proven(remote),
        Some(NetworkSize::Neighbours) => watcher.is_network_proven(remote),
        // There is no evidence by greater networks.
        Some(NetworkSize::Site | NetworkSize::Block) => false,
    };
    match source(group, query) {
        Some(remote) if is_proven(remote) => GroupState::Stays,
        _ => state,
    }
}

/// The least for the longest unchanged, and of these for the one of the fewest events.
fn age(group: &Group, query: &Query) -> u64 {
    group.changed_in << EVENT_BITS | group.total(query).min((1 << EVENT_BITS) - 1)
}

/// A number that nobody outside can know.
fn chance(position: usize, eviction: &Eviction<'_>) -> u64 {
    eviction.secrets.hash_one((eviction.number, position))
}
