//! Hooks that somebody has detached, overtaken or bypassed while the agent runs.
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
use crate::hook::{HookFinding, RemovedPins, Tampering, list_packets};

/// Interfaces that one poll looks after: their questions take 2 ms.
const EACH_POLL: usize = 64;

impl WatchedInterfaces {
    /// Reports what had been detached before this start.
    pub(super) fn report_found_detached(&mut self, blind: &mut Blind, now: Timestamp) {
        for (place, finding) in self.hooks.take_found_detached() {
            report(&place, finding, blind, now);
        }
    }

    /// Looks after all hooks, before a poll. `frames` are those that they have counted since the
    /// start.
    pub(super) fn repair(&mut self, blind: &mut Blind, frames: &Tally, now: Timestamp) {
        let cgroup = self.hooks.cgroup_name();
        for finding in self.hooks.repair_sockets() {
            report(&cgroup, finding, blind, now);
        }
        let all = self.watched.len();
        let first = self.repaired % all.max(1);
        self.repaired = first + EACH_POLL.min(all);
        let turn = self.watched.iter().cycle().skip(first);
        for watched in turn.take(EACH_POLL.min(all)) {
            let Some(index) = watched.index else { continue };
            for finding in self.hooks.repair_interface(index, self.choice) {
                self.canary.forget(index);
                report(&watched.name, finding, blind, now);
            }
        }
        let is_due = self.canary.is_due(Instant::now());
        if is_due {
            self.look_at_traffic(frames);
        }
        self.repair_pins(is_due, blind, now);
    }

    /// Looks after the pins, as far as they are missing.
    fn repair_pins(&mut self, is_thorough: bool, blind: &mut Blind, now: Timestamp) {
        let part = BlindPart::Pins;
        let Some(RemovedPins { pins, refusal }) = self.hooks.repair_pins(is_thorough) else {
            if blind.is_gone(&part) {
                blind.regain(&part);
                tracing::info!("recon's pins are there again");
            }
            return;
        };
        blind.lose(part.clone(), 1);
        match refusal {
            None => {
                blind.regain(&part);
                tracing::warn!("somebody has removed recon's pins: {pins} are made again");
            }
            Some(refusal) => {
                if !blind.is_gone(&part) {
                    tracing::error!(
                        "somebody has removed recon's pins, and they can't be made again: {refusal}; if this process ends, its hooks end with it; start recon again to pin anew: systemctl restart recon"
                    );
                }
                blind.lose_for_good(part, now);
            }
        }
    }

    /// Notes what the interfaces have carried.
    fn look_at_traffic(&mut self, frames: &Tally) {
        let packets = match list_packets() {
            Ok(packets) => packets,
            Err(error) => {
                tracing::warn!("{}; trying again in a minute", error_chain(&error));
                return;
            }
        };
        let indexes: HashSet<u32> = self.indexes().collect();
        let watched = packets
            .into_iter()
            .filter(|(index, _)| indexes.contains(index));
        let hooks = &self.hooks;
        let with_hooks = watched.map(|(index, [received, sent])| {
            let [inbound, outbound] = hooks.directions(index);
            (
                index,
                [inbound.then_some(received), outbound.then_some(sent)],
            )
        });
        self.canary.look(with_hooks, frames);
    }

    /// Compares what the interfaces have carried with what the hooks have counted, after a poll
    /// that has succeeded.
    pub(super) fn compare_traffic(&mut self, blind: &mut Blind, frames: &Tally) {
        for (direction, packets) in self.canary.compare(frames) {
            let part = match direction {
                Direction::In => BlindPart::SilenceIn,
                Direction::Out => BlindPart::SilenceOut,
            };
            tracing::error!("{part}: {packets} since a frame was seen");
            blind.lose(part, packets);
        }
    }
}

fn report(place: &str, finding: HookFinding, blind: &mut Blind, now: Timestamp) {
    let HookFinding {
        hook,
        what,
        refusal,
    } = finding;
    let (part, who) = match what {
        Tampering::Detached => (BlindPart::Hook(place.to_owned(), hook), None),
        Tampering::Overtaken(who) => (BlindPart::Overtaken(place.to_owned(), hook), Some(who)),
        Tampering::GaveWay => {
            blind.regain(&BlindPart::Overtaken(place.to_owned(), hook));
            tracing::info!("{place}: no other program runs before recon's hook {hook} any more");
            return;
        }
    };
    // Also if it is back by the end of the poll.
    blind.lose(part.clone(), 1);
    let done = match &who {
        None => format!("somebody has detached recon's hook {hook}"),
        Some(who) => format!("{who} runs before recon's hook {hook} and may hide packets from it"),
    };
    match refusal {
        None => {
            blind.regain(&part);
            let mended = match who {
                None => "it is attached again, and what it missed is not counted",
                Some(_) => "recon is in front again, and what was hidden is not counted",
            };
            tracing::warn!("{place}: {done}; {mended}");
        }
        Some(refusal) => {
            if !blind.is_gone(&part) {
                tracing::error!("{place}: {done}, and {refusal}; trying again");
            }
            blind.lose_for_good(part, now);
        }
    }
}
