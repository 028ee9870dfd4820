//! A row as the nursery keeps it: packed, since a flood brings millions.
//!
//! In: a row with its poll. Out: [`PackedRow`], and the row again.
//! The decision held here: times are nanoseconds since 1970. Times before 1677 and after 2262 are taken
//! for those.

use jiff::Timestamp;
use recon_common::{Address, Signal};

use super::super::Interval;
use super::sets::SetId;
use crate::row::{Row, RowKey, port_column};

/// A row of a known remote, with the queries that have accepted it.
#[derive(Clone, Debug)]
pub(crate) struct PackedRow {
    remote: Address,
    local: Address,
    /// The time of its poll, in nanoseconds since 1970.
    to: i64,
    /// The time of the poll before.
    from: i64,
    pub(crate) count: u64,
    /// The low bits of the number of its poll.
    pub(crate) poll: u32,
    /// Its place among the rows of its poll.
    pub(crate) number: u32,
    pid: u32,
    port: u16,
    /// The queries that have accepted it.
    pub(crate) set: SetId,
    pub(crate) signal: Signal,
    has_local: bool,
    has_pid: bool,
    /// Whether a query that reports answers has accepted it.
    pub(crate) is_hit: bool,
}

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
        Self {
            remote,
            local: key.local.unwrap_or(Address::UNSPECIFIED),
            to: nanoseconds(interval.to),
            from: nanoseconds(interval.from),
            count: row.count,
            poll: poll as u32,
            number: number as u32,
            pid: key.pid.unwrap_or(0),
            port: key.port.unwrap_or(0),
            set: SetId::NONE,
            signal: key.signal,
            has_local: key.local.is_some(),
            has_pid: key.pid.is_some(),
            is_hit: false,
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
        let time = |nanoseconds: i64| {
            Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        let [from, to] = [self.from, self.to].map(time);
        let row = Row {
            key: RowKey {
                remote: Some(self.remote),
                local: self.has_local.then_some(self.local),
                port: port_column(self.signal).map(|_| self.port),
                pid: self.has_pid.then_some(self.pid),
                signal: self.signal,
            },
            count: self.count,
            time: to,
            device: "",
            process: None,
            is_scanner: false,
            sources: None,
        };
        (row, Interval { from, to })
    }
}

fn nanoseconds(time: Timestamp) -> i64 {
    let (first, last) = (i128::from(i64::MIN), i128::from(i64::MAX));
    time.as_nanosecond().clamp(first, last) as i64
}
