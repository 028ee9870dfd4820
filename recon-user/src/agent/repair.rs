//! Hooks that somebody has detached or bypassed while the agent runs.
//!
//! In: what the kernel says is attached, at each poll; once a minute, what the interfaces have
//! carried. Out: hooks that are attached again, a log line, and what recon is blind for.
//! The decision held here: each interface takes some questions to the kernel, so a poll looks at a
//! bounded number of them, in turn.

use std::collections::HashSet;
use std::time::Instant;

use jiff::Timestamp;
use recon_common::Direction;

use super::interfaces::WatchedInterfaces;
use crate::blind::{Blind, BlindPart};
use crate::diagnostic::error_chain;
use crate::drain::Tally;
use crate::hook::{DetachedHook, list_packets};

/// Interfaces that one poll looks after: their questions take 2 ms.
const EACH_POLL: usize = 64;

impl WatchedInterfaces {
    /// Looks after all hooks. `frames` are those that they have counted since the start.
    pub(super) fn repair(&mut self, blind: &mut Blind, frames: &Tally, now: Timestamp) {
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
        if self.canary.is_due(Instant::now()) {
            self.compare_traffic(blind, frames);
        }
    }

    /// Compares what the interfaces have carried with what the hooks have counted.
    fn compare_traffic(&mut self, blind: &mut Blind, frames: &Tally) {
        let packets = match list_packets() {
            Ok(packets) => packets,
            Err(error) => {
                log::warn!("{}; trying again in a minute", error_chain(&error));
                return;
            }
        };
        let indexes: HashSet<u32> = self.indexes().collect();
        let watched = packets
            .into_iter()
            .filter(|(index, _)| indexes.contains(index));
        for (direction, packets) in self.canary.compare(watched, frames) {
            let part = match direction {
                Direction::In => BlindPart::SilenceIn,
                Direction::Out => BlindPart::SilenceOut,
            };
            log::error!("{part}: {packets} in the last minute");
            blind.lose(part, packets);
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
