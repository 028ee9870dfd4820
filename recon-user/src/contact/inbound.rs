//! The attempts of remotes.
//!
//! In: rows of hits and of what this host did with them, those of a poll in any order. Out: for
//! each attempt a [`Settled`] row, once its outcome is known.
//! The decisions held here:
//! - An attempt is settled when it is accepted, answered or refused. Without that it waits for the
//!   next poll, and a second: a handshake takes a round trip.
//! - Whether a socket waits on the port counts for what a client sends. To odd flags an open port
//!   is silent by the standard.
//! - A connection counts as used when it ended with data from the remote, or has stayed open for
//!   some seconds. It is reported after the failures of the same poll and of the next one, so that
//!   a rule on scanners that come back does not depend on the order within a poll.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use recon_common::signal::Transport;
use recon_common::{Address, Ending, Signal};
use serde::{Deserialize, Serialize};

use super::attempt::{Arrival, Attempt};
use super::evidence::{Evidence, TargetResult};
use super::hour::{ContactHour, ContactTotals};
use super::ledger::Ledger;
use super::locals::Locals;
use super::outcomes::Outcome;
use super::queue::Queue;
use super::record::{ChangedStandings, OutcomeRecorder};
use super::redirect::Redirects;
use super::targets::Target;
use super::{Clock, Settled};
use crate::address::{first_neighbour, write_address};
use crate::row::{Interval, Row, RowKey, Verdict};
use crate::seed::Secrets;

/// A remote, and the port that it tries on a local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tried {
    pub(super) remote: Address,
    local: Address,
    port: u16,
    pub(super) is_udp: bool,
}

impl Hash for Tried {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        write_address(self.remote, hasher);
        write_address(self.local, hasher);
        hasher.write_u32(u32::from(self.port) << 1 | u32::from(self.is_udp));
    }
}

/// Targets by remote, with their outcomes.
pub(super) type WaitingTargets = HashMap<Address, Vec<(Target, Outcome)>, Secrets>;

/// The attempts of all remotes, and the evidence from them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Inbound {
    waiting: Queue<Tried, Attempt>,
    /// Refusals by ICMP, whose protocol the row does not know.
    refused_by_icmp: Vec<(Tried, u32, Interval)>,
    pub(super) remotes: Ledger,
    /// The evidence by network, if a rule reads it.
    pub(super) networks: Option<Ledger>,
    pub(super) locals: Locals,
    hour: ContactHour,
    redirects: Redirects,
    /// The number of this poll.
    poll: u32,
}

impl Inbound {
    /// No attempts yet. `networks` is there if a rule reads the verdict on networks.
    pub(super) fn new(networks: Option<Ledger>) -> Self {
        Self {
            networks,
            ..Self::default()
        }
    }

    /// Adds a row, if it is about an attempt.
    pub(super) fn observe(&mut self, row: &Row<'_>, interval: Interval) {
        let RowKey {
            remote: Some(remote),
            local: Some(local),
            port: Some(port),
            signal,
            ending,
            tool,
            ..
        } = row.key
        else {
            return;
        };
        let tried = Tried {
            remote,
            local,
            port,
            is_udp: signal.transport() == Some(Transport::Udp),
        };
        let count = u32::try_from(row.count).unwrap_or(u32::MAX);
        if signal == Signal::RefusedIcmp {
            // Of a protocol without ports, which is no attempt on one.
            if port == 0 {
                return;
            }
            self.refused_by_icmp.push((tried, count, interval));
            return;
        }
        let Self { waiting, poll, .. } = self;
        let attempt = waiting.entry(tried, || Attempt::begin(interval, *poll));
        if let Some(tool) = tool {
            attempt.tools.insert(tool);
        }
        attempt.add_place(&row.key);
        let add = |number: &mut u32| *number = number.saturating_add(count);
        match signal {
            Signal::AnsweredTcp | Signal::AnsweredUdp => attempt.is_answered = true,
            Signal::RefusedTcp => add(&mut attempt.refused),
            Signal::TraceProbe => attempt.is_traced = true,
            Signal::Accepted => attempt.add_accepted(count),
            Signal::ForwardedEnded => add(&mut attempt.accepted),
            Signal::Ended => {
                add(&mut attempt.ended);
                let has_data = ending.is_some_and(|ending: Ending| ending.received_bytes() > 0);
                add(match has_data {
                    true => &mut attempt.used,
                    false => &mut attempt.unused,
                });
            }
            Signal::Syn | Signal::Datagram | Signal::DnsQueryUdp => {
                add(&mut attempt.hits);
                if signal == Signal::Syn {
                    add(&mut attempt.syns);
                }
                attempt.listener = attempt.listener.max(row.listener);
            }
            _ => add(&mut attempt.hits),
        }
    }

    /// Whether rows of that signal are about an attempt of a remote.
    pub(super) const fn concerns(signal: Signal) -> bool {
        matches!(
            signal,
            Signal::Syn
                | Signal::NullProbe
                | Signal::FinProbe
                | Signal::XmasProbe
                | Signal::MaimonProbe
                | Signal::OddProbe
                | Signal::FragmentProbe
                | Signal::Datagram
                | Signal::DnsQueryUdp
                | Signal::TraceProbe
                | Signal::RefusedTcp
                | Signal::RefusedIcmp
                | Signal::AnsweredTcp
                | Signal::AnsweredUdp
                | Signal::Accepted
                | Signal::ForwardedEnded
                | Signal::Ended
        )
    }

