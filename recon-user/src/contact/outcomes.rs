//! What became of attempts.
//!
//! In: nothing. Out: [`Outcome`], and [`Outcomes`], which alerts carry.

use serde::{Deserialize, Serialize};

/// Open ports that an alert lists.
const OPEN_SHOWN: usize = 16;

/// What became of an attempt. A greater outcome replaces a lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// This host did not answer.
    Ignored,
    /// This host did not answer, though a socket waits there.
    Unserved,
    /// This host refused it, by a reset or by ICMP.
    Refused,
    /// This host answered with a SYN-ACK, but the remote never completed the handshake.
    HalfOpen,
    /// This host answered a datagram.
    Answered,
    /// The connection was established.
    Accepted,
}

impl Outcome {
    pub(super) const fn is_success(self) -> bool {
        matches!(self, Self::Answered | Self::Accepted)
    }
}

/// What became of the attempts of a group: numbers of ports, each on its local address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Accepted a connection, or answered a datagram.
    pub accepted: u64,
    /// Refused, by a reset or by ICMP.
    pub refused: u64,
    /// Answered by a SYN-ACK, but the handshake was never completed.
    pub half_open: u64,
    /// Not answered.
    pub silent: u64,
    /// Those of the latter where a socket of this host waits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silent_with_listener: u64,
    /// Some of the open ports, ascending: those that accepted or answered, a SYN-ACK included.
    pub open_ports: Vec<u16>,
}

/// Whether the number is 0, which serde then omits.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Outcomes {
    pub(super) fn add(&mut self, outcome: Outcome, port: u16) {
        match outcome {
            Outcome::Ignored => self.silent += 1,
            Outcome::Unserved => {
                self.silent += 1;
                self.silent_with_listener += 1;
            }
            Outcome::Refused => self.refused += 1,
            Outcome::HalfOpen => self.half_open += 1,
            Outcome::Answered | Outcome::Accepted => self.accepted += 1,
        }
        let is_open = outcome >= Outcome::HalfOpen;
        let ports = &mut self.open_ports;
        if is_open && ports.len() < OPEN_SHOWN && ports.last() != Some(&port) {
            ports.push(port);
        }
    }

    /// Whether there were no attempts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accepted + self.refused + self.half_open + self.silent == 0
    }
}

/// The saved form of outcomes: an omitted field, as in JSON, would shift the others.
pub(crate) mod saved_outcomes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Outcomes;

    pub(crate) fn serialize<S: Serializer>(
        of: &Option<Outcomes>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let saved = of.as_ref().map(|of| {
            let Outcomes {
                accepted,
                refused,
                half_open,
                silent,
                silent_with_listener,
                open_ports,
            } = of;
            let counts = [accepted, refused, half_open, silent, silent_with_listener];
            (counts, open_ports)
        });
        saved.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Outcomes>, D::Error> {
        let saved: Option<([u64; 5], Vec<u16>)> = Deserialize::deserialize(from)?;
        Ok(saved.map(|(counts, open_ports)| {
            let [accepted, refused, half_open, silent, silent_with_listener] = counts;
            Outcomes {
                accepted,
                refused,
                half_open,
                silent,
                silent_with_listener,
                open_ports,
            }
        }))
    }
}
