//! What private remotes do while rules ignore them.
//!
//! In: the rows of a poll. Out: one warning.
//! The decision held here: who tries recon in a lab scans from a private address, sees no alert,
//! and takes it for broken. So recon says once why, as soon as a scan's worth of signals was
//! ignored.

use recon_common::{Address, Signal};

use crate::address::is_private;
use crate::row::RowKey;

/// Signals of private remotes that are worth a warning: an `nmap` of a hundred ports has more.
const WORTH_A_WARNING: u64 = 100;

/// The signals of private remotes so far.
#[derive(Debug)]
pub(crate) struct PrivateSignals {
    count: u64,
    /// Whether there is nothing to warn of any more.
    is_done: bool,
}

impl PrivateSignals {
    /// `are_judged` says that rules judge private remotes too.
    pub(crate) fn new(are_judged: bool) -> Self {
        Self {
            count: 0,
            is_done: are_judged,
        }
    }

    /// Counts a row, unless this host sends, or a neighbour asks for addresses as it does all the
    /// time.
    pub(crate) fn add_row(&mut self, key: &RowKey, count: u64) {
        let is_ignored = key.signal.is_outbound() || key.signal == Signal::NeighbourRequest;
        self.add(key.remote.filter(|_| !is_ignored), count);
    }

    fn add(&mut self, remote: Option<Address>, count: u64) {
        if !self.is_done && remote.is_some_and(|remote| is_private(remote.to_ip())) {
            self.count = self.count.saturating_add(count);
        }
    }

    /// Ends a poll. Says once why rules are silent about private remotes.
    pub(crate) fn warn(&mut self) {
        if let Some(signals) = self.take_warning() {
            tracing::warn!(
                "{signals} signals of private remotes count in no rule but common-ports and those on floods; most labs are private networks: --include-private judges them too"
            );
        }
    }

    /// The number of signals if it is time to warn of them, once.
    fn take_warning(&mut self) -> Option<u64> {
        let is_due = !self.is_done && self.count >= WORTH_A_WARNING;
        self.is_done |= is_due;
        is_due.then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_from_a_private_address_is_worth_one_warning() {
        let private = Address::v4([10, 0, 0, 1]);
        let public = Address::v4([198, 51, 100, 7]);
        // (whether private remotes are judged, remote, signals in each poll, warning of each)
        for (are_judged, remote, polls, expected) in [
            (false, private, [99, 1, 500], [None, Some(100), None]),
            (false, private, [600, 1, 600], [Some(600), None, None]),
            (false, public, [600, 600, 600], [None; 3]),
            (true, private, [600, 600, 600], [None; 3]),
        ] {
            let mut signals = PrivateSignals::new(are_judged);
            let warnings = polls.map(|count| {
                signals.add(Some(remote), count);
                signals.add(None, count);
                signals.take_warning()
            });
            assert_eq!(warnings, expected, "{are_judged} {remote:?} {polls:?}");
        }
    }
}
