//! Why a packet or a count was lost: the kernel programs count whatever they can't count as a
//! signal.
//!
//! In: failures of the parser and of counting. Out: an index into the per-CPU counters
//! ([`crate::Counter`]). From there each reason reaches the metrics and marks the interval's alerts
//! as lower bounds.

/// A reason why a packet could not be parsed or a signal not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Loss {
    /// The frame ends before a header that it announces, or the hook can't read the header where it
    /// is.
    Truncated = 0,
    /// A header contradicts itself: an IPv4 header of under 20 bytes, a version that is neither 4
    /// nor 6.
    Malformed = 1,
    /// The frame has more VLAN tags or IPv6 extension headers than the parser follows.
    TooDeep = 2,
    /// The live table had no room for a new key: the interval has more keys than it holds.
    TableFull = 3,
    /// More connections were pending than there are slots: one of them, if it failed at once, is
    /// not counted.
    PendingConnectsFull = 4,
    /// More programs started at once than the ring holds: alerts may lack their names.
    ExecEventsFull = 5,
    /// An accepted connection outlived more sockets than there are slots: its end is not counted.
    AcceptedFull = 6,
}

impl Loss {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::Truncated,
        Self::Malformed,
        Self::TooDeep,
        Self::TableFull,
        Self::PendingConnectsFull,
        Self::ExecEventsFull,
        Self::AcceptedFull,
    ];

    /// The reasons that a single frame can have: it can't be read.
    pub const OF_FRAMES: [Self; 3] = [Self::Truncated, Self::Malformed, Self::TooDeep];

    /// Whether it makes counts too low. A lost start of a program costs only its name, and a lost
    /// end of a connection only that row: a host with many long connections would always lose some.
    #[must_use]
    pub const fn lowers_counts(self) -> bool {
        !matches!(self, Self::ExecEventsFull | Self::AcceptedFull)
    }

    /// The name under which metrics and alerts show the reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
            Self::TableFull => "table_full",
            Self::PendingConnectsFull => "asked_full",
            Self::ExecEventsFull => "executed_full",
            Self::AcceptedFull => "accepted_full",
        }
    }
}
