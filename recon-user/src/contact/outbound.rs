//! The attempts of this host's processes.
//!
//! In: rows of what processes sent and of what remotes answered, those of a poll in any order. Out:
//! for each attempt a [`Settled`] row, once its outcome is known.
//! The decisions held here:
//! - An answer does not say which process it is for. It settles the attempts of all processes on
//!   that port of the remote.
//! - What fails where an attempt of this host succeeded in the last one or two hours is no attempt:
//!   when a remote with thirty services restarts, its clients do not scan it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::signal::Transport;
use recon_common::{Address, Signal};
use serde::{Deserialize, Serialize};

use super::attempt::first_name;
use super::queue::Queue;
use super::{Clock, Settled};
use crate::process::Process;
use crate::row::{Interval, Name, Row, RowKey};
use crate::seed::Secrets;

/// Ports of remotes that are remembered to have answered, in each of two halves.
const MAX_GOOD: usize = 1 << 15;
/// Seconds after which the older half is forgotten.
const GOOD_FOR: u32 = 3600;

/// What this host reaches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Reached {
    remote: Address,
    port: Option<u16>,
    transport: u8,
}

/// Who reaches for it.
type Reacher = (Reached, Option<u32>);

/// What is known of an attempt.
#[derive(Debug, Serialize, Deserialize)]
struct OutboundAttempt {
    since: Interval,
    local: Option<Address>,
    hits: u64,
    failed: u64,
    process: Option<Arc<Process>>,
    is_scanner: bool,
    /// The program that began it.
    image: u8,
    /// The network namespace of its socket, if it is not the agent's. Of several the first by name.
    netns: Option<Name>,
}

/// What a remote answered, for as long as an attempt may wait for it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Answer {
    #[serde(with = "crate::saved::time")]
    at: Timestamp,
    is_refusal: bool,
}

/// The attempts of all processes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outbound {
    waiting: Queue<Reacher, OutboundAttempt>,
    answers: HashMap<Reached, Answer, Secrets>,
    /// Who answered since the last turn, and between the two before.
    good: [HashSet<Reached, Secrets>; 2],
    /// When the halves of `good` last changed places.
    turned: u32,
}

impl Outbound {
    /// Whether rows of that signal are about an attempt of this host.
    pub(super) const fn concerns(signal: Signal) -> bool {
        is_attempt(signal) || is_answer(signal) || matches!(signal, Signal::ConnectFailed)
    }

    /// Forgets the attempts that wait for an answer, which have their processes in their keys.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting = Queue::default();
    }

    /// Adds a row about an attempt. `keeps_process` says that rules read the process behind it.
    pub(super) fn observe(&mut self, row: &Row<'_>, interval: Interval, keeps_process: bool) {
        let RowKey {
            remote: Some(remote),
            local,
            port,
            pid,
            signal,
            ..
        } = row.key
        else {
            return;
        };
        let transport = signal.transport().map_or(0, |transport| transport as u8);
        let reached = Reached {
            remote,
            port,
            transport,
        };
        if is_answer(signal) {
            let is_refusal = signal == Signal::ResetReceived;
            let answer = self.answers.entry(reached).or_insert(Answer {
                at: interval.to,
                is_refusal,
            });
            answer.is_refusal &= is_refusal;
            answer.at = interval.to;
            return;
        }
        let attempt = self.waiting.entry((reached, pid), || OutboundAttempt {
            since: interval,
            local,
            hits: 0,
            failed: 0,
            process: None,
            is_scanner: row.is_scanner,
            image: row.key.image,
            netns: None,
        });
        attempt.netns = first_name(attempt.netns, row.key.netns);
        if signal == Signal::ConnectFailed {
            attempt.failed = attempt.failed.saturating_add(row.count);
        } else {
            attempt.hits = attempt.hits.saturating_add(row.count);
        }
        attempt.local = attempt.local.or(local);
        if keeps_process && attempt.process.is_none() {
            attempt.process = row.process.cloned().map(Arc::new);
        }
    }

    /// Settles what is known at the end of a poll.
    pub(super) fn settle(&mut self, clock: Clock, settled: &mut Vec<Settled>) {
        let Self {
            waiting,
            answers,
            good,
            ..
        } = self;
        waiting.retain(|&(reached, pid), attempt| {
            let answer = answers.get(&reached);
            let is_good = answer.is_some_and(|answer| !answer.is_refusal);
            let is_refused = attempt.failed > 0 || answer.is_some_and(|answer| answer.is_refusal);
            let outcome = match (is_good, is_refused) {
                (true, _) => OutboundOutcome::Answered,
                (_, true) => OutboundOutcome::Refused,
                _ if clock.has_waited(attempt.since.to) => OutboundOutcome::Ignored,
                _ => return true,
            };
            let was_good = good.iter().any(|half| half.contains(&reached));
            if is_good || !was_good {
                settled.push(settled_row(reached, pid, attempt, outcome));
            }
            false
        });
        self.remember_good(clock);
        let is_recent = |answer: &Answer| !clock.has_waited(answer.at);
        self.answers.retain(|_, answer| is_recent(answer));
    }

    /// Remembers who answered in this poll.
    fn remember_good(&mut self, clock: Clock) {
        let is_over = clock.second.abs_diff(self.turned) >= GOOD_FOR;
        if is_over || self.good[0].len() >= MAX_GOOD {
            self.good[1] = std::mem::take(&mut self.good[0]);
            self.turned = clock.second;
        }
        for (reached, answer) in &self.answers {
            if !answer.is_refusal && self.good[0].len() < MAX_GOOD {
                self.good[0].insert(*reached);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum OutboundOutcome {
    Answered,
    Refused,
    Ignored,
}

fn settled_row(
    reached: Reached,
    pid: Option<u32>,
    attempt: &mut OutboundAttempt,
    outcome: OutboundOutcome,
) -> Settled {
    Settled {
        key: RowKey {
            remote: Some(reached.remote),
            local: attempt.local,
            port: reached.port,
            pid,
            image: attempt.image,
            ending: None,
            tool: None,
            interface: None,
            netns: attempt.netns,
            signal: signal(reached.transport, outcome),
        },
        count: attempt.hits.max(attempt.failed),
        since: attempt.since.from,
        process: attempt.process.take(),
        is_scanner: attempt.is_scanner,
        listener: None,
        standing: None,
    }
}

const fn signal(transport: u8, outcome: OutboundOutcome) -> Signal {
    const UDP: u8 = Transport::Udp as u8;
    const ICMP: u8 = Transport::Icmp as u8;
    match (transport, outcome) {
        (UDP, OutboundOutcome::Answered) => Signal::SentAnswered,
        (UDP, _) => Signal::SentIgnored,
        (ICMP, OutboundOutcome::Answered) => Signal::EchoAnswered,
        (ICMP, _) => Signal::EchoIgnored,
        (_, OutboundOutcome::Answered) => Signal::ConnectAnswered,
        (_, OutboundOutcome::Refused) => Signal::ConnectRefused,
        (_, OutboundOutcome::Ignored) => Signal::ConnectIgnored,
    }
}

const fn is_attempt(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SynSent
            | Signal::ProbeSent
            | Signal::DatagramSent
            | Signal::DnsSentUdp
            | Signal::EchoSent
    )
}

const fn is_answer(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SynAckReceived
            | Signal::ResetReceived
            | Signal::ReplyReceived
            | Signal::EchoReplyReceived
    )
}
