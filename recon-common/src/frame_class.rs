//! What becomes of a frame: every frame that a hook sees is in exactly one class.
//!
//! In: what the parser and the flow state decide. Out: [`FrameClass`], an index into the per-CPU
//! counters ([`crate::Counter`]), for each direction.
//! The decision held here: a frame is counted once, by its class, so that the sum over all classes
//! is the number of frames, and nobody has to believe that no frame is missing. An established
//! packet costs one counter, as if frames were counted and nothing else.

use crate::observation::NONE;
use crate::{Loss, Observation};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameClass {
    /// It counts as a signal.
    Signal,
    /// It is data or an acknowledgement of an established connection.
    Established,
    /// No rule asks about it.
    Ignored(Ignored),
    /// It can't be read.
    Lost(Loss),
}

impl FrameClass {
    /// Number of classes.
    pub const COUNT: usize = Self::LOST + Loss::OF_FRAMES.len();
    /// The indices of the first kind that is ignored, and of the first loss.
    const IGNORED: usize = 2;
    const LOST: usize = Self::IGNORED + Ignored::ALL.len();

    /// The place of the class among all.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Signal => 0,
            Self::Established => 1,
            Self::Ignored(kind) => Self::IGNORED + kind as usize,
            Self::Lost(loss) => Self::LOST + loss as usize,
        }
    }

    /// All classes, in the order of their indices.
    pub fn all() -> impl Iterator<Item = Self> {
        let ignored = Ignored::ALL.into_iter().map(Self::Ignored);
        let lost = Loss::OF_FRAMES.into_iter().map(Self::Lost);
        [Self::Signal, Self::Established]
            .into_iter()
            .chain(ignored)
            .chain(lost)
    }
}

impl From<Loss> for FrameClass {
    #[inline(always)]
    fn from(loss: Loss) -> Self {
        Self::Lost(loss)
    }
}

impl From<Ignored> for FrameClass {
    #[inline(always)]
    fn from(kind: Ignored) -> Self {
        Self::Ignored(kind)
    }
}

/// Why no rule asks about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Ignored {
    /// It is neither IPv4 nor IPv6.
    NotIp = 0,
    /// It goes to a broadcast or multicast address.
    Group = 1,
    /// It is a fragment that continues one before it, or data of an established connection.
    Fragment = 2,
    /// It has another protocol than TCP, UDP and ICMP, which this host speaks with that remote.
    OtherProtocol = 3,
    /// It is an ICMP message of this host that asks nothing, or neighbour discovery.
    Icmp = 4,
    /// It answers what this host began.
    Reply = 5,
    /// It is another packet of a flow that has counted.
    Repeat = 6,
    /// It answers, closes or aborts a connection.
    Control = 7,
}

impl Ignored {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::NotIp,
        Self::Group,
        Self::Fragment,
        Self::OtherProtocol,
        Self::Icmp,
        Self::Reply,
        Self::Repeat,
        Self::Control,
    ];

    /// The name that the log shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Group => "group",
            Self::Fragment => "fragment",
            Self::OtherProtocol => "other_protocol",
            Self::Icmp => "icmp",
            Self::Reply => "reply",
            Self::Repeat => "repeat",
            Self::Control => "control",
        }
    }

    /// Why a packet is ignored that its flow's state has resolved to no signal.
    #[inline(always)]
    #[must_use]
    pub const fn of_resolved(observation: Observation) -> Self {
        match observation {
            Observation::Query(NONE) | Observation::Unsolicited(_) | Observation::Refusal(NONE) => {
                Self::Reply
            }
            Observation::DatagramSent(_) => Self::Repeat,
            Observation::OtherProtocol(NONE) | Observation::OtherProtocolSent(NONE) => {
                Self::OtherProtocol
            }
            Observation::FirstFragment(NONE) | Observation::LaterFragment(NONE) => Self::Fragment,
            // All others are of TCP.
            _ => Self::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn classes_are_numbered_in_order() {
        let indices: Vec<usize> = FrameClass::all().map(FrameClass::index).collect();
        assert_eq!(indices, (0..FrameClass::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: BTreeSet<&str> = Ignored::ALL.into_iter().map(Ignored::name).collect();
        assert_eq!(names.len(), Ignored::ALL.len());
    }
}
