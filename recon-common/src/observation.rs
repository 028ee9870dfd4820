//! From what a packet shows to what counts, for packets whose meaning needs state.
//!
//! In: an [`Observation`] from the parser and the [`FlowState`] of earlier packets and open
//! connections. Out: the [`Signal`] to count, if any.
//! The decisions held here: replies to this host's own traffic, backscatter and the ends of real
//! connections are nobody's scan. A datagram is unsolicited unless this host began the flow, and
//! part of a session once this host has answered it. A FIN+ACK is a Maimon probe unless a socket
//! knows the connection, or this host is remembered to have closed or aborted it. An ACK, window or
//! FIN+PSH+ACK probe looks like a packet of a connection, so it counts by this host's reset, unless
//! this host began, closed or aborted the connection. A reset that answers an unsolicited SYN-ACK
//! does not count: that is backscatter of a flood in this host's name, and a reflector is no
//! scanner. Each one that the stack takes excuses one reset: one with a bad checksum is dropped
//! without a reset, and must not excuse that of the ACK behind it. A flow of datagrams from this
//! host counts once, as an answer if the remote began it: a server's answers are no fan-out, and a
//! stream of datagrams costs one look at a mark.
//! Where the other way is not watched, as under asymmetric routing, a datagram also answers if this
//! host's processes have sent to that port of that remote and a socket waits for it. Both are
//! needed: a name server that this host has asked must not scan it unseen from port 53.
//! Only what this host began is excused: a flow that a remote began stays the remote's traffic
//! however often this host answers, or a flood of a service that answers would be invisible.
//! The control packets of media, to which many hosts do not listen, are what the media's flow makes
//! of them: answers if this host sent the first of the media, else part of the session that it has
//! answered. So they go between the ports after those of the media. A peer whose translator gives
//! them another port, or which sends them before its media are answered, is not excused.
//! A remote's answer counts on a flow on which this host has sent; without that it is a stray one,
//! which no rule on scans reads: backscatter, or a flood. So is a reset on a connection that recon
//! does not know. The first datagram of such a flow is an answer, later
//! ones are nothing.
//! A guest has accepted a connection if it has sent a SYN-ACK. Its FIN or its reset then ends the
//! connection, and the first of them counts. Its reset without that is a refusal, whatever its
//! sequence number. So is a remote's, of what this host has begun or probed, until a SYN-ACK comes.
//! What a process crafts on a raw or packet socket looks like the kernel's packets, but is no
//! connection's: a FIN+ACK or an ACK is a probe, a reset a refusal.
//! `recon-ebpf` implements the state in the kernel, the tests have their own.

use crate::{Flow, Signal};

/// The payload of an observation that has none. Without it that byte would be undefined: the
/// compiler copies it from a place on the stack that nothing has written, which the verifier of
/// Linux 5.10 refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Nothing {
    /// Its only value.
    Value = 0,
}

/// That value.
pub const NONE: Nothing = Nothing::Value;

/// What a packet shows, with the condition under which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Counts in any case.
    Plain(Signal),
    /// A DNS query over UDP: counts in any case, and what this host sends on the flow is its
    /// answer.
    Query(Nothing),
    /// A datagram: counts unless this host began its flow. The first one of such a flow is a reply.
    Unsolicited(Signal),
    /// This host refuses a datagram: counts unless that was a late reply to this host, or a control
    /// packet of media.
    Refusal(Nothing),
    /// A FIN+ACK: counts unless the connection exists or existed.
    Unconnected(Nothing),
    /// A remote's echo reply: an answer if this host has asked, else a stray one.
    EchoReply(Nothing),
    /// A remote's SYN-ACK: an answer, or backscatter. Says whether this host's stack takes it, and
    /// so will reset it if it is no answer.
    SynAckReceived(bool),
    /// A remote's reset: a refusal if this host has begun or probed, and the remote has not
    /// accepted. It is a stray one if it ends no connection either.
    ResetReceived(Nothing),
    /// This host, or a guest, answers a SYN with a SYN-ACK: counts in any case. Says whether a
    /// process crafted it.
    SynAckSent(bool),
    /// This host resets a segment that had an ACK: refuses a probe, unless it knew the connection.
    Reset(Nothing),
    /// This host, or a guest, has closed its half of a connection.
    Closed(Nothing),
    /// This host aborts a connection. A guest does too, or refuses one that it has not accepted.
    Aborted(Nothing),
    /// This host begins a connection, or probes a port: counts each time.
    Probed(Signal),
    /// A process of this host has crafted a segment with ACK: a probe, unless it is part of a
    /// connection that the process has begun or accepted by other such segments.
    Crafted(Nothing),
    /// This host sends something that is answered: counts each time.
    Sent(Signal),
    /// A datagram from this host: counts if it is the first of its flow.
    DatagramSent(Signal),
    /// A packet of another protocol than TCP, UDP and ICMP: counts unless this host sends that to
    /// the remote.
    OtherProtocol(Nothing),
    /// The same from this host: only remembered.
    OtherProtocolSent(Nothing),
    /// The first fragment of a datagram that shows nothing itself: counts unless it is data of a
    /// connection.
    FirstFragment(Nothing),
    /// Another fragment, resolved by [`crate::Parsed::resolve`]: counts if none before it has come.
    LaterFragment(Nothing),
}

