//! From what a packet shows to what counts, for packets whose meaning needs state.
//!
//! In: an [`Observation`] from the parser and the [`FlowState`] of earlier packets and open
//! connections. Out: the [`Signal`] to count, if any.
//! The decisions held here: replies to this host's own traffic, backscatter and the ends of real
//! connections are nobody's scan. A datagram is unsolicited unless this host sent one the other
//! way. A FIN+ACK is a Maimon probe unless a socket knows the connection, or this host is
//! remembered to have closed or aborted it. A flow of datagrams from this host counts once, as an
//! answer if the remote began it: a server's answers are no fan-out, and a stream of datagrams
//! costs one look at a mark.
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
    /// A datagram: counts unless this host has sent one the other way.
    Unsolicited,
    /// This host refuses a datagram: counts unless that was a late reply to this host.
    Refusal,
    /// A FIN+ACK: counts unless the connection exists or existed.
    Unconnected,
    /// This host resets a segment that had an ACK: refuses a probe, if that was one.
    Reset,
    /// This host has closed its half of a connection.
    Closed,
    /// This host sends a query to a DNS server over UDP: counts each time.
    QuerySent,
    /// A datagram from this host: counts if it is the first of its flow.
    DatagramSent,
}

/// What is remembered of earlier packets, and known of this host's sockets and processes.
pub trait FlowState {
    /// Expects answers on this flow. Returns whether none were expected before.
    fn expect_answers(&self, flow: &Flow) -> bool;
    /// Whether answers on this flow are expected.
    fn expects_answers(&self, flow: &Flow) -> bool;
    /// Remembers that the remote began this flow.
    fn mark_reached(&self, flow: &Flow);
    /// Whether the remote began this flow.
    fn was_reached(&self, flow: &Flow) -> bool;
    /// Whether a connected socket of this host has this flow, or the host only forwards the packet.
    fn is_connected(&self, flow: &Flow) -> bool;
    /// The pid of this host's process that sends the current packet, 0 if unknown.
    fn sender_pid(&self) -> u32;
}

impl Observation {
    /// Returns the signal to count for `flow`, and updates `state`.
    #[inline(always)]
    pub fn resolve(self, flow: &Flow, state: &impl FlowState) -> Option<Signal> {
        match self {
            Self::Plain(signal) => Some(signal),
            Self::Query => {
                state.mark_reached(flow);
                Some(Signal::DnsQueryUdp)
            }
            Self::Unsolicited => {
                if state.expects_answers(flow) {
                    return None;
                }
                state.mark_reached(flow);
                Some(Signal::Datagram)
            }
            Self::Refusal => (!state.expects_answers(flow)).then_some(Signal::RefusedIcmp),
            Self::Unconnected => {
                if state.expects_answers(flow) || state.is_connected(flow) {
                    return None;
                }
                state.mark_reached(flow);
                Some(Signal::MaimonProbe)
            }
            Self::Reset => state.was_reached(flow).then_some(Signal::RefusedTcp),
            Self::Closed => {
                state.expect_answers(flow);
                None
            }
            Self::QuerySent => {
                state.expect_answers(flow);
                Some(Signal::DnsSentUdp)
            }
            Self::DatagramSent => {
                if !state.expect_answers(flow) {
                    return None;
                }
                Some(if state.was_reached(flow) {
                    Signal::AnsweredUdp
                } else {
                    Signal::DatagramSent
                })
            }
        }
    }
}
