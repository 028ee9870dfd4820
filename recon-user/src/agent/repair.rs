//! Hooks that somebody has detached while the agent runs.
//!
//! In: what the kernel says is attached, at each poll. Out: hooks that are attached again, a log
//! line, and what recon is blind for.
//! The decision held here: each interface takes some questions to the kernel, so a poll looks at a
//! bounded number of them, in turn.

use jiff::Timestamp;

use super::interfaces::WatchedInterfaces;
use crate::blind::{Blind, BlindPart};
use crate::hook::DetachedHook;

/// Interfaces that one poll looks after: their questions take 2 ms.
const EACH_POLL: usize = 64;

impl WatchedInterfaces {
    /// Looks after all hooks.
    pub(super) fn repair(&mut self, blind: &mut Blind, now: Timestamp) {
        let cgroup = self.hooks.cgroup_name();
        for detached in self.hooks.repair_sockets() {
            report(&cgroup, detached, blind, now);
        }
        let all = self.watched.len();
        let first = self.repaired % all.max(1);
        self.repaired = first + EACH_POLL.min(all);
        let turn = self.watched.iter().cycle().skip(first);
        for watched in turn.take(EACH_POLL.min(all)) {
            let Some(index) = watched.index else { continue };
            for detached in self.hooks.repair_interface(index, self.choice) {
                report(&watched.name, detached, blind, now);
            }
        }
    }
}

fn report(place: &str, detached: DetachedHook, blind: &mut Blind, now: Timestamp) {
    let DetachedHook { hook, refusal } = detached;
    let part = BlindPart::Hook(place.to_owned(), hook);
    // Also if it is back by the end of the poll.
    blind.lose(part.clone(), 1);
    match refusal {
        None => {
            blind.regain(&part);
            log::warn!(
                "{place}: somebody had detached recon's hook {hook}; it is attached again, and what it missed is not counted"
            );
        }
        Some(refusal) => {
            if !blind.is_gone(&part) {
                log::error!(
                    "{place}: somebody has detached recon's hook {hook}, and {refusal}; trying again"
                );
            }
            blind.lose_for_good(part, now);
        }
    }
}