/// What is remembered of earlier packets, and known of this host's sockets and processes.
pub trait FlowState {
    /// What is remembered of that flow. One look-up serves all questions about it.
    fn marks(&self, flow: &Flow) -> impl FlowMarks;
    /// Whether a connected socket of this host has this flow, or the host only forwards the packet.
    /// `None` if that was asked too often of late: a flood must not cost a look-up for each packet.
    fn is_connected(&self, flow: &Flow) -> Option<bool>;
    /// Whether a socket of this host receives that flow's datagrams, and this host has sent to the
    /// flow's port of the remote, whatever way that went.
    fn awaits_datagram(&self, flow: &Flow) -> bool;
    /// Whether a guest sends the current packet, which leaves this host.
    fn is_from_guest(&self) -> bool;
    /// The index of the interface that the current packet comes in on.
    fn interface(&self) -> u32;
    /// The pid of this host's process that sends the current packet, 0 if unknown.
    fn sender_pid(&self) -> u32;
}

/// What a datagram of this host does, by what is remembered of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It begins the flow.
    Begins,
    /// It is the first answer on a flow that the remote began.
    Answers,
    /// It is neither.
    Again,
}

/// What is remembered of a flow.
pub trait FlowMarks: Sized {
    /// What is remembered of a guest that accepted it: whether it was reached.
    fn accepted(&self) -> Self;
    /// What is remembered of the media whose control packets the flow may carry, if it is one that
    /// [`Flow::may_control_media`].
    fn media(&self) -> Self;
    /// Expects answers. Returns whether none were expected before.
    fn expect_answers(&self) -> bool;
    /// Whether answers are expected.
    fn expects_answers(&self) -> bool;
    /// Remembers that the remote began the flow, or has answered. Returns whether that was unknown.
    /// Of a TCP flow it says that a SYN-ACK came, or that this host has closed: if answers are
    /// expected, a reset refuses nothing any more.
    fn mark_reached(&self) -> bool;
    /// Whether the remote began the flow, or has answered.
    fn was_reached(&self) -> bool;
    /// Remembers that this host sends on the flow: it begins it, and then expects answers, or it
    /// answers.
    fn mark_sent(&self) -> Sent;
    /// Whether this host has answered a flow that the remote began.
    fn was_answered(&self) -> bool;
    /// Forgets that the remote began the flow. Returns whether it was remembered.
    fn clear_reached(&self) -> bool;
}

impl Observation {
    /// Returns the signal to count for `flow`, and updates `state`.
    #[inline(always)]
    pub fn resolve(self, flow: &Flow, state: &impl FlowState) -> Option<Signal> {
        match self {
            Self::Plain(signal) => Some(signal),
            // Sockets report what this host accepts.
            Self::SynAckSent(false) if !state.is_from_guest() => Some(Signal::AnsweredTcp),
            _ => self.resolve_marked(flow, state),
        }
    }

