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
//! A capture that drops questions has some of them: what a port sends far beyond what it was asked
//! in that minute counts, since a flood by reflection comes from resolvers that a network uses, and
//! since one forged question would hide a scan.

use std::hash::BuildHasher as _;

use jiff::{SignedDuration, Timestamp};
use recon_common::protocol::ip_protocol;
use recon_common::{Address, Flow, Signal};

use super::two_way::{FIRST_UNPRIVILEGED, may_be_answer, turned};
use crate::seed::Secrets;

/// Places for ports of addresses. A newer port takes the place of an older one.
const PLACES: usize = 1 << 17;
/// How long a port serves after it was last asked or has answered. A client of NTP may ask every 17
/// minutes only, and a capture may lack one question of two.
const SERVES_FOR: SignedDuration = SignedDuration::from_mins(40);
/// How long questions and answers are counted together.
const COUNTED_FOR: SignedDuration = SignedDuration::from_mins(1);
/// Answers of a port and a minute that need no question: a scan of 20 ports has more.
const FREE_ANSWERS: u32 = 16;
/// Further answers for each question of that minute. A capture that has one question of four is as
/// bad as one gets before its other counts mean nothing.
const ANSWERS_PER_QUESTION: u32 = 3;
/// A client's port has asked it.
const ASKED: u8 = 1;
/// It has answered.
const ANSWERED: u8 = 1 << 1;

/// A port that serves.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    fingerprint: u32,
    marks: u8,
    /// When it was asked or has answered.
    shown: Timestamp,
    /// Since when questions and excused answers are counted.
    since: Timestamp,
    questions: u32,
    excused: u32,
}

impl Service {
    /// Begins to count anew if it is time. A time before is another capture's.
    fn turn(&mut self, now: Timestamp) {
        let passed = now.duration_since(self.since);
        if passed.is_negative() || passed >= COUNTED_FOR {
            (self.since, self.questions, self.excused) = (now, 0, 0);
        }
    }

    /// Whether one more answer without a question is likely.
    fn has_more(&self) -> bool {
        let most = self.questions.saturating_mul(ANSWERS_PER_QUESTION);
        self.excused < most.saturating_add(FREE_ANSWERS)
    }
}

/// The ports that serve.
#[derive(Debug)]
pub(super) struct Services {
    places: Vec<Service>,
    secrets: Secrets,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            places: vec![Service::default(); PLACES],
            secrets: Secrets::default(),
        }
    }
}

impl Services {
    /// Notes what a datagram shows of the ports at its ends.
    pub(super) fn observe(&mut self, signal: Signal, flow: &Flow, now: Timestamp) {
        match signal {
            Signal::DatagramSent | Signal::DnsSentUdp if may_be_answer(flow) => {
                self.mark(flow.remote, flow.remote_port, ASKED, now);
            }
            // What repeats its question after an answer has not answered.
            Signal::AnsweredUdp if !may_be_answer(flow) => {
                self.mark(flow.local, flow.local_port, ANSWERED, now);
            }
            _ => {}
        }
    }

    /// Whether a datagram, or its refusal, is about an answer to a question that is not known.
    pub(super) fn is_answer(&mut self, signal: Signal, flow: &Flow, now: Timestamp) -> bool {
        let answer = match signal {
            Signal::Datagram | Signal::TraceProbe | Signal::RefusedIcmp => *flow,
            Signal::DatagramSent => turned(flow),
            _ => return false,
        };
        if flow.protocol != ip_protocol::UDP {
            return false;
        }
        let (place, fingerprint) = self.place(answer.remote, answer.remote_port);
        let service = &mut self.places[place];
        if service.fingerprint != fingerprint || now.duration_since(service.shown) > SERVES_FOR {
            return false;
        }
        if !may_be_answer(&answer) {
            return service.marks & ANSWERED != 0 && answer.local_port >= FIRST_UNPRIVILEGED;
        }
        service.turn(now);
        // What a refusal is about was counted when it came.
        if signal == Signal::RefusedIcmp {
            return service.marks != 0;
        }
        let is_excused = service.marks != 0 && service.has_more();
        service.excused += u32::from(is_excused);
        is_excused
    }

    fn mark(&mut self, address: Address, port: u16, mark: u8, now: Timestamp) {
        let (place, fingerprint) = self.place(address, port);
        let service = &mut self.places[place];
        if service.fingerprint != fingerprint || now.duration_since(service.shown) > SERVES_FOR {
            *service = Service {
                fingerprint,
                since: now,
                ..Service::default()
            };
        }
        service.turn(now);
        service.marks |= mark;
        service.shown = now;
        service.questions = service.questions.saturating_add(1);
    }

    /// The place of a port, and what tells it from others that have the same place.
    fn place(&self, address: Address, port: u16) -> (usize, u32) {
        let hash = self.secrets.hash_one((address, port));
        (hash as usize % PLACES, (hash >> 32) as u32)
    }
}

#[cfg(test)]
mod tests;
