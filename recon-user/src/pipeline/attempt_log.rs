//! What remotes tried in a run, and what became of it: what a report draws.
//!
//! In: attempts as they are settled, and the times of packets where a capture has them. Out: for
//! each target of each remote its outcome and its times, [`RunAttempts`].
//! The decision held here: the log is bounded. When it is full it evicts the sources with the
//! fewest targets, since a chart is about those with many, and counts what it evicted. So a
//! flood of forged sources evicts no scan.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use recon_common::signal::Transport;
use recon_common::{Address, Signal};

use super::Pipeline;
use crate::contact::{KnownSources, Settled, SourceOrder, SourceSelection};
use crate::row::RowKey;
use crate::seed::Secrets;

/// Targets that are kept, in some 20 MB.
const MOST_TARGETS: usize = 1 << 17;
/// Targets of one source: all ports of one address.
const MOST_OF_SOURCE: u32 = 1 << 16;
/// Packets whose attempts are not settled yet.
const MOST_ARRIVALS: usize = 1 << 17;
/// Sources of which the verdict is kept.
const MOST_SOURCES: usize = 1000;

/// What a remote tried: a port of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LoggedTarget {
    pub(crate) remote: Address,
    pub(crate) local: Address,
    pub(crate) port: u16,
    pub(crate) is_udp: bool,
}

/// What became of an attempt, the greatest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LoggedOutcome {
    Silent,
    Refused,
    HalfOpen,
    /// Accepted, or a datagram that was answered.
    Accepted,
}

/// All attempts on one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedAttempt {
    pub(crate) outcome: LoggedOutcome,
    pub(crate) count: u64,
    /// When the first was made, exact to the poll, or to the packet of a capture.
    pub(crate) first: Timestamp,
    /// When the last was settled.
    pub(crate) last: Timestamp,
    /// When a connection to it was first used.
    pub(crate) used: Option<Timestamp>,
}

/// The attempts of a run.
#[derive(Debug, Default)]
pub(crate) struct AttemptLog {
    targets: HashMap<LoggedTarget, LoggedAttempt, Secrets>,
    of_source: HashMap<Address, u32, Secrets>,
    arrivals: HashMap<LoggedTarget, Timestamp, Secrets>,
    /// How far the times to show are ahead of the clock.
    offset: SignedDuration,
    evicted: u64,
}

/// What a run knows at its end, beyond its lines.
#[derive(Debug, Default)]
pub(crate) struct RunAttempts {
    /// Targets in the order of their first attempts.
    pub(crate) by_target: Vec<(LoggedTarget, LoggedAttempt)>,
    /// Targets that the log had no room for.
    pub(crate) evicted: u64,
    /// Sources with their verdicts.
    pub(crate) sources: KnownSources,
}

impl AttemptLog {
    /// Notes the packet that begins an attempt, at the time of the clock.
    pub(crate) fn note_packet(&mut self, key: &RowKey, at: Timestamp) {
        if let Some(target) = target_of(key)
            && self.arrivals.len() < MOST_ARRIVALS
        {
            self.arrivals.entry(target).or_insert(at);
        }
    }

    /// Notes how far the times to show are ahead of the clock from now on.
    pub(crate) fn set_offset(&mut self, offset: SignedDuration) {
        self.offset = offset;
    }

    /// Adds the attempts that a poll has settled.
    pub(super) fn add(&mut self, attempts: &[Settled], now: Timestamp) {
        for settled in attempts {
            let Some(target) = target_of(&settled.key) else {
                continue;
            };
            let shown = |time: Timestamp| time.checked_add(self.offset).unwrap_or(time);
            if settled.key.signal == Signal::Used {
                if let Some(attempt) = self.targets.get_mut(&target) {
                    attempt.used.get_or_insert(shown(now));
                }
                continue;
            }
            let Some(outcome) = outcome_of(settled.key.signal) else {
                continue;
            };
            let arrival = self.arrivals.remove(&target);
            let first = shown(arrival.unwrap_or(settled.since));
            let attempt = LoggedAttempt {
                outcome,
                count: settled.count,
                first,
                last: shown(now),
                used: None,
            };
            self.add_attempt(target, attempt);
        }
        // What is left here is no attempt: all of a poll are settled within two.
        if self.arrivals.len() >= MOST_ARRIVALS {
            self.arrivals.clear();
        }
    }

    fn add_attempt(&mut self, target: LoggedTarget, attempt: LoggedAttempt) {
        if let Some(known) = self.targets.get_mut(&target) {
            known.outcome = known.outcome.max(attempt.outcome);
            known.count = known.count.saturating_add(attempt.count);
            known.last = known.last.max(attempt.last);
            return;
        }
        let of_source = self.of_source.entry(target.remote).or_default();
        if *of_source >= MOST_OF_SOURCE {
            self.evicted += 1;
            return;
        }
        *of_source += 1;
        self.targets.insert(target, attempt);
        if self.targets.len() >= MOST_TARGETS {
            self.evict_small_sources();
        }
    }

