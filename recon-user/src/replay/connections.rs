//! The userspace twin of the kernel's sockets: which TCP connections a host has, and how they end.
//!
//! In: TCP segments of a host, in both directions. Out: what a socket hook would have counted, and
//! whether a socket has a flow.
//! The decisions held here:
//! - A connection is accepted when the remote has acknowledged the SYN-ACK: its ACK has the number
//!   that only who saw the SYN-ACK knows. It ends by a reset, or when both sides have closed.
//! - A host that acknowledges has the connection: to a segment of none it answers by a reset. So
//!   connections from before the capture are known by what the host sends on them.
//! - Where only the inbound way is captured, the remote shows it: who acknowledges the number behind
//!   his SYN, or sends on, has a connection.
//! - Direct-mapped slots, as in the kernel: memory is constant. A newer connection takes the slot of
//!   an older one, which then has no end; that is counted.

use jiff::Timestamp;
use recon_common::flow::FLOW_SLOTS;
use recon_common::process::ACCEPTED_SLOTS;
use recon_common::protocol::tcp_flag::{ACK, FIN, RST, SYN};
use recon_common::{Direction, Ending, Flow};

use super::segment::Segment;
use crate::seed::hash_secrets;

const _: () = assert!(ACCEPTED_SLOTS <= FLOW_SLOTS && ACCEPTED_SLOTS.is_power_of_two());

/// What a socket hook would have counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketEvent {
    /// The host has accepted a connection.
    Accepted,
    /// Such a connection has ended.
    Ended(Ending),
    /// A connection of the host was refused.
    ConnectFailed,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There is none.
    #[default]
    None,
    /// The remote has sent a SYN.
    Tried,
    /// The host has answered that.
    Answered,
    /// The remote has acknowledged the answer.
    Accepted,
    /// The host has sent a SYN.
    Opening,
    /// The host sends on it; how it began is unknown, or it was the host that began it.
    Used,
    /// Only the remote sends on it.
    Heard,
    /// It has ended.
    Ended,
}

/// A connection.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    fingerprint: u32,
    state: State,
    since: Timestamp,
    /// The first number behind the SYN of the host, and of the remote.
    local_start: u32,
    remote_start: u32,
    /// Bytes from there on that the remote has acknowledged, and that it has sent.
    acknowledged: u32,
    received: u32,
    has_sent_data: bool,
    has_received_data: bool,
    /// Bytes up to and with the FIN of the host.
    local_end: Option<u32>,
    has_remote_closed: bool,
}

/// The connections of all hosts that are watched.
pub(super) struct Connections {
    slots: Vec<Connection>,
    /// Accepted connections whose end is not known, since newer ones took their slots.
    pub(super) lost_ends: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            slots: vec![Connection::default(); ACCEPTED_SLOTS as usize],
            lost_ends: 0,
        }
    }
}

impl Connections {
    /// Whether a socket has the flow: open, half open or just closed.
    pub(super) fn is_connected(&self, flow: &Flow) -> bool {
        let (slot, fingerprint) = place(flow);
        let connection = &self.slots[slot];
        connection.fingerprint == fingerprint
            && !matches!(connection.state, State::None | State::Tried)
    }

    /// Follows a segment. `is_one_way` says that the host's own segments are not captured.
    pub(super) fn follow(
        &mut self,
        flow: &Flow,
        segment: &Segment,
        direction: Direction,
        now: Timestamp,
        is_one_way: bool,
    ) -> Option<SocketEvent> {
        let (slot, fingerprint) = place(flow);
        let connection = &mut self.slots[slot];
        if connection.fingerprint != fingerprint {
            let opens = segment.flags & (SYN | RST) == SYN;
            let is_kept = matches!(connection.state, State::Answered | State::Accepted);
            // A flood of SYNs must not displace connections.
            if is_kept && (direction == Direction::In || !opens) {
                return None;
            }
            if connection.state == State::Accepted {
                self.lost_ends += 1;
            }
            *connection = Connection {
                fingerprint,
                since: now,
                ..Connection::default()
            };
        }
        match direction {
            Direction::Out => connection.send(segment, now),
            Direction::In => connection.receive(segment, now, is_one_way),
        }
    }
}

/// Slot and fingerprint of a flow.
fn place(flow: &Flow) -> (usize, u32) {
    let (slot, fingerprint) = flow.fingerprint(hash_secrets());
    ((slot & (ACCEPTED_SLOTS - 1)) as usize, fingerprint)
}

