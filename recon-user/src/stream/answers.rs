//! What this host answered to those who probe it.
//!
//! In: hits and this host's answers, those of one poll in any order. Out: how many of the ports
//! that a group probed are open, refused or silent.
//! The decisions held here: an answer counts only for what was probed; a port that answered once is
//! open, whatever it refuses later. Everything is bounded: at the bound on remotes, those with the
//! fewest ports are evicted first, then the longest unchanged, so that a flood of one-packet
//! sources does not evict a scanner. At the bound on ports, a remote holds no more than its fair
//! share. The ports of a remote are ordered, so that a finding of one port looks at no other.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::{Address, Signal};
use serde::Serialize;

use super::Secrets;
use super::key::GroupKey;
use super::query::Query;
use super::window;
use crate::row::RowKey;

/// Remotes that are kept.
const MAX_REMOTES: usize = 1 << 16;
/// The share of them that is evicted at once.
const EVICTED_SHARE: usize = 4;
/// Ports of local addresses that are kept of one remote.
const MAX_PROBED: usize = 1 << 16;
/// Ports of local addresses that are kept of all remotes, each of which has its fair share: about
/// 30 bytes each.
const MAX_PROBED_BY_ALL: usize = 1 << 20;
/// What a remote may always have.
const FAIR_SHARE: usize = MAX_PROBED_BY_ALL / MAX_REMOTES;
/// How long a port is kept after its last hit: the longest window of the built-in rules.
const HORIZON: Duration = Duration::from_secs(3600);
/// Seconds between two searches for expired probes, since a search visits all of them.
const SEARCH_INTERVAL: u32 = 60;
/// Open ports that an alert lists.
const OPEN_SHOWN: usize = 16;

/// What this host answered to the probes of a group: numbers of ports, each on its local address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Answered with a SYN-ACK or a datagram.
    pub open: u64,
    /// Refused, by a reset or by ICMP.
    pub refused: u64,
    /// Not answered.
    pub silent: u64,
    /// Some of the open ports, ascending.
    pub open_ports: Vec<u16>,
}

/// What one port answered. A greater answer replaces a lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    Silent,
    Refused,
    Open,
}

impl Answer {
    /// The answer that a signal stands for, if it is one.
    pub(super) fn of(signal: Signal) -> Option<Self> {
        match signal {
            Signal::AnsweredTcp | Signal::AnsweredUdp => Some(Self::Open),
            Signal::RefusedTcp | Signal::RefusedIcmp => Some(Self::Refused),
            _ => None,
        }
    }
}

/// A port on a local address. The port comes first, for the order.
type Target = (u16, Address);

/// The target of a row. `None` where the row lacks the port or the local address.
fn target(key: &RowKey) -> Option<Target> {
    Some((key.port?, key.local?))
}

/// The last hit of a target, in seconds since 1970, and what it answered.
#[derive(Clone, Copy, Debug)]
struct Probe {
    last: u32,
    answer: Answer,
}

#[derive(Debug, Default)]
struct Probed {
    targets: BTreeMap<Target, Probe>,
    last: u32,
}

/// The probes of every remote and their answers.
#[derive(Debug, Default)]
pub(super) struct Probes {
    remotes: HashMap<Address, Probed, Secrets>,
    /// How many targets they have together.
    targets: usize,
    /// When expired probes were last searched for.
    searched: u32,
    /// The answers of this poll. Their hits may come later in it.
    answers: Vec<(Address, Target, Answer)>,
}

impl Probes {
    /// Adds a hit of a remote.
    pub(super) fn add_hit(&mut self, remote: Address, key: &RowKey, now: Timestamp) {
        self.add_hit_at(remote, key, now, now);
    }

    /// Adds a hit of a time that may be over. Room is made as of `now`: times that go back and
    /// forth must not cause a search each.
    fn add_hit_at(&mut self, remote: Address, key: &RowKey, time: Timestamp, now: Timestamp) {
        let Some(target) = target(key) else { return };
        let [oldest_then, oldest] =
            [time, now].map(|time| second(window::window_start(time, HORIZON)));
        let [time, now] = [time, now].map(second);
        if self.remotes.len() >= MAX_REMOTES && !self.remotes.contains_key(&remote) {
            self.make_room(now, oldest);
        }
        let has_room = self.hold(remote, target, time, oldest_then);
        if !has_room && self.expire(now, oldest) {
            self.hold(remote, target, time, oldest_then);
        }
    }

    /// Returns whether the hit could be held.
    fn hold(&mut self, remote: Address, target: Target, now: u32, oldest: u32) -> bool {
        let limit = if self.targets < MAX_PROBED_BY_ALL {
            MAX_PROBED
        } else {
            FAIR_SHARE
        };
        let probed = self.remotes.entry(remote).or_default();
        probed.last = now;
        let held = probed.targets.len();
        match probed.targets.entry(target) {
            Entry::Occupied(entry) => {
                let probe = entry.into_mut();
                if probe.last < oldest {
                    probe.answer = Answer::Silent;
                }
                probe.last = now;
            }
            Entry::Vacant(entry) if held < limit => {
                entry.insert(Probe {
                    last: now,
                    answer: Answer::Silent,
                });
                self.targets += 1;
            }
            Entry::Vacant(_) => return false,
        }
        true
    }

