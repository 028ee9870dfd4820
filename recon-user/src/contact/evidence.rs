//! What is known of one remote: its targets with their outcomes, and how often it succeeded.
//!
//! In: outcomes of attempts. Out: the verdict, the proof, and the outcomes for an alert.
//! The decisions held here:
//! - A target that was ever accepted stays so, whatever it refuses later: a service that restarts
//!   does not make its clients scanners.
//! - One target takes no heap: most remotes have no more.
//! - A connection is a scan's when its port was probed: it failed there, or completed a handshake
//!   and sent nothing, and it reached the port only after its attempts began to fail. A client in
//!   whose name somebody else sends SYNs goes on using the ports that it used before.
//! - Such a connection proves the address, unless it was a client's before: somebody may forge the
//!   scan, and the client happen to use what was probed in its name.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::outcomes::{Outcome, Outcomes};
use super::verdict::verdict;
use crate::row::{ToolSet, Verdict};

/// A port on a local address. The port comes first, for the order; the address is its number in
/// [`super::locals::Locals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) port: u16,
    pub(super) local: u16,
    pub(super) is_udp: bool,
}

/// The attempts on one target.
#[derive(Clone, Copy, Debug)]
struct Contact {
    /// The number of the poll in which the first one began.
    first_poll: u32,
    /// When the last one was settled, in seconds since 1970.
    last: u32,
    /// Those that succeeded.
    successes: u32,
    /// Whether a scan may have found it: an attempt failed, or a handshake brought no data.
    is_probed: bool,
    /// The best outcome.
    outcome: Outcome,
}

/// Failures that make a scan: the least that a rule on scans reports (`odd-flags`). A client that
/// mistypes a port and then finds the right one fails once.
const SCAN_FAILURES: u32 = 3;

impl Contact {
    fn is_failure(&self) -> bool {
        !self.outcome.is_success()
    }
}

/// The targets of a remote.
#[derive(Debug, Default)]
enum Targets {
    #[default]
    None,
    One(Target, Contact),
    Many(BTreeMap<Target, Contact>),
}

impl Targets {
    fn get(&self, target: Target) -> Option<&Contact> {
        match self {
            Self::None => None,
            Self::One(only, contact) => (*only == target).then_some(contact),
            Self::Many(all) => all.get(&target),
        }
    }

    fn get_mut(&mut self, target: Target) -> Option<&mut Contact> {
        match self {
            Self::None => None,
            Self::One(only, contact) => (*only == target).then_some(contact),
            Self::Many(all) => all.get_mut(&target),
        }
    }

    fn insert(&mut self, target: Target, contact: Contact) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(target, contact),
            Self::One(other, of_other) => Self::Many([(other, of_other), (target, contact)].into()),
            Self::Many(mut all) => {
                all.insert(target, contact);
                Self::Many(all)
            }
        };
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(all) => all.len(),
        }
    }

    fn of_ports(&self, ports: RangeInclusive<u16>) -> impl Iterator<Item = (Target, &Contact)> {
        let bound = |port, local, is_udp| Target {
            port,
            local,
            is_udp,
        };
        let (first, last) = ports.clone().into_inner();
        let one = match self {
            Self::One(target, contact) if ports.contains(&target.port) => Some((*target, contact)),
            _ => None,
        };
        let many = match self {
            Self::Many(all) => {
                Some(all.range(bound(first, 0, false)..=bound(last, u16::MAX, true)))
            }
            _ => None,
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(target, contact)| (*target, contact)))
    }

    fn retain(&mut self, is_kept: impl Fn(&Contact) -> bool) {
        match self {
            Self::None => {}
            Self::One(_, contact) => {
                if !is_kept(contact) {
                    *self = Self::None;
                }
            }
            Self::Many(all) => {
                all.retain(|_, contact| is_kept(contact));
                if all.is_empty() {
                    *self = Self::None;
                }
            }
        }
    }
}

/// What is known of a remote, or of a network.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    targets: Targets,
    /// Targets whose outcome is a failure.
    failures: u32,
    /// Attempts that succeeded.
    successes: u32,
    /// The poll of the first attempt that failed. `None` if none did.
    failed_first: Option<u32>,
    /// When its first and its last attempt were settled.
    pub(super) first: u32,
    pub(super) last: u32,
    /// The poll of the first handshake. `None` if there was none.
    accepted_first: Option<u32>,
    /// Whether it was a scan's handshake that proved the address.
    pub(super) is_scan_proven: bool,
    /// The tools whose fingerprints its probes carried.
    pub(super) tools: ToolSet,
}

/// A result for one target.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetResult {
    pub(super) target: Target,
    pub(super) outcome: Outcome,
    /// How many attempts had it.
    pub(super) count: u64,
    /// The tools whose fingerprints they carried.
    pub(super) tools: ToolSet,
    /// The number of the poll in which they began: times in seconds do not say what came first.
    pub(super) poll: u32,
    /// Whether there were more attempts than handshakes.
    pub(super) is_probed: bool,
    pub(super) now: u32,
    /// Older contacts are over.
    pub(super) oldest: u32,
}