impl Connection {
    /// Follows a segment of the host.
    fn send(&mut self, segment: &Segment, now: Timestamp) -> Option<SocketEvent> {
        let flags = segment.flags;
        if flags & RST != 0 {
            let is_refusal = matches!(self.state, State::Tried | State::Heard);
            if is_refusal {
                self.state = State::None;
            }
            return self.end(now);
        }
        match (flags & SYN != 0, flags & ACK != 0) {
            (true, true) => {
                let start = segment.end();
                let is_again = self.state == State::Accepted && self.local_start == start;
                if !is_again {
                    *self = Self {
                        fingerprint: self.fingerprint,
                        state: State::Answered,
                        since: now,
                        local_start: start,
                        remote_start: segment.acknowledged,
                        ..Self::default()
                    };
                }
            }
            (true, false) => {
                *self = Self {
                    fingerprint: self.fingerprint,
                    state: State::Opening,
                    since: now,
                    local_start: segment.end(),
                    ..Self::default()
                };
            }
            (false, true) => self.send_on(segment),
            // A probe of the host.
            (false, false) => {}
        }
        None
    }

    fn send_on(&mut self, segment: &Segment) {
        match self.state {
            State::Accepted => {
                self.has_sent_data |= segment.length > 0;
                if segment.flags & FIN != 0 {
                    self.local_end = Some(segment.end().wrapping_sub(self.local_start));
                }
            }
            State::None | State::Tried | State::Heard => self.state = State::Used,
            _ => {}
        }
    }

    /// Follows a segment of the remote.
    fn receive(
        &mut self,
        segment: &Segment,
        now: Timestamp,
        is_one_way: bool,
    ) -> Option<SocketEvent> {
        let flags = segment.flags;
        if flags & RST != 0 {
            if self.state == State::Opening {
                self.state = State::None;
                return Some(SocketEvent::ConnectFailed);
            }
            if self.state == State::Answered {
                self.state = State::None;
            }
            return self.end(now);
        }
        match (flags & SYN != 0, flags & ACK != 0) {
            (true, false) => {
                let is_over = matches!(
                    self.state,
                    State::None | State::Tried | State::Heard | State::Used | State::Ended
                );
                if is_over {
                    self.state = State::Tried;
                    self.remote_start = segment.end();
                }
                None
            }
            (true, true) => {
                if self.state == State::Opening {
                    self.state = State::Used;
                }
                None
            }
            (false, true) => self.receive_on(segment, now, is_one_way),
            (false, false) => None,
        }
    }

    fn receive_on(
        &mut self,
        segment: &Segment,
        now: Timestamp,
        is_one_way: bool,
    ) -> Option<SocketEvent> {
        let is_completed = match self.state {
            State::Answered => segment.acknowledged == self.local_start,
            State::Tried => is_one_way && segment.sequence == self.remote_start,
            State::None => {
                if segment.flags & FIN == 0 && is_one_way {
                    self.state = State::Heard;
                }
                return None;
            }
            State::Accepted => {
                self.receive_accepted(segment);
                return self.end_if_closed(now);
            }
            _ => return None,
        };
        if !is_completed {
            return None;
        }
        if self.state == State::Tried {
            self.local_start = segment.acknowledged;
        }
        self.state = State::Accepted;
        self.since = now;
        self.receive_accepted(segment);
        Some(SocketEvent::Accepted)
    }

    fn receive_accepted(&mut self, segment: &Segment) {
        let behind = |end: u32, start: u32| end.wrapping_sub(start);
        /// What is further is older than the start.
        const HALF: u32 = 1 << 31;
        let received = behind(segment.end(), self.remote_start);
        if received < HALF {
            self.received = self.received.max(received);
        }
        let acknowledged = behind(segment.acknowledged, self.local_start);
        if acknowledged < HALF {
            self.acknowledged = self.acknowledged.max(acknowledged);
        }
        self.has_received_data |= segment.length > 0;
        self.has_remote_closed |= segment.flags & FIN != 0;
    }

    fn end_if_closed(&mut self, now: Timestamp) -> Option<SocketEvent> {
        let is_closed = self
            .local_end
            .is_some_and(|end| self.acknowledged >= end && self.has_remote_closed);
        if is_closed { self.end(now) } else { None }
    }

    /// Ends the connection, if the host has one.
    fn end(&mut self, now: Timestamp) -> Option<SocketEvent> {
        let was_accepted = self.state == State::Accepted;
        if matches!(self.state, State::Accepted | State::Used) {
            self.state = State::Ended;
        }
        if !was_accepted {
            return None;
        }
        let lived = now.duration_since(self.since).as_nanos();
        // A side that has sent no data has sent nothing: a FIN counts as a byte.
        let bytes = |has_data: bool, bytes: u32| if has_data { bytes.into() } else { 0 };
        Some(SocketEvent::Ended(Ending::new(
            bytes(self.has_received_data, self.received),
            bytes(self.has_sent_data, self.acknowledged),
            u64::try_from(lived).unwrap_or_default(),
        )))
    }
}
