//! Whether a capture has both directions of its flows.
//!
//! In: the ends of packets. Out: whether some pair of addresses was seen both ways, and whether an
//! address was seen to send.
//! The decision held here: until both are so, nobody knows whether a packet answers one that was
//! not captured: on a link with asymmetric routes, some hosts have both directions and others have
//! one. So what looks like an answer counts as nothing, and so does what seems to have no answer.
//! That costs a capture of both directions the few packets before its first answer, and answers to
//! addresses that never send.

use std::hash::BuildHasher as _;

use recon_common::{Address, Flow, Signal};

use crate::seed::Secrets;

/// Pairs that are remembered. A newer one takes the place of an older one.
const PAIRS: usize = 1 << 12;
/// Bits for addresses that have sent. An address that has the bit of another one counts as it does.
const SENDER_BITS: usize = 1 << 20;
/// Ports below are those of services.
pub(super) const FIRST_UNPRIVILEGED: u16 = 1024;

/// What is known of the directions.
#[derive(Debug)]
pub(super) struct TwoWay {
    is_shown: bool,
    /// By pair, the source of its latest packet and its destination.
    pairs: Vec<Option<(Address, Address)>>,
    /// A bit for each address that has sent, by its hash.
    senders: Vec<u64>,
    secrets: Secrets,
    /// Packets that may be answers, and counted as nothing.
    pub(super) withheld: u64,
    /// Whether this host has sent on connections, and nothing came back.
    pub(super) has_only_sent: bool,
}

impl Default for TwoWay {
    fn default() -> Self {
        Self {
            is_shown: false,
            pairs: vec![None; PAIRS],
            senders: vec![0; SENDER_BITS / u64::BITS as usize],
            secrets: Secrets::default(),
            withheld: 0,
            has_only_sent: false,
        }
    }
}

impl TwoWay {
    /// Whether both directions were seen of some pair.
    pub(super) const fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Whether what that address sends is captured.
    pub(super) fn shows_sending_of(&self, local: Address) -> bool {
        let (word, bit) = sender_place(self.secrets.hash_one(local));
        self.is_shown && self.senders[word] & bit != 0
    }

    /// Notes a packet.
    pub(super) fn observe(&mut self, source: Address, destination: Address) {
        let one_hash = self.secrets.hash_one(source);
        let (word, bit) = sender_place(one_hash);
        self.senders[word] |= bit;
        if self.is_shown || source == destination {
            return;
        }
        let hash = one_hash ^ self.secrets.hash_one(destination);
        let pair = &mut self.pairs[hash as usize % PAIRS];
        self.is_shown = *pair == Some((destination, source));
        *pair = Some((source, destination));
        if self.is_shown {
            self.pairs = Vec::new();
        }
    }

    /// Whether a packet counts, as far as its meaning depends on the other direction.
    pub(super) fn admits(&mut self, signal: Signal, flow: &Flow) -> bool {
        let is_unsure = match signal {
            // Of the inbound way: answers, or the ends of connections.
            Signal::Datagram | Signal::TraceProbe | Signal::MaimonProbe => may_be_answer(flow),
            Signal::StraySynAck | Signal::StraySegment | Signal::IcmpNotice => true,
            // Of the outbound way: whether somebody took an answer, or gave one.
            Signal::AnsweredTcp | Signal::AnsweredUdp => self.has_only_sent,
            _ => signal.is_outbound() && self.has_only_sent,
        };
        let is_answer_sent = signal == Signal::DatagramSent && may_be_answer(&turned(flow));
        let is_admitted = (!is_unsure || self.shows_sending_of(flow.local))
            && (!is_answer_sent || self.shows_sending_of(flow.remote));
        self.withheld += u64::from(!is_admitted);
        is_admitted
    }
}

/// Whether a packet from the remote may answer: it comes from a service's port to a client's.
pub(super) const fn may_be_answer(flow: &Flow) -> bool {
    flow.looks_like_answer()
        || flow.remote_port < FIRST_UNPRIVILEGED && flow.local_port >= FIRST_UNPRIVILEGED
}

/// The flow as its other end sees it.
pub(super) const fn turned(flow: &Flow) -> Flow {
    Flow {
        remote: flow.local,
        local: flow.remote,
        remote_port: flow.local_port,
        local_port: flow.remote_port,
        protocol: flow.protocol,
    }
}

/// The word and the bit of a sender.
const fn sender_place(hash: u64) -> (usize, u64) {
    let place = hash as usize % SENDER_BITS;
    (
        place / u64::BITS as usize,
        1 << (place % u64::BITS as usize),
    )
}
