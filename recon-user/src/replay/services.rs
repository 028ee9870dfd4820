//! Ports of UDP that serve, so that an answer is known without its question.
//!
//! In: datagrams, by what they mean for their flows. Out: whether a datagram is an answer whose
//! question was not captured.
//! The decisions held here: a capture lacks packets that the capturing program has dropped, and a
//! server's answers then come to ports that have asked nothing. A port serves if somebody has asked
//! it from a client's port: what it sends to a client's port is an answer. One that has answered,
//! such as a peer's, asks no well-known port only: what it sends to the others finds peers. A probe
//! of a well-known port counts wherever it comes from; and so does all that a scanner sends from a
//! port that nobody asks.

use std::hash::BuildHasher as _;

use recon_common::protocol::ip_protocol;
use recon_common::{Address, Flow, Signal};

use super::two_way::{FIRST_UNPRIVILEGED, may_be_answer, turned};
use crate::seed::Secrets;

/// Places for ports of addresses. A port that has the place of another one serves as that does.
const PLACES: usize = 1 << 20;
/// A client's port has asked it.
const ASKED: u8 = 1;
/// It has answered.
const ANSWERED: u8 = 1 << 1;

/// The ports that serve.
#[derive(Debug)]
pub(super) struct Services {
    marks: Vec<u8>,
    secrets: Secrets,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            marks: vec![0; PLACES],
            secrets: Secrets::default(),
        }
    }
}

impl Services {
    /// Notes what a datagram shows of the ports at its ends.
    pub(super) fn observe(&mut self, signal: Signal, flow: &Flow) {
        match signal {
            Signal::DatagramSent | Signal::DnsSentUdp if may_be_answer(flow) => {
                self.mark(flow.remote, flow.remote_port, ASKED);
            }
            // What repeats its question after an answer has not answered.
            Signal::AnsweredUdp if !may_be_answer(flow) => {
                self.mark(flow.local, flow.local_port, ANSWERED);
            }
            _ => {}
        }
    }

    /// Whether a datagram, or its refusal, is about an answer to a question that is not known.
    pub(super) fn is_answer(&self, signal: Signal, flow: &Flow) -> bool {
        let answer = match signal {
            Signal::Datagram | Signal::TraceProbe | Signal::RefusedIcmp => *flow,
            Signal::DatagramSent => turned(flow),
            _ => return false,
        };
        if flow.protocol != ip_protocol::UDP {
            return false;
        }
        let marks = self.marks[self.place(answer.remote, answer.remote_port)];
        match may_be_answer(&answer) {
            true => marks != 0,
            false => marks & ANSWERED != 0 && answer.local_port >= FIRST_UNPRIVILEGED,
        }
    }

    fn mark(&mut self, address: Address, port: u16, mark: u8) {
        let place = self.place(address, port);
        self.marks[place] |= mark;
    }

    fn place(&self, address: Address, port: u16) -> usize {
        self.secrets.hash_one((address, port)) as usize % PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Address = Address::v4([203, 0, 113, 53]);
    const CLIENT: Address = Address::v4([198, 51, 100, 7]);

    fn flow(remote: (Address, u16), local: (Address, u16)) -> Flow {
        Flow {
            remote: remote.0,
            local: local.0,
            remote_port: remote.1,
            local_port: local.1,
            protocol: ip_protocol::UDP,
        }
    }

    #[test]
    fn what_serves_answers_clients() {
        let asked = flow((SERVER, 53), (CLIENT, 40_000));
        let old = flow((SERVER, 53), (CLIENT, 1030));
        let high = flow((SERVER, 5060), (CLIENT, 40_000));
        let peer = flow((SERVER, 40_000), (CLIENT, 50_000));
        let probed = flow((SERVER, 53), (CLIENT, 161));
        // (what is known, the signal and the flow of a later datagram, whether that is an answer)
        for (known, signal, later, expected) in [
            (None, Signal::Datagram, asked, false),
            (
                Some((Signal::DatagramSent, asked)),
                Signal::Datagram,
                asked,
                true,
            ),
            (
                Some((Signal::DnsSentUdp, asked)),
                Signal::Datagram,
                old,
                true,
            ),
            (
                Some((Signal::DnsSentUdp, asked)),
                Signal::TraceProbe,
                asked,
                true,
            ),
            (
                Some((Signal::DnsSentUdp, asked)),
                Signal::RefusedIcmp,
                asked,
                true,
            ),
            (
                Some((Signal::DatagramSent, high)),
                Signal::Datagram,
                high,
                true,
            ),
            // Another port of the same address, and the same port of another one.
            (
                Some((Signal::DatagramSent, high)),
                Signal::Datagram,
                asked,
                false,
            ),
            (
                Some((Signal::DatagramSent, asked)),
                Signal::Datagram,
                flow((CLIENT, 53), (SERVER, 40_000)),
                false,
            ),
            // From the port of the service to that of a service: a probe.
            (
                Some((Signal::DnsSentUdp, asked)),
                Signal::Datagram,
                probed,
                false,
            ),
            // Nobody knows which of two high ports serves.
            (
                Some((Signal::DatagramSent, peer)),
                Signal::Datagram,
                peer,
                false,
            ),
            // Of the server's side.
            (
                Some((Signal::AnsweredUdp, turned(&asked))),
                Signal::DatagramSent,
                turned(&asked),
                true,
            ),
            (
                Some((Signal::AnsweredUdp, turned(&asked))),
                Signal::DatagramSent,
                asked,
                false,
            ),
            // A peer that answers looks for others, but not for services.
            (
                Some((Signal::AnsweredUdp, turned(&peer))),
                Signal::Datagram,
                flow((SERVER, 40_000), (CLIENT, 6881)),
                true,
            ),
            (
                Some((Signal::AnsweredUdp, turned(&peer))),
                Signal::Datagram,
                flow((SERVER, 40_000), (CLIENT, 161)),
                false,
            ),
            // What repeats its question after an answer has not answered.
            (
                Some((Signal::AnsweredUdp, asked)),
                Signal::DatagramSent,
                flow((SERVER, 6881), (CLIENT, 40_000)),
                false,
            ),
            // An answer is no question.
            (
                Some((Signal::DatagramSent, turned(&asked))),
                Signal::Datagram,
                turned(&asked),
                false,
            ),
        ] {
            let mut services = Services::default();
            if let Some((signal, flow)) = known {
                services.observe(signal, &flow);
            }
            let found = services.is_answer(signal, &later);
            assert_eq!(found, expected, "{known:?}, then {signal:?} {later:?}");
        }
    }
}