impl Evidence {
    /// Adds a result. Returns what the target's outcome is now, `None` if `has_room` is false and
    /// the target is new.
    pub(super) fn add(&mut self, result: TargetResult, has_room: bool) -> Option<Outcome> {
        let TargetResult {
            target,
            outcome,
            count,
            tools,
            poll,
            is_probed,
            now,
            oldest,
        } = result;
        if self.targets.len() == 0 {
            self.first = now;
        }
        self.last = now;
        self.tools.add(tools);
        let successes = match outcome.is_success() {
            true => u32::try_from(count).unwrap_or(u32::MAX),
            false => 0,
        };
        if outcome == Outcome::Accepted {
            self.accepted_first.get_or_insert(poll);
        } else if !outcome.is_success() && self.failed_first.is_none() {
            self.failed_first = Some(poll);
        }
        let is_probed = is_probed || !outcome.is_success();
        let new = Contact {
            first_poll: poll,
            last: now,
            successes,
            is_probed,
            outcome,
        };
        self.successes = self.successes.saturating_add(successes);
        let Some(contact) = self.targets.get_mut(target) else {
            if !has_room {
                return None;
            }
            self.failures += u32::from(new.is_failure());
            self.targets.insert(target, new);
            return Some(outcome);
        };
        let was_failure = contact.is_failure();
        if contact.last < oldest {
            self.successes = self.successes.saturating_sub(contact.successes);
            *contact = Contact {
                successes: 0,
                ..new
            };
        }
        contact.last = now;
        contact.successes = contact.successes.saturating_add(successes);
        contact.is_probed |= is_probed;
        contact.outcome = contact.outcome.max(outcome);
        let after = contact.outcome;
        self.failures += u32::from(contact.is_failure());
        self.failures -= u32::from(was_failure);
        Some(after)
    }

    /// Notes that an accepted connection to that target has ended without data from the remote. A
    /// connect scan's do.
    pub(super) fn note_unused(&mut self, target: Target) {
        if let Some(contact) = self.targets.get_mut(target) {
            contact.is_probed = true;
        }
        self.note_use(target);
    }

    /// Notes that an accepted connection to that target is in use. Returns whether a scan may have
    /// found the target.
    pub(super) fn note_use(&mut self, target: Target) -> bool {
        let contact = self.targets.get(target).filter(|contact| contact.is_probed);
        let is_of_scan = self.failures >= SCAN_FAILURES
            && match (self.failed_first, contact) {
                (Some(failed), Some(contact)) => contact.first_poll >= failed,
                _ => false,
            };
        self.is_scan_proven |= is_of_scan && !self.was_client();
        is_of_scan
    }

    /// Whether it has completed a handshake.
    pub(super) fn is_proven(&self) -> bool {
        self.accepted_first.is_some()
    }

    /// Whether it completed a handshake before its attempts began to fail, as a client does.
    pub(super) fn was_client(&self) -> bool {
        let is_earlier = |accepted| self.failed_first.is_none_or(|failed| accepted < failed);
        self.accepted_first.is_some_and(is_earlier)
    }

    pub(super) fn has_target(&self, target: Target) -> bool {
        self.targets.get(target).is_some()
    }

    pub(super) fn verdict(&self) -> Verdict {
        verdict(self.failures.into(), self.successes.into())
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Adds the outcomes since `oldest`, on these ports or on all if there are none, and on one
    /// local address or on all.
    pub(super) fn add_outcomes(
        &self,
        outcomes: &mut Outcomes,
        ports: &[u16],
        local: Option<u16>,
        oldest: u32,
    ) {
        let mut add = |range: RangeInclusive<u16>| {
            for (target, contact) in self.targets.of_ports(range) {
                if contact.last >= oldest && local.is_none_or(|local| local == target.local) {
                    outcomes.add(contact.outcome, target.port);
                }
            }
        };
        match ports {
            [] => add(0..=u16::MAX),
            ports => ports.iter().for_each(|&port| add(port..=port)),
        }
    }

    /// Drops the contacts before `oldest`, and all that they showed.
    pub(super) fn expire(&mut self, oldest: u32) {
        self.targets.retain(|contact| contact.last >= oldest);
        self.failures = 0;
        self.successes = 0;
        self.failed_first = None;
        self.accepted_first = None;
        for (_, contact) in self.targets.of_ports(0..=u16::MAX) {
            self.successes = self.successes.saturating_add(contact.successes);
            if contact.outcome == Outcome::Accepted {
                let first = self.accepted_first.unwrap_or(contact.first_poll);
                self.accepted_first = Some(first.min(contact.first_poll));
            }
            if contact.is_failure() {
                self.failures += 1;
                let first = self.failed_first.unwrap_or(contact.first_poll);
                self.failed_first = Some(first.min(contact.first_poll));
            }
        }
        self.is_scan_proven &= self.failures > 0;
    }
}
