//! What the measurements of rules and alerts share: a judge, and how it is shown a flood.
//!
//! In: keys of SYNs. Out: findings of the rules that are there by themselves.
//! The decision held here: polls are a second apart, by a clock of their own.

use jiff::{SignedDuration, Timestamp};
use recon_common::{Key, Signal};
use recon_user::judge::{DEFAULT_MEMORY, Interval, Judge, Settings};
use recon_user::row::Row;
use recon_user::rule::{Configured, Severity, SignalSet, defaults};

const POLLING: SignedDuration = SignedDuration::from_secs(1);
/// The host's name.
pub(crate) const HOST: &str = "host";

/// A judge of the rules that are there by themselves, which has seen nothing.
pub(crate) fn judge() -> Judge {
    Judge::new(Settings {
        rules: defaults().into_iter().map(Configured::plain).collect(),
        min_severity: Severity::Informational,
        include_private: false,
        local_networks: Vec::new(),
        ignored: SignalSet::default(),
        memory: DEFAULT_MEMORY,
    })
}

/// The time before the poll of that number, from 0 on.
pub(crate) fn interval(poll: u32) -> Interval {
    let at = |poll: i32| Timestamp::UNIX_EPOCH + POLLING * poll;
    let poll = poll.cast_signed();
    Interval {
        from: at(poll),
        to: at(poll + 1),
    }
}

/// Shows the judge a row of that key.
pub(crate) fn observe(judge: &mut Judge, key: &Key, count: u64, interval: Interval) {
    let row = Row {
        key,
        signal: Signal::Syn,
        count,
        time: interval.to,
        device: HOST,
        process: None,
        is_scanner: false,
        sources: None,
    };
    judge.observe(&row, interval);
}
