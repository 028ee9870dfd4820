//! From what a packet shows to what counts, for packets whose meaning needs state.
//!
//! In: an [`Observation`] from the parser and the [`FlowState`] of earlier packets and open
//! connections. Out: the [`Signal`] to count, if any.
//! The decisions held here: replies to this host's own traffic, backscatter and the ends of real
//! connections are nobody's scan. A datagram is unsolicited unless this host sent one the other
//! way. A FIN+ACK is a Maimon probe unless a socket knows the connection, or this host is
//! remembered to have closed or aborted it. An ACK, window or FIN+PSH+ACK probe looks like a packet
//! of a connection, so it counts by this host's reset, unless this host began, closed or aborted
//! the connection. A reset that answers an unsolicited SYN-ACK does not count: that is backscatter
//! of a flood in this host's name, and a reflector is no scanner. Each one excuses one reset. A
//! flow of datagrams from this host counts once, as an answer if the remote began it: a server's
//! answers are no fan-out, and a stream of datagrams costs one look at a mark.
//! A remote's answer counts on a flow on which this host has sent; without that it is backscatter,
//! of which a flood would fill the table. The first datagram of such a flow is an answer, later
//! ones are nothing.
//! A guest has accepted a connection if it has sent a SYN-ACK. Its FIN or its reset then ends the
//! connection, and the first of them counts.
//! `recon-ebpf` implements the state in the kernel, the tests have their own.

use crate::{Flow, Signal};

/// What a packet shows, with the condition under which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Counts in any case.
    Plain(Signal),
    /// A DNS query over UDP: counts in any case, and what this host sends on the flow is its
    /// answer.
    Query,
    /// A datagram: counts unless this host has sent one the other way. The first one after that is
    /// a reply.
    Unsolicited(Signal),
    /// This host refuses a datagram: counts unless that was a late reply to this host.
    Refusal,
    /// A FIN+ACK: counts unless the connection exists or existed.
    Unconnected,
    /// A packet with which a remote answers: counts if this host has sent one the other way.
    Answer(Signal),
    /// A remote's SYN-ACK: an answer, or backscatter that this host will reset.
    SynAckReceived,
    /// This host, or a guest, answers a SYN with a SYN-ACK: counts in any case.
    SynAckSent,
    /// This host resets a segment that had an ACK: refuses a probe, unless it knew the connection.
    Reset,
    /// This host, or a guest, has closed its half of a connection, or aborted it.
    Closed,
    /// This host sends something that is answered: counts each time.
    Sent(Signal),
    /// A datagram from this host: counts if it is the first of its flow.
    DatagramSent(Signal),
}

/// What is remembered of earlier packets, and known of this host's sockets and processes.
pub trait FlowState {
    /// What is remembered of that flow. One look-up serves all questions about it.
    fn marks(&self, flow: &Flow) -> impl FlowMarks;
    /// Whether a connected socket of this host has this flow, or the host only forwards the packet.
    fn is_connected(&self, flow: &Flow) -> bool;
    /// Whether a guest sends the current packet, which leaves this host.
    fn is_from_guest(&self) -> bool;
    /// The pid of this host's process that sends the current packet, 0 if unknown.
    fn sender_pid(&self) -> u32;
}

/// What is remembered of a flow.
pub trait FlowMarks {
    /// Expects answers. Returns whether none were expected before.
    fn expect_answers(&self) -> bool;
    /// Whether answers are expected.
    fn expects_answers(&self) -> bool;
    /// Remembers that the remote began the flow, or has answered. Returns whether that was unknown.
    /// Of a TCP flow it says that an unsolicited SYN-ACK came.
    fn mark_reached(&self) -> bool;
    /// Whether the remote began the flow, or has answered.
    fn was_reached(&self) -> bool;
    /// Forgets that the remote began the flow. Returns whether it was remembered.
    fn clear_reached(&self) -> bool;
}

impl Observation {
    /// Returns the signal to count for `flow`, and updates `state`.
    #[inline(always)]
    pub fn resolve(self, flow: &Flow, state: &impl FlowState) -> Option<Signal> {
        match self {
            Self::Plain(signal) => Some(signal),
            Self::SynAckSent => {
                if state.is_from_guest() {
                    state.marks(&flow.accepted()).mark_reached();
                }
                Some(Signal::AnsweredTcp)
            }
            _ => self.resolve_marked(flow, state),
        }
    }

    /// The observations that depend on what is remembered of the flow itself.
    #[inline(always)]
    fn resolve_marked(self, flow: &Flow, state: &impl FlowState) -> Option<Signal> {
        let marks = state.marks(flow);
        match self {
            Self::Query => {
                mark_begun(flow, state, &marks);
                Some(Signal::DnsQueryUdp)
            }
            Self::Unsolicited(signal) => {
                if marks.expects_answers() {
                    return marks.mark_reached().then_some(Signal::ReplyReceived);
                }
                mark_begun(flow, state, &marks);
                Some(signal)
            }
            Self::Refusal => (!marks.expects_answers()).then_some(Signal::RefusedIcmp),
            Self::Unconnected => {
                if marks.expects_answers() || state.is_connected(flow) {
                    return None;
                }
                Some(Signal::MaimonProbe)
            }
            Self::Answer(signal) => marks.expects_answers().then_some(signal),
            Self::SynAckReceived => {
                if marks.expects_answers() {
                    return Some(Signal::SynAckReceived);
                }
                marks.mark_reached();
                None
            }
            Self::Reset => {
                (!marks.expects_answers() && !marks.clear_reached()).then_some(Signal::RefusedTcp)
            }
            Self::Closed => {
                marks.expect_answers();
                (state.is_from_guest() && state.marks(&flow.accepted()).clear_reached())
                    .then_some(Signal::ForwardedEnded)
            }
            Self::Sent(signal) => {
                marks.expect_answers();
                Some(signal)
            }
            Self::DatagramSent(signal) => marks.expect_answers().then(|| {
                if marks.was_reached() {
                    Signal::AnsweredUdp
                } else {
                    signal
                }
            }),
            Self::Plain(_) | Self::SynAckSent => None,
        }
    }
}

/// Remembers that the remote began this flow of datagrams, and that what this host sends to its
/// port is an answer, whatever address of this host it reached: a server in a container has
/// another one than the packet.
#[inline(always)]
fn mark_begun(flow: &Flow, state: &impl FlowState, marks: &impl FlowMarks) {
    if marks.mark_reached() {
        state.marks(&flow.remote_end()).mark_reached();
    }
}
