//! From what a packet shows to what is counted, where one packet alone can't tell.
//!
//! In: a [`Observation`] of the parser and a [`FlowState`] of earlier packets and open connections. Out: the [`Signal`] to count, if any.
//! The decisions held here: replies to this host's own traffic, backscatter and the ends of real connections are nobody's scan.
//! A datagram is unsolicited unless this host sent one the other way; a FIN+ACK is a Maimon probe unless a socket knows the
//! connection (or knew it: that this host aborted or closed it is remembered). A flow of datagrams from here counts once, as an
//! answer where the remote began it: a server's answers are no fan-out, and a stream of datagrams costs one mark to look at.
//! The kernel's memory is in `recon-ebpf`, the tests have their own.

use crate::{Flow, Signal};

/// What a packet shows, with the condition under which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Counts by itself.
    Plain(Signal),
    /// A DNS query over UDP: counts by itself, and what this host sends on the flow answers it.
    Query,
    /// A datagram: counts unless this host has sent one the other way.
    Unsolicited,
    /// This host's refusal of a datagram: counts unless that was a reply to this host, come too late.
    Refusal,
    /// A FIN+ACK: counts unless the connection exists or existed.
    Unconnected,
    /// This host's reset of a segment that had an ACK: refuses a probe, if that was one.
    Reset,
    /// This host has ended its half of a connection.
    Closed,
    /// This host asks a DNS server over UDP: counts each time.
    QuerySent,
    /// A datagram from this host: counts if it is the first of its flow.
    DatagramSent,
}

/// What is known about earlier packets, and about this host's sockets and processes.
pub trait FlowState {
    /// Expect answers to this flow. Returns whether none were expected before.
    fn expect_answers(&self, flow: &Flow) -> bool;
    /// Whether answers to this flow are expected.
    fn expects_answers(&self, flow: &Flow) -> bool;
    /// Remember that the remote began this flow.
    fn mark_reached(&self, flow: &Flow);
    /// Whether the remote began this flow.
    fn was_reached(&self, flow: &Flow) -> bool;
    /// Whether a connected socket of this host has this flow, or the packet is only passing through.
    fn is_connected(&self, flow: &Flow) -> bool;
    /// The process of this host that sends the packet at hand, 0 where that is not known.
    fn sender_pid(&self) -> u32;
}

impl Observation {
    /// The signal to count for `flow`, after asking and updating `memory`.
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
