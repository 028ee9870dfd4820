//! The userspace twin of the kernel's sockets: which TCP connections a host has, and how they end.
//!
//! In: TCP segments of a host, in both directions. Out: what a socket hook would have counted, and
//! whether a socket has a flow.
//! The decisions held here:
//! - A connection is accepted when the remote has acknowledged the SYN-ACK: its ACK has a number
//!   that only a receiver of the SYN-ACK knows. It ends by a reset, or when both sides have closed.
//! - A host that acknowledges has the connection: to a segment of none it answers by a reset. So
//!   one from before the capture, or whose handshake it lacks, is known by what the host sends.
//! - Where only the inbound way is captured: a remote that sends an ACK with the number behind its
//!   SYN has a connection, and so has one that sends segments without a SYN or FIN.
//! - Direct-mapped slots, as in the kernel: memory is constant. What the host opens or answers
//!   takes the slot of an older connection, which then has no end. Anything else waits until the
//!   slot's owner has been silent for long. Both are counted.

use jiff::{SignedDuration, Timestamp};
use recon_common::flow::FLOW_SLOTS;
use recon_common::process::ACCEPTED_SLOTS;
use recon_common::protocol::tcp_flag::{ACK, FIN, RST, SYN};
use recon_common::{Direction, Ending, Flow};

use super::segment::{Segment, advance};
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
enum TcpState {
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
struct TcpConnection {
    fingerprint: u32,
    state: TcpState,
    since: Timestamp,
    /// When its latest segment came.
    latest: Timestamp,
    /// The first number behind the SYN of the host, and of the remote.
    local_start: u32,
    remote_start: u32,
    /// Bytes from there on that the remote has acknowledged, and that it has sent.
    acknowledged: u64,
    received: u64,
    has_sent_data: bool,
    has_received_data: bool,
    /// Bytes up to and with the FIN of the host.
    local_end: Option<u64>,
    has_remote_closed: bool,
    /// Whether anything of the remote has come.
    is_reached: bool,
}

/// The connections of all hosts that are watched.
pub(super) struct Connections {
    slots: Vec<TcpConnection>,
    /// Accepted connections whose end is not known, since newer ones took their slots.
    pub(super) lost_ends: u64,
    /// Segments that were not followed, since other connections had their slots.
    pub(super) unfollowed: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            slots: vec![TcpConnection::default(); ACCEPTED_SLOTS as usize],
            lost_ends: 0,
            unfollowed: 0,
        }
    }
}

impl Connections {
    /// Whether a socket has the flow: open, half open or just closed. Unknown if another flow has
    /// its slot.
    pub(super) fn is_connected(&self, flow: &Flow) -> Option<bool> {
        let (slot, fingerprint) = place(flow);
        let connection = &self.slots[slot];
        if connection.fingerprint != fingerprint {
            return connection.kept_for().is_none().then_some(false);
        }
        Some(!matches!(
            connection.state,
            TcpState::None | TcpState::Tried
        ))
    }

    /// Whether the remote has sent a SYN that nothing has answered yet.
    pub(super) fn was_tried(&self, flow: &Flow) -> bool {
        let (slot, fingerprint) = place(flow);
        let connection = &self.slots[slot];
        connection.fingerprint == fingerprint && connection.state == TcpState::Tried
    }

    /// Whether anything of the remote has come on that flow, as far as it is followed.
    pub(super) fn was_reached(&self, flow: &Flow) -> bool {
        let (slot, fingerprint) = place(flow);
        let connection = &self.slots[slot];
        connection.fingerprint == fingerprint && connection.is_reached
    }

    /// Notes that something of the remote has come that has no [`Segment`], such as a fragment.
    pub(super) fn mark_reached(&mut self, flow: &Flow, now: Timestamp) {
        if let Some(connection) = self.take_slot(flow, false, now) {
            connection.is_reached = true;
        }
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
        let opens = direction == Direction::Out && segment.flags & (SYN | RST) == SYN;
        let connection = self.take_slot(flow, opens, now)?;
        match direction {
            Direction::Out => connection.send(segment, now),
            Direction::In => {
                connection.is_reached = true;
                connection.receive(segment, now, is_one_way)
            }
        }
    }

    /// The connection of a flow, if its slot is free or its own.
    fn take_slot(
        &mut self,
        flow: &Flow,
        opens: bool,
        now: Timestamp,
    ) -> Option<&mut TcpConnection> {
        let (slot, fingerprint) = place(flow);
        let connection = &mut self.slots[slot];
        if connection.fingerprint != fingerprint {
            // A flood of SYNs must not displace connections.
            if !opens && connection.is_kept(now) {
                self.unfollowed += 1;
                return None;
            }
            if connection.state == TcpState::Accepted {
                self.lost_ends += 1;
            }
            *connection = TcpConnection {
                fingerprint,
                since: now,
                ..TcpConnection::default()
            };
        }
        connection.latest = now;
        Some(connection)
    }
}

/// Slot and fingerprint of a flow.
fn place(flow: &Flow) -> (usize, u32) {
    let (slot, fingerprint) = flow.fingerprint(hash_secrets());
    ((slot & (ACCEPTED_SLOTS - 1)) as usize, fingerprint)
}

impl TcpConnection {
    /// How long a slot is left to a silent connection. `None` if anybody may have it.
    const fn kept_for(&self) -> Option<SignedDuration> {
        /// Linux gives up a SYN-ACK after 63 seconds.
        const HALF_OPEN: SignedDuration = SignedDuration::from_secs(60);
        /// Nothing of an accepted connection comes for so long only if its end was not captured.
        const SILENT: SignedDuration = SignedDuration::from_hours(1);
        match self.state {
            TcpState::Answered | TcpState::Used => Some(HALF_OPEN),
            TcpState::Accepted => Some(SILENT),
            _ => None,
        }
    }