    /// Adds an answer, for [`Probes::resolve_answers`].
    pub(super) fn add_answer(&mut self, remote: Address, key: &RowKey, answer: Answer) {
        if let Some(target) = target(key) {
            self.answers.push((remote, target, answer));
        }
    }

    /// Matches the answers of the poll with what was probed, now that all its hits are known.
    pub(super) fn resolve_answers(&mut self) {
        for (remote, target, answer) in std::mem::take(&mut self.answers) {
            self.resolve(remote, target, answer);
        }
    }

    fn resolve(&mut self, remote: Address, target: Target, answer: Answer) {
        let probed = self.remotes.get_mut(&remote);
        if let Some(probe) = probed.and_then(|probed| probed.targets.get_mut(&target)) {
            probe.answer = probe.answer.max(answer);
        }
    }

    /// Adds what a remote did in earlier polls and in the `current` one, whose time is `now`: for
    /// each row its poll, its key and time, and whether it is a hit.
    pub(super) fn add_late(
        &mut self,
        remote: Address,
        rows: &[(u32, RowKey, Timestamp, bool)],
        current: u32,
        now: Timestamp,
    ) {
        for of_poll in rows.chunk_by(|(one, ..), (other, ..)| one == other) {
            for (_, key, time, is_hit) in of_poll {
                if *is_hit {
                    self.add_hit_at(remote, key, *time, now);
                }
            }
            for (poll, key, ..) in of_poll {
                let Some((answer, target)) = Answer::of(key.signal).zip(target(key)) else {
                    continue;
                };
                if *poll == current {
                    self.answers.push((remote, target, answer));
                } else {
                    self.resolve(remote, target, answer);
                }
            }
        }
    }

    /// What was answered to the probes of a group, if any of them are known.
    pub(super) fn answers_to(
        &self,
        query: &Query,
        group: &GroupKey,
        now: Timestamp,
    ) -> Option<Answers> {
        let targets = &self.remotes.get(&group.remote?)?.targets;
        let oldest = second(window::window_start(now, query.window()));
        let mut answers = Answers::default();
        let mut add = |(&(port, local), probe): (&Target, &Probe)| {
            if probe.last < oldest || group.local.is_some_and(|only| only != local) {
                return;
            }
            match probe.answer {
                Answer::Silent => answers.silent += 1,
                Answer::Refused => answers.refused += 1,
                Answer::Open => {
                    answers.open += 1;
                    let ports = &mut answers.open_ports;
                    if ports.len() < OPEN_SHOWN && ports.last() != Some(&port) {
                        ports.push(port);
                    }
                }
            }
        };
        match group
            .port
            .as_ref()
            .map_or(&query.filter.ports[..], std::slice::from_ref)
        {
            [] => targets.iter().for_each(&mut add),
            ports => ports
                .iter()
                .flat_map(|&port| targets.range(on(port, group.local)))
                .for_each(&mut add),
        }
        (answers.open + answers.refused + answers.silent > 0).then_some(answers)
    }

    /// Drops what is older than `oldest`, unless that was searched for a short time ago. Returns
    /// whether it searched.
    fn expire(&mut self, now: u32, oldest: u32) -> bool {
        if now.abs_diff(self.searched) < SEARCH_INTERVAL {
            return false;
        }
        self.searched = now;
        let mut left = 0;
        self.remotes.retain(|_, probed| {
            probed.targets.retain(|_, probe| probe.last >= oldest);
            left += probed.targets.len();
            !probed.targets.is_empty()
        });
        self.targets = left;
        true
    }

    /// Drops remotes until there is room again.
    fn make_room(&mut self, now: u32, oldest: u32) {
        self.expire(now, oldest);
        let share = MAX_REMOTES / EVICTED_SHARE;
        if self.remotes.len() + share <= MAX_REMOTES {
            return;
        }
        let rank = |probed: &Probed| (probed.targets.len(), probed.last);
        let mut ranks: Vec<_> = self.remotes.values().map(rank).collect();
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(share - 1);
        let mut left = share;
        let targets = &mut self.targets;
        self.remotes.retain(|_, probed| {
            let goes = left > 0 && rank(probed) <= last_to_go;
            if goes {
                left -= 1;
                *targets -= probed.targets.len();
            }
            !goes
        });
    }
}

/// The targets of that port, on that local address or on any.
fn on(port: u16, local: Option<Address>) -> RangeInclusive<Target> {
    const LAST: Address = Address::from_words([u32::MAX; 4]);
    let first = local.unwrap_or(Address::UNSPECIFIED);
    (port, first)..=(port, local.unwrap_or(LAST))
}

/// The time in seconds since 1970, which fit until 2106. Windows begin at whole ones.
fn second(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