    /// Settles what is known at the end of a poll: first the attempts, then the connections that
    /// were used. Returns about whom more is known than before.
    pub(super) fn settle(&mut self, clock: Clock, settled: &mut Vec<Settled>) -> ChangedStandings {
        self.assign_refusals();
        self.poll = self.poll.saturating_add(1);
        let Self {
            waiting,
            remotes,
            networks,
            locals,
            hour,
            redirects,
            ..
        } = self;
        redirects.expire(clock);
        waiting.for_each(|tried, attempt| redirects.note(tried.remote, attempt.unasked(), clock));
        remotes.expire(clock.second, clock.oldest);
        if let Some(networks) = networks {
            networks.expire(clock.second, clock.oldest);
        }
        let mut used = Vec::new();
        let mut recorder = OutcomeRecorder {
            remotes,
            networks: networks.as_mut(),
            hour,
            settled,
            changed: ChangedStandings::default(),
        };
        waiting.retain(|tried, attempt| {
            let is_due = clock.has_waited(attempt.arrival.since.to);
            let target = tried.target(locals);
            if let Some(outcome) = attempt.outcome(tried.is_udp, is_due) {
                let is_redirected =
                    outcome == Outcome::HalfOpen && redirects.pay(tried.remote, attempt.syns);
                if !is_redirected {
                    let result = attempt.result(target, outcome, clock);
                    recorder.record_outcome(tried, result, attempt.arrival);
                }
                attempt.forget_outcome(clock.now);
            }
            let left_open = attempt.take_left_open(clock);
            if left_open > 0 {
                let result = TargetResult {
                    count: left_open.into(),
                    ..attempt.result(target, Outcome::HalfOpen, clock)
                };
                recorder.record_outcome(tried, result, attempt.connected);
            }
            if std::mem::take(&mut attempt.unused) > 0
                && let Some(evidence) = recorder.remotes.get_mut(tried.remote)
            {
                evidence.record_unused(target);
            }
            let has_ended = attempt.ended >= attempt.opened;
            let has_stayed = !has_ended && clock.has_stayed(attempt.arrival.since.to);
            if is_due && (attempt.used > 0 || has_stayed) {
                let count = attempt.used.max(1).into();
                used.push((*tried, target, count, attempt.connected));
                attempt.used = 0;
                attempt.opened = attempt.ended;
            }
            let is_watched = || {
                let evidence = recorder.remotes.get(tried.remote);
                evidence.is_some_and(|evidence| evidence.failures() > 0)
            };
            let is_open = attempt.ended < attempt.opened;
            !is_due || attempt.left_open > 0 || is_open && is_watched()
        });
        let changed = recorder.changed;
        for (tried, target, count, arrival) in used {
            let Some(evidence) = remotes.get_mut(tried.remote) else {
                continue;
            };
            if evidence.record_use(target) {
                settled.push(tried.settled(Signal::Used, count, arrival));
            }
        }
        changed
    }

    /// What was settled since the last call, which ends the hour.
    pub(super) fn take_totals(&mut self, now: u32) -> Option<ContactTotals> {
        self.hour.close(&mut self.remotes, now)
    }

    /// The targets whose outcome is not known yet, by remote, with the outcome so far.
    pub(super) fn waiting_targets(&self) -> WaitingTargets {
        let mut waiting = WaitingTargets::default();
        self.waiting.for_each(|tried, attempt| {
            if let Some(outcome) = attempt.outcome(tried.is_udp, true)
                && let Some(local) = self.locals.find(tried.local)
            {
                let target = Target {
                    port: tried.port,
                    local,
                    is_udp: tried.is_udp,
                };
                waiting
                    .entry(tried.remote)
                    .or_default()
                    .push((target, outcome));
            }
        });
        for targets in waiting.values_mut() {
            targets.sort_unstable();
        }
        waiting
    }

    /// Assigns the refusals by ICMP to the datagrams that they refuse, or else to segments.
    fn assign_refusals(&mut self) {
        for (tried, count, interval) in std::mem::take(&mut self.refused_by_icmp) {
            let datagram = Tried {
                is_udp: true,
                ..tried
            };
            let target = datagram.target(&mut self.locals);
            let evidence = self.remotes.get(tried.remote);
            let is_known = evidence.is_some_and(|evidence| evidence.has_target(target));
            let tried = match is_known || self.waiting.contains(&datagram) {
                true => datagram,
                false => tried,
            };
            let attempt = self
                .waiting
                .entry(tried, || Attempt::begin(interval, self.poll));
            attempt.refused = attempt.refused.saturating_add(count);
        }
    }
}

impl Tried {
    fn target(&self, locals: &mut Locals) -> Target {
        Target {
            port: self.port,
            local: locals.number(self.local),
            is_udp: self.is_udp,
        }
    }

    pub(super) fn settled(&self, signal: Signal, count: u64, arrival: Arrival) -> Settled {
        Settled {
            key: RowKey {
                remote: Some(self.remote),
                local: Some(self.local),
                port: Some(self.port),
                interface: arrival.interface,
                netns: arrival.netns,
                ..RowKey::of(signal)
            },
            count,
            since: arrival.since.from,
            process: None,
            is_scanner: false,
            listener: None,
            standing: None,
        }
    }
}

/// The verdict on the network of a remote.
pub(super) fn network_verdict(networks: Option<&Ledger>, remote: Address) -> Verdict {
    let evidence = networks.and_then(|networks| networks.get(first_neighbour(remote)));
    evidence.map_or(Verdict::Undecided, Evidence::verdict)
}

/// The time in seconds since 1970, which fit until 2106. Windows begin at whole ones.
pub(super) fn second(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX)
}
