//! The targets of one remote, with what became of the attempts on each.
//!
//! In: targets and outcomes. Out: the targets in the order of their ports, and how many of them
//! failed.
//! The decisions held here:
//! - One target takes no heap: most remotes have no more.
//! - Two targets that are silent though a socket waits there weigh as much as one failure: the
//!   clients of an overloaded server and the senders of logs and metrics meet one or a few.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::outcomes::{Outcome, Outcomes};

/// A port on a local address. The port comes first, for the order; the address is its number in
/// [`super::locals::Locals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) port: u16,
    pub(super) local: u16,
    pub(super) is_udp: bool,
}

/// The attempts on one target.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Contact {
    /// The number of the poll in which the first one began.
    pub(super) first_poll: u32,
    /// When the last one was settled, in seconds since 1970.
    pub(super) last: u32,
    /// Those that succeeded.
    pub(super) successes: u32,
    /// Whether a scan may have found it: an attempt failed, or a handshake brought no data.
    pub(super) is_probed: bool,
    /// The best outcome.
    pub(super) outcome: Outcome,
}

/// The targets of a remote.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) enum Targets {
    #[default]
    None,
    One(Target, Contact),
    Many(BTreeMap<Target, Contact>),
}

impl Targets {
    pub(super) fn get(&self, target: Target) -> Option<&Contact> {
        match self {
            Self::None => None,
            Self::One(only, contact) => (*only == target).then_some(contact),
            Self::Many(all) => all.get(&target),
        }
    }

    pub(super) fn get_mut(&mut self, target: Target) -> Option<&mut Contact> {
        match self {
            Self::None => None,
            Self::One(only, contact) => (*only == target).then_some(contact),
            Self::Many(all) => all.get_mut(&target),
        }
    }

    pub(super) fn insert(&mut self, target: Target, contact: Contact) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(target, contact),
            Self::One(other, of_other) => Self::Many([(other, of_other), (target, contact)].into()),
            Self::Many(mut all) => {
                all.insert(target, contact);
                Self::Many(all)
            }
        };
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(all) => all.len(),
        }
    }

    /// The lowest and the highest port.
    pub(super) fn port_range(&self) -> Option<[u16; 2]> {
        match self {
            Self::None => None,
            Self::One(target, _) => Some([target.port; 2]),
            Self::Many(all) => {
                let ((first, _), (last, _)) = (all.first_key_value()?, all.last_key_value()?);
                Some([first.port, last.port])
            }
        }
    }

    pub(super) fn of_ports(
        &self,
        ports: RangeInclusive<u16>,
    ) -> impl Iterator<Item = (Target, &Contact)> {
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

    pub(super) fn retain(&mut self, is_kept: impl Fn(&Contact) -> bool) {
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

/// Targets that are silent though a socket waits there, for each failure that they weigh.
const UNSERVED_PER_FAILURE: u32 = 2;

/// Targets whose outcome is a failure.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct FailedTargets {
    /// Those that are silent and where no socket is known to wait.
    ignored: u32,
    /// Those that are silent though a socket waits there.
    unserved: u32,
    refused: u32,
    half_open: u32,
}

impl FailedTargets {
    pub(super) fn add(&mut self, outcome: Outcome) {
        if let Some(number) = self.of(outcome) {
            *number += 1;
        }
    }

    pub(super) fn remove(&mut self, outcome: Outcome) {
        if let Some(number) = self.of(outcome) {
            *number -= 1;
        }
    }

    fn of(&mut self, outcome: Outcome) -> Option<&mut u32> {
        match outcome {
            Outcome::Ignored => Some(&mut self.ignored),
            Outcome::Unserved => Some(&mut self.unserved),
            Outcome::Refused => Some(&mut self.refused),
            Outcome::HalfOpen => Some(&mut self.half_open),
            Outcome::Answered | Outcome::Accepted => None,
        }
    }

    /// The numbers of all outcomes among so many targets: those that have not failed have accepted.
    pub(super) fn outcomes_among(self, targets: usize) -> Outcomes {
        let [ignored, unserved, refused, half_open] =
            [self.ignored, self.unserved, self.refused, self.half_open].map(u64::from);
        let failed = ignored + unserved + refused + half_open;
        Outcomes {
            accepted: (targets as u64).saturating_sub(failed),
            refused,
            half_open,
            silent: ignored + unserved,
            silent_with_listener: unserved,
            open_ports: Vec::new(),
        }
    }

    /// How many failures they weigh.
    pub(super) fn weight(self) -> u32 {
        self.ignored + self.refused + self.half_open + self.unserved / UNSERVED_PER_FAILURE
    }
}
