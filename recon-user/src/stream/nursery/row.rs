//! A row as the nursery keeps it: packed, since a flood brings millions.
//!
//! In: a row with its poll. Out: [`PackedRow`], and the row again.
//! The decision held here: 72 bytes hold what nearly all rows say, with times as recon's own polls
//! have them. The source of a row that does not fit (years before 1677 and after 2262, polls with
//! parts of a microsecond or over an hour apart, four billion events, the process of a remote's
//! packets) is promoted.

use std::num::NonZeroU16;

use jiff::{SignedDuration, Timestamp};
use recon_common::{Address, Ending, ImageId, Signal, Tool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::Interval;
use super::sets::SetId;
use crate::row::{Name, Row, RowKey, Standing, port_column};

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
    /// Who sent it, or on which interface it came in and how it ended.
    detail: u32,
    port: u16,
    /// The queries that have accepted it.
    pub(crate) set: SetId,
    pub(crate) signal: Signal,
    tool: Option<Tool>,
    netns: Option<Name>,
    listener: Option<bool>,
    standing: Standing,
}

/// Where the detail of a remote's row holds its ending, above the number of its interface.
const ENDING_SHIFT: u32 = u16::BITS;

const _: () = assert!(size_of::<PackedRow>() == 72);

impl PackedRow {
    /// Packs a row of that remote. Says whether it holds all that the row does: times and numbers
    /// may not fit.
    pub(crate) fn new(
        remote: Address,
        row: &Row<'_>,
        interval: Interval,
        poll: u64,
        number: u64,
    ) -> (Self, bool) {
        let key = row.key;
        let [from, to] = [interval.from, interval.to].map(Timestamp::as_nanosecond);
        let span = u32::try_from((to - from) / MICROSECOND);
        let count = u32::try_from(row.count);
        let packed_to = i64::try_from(to);
        let fits =
            (to - from) % MICROSECOND == 0 && span.is_ok() && count.is_ok() && packed_to.is_ok();
        let packed = Self {
            remote,
            local: key.local.unwrap_or(Address::UNSPECIFIED),
            to: packed_to.unwrap_or(i64::MAX),
            span: span.unwrap_or(u32::MAX),
            count: count.unwrap_or(u32::MAX),
            poll: poll as u32,
            number: number as u32,
            detail: pack_detail(&key),
            port: key.port.unwrap_or(0),
            set: SetId::NONE,
            signal: key.signal,
            tool: key.tool,
            netns: key.netns,
            listener: row.listener,
            standing: row.standing,
        };
        let is_exact = fits && packed.key() == key;
        (packed, is_exact)
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
        let row = Row {
            device: "",
            listener: self.listener,
            standing: self.standing,
            ..Row::bare(self.key(), self.count.into(), to)
        };
        (row, Interval { from, to })
    }

    /// Forgets which process has sent it.
    pub(super) fn forget_process(&mut self) {
        if self.signal.is_outbound() {
            self.detail = 0;
        }
    }

    /// The key of the row.
    fn key(&self) -> RowKey {
        let key = RowKey {
            remote: Some(self.remote),
            local: (self.local != Address::UNSPECIFIED).then_some(self.local),
            port: port_column(self.signal).map(|_| self.port),
            tool: self.tool,
            netns: self.netns,
            ..RowKey::of(self.signal)
        };
        if self.signal.is_outbound() {
            let sender = (self.detail != 0).then(|| ImageId::unpack(self.detail));
            return RowKey {
                pid: sender.map(|sender| sender.pid),
                image: sender.unwrap_or_default().number,
                ..key
            };
        }
        RowKey {
            ending: Ending::unpack(self.detail >> ENDING_SHIFT),
            interface: NonZeroU16::new(self.detail as u16).map(Name::from_number),
            ..key
        }
    }
}

/// What is saved of a packed row: names have other numbers in another process.
#[derive(Serialize, Deserialize)]
struct SavedRow {
    key: RowKey,
    to: i64,
    span: u32,
    count: u32,
    poll: u32,
    number: u32,
    set: SetId,
    listener: Option<bool>,
    standing: Standing,
}

impl Serialize for PackedRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self {
            to,
            span,
            count,
            poll,
            number,
            set,
            listener,
            standing,
            ..
        } = self;
        let key = self.key();
        let saved = SavedRow {
            key,
            to,
            span,
            count,
            poll,
            number,
            set,
            listener,
            standing,
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PackedRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SavedRow {
            key,
            to,
            span,
            count,
            poll,
            number,
            set,
            listener,
            standing,
        } = SavedRow::deserialize(deserializer)?;
        let remote = key.remote.unwrap_or(Address::UNSPECIFIED);
        Ok(Self {
            remote,
            local: key.local.unwrap_or(Address::UNSPECIFIED),
            to,
            span,
            count,
            poll,
            number,
            detail: pack_detail(&key),
            port: key.port.unwrap_or(0),
            set,
            signal: key.signal,
            tool: key.tool,
            netns: key.netns,
            listener,
            standing,
        })
    }
}

/// What the key says of its sender, or of its interface and its ending.
fn pack_detail(key: &RowKey) -> u32 {
    if key.signal.is_outbound() {
        return key.sender().map_or(0, ImageId::pack);
    }
    let interface = key.interface.map_or(0, |name| name.number().get());
    u32::from(interface) | key.ending.map_or(0, Ending::pack) << ENDING_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row that does not fit is known as such, and all others come back.
    #[test]
    fn a_row_comes_back_or_does_not_fit() {
        const REMOTE: Address = Address::v4([198, 51, 100, 7]);
        let interface = Name::new("eth0");
        let last = Some(Name::from_number(NonZeroU16::MAX));
        let ending = Some(Ending::new(1, 0, 0));
        let greatest = Some(Ending::new(u64::MAX, u64::MAX, u64::MAX));
        let netns = Name::new("net:[4026532281]");
        // (signal, pid, ending, interface, whether it fits)
        for (signal, pid, ending, interface, expected) in [
            (Signal::Syn, None, None, None, true),
            (Signal::Syn, None, None, interface, true),
            (Signal::Syn, Some(7), None, interface, false),
            (Signal::Ended, None, ending, None, true),
            (Signal::Ended, None, ending, interface, true),
            (Signal::Syn, None, None, last, true),
            (Signal::Ended, None, ending, last, true),
            (Signal::Ended, None, greatest, last, true),
            (Signal::Ended, None, greatest, None, true),
            (Signal::SynSent, Some(7), None, None, true),
            (Signal::SynSent, None, None, None, true),
            (Signal::SynSent, Some(7), None, interface, false),
            (Signal::SynSent, Some(u32::MAX), None, None, false),
        ] {
            let key = RowKey {
                remote: Some(REMOTE),
                local: None,
                port: Some(22),
                pid,
                image: 0,
                ending,
                tool: None,
                interface,
                netns,
                signal,
            };
            let now = Timestamp::UNIX_EPOCH;
            let row = Row::bare(key, 1, now);
            let interval = Interval { from: now, to: now };
            let (packed, is_exact) = PackedRow::new(REMOTE, &row, interval, 1, 1);
            assert_eq!(is_exact, expected, "{key:?}");
            assert_eq!(packed.unpack().0.key == key, expected, "{key:?}");
        }
    }
}