    fn is_kept(&self, now: Timestamp) -> bool {
        let silent = now.duration_since(self.latest);
        self.kept_for().is_some_and(|kept| silent < kept)
    }

    /// Follows a segment of the host.
    fn send(&mut self, segment: &Segment, now: Timestamp) -> Option<SocketEvent> {
        let flags = segment.flags;
        if flags & RST != 0 {
            let is_refusal = matches!(self.state, TcpState::Tried | TcpState::Heard);
            if is_refusal {
                self.state = TcpState::None;
            }
            return self.end_connection(now);
        }
        match (flags & SYN != 0, flags & ACK != 0) {
            (true, true) => {
                let start = segment.end();
                let is_again = self.state == TcpState::Accepted && self.local_start == start;
                if !is_again {
                    *self = Self {
                        fingerprint: self.fingerprint,
                        state: TcpState::Answered,
                        since: now,
                        latest: now,
                        local_start: start,
                        remote_start: segment.acknowledged,
                        is_reached: self.is_reached,
                        ..Self::default()
                    };
                }
            }
            (true, false) => {
                *self = Self {
                    fingerprint: self.fingerprint,
                    state: TcpState::Opening,
                    since: now,
                    latest: now,
                    local_start: segment.end(),
                    is_reached: self.is_reached,
                    ..Self::default()
                };
            }
            (false, true) => return self.send_on(segment, now),
            (false, false) => {}
        }
        None
    }

    fn send_on(&mut self, segment: &Segment, now: Timestamp) -> Option<SocketEvent> {
        // To acknowledge data takes a connection; the SYN alone, that or a SYN-ACK.
        let answered = u32::from(self.state == TcpState::Answered);
        let is_open = segment.acknowledges(self.remote_start.wrapping_add(answered));
        match self.state {
            TcpState::Accepted => self.send_accepted(segment),
            TcpState::Tried | TcpState::Answered if is_open => {
                if self.state == TcpState::Tried {
                    self.local_start = segment.sequence;
                }
                (self.state, self.since) = (TcpState::Accepted, now);
                self.send_accepted(segment);
                return Some(SocketEvent::Accepted);
            }
            TcpState::None | TcpState::Tried | TcpState::Heard => self.state = TcpState::Used,
            _ => {}
        }
        None
    }

    fn send_accepted(&mut self, segment: &Segment) {
        self.has_sent_data |= segment.length > 0;
        if segment.flags & FIN != 0 {
            let mut end = self.acknowledged;
            advance(&mut end, self.local_start, segment.end());
            self.local_end = Some(end);
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
            if self.state == TcpState::Opening {
                self.state = TcpState::None;
                return Some(SocketEvent::ConnectFailed);
            }
            if self.state == TcpState::Answered {
                self.state = TcpState::None;
            }
            return self.end_connection(now);
        }
        match (flags & SYN != 0, flags & ACK != 0) {
            (true, false) => {
                let is_open = matches!(
                    self.state,
                    TcpState::Answered | TcpState::Accepted | TcpState::Opening
                );
                if !is_open {
                    self.state = TcpState::Tried;
                    self.remote_start = segment.end();
                }
                None
            }
            (true, true) => {
                if self.state == TcpState::Opening {
                    self.state = TcpState::Used;
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
            TcpState::Answered => segment.acknowledged == self.local_start,
            TcpState::Tried => is_one_way && segment.sequence == self.remote_start,
            TcpState::None => {
                if segment.flags & FIN == 0 && is_one_way {
                    self.state = TcpState::Heard;
                }
                return None;
            }
            TcpState::Accepted => {
                self.receive_accepted(segment);
                return self.end_if_closed(now);
            }
            _ => return None,
        };
        if !is_completed {
            return None;
        }
        if self.state == TcpState::Tried {
            self.local_start = segment.acknowledged;
        }
        self.state = TcpState::Accepted;
        self.since = now;
        self.receive_accepted(segment);
        Some(SocketEvent::Accepted)
    }

    fn receive_accepted(&mut self, segment: &Segment) {
        advance(&mut self.received, self.remote_start, segment.end());
        advance(
            &mut self.acknowledged,
            self.local_start,
            segment.acknowledged,
        );
        self.has_received_data |= segment.length > 0;
        self.has_remote_closed |= segment.flags & FIN != 0;
    }

    fn end_if_closed(&mut self, now: Timestamp) -> Option<SocketEvent> {
        let is_closed = self
            .local_end
            .is_some_and(|end| self.acknowledged >= end && self.has_remote_closed);
        if is_closed {
            self.end_connection(now)
        } else {
            None
        }
    }

    /// Ends the connection, if the host has one.
    fn end_connection(&mut self, now: Timestamp) -> Option<SocketEvent> {
        let was_accepted = self.state == TcpState::Accepted;
        if matches!(self.state, TcpState::Accepted | TcpState::Used) {
            self.state = TcpState::Ended;
        }
        if !was_accepted {
            return None;
        }
        let lived = now.duration_since(self.since).as_nanos();
        // A side that has sent no data has sent nothing: a FIN counts as a byte.
        let bytes = |has_data: bool, bytes: u64| if has_data { bytes } else { 0 };
        Some(SocketEvent::Ended(Ending::new(
            bytes(self.has_received_data, self.received),
            bytes(self.has_sent_data, self.acknowledged),
            u64::try_from(lived).unwrap_or_default(),
        )))
    }
}