    /// Evicts sources with the fewest targets until half of the room is free.
    fn evict_small_sources(&mut self) {
        let mut sources: Vec<(u32, Address)> = self
            .of_source
            .iter()
            .map(|(&remote, &targets)| (targets, remote))
            .collect();
        sources.sort_unstable_by(|one, other| other.cmp(one));
        let mut kept = 0;
        for (targets, remote) in sources {
            kept += targets as usize;
            if kept > MOST_TARGETS / 2 {
                self.of_source.remove(&remote);
            }
        }
        let before = self.targets.len();
        let Self {
            targets, of_source, ..
        } = self;
        targets.retain(|target, _| of_source.contains_key(&target.remote));
        self.evicted += (before - targets.len()) as u64;
    }

    fn into_attempts(self) -> Vec<(LoggedTarget, LoggedAttempt)> {
        let mut attempts: Vec<_> = self.targets.into_iter().collect();
        attempts.sort_unstable_by_key(|(target, attempt)| (attempt.first, *target));
        attempts
    }
}

/// The target of an attempt of a remote.
fn target_of(key: &RowKey) -> Option<LoggedTarget> {
    if key.signal.is_outbound() {
        return None;
    }
    Some(LoggedTarget {
        remote: key.remote?,
        local: key.local?,
        port: key.port?,
        is_udp: key.signal.transport() == Some(Transport::Udp),
    })
}

fn outcome_of(signal: Signal) -> Option<LoggedOutcome> {
    Some(match signal {
        Signal::AttemptAccepted | Signal::DatagramAnswered => LoggedOutcome::Accepted,
        Signal::AttemptHalfOpen => LoggedOutcome::HalfOpen,
        Signal::AttemptRefused | Signal::DatagramRefused => LoggedOutcome::Refused,
        Signal::AttemptIgnored | Signal::DatagramIgnored => LoggedOutcome::Silent,
        _ => return None,
    })
}

impl Pipeline {
    /// From now on, logs what remotes try.
    pub(crate) fn log_attempts(&mut self) {
        self.attempt_log = Some(AttemptLog::default());
    }

    /// The log, if there is one.
    pub(crate) const fn attempt_log_mut(&mut self) -> Option<&mut AttemptLog> {
        self.attempt_log.as_mut()
    }

    /// What has been logged, and the sources that are known.
    pub(crate) fn take_attempts(&mut self) -> RunAttempts {
        let log = self.attempt_log.take().unwrap_or_default();
        RunAttempts {
            evicted: log.evicted,
            by_target: log.into_attempts(),
            sources: self.list_sources(SourceSelection {
                order: SourceOrder::Verdict,
                filter: None,
                limit: MOST_SOURCES,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn attempt(remote: u32, port: u16, signal: Signal) -> Settled {
        Settled {
            key: RowKey {
                remote: Some(Address::from_v4_word(remote)),
                local: Some(Address::v4([203, 0, 113, 1])),
                port: Some(port),
                ..RowKey::of(signal)
            },
            count: 1,
            since: at(9),
            process: None,
            is_scanner: false,
            listener: None,
            standing: None,
        }
    }

    #[test]
    fn the_greatest_outcome_and_the_time_of_the_packet_are_kept() {
        let mut log = AttemptLog::default();
        log.note_packet(&attempt(7, 80, Signal::Syn).key, at(8));
        log.set_offset(SignedDuration::from_secs(100));
        for (signal, now) in [
            (Signal::AttemptIgnored, 10),
            (Signal::AttemptAccepted, 11),
            (Signal::Used, 12),
            (Signal::AttemptRefused, 13),
            (Signal::ConnectRefused, 14),
        ] {
            log.add(&[attempt(7, 80, signal)], at(now));
        }
        let attempts = log.into_attempts();
        let [(target, logged)] = &attempts[..] else {
            panic!("{attempts:?}");
        };
        assert_eq!(target.port, 80);
        let expected = LoggedAttempt {
            outcome: LoggedOutcome::Accepted,
            count: 3,
            first: at(108),
            last: at(113),
            used: Some(at(112)),
        };
        assert_eq!(*logged, expected);
    }

    #[test]
    fn a_flood_of_sources_evicts_no_scan() {
        const SCANNER: u32 = 1;
        let mut log = AttemptLog::default();
        let scan = (0..1000).map(|port| attempt(SCANNER, port, Signal::AttemptRefused));
        let scan: Vec<_> = scan.collect();
        log.add(&scan, at(10));
        let flood: u32 = 2 * MOST_TARGETS as u32;
        for forged in 0..flood {
            log.add(&[attempt(2 + forged, 80, Signal::AttemptIgnored)], at(11));
        }
        assert!(log.targets.len() <= MOST_TARGETS);
        assert_eq!(
            log.evicted + log.targets.len() as u64,
            u64::from(flood) + 1000
        );
        let scanned = log.targets.keys();
        let scanned = scanned.filter(|of| of.remote == Address::from_v4_word(SCANNER));
        assert_eq!(scanned.count(), 1000);
    }

    #[test]
    fn one_source_takes_half_of_the_room_at_most() {
        let mut log = AttemptLog::default();
        for local in 0..2 {
            let on = |port| {
                let mut attempt = attempt(1, port, Signal::AttemptRefused);
                attempt.key.local = Some(Address::from_v4_word(local + 1));
                attempt
            };
            let scan: Vec<_> = (0..=u16::MAX).map(on).collect();
            log.add(&scan, at(10));
        }
        assert_eq!(log.targets.len(), MOST_OF_SOURCE as usize);
        assert_eq!(log.evicted, u64::from(MOST_OF_SOURCE));
    }
}