    /// The observations that depend on what is remembered of the flow itself.
    #[inline(always)]
    fn resolve_marked(self, flow: &Flow, state: &impl FlowState) -> Option<Signal> {
        let marks = state.marks(flow);
        match self {
            Self::Query(NONE) => {
                mark_begun(flow, state, &marks);
                Some(Signal::DnsQueryUdp)
            }
            Self::Unsolicited(signal) => {
                if marks.expects_answers() {
                    return marks.mark_reached().then_some(Signal::ReplyReceived);
                }
                if marks.was_answered() {
                    return Some(Signal::SessionDatagram);
                }
                if !marks.was_reached() {
                    let media = media_of(flow, &marks);
                    // Later datagrams of the flow cost one look at its marks.
                    if media == Some(Sent::Answers) {
                        marks.mark_reached();
                        marks.mark_sent();
                        return Some(Signal::SessionDatagram);
                    }
                    if media == Some(Sent::Begins) || state.awaits_datagram(flow) {
                        marks.mark_reached();
                        marks.expect_answers();
                        return None;
                    }
                }
                mark_begun(flow, state, &marks);
                Some(signal)
            }
            Self::Refusal(NONE) => {
                let is_excused = marks.expects_answers() || media_of(flow, &marks).is_some();
                (!is_excused).then_some(Signal::RefusedIcmp)
            }
            Self::Unconnected(NONE) => {
                if flow.looks_like_answer() || marks.expects_answers() {
                    return None;
                }
                unless_connected(flow, state, &marks, Signal::MaimonProbe)
            }
            Self::FirstFragment(NONE) if marks.expects_answers() => None,
            Self::FirstFragment(NONE) => {
                unless_connected(flow, state, &marks, Signal::StrayFragment)
            }
            Self::EchoReply(NONE) => Some(match marks.expects_answers() {
                true => Signal::EchoReplyReceived,
                false => Signal::IcmpNotice,
            }),
            Self::OtherProtocol(NONE) => {
                (!marks.expects_answers()).then_some(Signal::ProtocolProbe)
            }
            Self::OtherProtocolSent(NONE) => {
                marks.expect_answers();
                None
            }
            Self::SynAckReceived(is_taken) => {
                let is_answer = marks.expects_answers();
                if is_answer || is_taken {
                    marks.mark_reached();
                }
                Some(match is_answer {
                    true => Signal::SynAckReceived,
                    false => Signal::StraySynAck,
                })
            }
            Self::ResetReceived(NONE) => match (marks.expects_answers(), marks.was_reached()) {
                (true, false) => Some(Signal::ResetReceived),
                (true, true) => None,
                (false, _) => unless_connected(flow, state, &marks, Signal::StraySegment),
            },
            Self::Reset(NONE) => {
                (!marks.expects_answers() && !marks.clear_reached()).then_some(Signal::RefusedTcp)
            }
            Self::Closed(NONE) | Self::Aborted(NONE) => {
                let is_from_guest = state.is_from_guest();
                let is_accepted = is_from_guest && marks.accepted().clear_reached();
                let is_known = !is_from_guest || is_accepted || marks.expects_answers();
                if self == Self::Aborted(NONE) && !is_known {
                    return Some(Signal::RefusedTcp);
                }
                marks.expect_answers();
                marks.mark_reached();
                is_accepted.then_some(Signal::ForwardedEnded)
            }
            Self::Sent(signal) => {
                marks.expect_answers();
                Some(signal)
            }
            Self::Probed(signal) => {
                marks.expect_answers();
                marks.clear_reached();
                Some(signal)
            }
            Self::Crafted(NONE) => {
                let is_begun = !marks.expect_answers() && marks.was_reached();
                (!is_begun && !marks.accepted().was_reached()).then_some(Signal::ProbeSent)
            }
            Self::DatagramSent(signal) => match marks.mark_sent() {
                Sent::Begins => Some(signal),
                Sent::Answers => Some(Signal::AnsweredUdp),
                Sent::Again => None,
            },
            Self::SynAckSent(_) => {
                marks.accepted().mark_reached();
                Some(Signal::AnsweredTcp)
            }
            Self::Plain(_) | Self::LaterFragment(NONE) => None,
        }
    }
}

/// The signal of a segment of a connection, unless there is one, of this host or of a guest. Over
/// the look-up budget the connection is unknown, and the segment counts: a flood of resets must not
/// hide a scan.
#[inline(always)]
fn unless_connected(
    flow: &Flow,
    state: &impl FlowState,
    marks: &impl FlowMarks,
    signal: Signal,
) -> Option<Signal> {
    // A published port of a container has no socket here. Nothing is remembered: a reset must not
    // excuse what comes after it.
    if marks.accepted().was_reached() || state.is_connected(flow) == Some(true) {
        return None;
    }
    Some(signal)
}

/// What this host has done on the flow of the media whose control packets the flow may carry.
#[inline(always)]
fn media_of(flow: &Flow, marks: &impl FlowMarks) -> Option<Sent> {
    if !flow.may_control_media() {
        return None;
    }
    let media = marks.media();
    if media.expects_answers() {
        Some(Sent::Begins)
    } else {
        media.was_answered().then_some(Sent::Answers)
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
