//! A row as the nursery keeps it: packed, since a flood brings millions.
//!
//! In: a row with its poll. Out: [`PackedRow`], and the row again.
//! The decision held here: 72 bytes hold what nearly all rows say, with times as recon's own polls
//! have them. The source of a row that does not fit (years before 1677 and after 2262, polls with
//! parts of a microsecond or over an hour apart, four billion events) is promoted.

use jiff::{SignedDuration, Timestamp};
use recon_common::{Address, Ending, ImageId, Signal, Tool};

use super::super::Interval;
use super::sets::SetId;
use crate::row::{Row, RowKey, Standing, port_column};

/// Nanoseconds in a microsecond.
const MICROSECOND: i128 = 1_000;

/// A row of a known remote, with the queries that have accepted it.
#[derive(Clone, Debug)]
pub(crate) struct PackedRow {
    remote: Address,
    local: Address,
    /// The time of its poll, in nanoseconds since 1970.
    to: i64,
    /// The time since the poll before, in microseconds.
    span: u32,
    pub(crate) count: u32,
    /// The low bits of the number of its poll.
    pub(crate) poll: u32,
    /// Its place among the rows of its poll.
    pub(crate) number: u32,
    /// The pid, or how the connection ended.
    pid: u32,
    port: u16,
    /// The queries that have accepted it.
    pub(crate) set: SetId,
    pub(crate) signal: Signal,
    tool: Option<Tool>,
    has_pid: bool,
    listener: Option<bool>,
    standing: Standing,
    /// Whether it says all that the row did: times and numbers may not fit.
    pub(crate) is_exact: bool,
}

const _: () = assert!(size_of::<PackedRow>() == 72);

impl PackedRow {
    /// Packs a row of that remote.
    pub(crate) fn new(
        remote: Address,
        row: &Row<'_>,
        interval: Interval,
        poll: u64,
        number: u64,
    ) -> Self {
        let key = row.key;
        let [from, to] = [interval.from, interval.to].map(Timestamp::as_nanosecond);
        let span = u32::try_from((to - from) / MICROSECOND);
        let count = u32::try_from(row.count);
        let packed_to = i64::try_from(to);
        Self {
            remote,
            local: key.local.unwrap_or(Address::UNSPECIFIED),
            is_exact: (to - from) % MICROSECOND == 0
                && span.is_ok()
                && count.is_ok()
                && packed_to.is_ok(),
            to: packed_to.unwrap_or(i64::MAX),
            span: span.unwrap_or(u32::MAX),
            count: count.unwrap_or(u32::MAX),
            poll: poll as u32,
            number: number as u32,
            pid: key
                .ending
                .map_or(key.sender().map_or(0, ImageId::pack), Ending::pack),
            port: key.port.unwrap_or(0),
            set: SetId::NONE,
            signal: key.signal,
            tool: key.tool,
            has_pid: key.pid.is_some(),
            listener: row.listener,
            standing: row.standing,
        }
    }

    /// Its remote.
    pub(crate) fn remote(&self) -> Address {
        self.remote
    }

    /// The time of its poll, in nanoseconds since 1970.
    pub(crate) fn at(&self) -> i64 {
        self.to
    }

    /// The row and its poll.
    pub(crate) fn unpack(&self) -> (Row<'static>, Interval) {
        let to = Timestamp::from_nanosecond(self.to.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        let span = SignedDuration::from_micros(self.span.into());
        let from = to.checked_sub(span).unwrap_or(to);
        let sender = self.has_pid.then(|| ImageId::unpack(self.pid));
        let row = Row {
            key: RowKey {
                remote: Some(self.remote),
                local: (self.local != Address::UNSPECIFIED).then_some(self.local),
                port: port_column(self.signal).map(|_| self.port),
                pid: sender.map(|sender| sender.pid),
                image: sender.unwrap_or_default().number,
                ending: Ending::unpack(self.pid).filter(|_| self.signal == Signal::Ended),
                tool: self.tool,
                signal: self.signal,
            },
            count: self.count.into(),
            time: to,
            device: "",
            process: None,
            is_scanner: false,
            listener: self.listener,
            standing: self.standing,
            sources: None,
        };
        (row, Interval { from, to })
    }
}
