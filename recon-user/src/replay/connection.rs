//! One TCP connection of a host, as its socket would follow it.
//!
//! In: its segments, in both directions. Out: what a socket hook would have counted.
//! The decisions held here:
//! - A connection is accepted when the remote has acknowledged the SYN-ACK: its ACK has a number
//!   that only a receiver of the SYN-ACK knows. It ends by a reset, or when both sides have closed.
//! - A host that acknowledges has the connection: to a segment of none it answers by a reset. So
//!   one from before the capture, or whose handshake it lacks, is known by what the host sends.
//! - Where only the inbound way is captured: a remote that sends an ACK with the number behind its
//!   SYN has a connection, and so has one that sends segments without a SYN or FIN.
//! - A connection has the size of a cache line, since nearly each packet of a capture reads one.

use jiff::{SignedDuration, Timestamp};
use recon_common::Ending;
use recon_common::protocol::tcp_flag::{ACK, FIN, RST, SYN};

use super::segment::{Segment, advance};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpState {
    /// There is none.
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

/// The host has sent data.
const SENT_DATA: u8 = 1;
const RECEIVED_DATA: u8 = 1 << 1;
/// The remote has sent its FIN.
const REMOTE_CLOSED: u8 = 1 << 2;
/// What the host sends is captured.
const TWO_WAY: u8 = 1 << 3;
/// Anything of the remote has come.
const REACHED: u8 = 1 << 4;
/// What the remote has acknowledged never gets there.
const NO_END: u64 = u64::MAX;

/// A connection.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct TcpConnection {
    /// Which one of those that share the slot it is.
    pub(super) fingerprint: u32,
    pub(super) state: TcpState,
    marks: u8,
    since: Moment,
    /// When its latest segment came.
    latest: Moment,
    /// The first number behind the SYN of the host, and of the remote.
    local_start: u32,
    remote_start: u32,
    /// Bytes from there on that the remote has acknowledged, and that it has sent.
    acknowledged: u64,
    received: u64,
    /// Bytes up to and with the FIN of the host, or [`NO_END`].
    local_end: u64,
}

const _: () = assert!(size_of::<TcpConnection>() == 64);

/// A time in 12 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Moment {
    seconds: i64,
    nanoseconds: i32,
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self {
            seconds: time.as_second(),
            nanoseconds: time.subsec_nanosecond(),
        }
    }
}

impl Moment {
    /// The time until `now`.
    fn until(self, now: Timestamp) -> SignedDuration {
        // What was made of a time is one.
        let time = Timestamp::new(self.seconds, self.nanoseconds).unwrap_or(now);
        now.duration_since(time)
    }
}

impl TcpConnection {
    /// No connection: the slot is free.
    pub(super) const NONE: Self = Self {
        fingerprint: 0,
        state: TcpState::None,
        marks: 0,
        since: Moment {
            seconds: 0,
            nanoseconds: 0,
        },
        latest: Moment {
            seconds: 0,
            nanoseconds: 0,
        },
        local_start: 0,
        remote_start: 0,
        acknowledged: 0,
        received: 0,
        local_end: NO_END,
    };

    /// One whose first segment comes now.
    pub(super) fn begin(fingerprint: u32, now: Timestamp) -> Self {
        Self {
            fingerprint,
            since: now.into(),
            latest: now.into(),
            ..Self::NONE
        }
    }

    /// The same one, begun anew.
    fn begin_again(&self, state: TcpState, now: Timestamp) -> Self {
        Self {
            state,
            marks: self.marks & (TWO_WAY | REACHED),
            ..Self::begin(self.fingerprint, now)
        }
    }

    /// Whether what the host sends is known to be captured.
    pub(super) const fn is_two_way(&self) -> bool {
        self.has(TWO_WAY)
    }

    pub(super) const fn note_two_way(&mut self) {
        self.marks |= TWO_WAY;
    }

    /// Whether anything of the remote has come.
    pub(super) const fn is_reached(&self) -> bool {
        self.has(REACHED)
    }

    pub(super) const fn note_reached(&mut self) {
        self.marks |= REACHED;
    }

    pub(super) fn note_segment(&mut self, now: Timestamp) {
        self.latest = now.into();
    }

    const fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn mark(&mut self, mark: u8, holds: bool) {
        self.marks |= mark * u8::from(holds);
    }

    /// How long a slot is left to a silent connection. `None` if anybody may have it.
    pub(super) const fn kept_for(&self) -> Option<SignedDuration> {
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

    pub(super) fn is_kept(&self, now: Timestamp) -> bool {
        let silent = self.latest.until(now);
        self.kept_for().is_some_and(|kept| silent < kept)
    }

    /// Follows a segment of the host.
    pub(super) fn send(&mut self, segment: &Segment, now: Timestamp) -> Option<SocketEvent> {
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
                        local_start: start,
                        remote_start: segment.acknowledged,
                        ..self.begin_again(TcpState::Answered, now)
                    };
                }
            }
            (true, false) => {
                *self = Self {
                    local_start: segment.end(),
                    ..self.begin_again(TcpState::Opening, now)
                };
            }
            (false, true) => return self.send_on(segment, now),
            (false, false) => {}
        }
        None
    }

    fn send_on(&mut self, segment: &Segment, now: Timestamp) -> Option<SocketEvent> {
        match self.state {
            TcpState::Accepted => self.send_accepted(segment),
            TcpState::Tried | TcpState::Answered if self.is_opened_by(segment) => {
                if self.state == TcpState::Tried {
                    self.local_start = segment.sequence;
                }
                self.state = TcpState::Accepted;
                self.since = now.into();
                self.send_accepted(segment);
                return Some(SocketEvent::Accepted);
            }
            TcpState::None | TcpState::Tried | TcpState::Heard => self.state = TcpState::Used,
            _ => {}
        }
        None
    }

    /// Whether a segment of the host shows that it has the connection. To acknowledge data takes
    /// one; the SYN alone, that or a SYN-ACK.
    const fn is_opened_by(&self, segment: &Segment) -> bool {
        let answered = matches!(self.state, TcpState::Answered) as u32;
        segment.acknowledges(self.remote_start.wrapping_add(answered))
    }

    fn send_accepted(&mut self, segment: &Segment) {
        self.mark(SENT_DATA, segment.length > 0);
        if segment.flags & FIN != 0 {
            let mut end = self.acknowledged;
            advance(&mut end, self.local_start, segment.end());
            self.local_end = end;
        }
    }

    /// Follows a segment of the remote.
    pub(super) fn receive(
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
        self.since = now.into();
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
        self.mark(RECEIVED_DATA, segment.length > 0);
        self.mark(REMOTE_CLOSED, segment.flags & FIN != 0);
    }

    fn end_if_closed(&mut self, now: Timestamp) -> Option<SocketEvent> {
        if self.has(REMOTE_CLOSED) && self.acknowledged >= self.local_end {
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
        let lived = self.since.until(now).as_nanos();
        // A side that has sent no data has sent nothing: a FIN counts as a byte.
        let bytes = |has_data: bool, bytes: u64| if has_data { bytes } else { 0 };
        Some(SocketEvent::Ended(Ending::new(
            bytes(self.has(RECEIVED_DATA), self.received),
            bytes(self.has(SENT_DATA), self.acknowledged),
            u64::try_from(lived).unwrap_or_default(),
        )))
    }
}
