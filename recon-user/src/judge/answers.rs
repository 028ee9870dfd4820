//! What this host answered to those who probe it.
//!
//! In: hits and this host's answers, a poll's in any order. Out: how many of the ports that a group probed are open, refused or silent.
//! The decisions held here: an answer counts only for what was probed; a port that answered once is open, whatever it refuses
//! later. All is bounded: at the bound on remotes, those with the fewest ports go first, and of these the longest unchanged, so that a flood
//! of one-packet sources does not push out a scanner. At the bound on ports, a remote holds no more than its fair share of them.
//! The ports of a remote are in their order, so that a finding of one port looks at no other.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};
use serde::Serialize;

use super::key::GroupKey;
use crate::rule::Rule;
use crate::window;

/// Remotes that are kept.
const MAX_REMOTES: usize = 1 << 16;
/// The share of them that makes room at once.
const EVICTED_SHARE: usize = 4;
/// Ports of local addresses that are kept of one remote.
const MAX_PROBED: usize = 1 << 16;
/// Ports of local addresses that are kept of all remotes, while each has its fair share: about 30 bytes each.
const MAX_PROBED_BY_ALL: usize = 1 << 20;
/// What a remote may have in any case.
const FAIR_SHARE: usize = MAX_PROBED_BY_ALL / MAX_REMOTES;
/// How long a port is kept after its last hit: the longest window of the rules that are there by themselves.
const HORIZON: Duration = Duration::from_secs(3600);
/// Seconds between two searches for what can go, since a search looks at everything.
const SEARCH_INTERVAL: u32 = 60;
/// Open ports that an alert lists.
const OPEN_SHOWN: usize = 16;

/// What this host answered to the probes of a group, in numbers of ports, each on its local address.
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

/// What one port answered. A greater one replaces a lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    Silent,
    Refused,
    Open,
}

impl Answer {
    /// The answer that `signal` tells of, if it is one.
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

/// What every remote probed, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Probes {
    remotes: HashMap<Address, Probed>,
    /// How many targets they have together.
    targets: usize,
    /// When what could go was last searched for.
    searched: u32,
    /// This poll's answers. Their hits may come later in the poll.
    answers: Vec<(Address, Target, Answer)>,
}

impl Probes {
    /// Notes a hit.
    pub(super) fn hit(&mut self, key: &Key, now: Timestamp) {
        let oldest = second(window::begin(now, HORIZON));
        let now = second(now);
        if self.remotes.len() >= MAX_REMOTES && !self.remotes.contains_key(&key.remote) {
            self.make_room(now, oldest);
        }
        let has_room = self.hold(key, now, oldest);
        if !has_room && self.expire(now, oldest) {
            self.hold(key, now, oldest);
        }
    }

    /// Returns whether the hit could be held.
    fn hold(&mut self, key: &Key, now: u32, oldest: u32) -> bool {
        let limit = if self.targets < MAX_PROBED_BY_ALL {
            MAX_PROBED
        } else {
            FAIR_SHARE
        };
        let probed = self.remotes.entry(key.remote).or_default();
        probed.last = now;
        let held = probed.targets.len();
        match probed.targets.entry((key.port, key.local)) {
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

    /// Notes an answer, for [`Probes::settle`].
    pub(super) fn answered(&mut self, key: &Key, answer: Answer) {
        self.answers
            .push((key.remote, (key.port, key.local), answer));
    }

    /// Gives the poll's answers to what was probed, now that all of its hits are known.
    pub(super) fn settle(&mut self) {
        for (remote, target, answer) in self.answers.drain(..) {
            let probed = self.remotes.get_mut(&remote);
            if let Some(probe) = probed.and_then(|probed| probed.targets.get_mut(&target)) {
                probe.answer = probe.answer.max(answer);
            }
        }
    }

    /// What was answered to the probes of a group of `rule`, if anything is known of them.
    pub(super) fn of(&self, rule: &Rule, group: &GroupKey, now: Timestamp) -> Option<Answers> {
        let targets = &self.remotes.get(&group.remote?)?.targets;
        let oldest = second(window::begin(now, rule.window()));
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
            .map_or(&rule.ports[..], std::slice::from_ref)
        {
            [] => targets.iter().for_each(&mut add),
            ports => ports
                .iter()
                .flat_map(|&port| targets.range(on(port, group.local)))
                .for_each(&mut add),
        }
        (answers.open + answers.refused + answers.silent > 0).then_some(answers)
    }

    /// Drops what is older than `oldest`, if that was not searched for a short time ago. Returns whether it was searched for.
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
mod tests {
    use super::*;
    use crate::rule::{Configured, Measure, defaults};

    const START: i64 = 100_000;

    fn key(remote: u32, port: u16) -> Key {
        Key {
            remote: Address::v4(remote.to_be_bytes()),
            local: Address::v4([203, 0, 113, 1]),
            pid: 0,
            port,
            signal: Signal::Syn as u8,
            reserved: 0,
        }
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn of(probes: &Probes, remote: u32, second: i64) -> Option<Answers> {
        let [rule, ..] = &defaults()[..] else {
            panic!("there are rules")
        };
        let rule = Rule::new(Configured::plain(rule.clone()));
        assert_eq!(rule.measure, Measure::DistinctPorts);
        let group = GroupKey::of_remote(key(remote, 0).remote);
        probes.of(&rule, &group, time(second))
    }

    #[test]
    fn a_flood_of_sources_does_not_push_out_a_scanner() {
        let mut probes = Probes::default();
        let scanner = u32::from_be_bytes([198, 51, 100, 1]);
        for port in 1..=15 {
            probes.hit(&key(scanner, port), time(START));
        }
        for source in 0..3 * MAX_REMOTES as u32 {
            probes.hit(&key(source, 80), time(START + i64::from(source / 1000)));
        }
        assert!(probes.remotes.len() <= MAX_REMOTES);
        let answers = of(&probes, scanner, START + 1).expect("the scanner is kept");
        assert_eq!((answers.open, answers.silent), (0, 15));
    }

    #[test]
    fn many_ports_of_some_leave_others_their_share() {
        let mut probes = Probes::default();
        let whole = (MAX_PROBED_BY_ALL / MAX_PROBED) as u32;
        for port in 0..=u16::MAX {
            (0..=whole).for_each(|remote| probes.hit(&key(remote, port), time(START)));
        }
        assert_eq!(probes.targets, MAX_PROBED_BY_ALL);
        for port in 0..100 {
            probes.hit(&key(77, port), time(START));
        }
        let silent = |probes: &Probes, second| of(probes, 77, second).map(|all| all.silent);
        assert_eq!(silent(&probes, START), Some(FAIR_SHARE as u64));
        // An hour later the others' are gone.
        for port in 0..100 {
            probes.hit(&key(77, port), time(START + 3660));
        }
        assert_eq!(silent(&probes, START + 3660), Some(100));
        assert_eq!(probes.targets, 100);
    }

    #[test]
    fn what_has_left_the_window_is_not_told() {
        let mut probes = Probes::default();
        probes.hit(&key(1, 22), time(START));
        probes.answered(&key(1, 22), Answer::Open);
        probes.settle();
        assert_eq!(of(&probes, 1, START + 60).map(|all| all.open), Some(1));
        assert_eq!(of(&probes, 1, START + 3660), None);
        probes.hit(&key(1, 22), time(START + 3660));
        let again = of(&probes, 1, START + 3660).expect("hit again");
        assert_eq!((again.open, again.silent), (0, 1), "an old answer is none");
    }
}
